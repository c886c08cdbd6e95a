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
        if not (self.valid > 0 and self.test > 0 and self.valid + self.test < 1):
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
    # Rounded first: 0.07 * 100 is 7.000000000000001. Something is left to train on.
    n_test = math.ceil(round(split.test * len(ranked), 9))
    n_test = min(n_test, max(1, len(ranked) - 2))
    n_valid = math.ceil(round(split.valid * len(ranked), 9))
    n_valid = min(n_valid, max(1, len(ranked) - n_test - 1))
    names = ["test"] * n_test + ["valid"] * n_valid
    names += ["train"] * max(0, len(ranked) - len(names))
    return dict(zip(ranked, names, strict=False))


def _place(group: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
