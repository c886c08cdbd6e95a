"""What people read instead of the names of test sets and checkpoints."""

TITLES = {
    "telecall": "telephone calls",
    "simulated": "simulated telephone speech",
    "wideband": "wideband speech",
    "base": "base",
    "encoder": "stage 1 (encoder)",
    "adaptor": "stage 2 (adaptor)",
    "lora": "stage 3 (LoRA)",
    "final": "final (stage 3, merged)",
}


def title_of(name: str) -> str:
    """Returns what people read instead of a name; that itself, of a test set of their own.

    >>> title_of("telecall"), title_of("golden")
    ('telephone calls', 'golden')
    """
    return TITLES.get(name, name)
