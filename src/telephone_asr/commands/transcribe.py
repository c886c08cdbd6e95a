"""`telephone-asr transcribe`: the text of sound files."""

from __future__ import annotations

import sys
from pathlib import Path

from telephone_asr.stages import MODELS

BATCH_SIZE = 32


def add(commands) -> None:
    parser = commands.add_parser("transcribe", help="print the text of sound files")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=MODELS / "final")
    parser.set_defaults(run=lambda a: transcribe_files(a.files, a.model))


def transcribe_files(files: list[Path], model: Path) -> None:
    """Prints file and text, a line each."""
    from telephone_asr.corpora.items import Item, load
    from telephone_asr.manifests.messages import PROMPT_VERBATIM
    from telephone_asr.model import layout, pretrained
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.scoring.corpus import recognise_utterances
    from telephone_asr.shards import Rejected

    layout.check_directory(model, "telephone-asr transcribe: --model")
    nano = pretrained.load(model)
    frontend = Frontend(nano.config["frontend_conf"])
    failed = False
    for first in range(0, len(files), BATCH_SIZE):
        sounds = [(path, load(Item(path.stem, path))) for path in files[first:][:BATCH_SIZE]]
        for _, sound in sounds:
            if isinstance(sound, Rejected):
                print(f"error: {sound.detail}", file=sys.stderr)
                failed = True
        sounds = [(path, sound) for path, sound in sounds if not isinstance(sound, Rejected)]
        own = [sound for _, sound in sounds]
        texts = recognise_utterances(
            nano, frontend, own, PROMPT_VERBATIM, BATCH_SIZE, max_tokens=200
        )
        for (path, _), text in zip(sounds, texts, strict=True):
            print(f"{path}\t{text}", flush=True)
    if failed:
        sys.exit(1)
