"""Train, validation and test sets: whole speakers, chosen by hash, test sets frozen by a list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import StrictBool, StrictInt

from telephone_asr.errors import InputError
from telephone_asr.sections import Mismatch, Positive, section
from telephone_asr.textfiles import read_lines

SPLITS = ("train", "valid", "test")
HELD_OUT = ("valid", "test")


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


@dataclass
class Sets:
    """The sets that a corpus's utterances are in, once all of them have been seen: by speaker, by
    recording where speakers are too few, or as the list in git has it."""

    split: Split
    frozen: frozenset[str] | None  # recordings, or their hashes: the list in git
    speakers: set[str] = field(default_factory=set)
    frozen_speakers: set[str] = field(default_factory=set)

    def see(self, recording: str, speaker: str) -> None:
        self.speakers.add(speaker)
        if self._is_frozen(recording):
            self.frozen_speakers.add(speaker)

    @property
    def split_by(self) -> str:
        return "speaker" if len(self.speakers) >= len(SPLITS) else "recording"

    def assign(self, recording: str, speaker: str) -> tuple[str | None, tuple[str, str] | None]:
        """Returns the set of an utterance, or the reason why it can be in none."""
        by_speaker = self.split_by == "speaker"
        set_ = assign_split(speaker if by_speaker else recording, self.split)
        if self.frozen is None:
            return set_, None
        if self._is_frozen(recording):
            return "test", None
        if by_speaker and speaker in self.frozen_speakers:
            return None, ("test_speaker", f"speaker {speaker}")
        return ("train" if set_ == "test" else set_), None

    def _is_frozen(self, recording: str) -> bool:
        listed = self.frozen or ()
        return bool(listed) and (recording in listed or hashed(recording) in listed)

    def holds_out(self, recording: str, speaker: str) -> bool:
        """Returns whether an utterance is in the validation or the test set, if it is kept."""
        return self.assign(recording, speaker)[0] in HELD_OUT


def read_frozen(path: Path) -> frozenset[str] | None:
    """Reads the ids of a test set that is kept in git, or their hashes, one a line; None where
    there is no file.

    Raises InputError for a list without ids.
    """
    if not path.is_file():
        return None
    ids = frozenset(line.strip() for _, line in read_lines(path))
    if not ids:
        raise InputError(f"{path} names no utterance: delete it, or freeze the test set again.")
    return ids


def hashed(id_: str) -> str:
    """Returns what stands for an id in a list that is not to name it."""
    return f"sha256 {hashlib.sha256(id_.encode()).hexdigest()}"


def write_frozen(path: Path, ids: Iterable[str]) -> None:
    """Writes the ids of a test set, sorted, so that a difference reads well in git."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{id_}\n" for id_ in sorted(ids)), encoding="utf-8")
