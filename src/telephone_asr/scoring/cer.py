"""Character and mixed error rates: counts of edits that can be added up, and the rate they make."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer

from telephone_asr.scoring.normalise import LATIN, normalise_for_scoring
from telephone_asr.scoring.options import Erhua, Unit

_WORD_OR_CHARACTER = re.compile(rf"[{LATIN}]+|[^ ]")


@dataclass(frozen=True)
class ErrorRate:
    """Counts edits between reference and hypothesis, in characters or in the units of the mixed
    error rate.

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
        """Lets `sum` begin with the number 0."""
        return self if other == 0 else NotImplemented

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Returns the errors per character of the reference; insertions can take it above 1.

        Without a reference there is no rate: infinite if there are insertions, 0 if there are none.
        """
        if self.length == 0:
            return math.inf if self.errors else 0.0
        return self.errors / self.length

    def as_dict(self) -> dict[str, float | int | None]:
        """Returns what a metrics file holds. An infinite rate is None: JSON has no infinity.

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


def units(text: str, unit: Unit = "character") -> list[str]:
    """Cuts a normalised text into what errors are counted in.

    "character" makes the character error rate (CER); the space between two Latin words is one too.
    "mixed" makes the mixed error rate (MER), as it is used for speech that switches languages
    (Shi et al., "The ASRU 2019 Mandarin-English code-switching speech recognition challenge",
    2020): each word in Latin letters is one unit, and each hanzi and each digit.

    >>> units("用wifi ok吗"), units("用wifi ok吗", "mixed")
    (['用', 'w', 'i', 'f', 'i', ' ', 'o', 'k', '吗'], ['用', 'wifi', 'ok', '吗'])
    """
    return list(text) if unit == "character" else _WORD_OR_CHARACTER.findall(text)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> jiwer.WordOutput:
    """Finds the fewest edits that turn one list of units into the other: counts, and places."""
    # The lists are passed through as they are, which jiwer's types do not know of: its own
    # transforms would strip white space.
    lists: Any = [list(reference)], [list(hypothesis)], list, list
    return jiwer.process_words(*lists)


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorRate:
    """Counts the edits between two lists of units. Without a reference, all is inserted.

    >>> count_errors(["用", "wifi"], ["用", "wife", "吗"])
    ErrorRate(substitutions=1, deletions=0, insertions=1, length=2)
    """
    found = align(reference, hypothesis)
    return ErrorRate(found.substitutions, found.deletions, found.insertions, len(reference))


def character_errors(reference: str, hypothesis: str) -> ErrorRate:
    """Counts the fewest edits of characters that turn the reference into the hypothesis.

    Takes the texts as they are: use `score`, or `normalise_for_scoring` before. Where several
    alignments have as few edits, they may be split otherwise into substitutions, deletions and
    insertions.

    >>> character_errors("还款三百", "还三百二")
    ErrorRate(substitutions=0, deletions=1, insertions=1, length=4)
    """
    return count_errors(units(reference), units(hypothesis))


def score(
    references: Sequence[str],
    hypotheses: Sequence[str],
    unit: Unit = "character",
    fillers: Sequence[str] = (),
    erhua: Erhua = "keep",
) -> list[ErrorRate]:
    """Normalises both sides and counts each utterance's errors; added up, they are a test set's.

    `fillers` and `erhua` are those of `normalise_for_scoring`.

    >>> score(["还款三百二。"], ["还款320"])[0].errors
    0
    >>> score(["用 Wi-Fi 吗"], ["用wife吗"], unit="mixed")[0]
    ErrorRate(substitutions=1, deletions=0, insertions=0, length=3)
    """
    if isinstance(references, str) or isinstance(hypotheses, str):
        raise TypeError("score takes lists of texts, one an utterance, not a single text")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"{len(references)} references but {len(hypotheses)} hypotheses: one of each is needed "
            "for every utterance, an empty hypothesis where nothing was recognised"
        )

    def units_of(text: str) -> list[str]:
        return units(normalise_for_scoring(text, fillers, erhua), unit)

    return [
        count_errors(units_of(reference), units_of(hypothesis))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]


def errors_of(line: Mapping) -> ErrorRate:
    """Returns the errors of one line of data/transcripts/*.jsonl."""
    return ErrorRate(
        line["substitutions"], line["deletions"], line["insertions"], line["characters"]
    )
