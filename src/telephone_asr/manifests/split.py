"""Train, validation and test sets: whole speakers, chosen by hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from telephone_asr.errors import InputError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """Shares of the speakers, rounded up; the rest trains."""

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

    Groups are ranked by a hash of their name and the seed; the first make the test set, the next
    the validation set, each of its share rounded up. So the order of the corpus does not matter,
    and new groups move an old one only across a border that they push on.
    """
    ranked = sorted(set(groups), key=lambda group: _place(group, seed))
    n_test = math.ceil(split.test * len(ranked))
    n_valid = math.ceil(split.valid * len(ranked))
    names = ["test"] * n_test + ["valid"] * n_valid
    names += ["train"] * max(0, len(ranked) - len(names))
    return dict(zip(ranked, names, strict=False))


def _place(group: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
