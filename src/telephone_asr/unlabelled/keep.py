"""Which labels can be trusted: one reason for each that is left out, and what each filter costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from telephone_asr.params import Keep
from telephone_asr.scoring.options import Scoring
from telephone_asr.unlabelled.labels import Label

DEFAULT = Scoring()
REASONS = {  # in the order in which they are given
    "no_text": "the language model wrote nothing",
    "loop": "its text repeats itself, or never came to its end",
    "confidence": "the language model was unsure",
    "ctc_confidence": "the CTC branch was unsure",
    "distance": "the CTC branch wrote another text",
    "second_distance": "the second model wrote another text",
    "characters_per_s": "nobody speaks so fast, or so slowly",
}


def reason(label: Label, keep: Keep) -> str | None:
    """Returns the first reason of REASONS to leave a label out; None to keep it."""
    return next(objections(label, keep), None)


def objections(label: Label, keep: Keep) -> Iterator[str]:
    """Yields every reason to leave a label out."""
    raise NotImplementedError


def by_filter(
    labels: Iterable[Label], keep: Keep, options: Scoring = DEFAULT, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Returns a row for `all`, for each of REASONS alone and for them `together`.

    A row has `turns` and `hours` (of speech) kept and `left_out_turns`, `left_out_hours`; where the
    labels have references also `cer`, `cer_low`, `cer_high` of what is kept and `left_out_cer`,
    ... of what is not (95 % over speakers; None where there are no characters).
    """
    raise NotImplementedError
