"""`telephone-asr transcribe`: the text of sound files."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from telephone_asr.paths import MODELS

BATCH_SIZE = 32
MAX_TOKENS = 200  # of a text, and
MAX_TOKENS_PER_S = 8  # where that is more: faster than anybody speaks


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("transcribe", help="print the text of sound files")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=MODELS / "final")
    parser.set_defaults(run=lambda a: transcribe_files(a.files, a.model))


def transcribe_files(files: list[Path], model: Path) -> None:
    """Prints file and text, a line each; exits with 1 where a file could not be used, or its text
    is cut off."""
    from telephone_asr.corpora.items import Item, load
    from telephone_asr.decoding.corpus import recognise_utterances
    from telephone_asr.manifests.messages import PROMPT_VERBATIM
    from telephone_asr.model import layout, pretrained
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.scoring.cut_off import CutOff
    from telephone_asr.shards import Rejected, Utterance

    layout.check_directory(model, "telephone-asr transcribe: --model")
    nano = pretrained.load(model)
    frontend = Frontend(nano.config["frontend_conf"])
    failed = False
    for first in range(0, len(files), BATCH_SIZE):
        sounds: list[tuple[Path, Utterance]] = []
        for path in files[first:][:BATCH_SIZE]:
            sound = load(Item(path.stem, path))
            if isinstance(sound, Rejected):
                print(f"error: {sound.detail}", file=sys.stderr)
                failed = True
            else:
                sounds.append((path, sound))
        own = [sound for _, sound in sounds]
        longest_s = max((len(u.samples) / u.sample_rate_hz for u in own), default=0.0)
        limit = max(MAX_TOKENS, math.ceil(MAX_TOKENS_PER_S * longest_s))
        texts = recognise_utterances(nano, frontend, own, PROMPT_VERBATIM, BATCH_SIZE, limit)
        for (path, _), text in zip(sounds, texts, strict=True):
            print(f"{path}\t{text}", flush=True)
            if isinstance(text, CutOff):
                print(f"error: {path}: its text is cut off at {limit} tokens", file=sys.stderr)
                failed = True
    if failed:
        sys.exit(1)
