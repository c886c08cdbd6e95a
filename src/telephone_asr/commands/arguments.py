"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.paths import MODELS
from telephone_asr.textfiles import read_lines

PARAMS = Path("params.yaml")
EXPORTED = MODELS / "final"
LISTS = (".txt", ".lst", ".list", ".csv")


def count(text: str) -> int:
    """Reads a number of things, 1 or more."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return number


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds --model, to be held against what there is by `check_model`."""
    said = f"of a Fun-ASR-Nano (default: {EXPORTED})"
    parser.add_argument("--model", type=Path, default=EXPORTED, metavar="DIR", help=said)


def check_model(directory: Path) -> None:
    """Raises InputError where a directory is no model's."""
    from telephone_asr.model import layout

    if directory == EXPORTED and not directory.is_dir():
        raise InputError(
            f"{directory} is not here: run where `dvc repro` makes it or `dvc pull export` brings "
            "it, the repository's root, or name a model's directory with --model."
        )
    layout.check_directory(directory, "--model")


def add_hotwords(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Adds --hotwords, to be read by `read_hotwords`. default: says what there is without."""
    words = f"{default}words for the prompt, or a file with one a line; behind all else"
    parser.add_argument("--hotwords", nargs="+", metavar="WORD", help=words)


def read_hotwords(given: Sequence[str]) -> Iterator[str]:
    """Yields words, or those of a file. Raises InputError where the file is missing, or where one
    would end the prompt's list."""
    if len(given) > 1 or not os.path.isfile(given[0]):  # a word may be too long for a name
        for word in given:
            if word.lower().endswith(LISTS):
                raise InputError(f"--hotwords: {word}: name one file that is there, or words.")
        yield from (_hotword(word, "--hotwords") for word in given)
        return
    lines = read_lines(Path(given[0]))
    yield from (_hotword(line.strip(), f"{given[0]}:{number}") for number, line in lines)


def _hotword(word: str, place: str) -> str:
    from telephone_asr.manifests.hotwords import usable

    try:
        return usable(word)
    except ValueError as error:
        raise InputError(f"{place}: expected {error}, got {word!r}.") from None


def max_hours() -> float:
    """Returns how long a recording may be: as params.yaml has it, where the command runs beside
    one."""
    from telephone_asr.corpora.items import MAX_HOURS
    from telephone_asr.params import load_params

    return load_params().corpus.max_hours if PARAMS.is_file() else MAX_HOURS
