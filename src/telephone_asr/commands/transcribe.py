"""`telephone-asr transcribe`: the text of sound files."""

from __future__ import annotations

import sys
from pathlib import Path

from telephone_asr.stages import MODELS


def add(commands) -> None:
    parser = commands.add_parser("transcribe", help="print the text of sound files")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=MODELS / "final")
    parser.set_defaults(run=lambda a: transcribe_files(a.files, a.model))


def transcribe_files(files: list[Path], model: Path) -> None:
    """Prints file and text, a line each."""
    from telephone_asr.corpora.items import Item, load
    from telephone_asr.manifests.messages import PROMPT_VERBATIM
    from telephone_asr.model import fun_asr_nano, pretrained
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.scoring.decode import greedy
    from telephone_asr.shards import Rejected

    pretrained.check_directory(model, "telephone-asr transcribe: --model")
    nano = pretrained.load(model)
    frontend = Frontend(nano.config["frontend_conf"])
    import torch

    failed = False
    for path in files:
        sound = load(Item(path.stem, path))
        if isinstance(sound, Rejected):
            print(f"error: {sound.detail}", file=sys.stderr)
            failed = True
            continue
        features = frontend(sound.samples, sound.sample_rate_hz)
        with torch.inference_mode():
            lengths = torch.tensor([len(features)])
            hidden, lengths = fun_asr_nano.encode(nano, features[None], lengths)
            hidden, lengths = fun_asr_nano.adapt(nano, hidden, lengths)
        print(f"{path}\t{greedy(nano, [PROMPT_VERBATIM], hidden, lengths, max_tokens=200)[0]}")
    if failed:
        sys.exit(1)
