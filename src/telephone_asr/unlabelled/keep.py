"""Which labels can be trusted: one reason for each that is left out, and what each filter costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from telephone_asr.manifests.text import syllables
from telephone_asr.params import Keep
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.compare import bootstrap_interval
from telephone_asr.scoring.options import Scoring
from telephone_asr.unlabelled.labels import Label

DEFAULT = Scoring()
LEAST = ("confidence", "ctc_confidence")  # limits from below, and from above
MOST = ("distance", "second_distance")
LIMITED = (*LEAST, *MOST, "characters_per_s")
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
    """Yields every reason to leave a label out. Where a label lacks a measure (of the CTC branch,
    of a second model), its limit says nothing."""
    if not syllables(label.text):
        yield "no_text"
    if label.loop:
        yield "loop"
    for name in LEAST:
        value, limit = getattr(label, name), getattr(keep, name)
        if value is not None and limit is not None and value < limit:
            yield name
    for name in MOST:
        value, limit = getattr(label, name), getattr(keep, name)
        if value is not None and limit is not None and value > limit:
            yield name
    if keep.characters_per_s is not None:
        low, high = keep.characters_per_s
        if not low <= label.characters_per_s <= high:
            yield "characters_per_s"


def verdict(label: Label, keep: Keep) -> str:
    """Returns whether a label is kept, or why not, with the measure and its limit, as a clause."""
    if (name := reason(label, keep)) is None:
        return "is kept"
    numbers = f": {getattr(label, name)}, limit {getattr(keep, name)}" if name in LIMITED else ""
    return f"is left out, because {REASONS[name]} ({name}{numbers})"


@dataclass
class _Part:
    """Turns that are kept, or left out."""

    turns: int = 0
    seconds: float = 0.0  # of speech
    errors: list[ErrorRate] = field(default_factory=list)  # of those with a reference
    speakers: list[str] = field(default_factory=list)

    def row(self, seed: int) -> dict[str, Any]:
        rates: dict[str, Any] = {}
        if self.errors:
            whole = sum(self.errors, ErrorRate())
            rates = {"cer": whole.as_dict()["cer"], "cer_low": None, "cer_high": None}
            if whole.length:
                low, high = bootstrap_interval(self.errors, self.speakers, seed)
                rates |= {"cer_low": round(low, 6), "cer_high": round(high, 6)}
        return {"turns": self.turns, "hours": round(self.seconds / 3600, 4), **rates}


def by_filter(
    labels: Iterable[Label], keep: Keep, options: Scoring = DEFAULT, seed: int = 0
) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns what each of REASONS alone keeps and leaves out, and what they do `together`; before
    them `all`, of which nothing is left out.

    {name: {"kept": part, "left_out": part}}; a part has its `turns`, its `hours` of speech, and
    where labels have references its true `cer` (errors per character), with the 95 % interval over
    speakers from `cer_low` to `cer_high` (None where there are no characters).
    """
    parts = {name: (_Part(), _Part()) for name in ("all", *REASONS, "together")}
    for label in labels:
        against = set(objections(label, keep))
        error = errors_of(label, options) if label.reference is not None else None
        for name, (kept, left_out) in parts.items():
            part = left_out if name in against or (name == "together" and against) else kept
            part.turns += 1
            part.seconds += label.speech_s
            if error is not None:
                part.errors.append(error)
                part.speakers.append(label.speaker)
    return {
        name: {"kept": kept.row(seed), "left_out": left_out.row(seed)}
        for name, (kept, left_out) in parts.items()
    }


def errors_of(label: Label, options: Scoring) -> ErrorRate:
    """Returns the errors of a label's text, whose reference is known."""
    (error,) = score([label.reference or ""], [label.text], **vars(options))
    return error
