"""What a change did to an error rate, and whether that is more than noise.

Two results are compared utterance by utterance where the transcripts of both are at hand (paired
bootstrap), else by the intervals that the metrics of each hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.compare import paired_difference, paired_p_value

# What a model makes of an utterance; the other fields of a transcript's line are the utterance.
OUTCOME = frozenset({"text", "substitutions", "deletions", "insertions"})


@dataclass(frozen=True)
class Results:
    """What `evaluate` found at one revision."""

    metrics: Mapping[str, Mapping[str, Mapping]]  # checkpoint: test set: cer and its parts
    transcripts: Mapping[str, Sequence[dict]]  # checkpoint: a dictionary an utterance; if at hand

    def metrics_of(self, checkpoint: str, test_set: str) -> Mapping:
        return self.metrics.get(checkpoint, {}).get(test_set, {})

    def lines_of(self, checkpoint: str, test_set: str) -> Sequence[dict] | None:
        if checkpoint not in self.transcripts:
            return None
        return [line for line in self.transcripts[checkpoint] if line["source"] == test_set]


def verdict(low: float, high: float) -> str:
    """What the 95 % interval of a difference between error rates says of the change."""
    if high < 0:
        return "better"
    if low > 0:
        return "worse"
    return "within noise"


@dataclass(frozen=True)
class Difference:
    """CER before and after, and the 95 % interval of after less before; rates, not per cent."""

    before: float
    after: float
    low: float
    high: float
    p: float | None = None  # of the paired bootstrap
    utterances: int | None = None  # compared one by one; None: from the metrics' intervals

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def verdict(self) -> str:
        if self.difference == self.low == self.high == 0:
            return "unchanged"
        return verdict(self.low, self.high)


def compare(
    test_set: str, before: tuple[Results, str], after: tuple[Results, str], seed: int
) -> Difference | None:
    """The difference on a test set between two (results, checkpoint), by the best way there is.

    None where there is nothing to compare: no rate on one side, or the speech is another.
    """
    metrics = [results.metrics_of(checkpoint, test_set) for results, checkpoint in (before, after)]
    if any(one.get("cer") is None for one in metrics):
        return None
    if metrics[0] == metrics[1]:
        return Difference(metrics[0]["cer"], metrics[1]["cer"], 0.0, 0.0)
    lines = [results.lines_of(checkpoint, test_set) for results, checkpoint in (before, after)]
    if None not in lines:
        return of_transcripts(*lines, seed)
    return of_metrics(*metrics)


def of_transcripts(before: Sequence[dict], after: Sequence[dict], seed: int) -> Difference | None:
    """The paired difference on the utterances that are the same in both; None where none is.

    An utterance is the same if all that both say of it is: its reference, its length, how its sound
    was measured. A noisier line makes it another test, which says nothing of the model.
    """
    pairs = same_utterances(before, after)
    if not any(line["characters"] for _, line in pairs):
        return None
    sides = [[errors_of(pair[side]) for pair in pairs] for side in (0, 1)]
    speakers = [line["speaker"] for _, line in pairs]
    _, low, high = paired_difference(*sides, speakers, seed)
    rates = (sum(errors, ErrorRate()).rate for errors in sides)
    p = paired_p_value(*sides, speakers, seed)
    return Difference(*rates, low, high, p, utterances=len(pairs))


def same_utterances(before: Sequence[dict], after: Sequence[dict]) -> list[tuple[dict, dict]]:
    """The lines of both that are of the same utterance, in the order of `after`."""
    own = {line["key"]: line for line in before}
    pairs = [(own[line["key"]], line) for line in after if line["key"] in own]
    return [
        (a, b) for a, b in pairs if all(a[key] == b[key] for key in (a.keys() & b.keys()) - OUTCOME)
    ]


def of_metrics(before: Mapping, after: Mapping) -> Difference | None:
    """The difference from the interval that each side has alone; None if the test sets differ.

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
