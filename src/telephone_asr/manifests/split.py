"""Train, validation and test sets: whole speakers, chosen by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from telephone_asr.errors import InputError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """Shares of the speakers; the rest trains."""

    valid: float
    test: float

    def __post_init__(self) -> None:
        if not (0 < self.valid and 0 < self.test and self.valid + self.test < 1):
            raise InputError(
                f"valid: expected valid and test above 0 and below 1 together, "
                f"got {self.valid} and {self.test}."
            )


def assign(groups: Iterable[str], split: Split, seed: int) -> dict[str, str]:
    """The split of each group (a speaker, or a recording where speakers are too few).

    A group's place in [0, 1) is a hash of its name and the seed: neither the order of the corpus
    nor the other groups move it. Where hashing leaves test or validation without any group, the
    groups nearest to it fill in, so that three groups always make three sets.
    """
    places = sorted((_place(group, seed), group) for group in set(groups))
    n_test = max(1, sum(place < split.test for place, _ in places))
    n_valid = max(1, sum(place < split.test + split.valid for place, _ in places) - n_test)
    names = ["test"] * n_test + ["valid"] * n_valid
    names += ["train"] * (len(places) - len(names))
    return {group: name for (_, group), name in zip(places, names, strict=False)}


def _place(group: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
