"""Character error rate: counts of edits that can be added up, and the rate they make."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from telephone_asr.scoring.normalize import normalize

# jiwer's own default also strips white space; here a character is a character.
_CHARACTERS = jiwer.ReduceToListOfListOfChars()


@dataclass(frozen=True)
class ErrorRate:
    """Edits between reference and hypothesis. All four are counts of characters.

    Error rates are added, never averaged: a long utterance weighs more than a short one.

    >>> ErrorRate(substitutions=1, length=2) + ErrorRate(insertions=1, length=8)
    ErrorRate(substitutions=1, deletions=0, insertions=1, length=10)
    >>> sum([ErrorRate(1, 0, 0, 2), ErrorRate(0, 0, 1, 8)], ErrorRate()).rate
    0.2
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0  # characters of the reference

    def __add__(self, other: "ErrorRate") -> "ErrorRate":
        if not isinstance(other, ErrorRate):
            return NotImplemented
        return ErrorRate(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )

    def __radd__(self, other: int) -> "ErrorRate":
        """`sum` starts with the number 0."""
        return self if other == 0 else NotImplemented

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per character of the reference; insertions can take it above 1.

        Without a reference there is no rate: infinite if there are insertions, 0 if there are none.
        """
        if self.length == 0:
            return math.inf if self.errors else 0.0
        return self.errors / self.length

    def as_dict(self) -> dict[str, float | int | None]:
        """For a metrics file. An infinite rate is None, since JSON has no infinity.

        >>> ErrorRate(substitutions=1, length=3).as_dict()
        {'cer': 0.333333, 'substitutions': 1, 'deletions': 0, 'insertions': 0, 'characters': 3}
        """
        return {
            "cer": round(self.rate, 6) if math.isfinite(self.rate) else None,
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
            "characters": self.length,
        }


def character_errors(reference: str, hypothesis: str) -> ErrorRate:
    """The fewest edits that turn the reference into the hypothesis.

    Takes the texts as they are: use `score`, or `normalize` them before. Every character counts,
    also the space between two Latin words. An empty reference makes everything an insertion.

    >>> character_errors("还款三百", "还三百二")
    ErrorRate(substitutions=0, deletions=1, insertions=1, length=4)
    """
    counts = jiwer.process_characters(
        reference,
        hypothesis,
        reference_transform=_CHARACTERS,
        hypothesis_transform=_CHARACTERS,
    )
    return ErrorRate(counts.substitutions, counts.deletions, counts.insertions, len(reference))


def score(references: Sequence[str], hypotheses: Sequence[str]) -> list[ErrorRate]:
    """Normalise both sides and count each utterance's errors. Add them up for a test set's CER.

    >>> score(["还款三百二。"], ["还款320"])[0].errors
    0
    """
    if isinstance(references, str) or isinstance(hypotheses, str):
        raise TypeError("score takes lists of texts, one an utterance, not a single text")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"{len(references)} references but {len(hypotheses)} hypotheses: one of each is needed "
            "for every utterance, an empty hypothesis where nothing was recognised"
        )
    return [
        character_errors(normalize(reference), normalize(hypothesis))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
