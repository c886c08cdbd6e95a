"""What is left out, and for which reason."""

import numpy as np
import pytest

from telephone_asr.errors import InputError
from telephone_asr.manifests.quality import Filter, length_limits, rejection

LIMITS = (10, 12000)


def fixed(low: int = 10, high: int = 12000) -> Filter:
    return Filter("fixed", low, high, (0.5, 99.5))


def percentile(low: float, high: float) -> Filter:
    return Filter("percentile", 10, 12000, (low, high))


@pytest.mark.parametrize(
    ("text", "frames", "annotation_error", "reason"),
    [
        ("您好", 100, False, None),
        ("您好", 10, False, None),  # the limits themselves are kept
        ("您好", 12000, False, None),
        ("您好", 9, False, "too_short"),
        ("您好", 0, False, "too_short"),
        ("您好", 12001, False, "too_long"),
        ("", 100, False, "empty_text"),
        (" \t\u3000\n", 100, False, "empty_text"),
        ("您好", 100, True, "annotation_error"),
        # Only the first reason counts, so that the reasons' counts add up.
        ("", 3, True, "annotation_error"),
        ("", 3, False, "empty_text"),
    ],
)
def test_reason(text, frames, annotation_error, reason):
    assert rejection(text, frames, annotation_error, LIMITS) == reason


def test_fixed_limits_do_not_depend_on_the_corpus():
    assert length_limits(fixed(5, 800), [1, 2, 9000]) == (5, 800)
    assert length_limits(fixed(5, 800), []) == (5, 800)


@pytest.mark.parametrize("percentiles", [(0.5, 99.5), (0, 100), (2.5, 97.5), (50, 51)])
def test_percentile_limits_against_numpy(percentiles):
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 1000):
        frames = np.exp(rng.normal(5, 1, n)).astype(int).tolist()
        low, high = length_limits(percentile(*percentiles), frames)
        exact_low, exact_high = np.percentile(frames, percentiles)
        assert isinstance(low, int)
        assert isinstance(high, int)
        assert low <= exact_low < low + 1
        assert high - 1 < exact_high <= high


def test_percentile_limits_drop_the_tails_and_nothing_else():
    frames = np.random.default_rng(1).permutation(np.arange(1000)).tolist()
    limits = length_limits(percentile(5, 90), frames)
    reasons = [rejection("好", f, False, limits) for f in frames]
    assert reasons.count("too_short") == pytest.approx(50, abs=1)
    assert reasons.count("too_long") == pytest.approx(100, abs=1)
    assert reasons.count(None) == 1000 - reasons.count("too_short") - reasons.count("too_long")


def test_percentile_limits_of_equal_lengths_keep_them():
    limits = length_limits(percentile(0.5, 99.5), [250] * 40)
    assert rejection("好", 250, False, limits) is None


def test_percentile_limits_of_an_empty_corpus():
    assert length_limits(percentile(0.5, 99.5), []) == LIMITS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-1, 100, (1, 99)), "min_frames: .* got -1 and 100"),
        ((100, 100, (1, 99)), "min_frames: .* got 100 and 100"),
        ((0, 100, (-1, 99)), r"percentiles: .* got \[-1, 99\]"),
        ((0, 100, (99, 1)), r"percentiles: .* got \[99, 1\]"),
        ((0, 100, (1, 101)), r"percentiles: .* got \[1, 101\]"),
        ((0, 100, (float("nan"), 99)), "percentiles: "),
    ],
)
def test_limits_that_make_no_sense(values, message):
    with pytest.raises(InputError, match=message):
        Filter("fixed", *values)
