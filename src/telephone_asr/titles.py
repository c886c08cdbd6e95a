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
