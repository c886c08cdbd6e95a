"""What people read instead of the names of test sets and checkpoints."""

TITLES = {
    "telecall": "telephone calls",
    "simulated": "simulated telephone speech",
    "wideband": "wideband speech",
    "base": "base",
    "encoder": "stage 1 (encoder)",
    "adapter": "stage 2 (adapter)",
    "lora": "stage 3 (LoRA)",
    "final": "final (stage 3, merged)",
}
