"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

PARAMS = Path("params.yaml")


def count(text: str) -> int:
    """Reads a number of things, 1 or more."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return number


def max_hours() -> float:
    """Returns how long a recording may be: as params.yaml has it, where the command runs beside
    one."""
    from telephone_asr.corpora.items import MAX_HOURS
    from telephone_asr.params import load_params

    return load_params().corpus.max_hours if PARAMS.is_file() else MAX_HOURS
