"""The difference between two error rates: paired, or by the intervals of both."""

import doctest
import math

import pytest

from telephone_asr.scoring import difference
from telephone_asr.scoring.difference import Difference, of_metrics, of_transcripts
from test_gate import lines, metrics_of


def test_doctests():
    assert doctest.testmod(difference).failed == 0


def test_the_interval_from_two_intervals_is_newcombes():
    # Newcombe 1998, table II: 56/70 less 48/80, method 10.
    def wilson(hits: int, n: int) -> dict:
        z = 1.959964
        p, half = hits / n, z * math.sqrt(hits / n * (1 - hits / n) / n + z * z / 4 / n / n)
        low, high = ((p + z * z / 2 / n + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        return {"cer": p, "cer_low": low, "cer_high": high}

    found = of_metrics(wilson(48, 80), wilson(56, 70))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_pairs_tell_more_than_two_intervals_do():
    before, after = lines("telecall", 0.2), lines("telecall", 0.22)
    after[0]["substitutions"] += 3
    after[1]["substitutions"] += 1
    paired = of_transcripts(before, after, 0)
    alone = of_metrics(metrics_of(before), metrics_of(after))
    assert paired.value == pytest.approx(alone.value) == pytest.approx(0.004)
    assert alone.low < paired.low < paired.value < paired.high < alone.high
    assert paired.p is not None
    assert alone.p is None


def test_only_what_is_the_same_utterance_is_compared():
    before = lines("telecall", 0.1, snr_db=20.0)
    after = lines("telecall", 0.5, snr_db=20.0)
    for line in after[:60]:
        line["snr_db"] = 5.0  # the line was made noisier
    after[60]["reference"] = "y"
    after[61]["key"] = "new"
    found = of_transcripts(before, after, 0)
    assert found.utterances == 38
    whole = sum(x["substitutions"] for x in after[62:]) / 380
    assert found.after == pytest.approx(whole)
    for line in after:
        line["snr_db"] = 5.0
    assert of_transcripts(before, after, 0) is None


def test_a_text_that_is_cut_off_on_one_side_is_of_the_same_utterance():
    """Every text of an untrained model may be, and none of the one after it."""
    before, after = lines("telecall", 0.2, cut_off=True), lines("telecall", 0.1, cut_off=False)
    found = of_transcripts(before, after, 0)
    assert found.utterances == len(after)
    assert found.value == pytest.approx(-0.1)


def test_a_field_that_only_newer_transcripts_have_makes_no_other_utterance():
    found = of_transcripts(lines("telecall", 0.1), lines("telecall", 0.1, snr_db=20.0), 0)
    assert found.utterances == 100


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.2, -0.01, "better"),
        (0.01, 0.2, "worse"),
        (-0.1, 0.2, "within noise"),
        (-0.1, 0.0, "within noise"),
    ],
)
def test_the_interval_decides_what_is_said(low, high, verdict):
    change = Difference(0.3, 0.3 + (low + high) / 2, low, high)
    assert change.verdict == verdict
    assert not change.unchanged
    assert Difference(0.3, 0.3, 0.0, 0.0).unchanged
