"""The difference between two error rates, whether it is more than noise, and how it is written.

Two results are compared utterance by utterance where the transcripts of both are at hand (paired
bootstrap), else by the intervals that the metrics of each hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.compare import paired_difference, paired_p_value
from telephone_asr.scoring.transcripts import lines_of

# What a model makes of an utterance; the other fields of a transcript's line are the utterance.
OUTCOME = frozenset({"text", "cut_off", "substitutions", "deletions", "insertions"})


@dataclass(frozen=True)
class Difference:
    """A CER before and after, with the 95 % interval of after less before; rates, not per cent."""

    before: float
    after: float
    low: float
    high: float
    p: float | None = None  # how often chance alone makes as large a one; of the paired bootstrap
    utterances: int | None = None  # compared one by one; None: from the metrics' intervals

    @property
    def value(self) -> float:
        return self.after - self.before

    @property
    def unchanged(self) -> bool:
        return self.value == self.low == self.high == 0

    @property
    def verdict(self) -> str:
        """Says whether the change is more than noise; this is the one place that decides it."""
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "within noise"

    def in_points(self) -> tuple[str, str]:
        """Returns the value and its interval in percentage points, without the unit."""
        value, low, high = (signed(100 * x, "+.1f") for x in (self.value, self.low, self.high))
        return value, f"{low} to {high}"

    def __str__(self) -> str:
        value, between = self.in_points()
        return f"{value} points ({between})"


@dataclass(frozen=True)
class Results:
    """The metrics and transcripts of one revision, as `evaluate` wrote them."""

    metrics: Mapping[str, Mapping[str, Mapping]]  # checkpoint: test set: cer and its parts
    transcripts: Mapping[str, Sequence[dict]]  # checkpoint: a dictionary an utterance; if at hand

    def metrics_of(self, checkpoint: str, test_set: str) -> Mapping:
        return self.metrics.get(checkpoint, {}).get(test_set, {})

    def lines_of(self, checkpoint: str, test_set: str) -> list[dict] | None:
        if checkpoint not in self.transcripts:
            return None
        return lines_of(self.transcripts, checkpoint, test_set)


def compare(
    test_set: str, before: tuple[Results, str], after: tuple[Results, str], seed: int
) -> Difference | None:
    """Returns the difference on a test set between two (results, checkpoint), by the best way
    there is; None where there is no rate on one side, or the speech is another."""
    metrics = [results.metrics_of(checkpoint, test_set) for results, checkpoint in (before, after)]
    if any(one.get("cer") is None for one in metrics):
        return None
    if metrics[0] == metrics[1]:
        return Difference(metrics[0]["cer"], metrics[1]["cer"], 0.0, 0.0)
    old, new = (results.lines_of(checkpoint, test_set) for results, checkpoint in (before, after))
    if old is not None and new is not None:
        return of_transcripts(old, new, seed)
    return of_metrics(*metrics)


def of_transcripts(before: Sequence[dict], after: Sequence[dict], seed: int) -> Difference | None:
    """Returns the paired difference on the utterances that are the same in both; None where none
    with a reference is.

    An utterance is the same if all that both say of it is: its reference, its length, how its sound
    was measured. A noisier line makes it another test, which says nothing of the model.
    """
    pairs = same_utterances(before, after)
    if not any(line["characters"] for _, line in pairs):
        return None
    old, new = ([errors_of(pair[side]) for pair in pairs] for side in (0, 1))
    speakers = [line["speaker"] for _, line in pairs]
    _, low, high = paired_difference(old, new, speakers, seed)
    p = paired_p_value(old, new, speakers, seed)
    rate_before, rate_after = (sum(errors, ErrorRate()).rate for errors in (old, new))
    return Difference(rate_before, rate_after, low, high, p, utterances=len(pairs))


def same_utterances(before: Sequence[dict], after: Sequence[dict]) -> list[tuple[dict, dict]]:
    """Returns the lines of both that are of the same utterance, in the order of `after`."""
    own = {line["key"]: line for line in before}
    pairs = [(own[line["key"]], line) for line in after if line["key"] in own]
    return [
        (a, b) for a, b in pairs if all(a[key] == b[key] for key in (a.keys() & b.keys()) - OUTCOME)
    ]


def of_metrics(before: Mapping, after: Mapping) -> Difference | None:
    """Returns the difference by the interval that each side has alone; None if the test sets differ
    or there is no interval.

    The limits' distances from the rates are squared and added (Newcombe, "Interval estimation for
    the difference between independent proportions", Statistics in Medicine 17, 1998, method 10).
    That takes the two for independent. They are not, what is hard for one is hard for the other:
    the interval is wider than the paired one, and calls noise what that would call a change.
    """
    if any(before.get(name) != after.get(name) for name in ("utterances", "characters")):
        return None
    limits = ("cer", "cer_low", "cer_high")
    if any(side.get(name) is None for side in (before, after) for name in limits):
        return None
    value = after["cer"] - before["cer"]
    down = math.hypot(after["cer"] - after["cer_low"], before["cer_high"] - before["cer"])
    up = math.hypot(after["cer_high"] - after["cer"], before["cer"] - before["cer_low"])
    return Difference(before["cer"], after["cer"], value - down, value + up)


# --- In words: rates in per cent of the reference's characters


def percent(rate: float | None) -> str:
    """Returns a rate in per cent, without the sign; a dash where there is no reference.

    >>> percent(0.12345), percent(None)
    ('12.3', '–')
    """
    return "–" if rate is None else f"{100 * rate:.1f}"


def between(low: float | None, high: float | None) -> str:
    return f"{percent(low)} to {percent(high)}"


def signed(value: float, form: str) -> str:
    """Returns a number with a real minus sign, and 0 without a sign.

    >>> signed(-2.04, "+.1f"), signed(-0.04, "+.1f"), signed(3, "+.0f")
    ('−2.0', '0.0', '+3')
    """
    text = format(value, form)
    if not text.strip("+-0."):
        return text.lstrip("+-")
    return text.replace("-", "−")
