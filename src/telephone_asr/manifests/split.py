"""Train, validation and test sets: whole speakers, chosen by hash, test sets frozen by a list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import StrictBool, StrictInt

from telephone_asr.errors import InputError
from telephone_asr.sections import Mismatch, Positive, section
from telephone_asr.textfiles import read_lines

SPLITS = ("train", "valid", "test")


@section
class Split:
    """The shares of the speakers, on average, that do not train; the rest does."""

    valid: Positive
    test: Positive
    seed: StrictInt  # of its own: another training seed must not move the test set
    frozen: StrictBool  # the lists in splits/ are the test sets
    short: StrictInt  # syllables; sentences no longer than this (喂, 好的) may be in several sets

    def __post_init__(self) -> None:
        if self.valid + self.test >= 1:
            raise Mismatch("valid", f"less than 1 with test ({self.test})", self.valid)


def assign_split(group: str, split: Split) -> str:
    """Returns the set of a group (a speaker, or a recording where speakers are too few).

    It depends on the group's name alone: adding data moves nobody.
    """
    digest = hashlib.sha256(f"{split.seed}/{group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < split.test:
        return "test"
    return "valid" if place < split.test + split.valid else "train"


def read_frozen(path: Path) -> frozenset[str] | None:
    """Reads the ids of a test set that is kept in git, one a line; None where there is no file.

    Raises InputError for a list without ids.
    """
    if not path.is_file():
        return None
    ids = frozenset(line.strip() for _, line in read_lines(path))
    if not ids:
        raise InputError(f"{path} names no utterance: delete it, or freeze the test set again.")
    return ids


def write_frozen(path: Path, ids: Iterable[str]) -> None:
    """Writes the ids of a test set, sorted, so that a difference reads well in git."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{id_}\n" for id_ in sorted(ids)), encoding="utf-8")
