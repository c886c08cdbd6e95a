"""Bootstrap intervals against cases whose answer is known."""

import numpy as np
import pytest

from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.compare import bootstrap_interval, paired_difference


def calls(count: int, turns: int, spread: float, seed: int) -> tuple[list[ErrorRate], list[str]]:
    """Calls of equal size whose own CER is drawn around 0.2: turns of one call fail together."""
    generator = np.random.default_rng(seed)
    errors, groups = [], []
    for call in range(count):
        rate = np.clip(generator.normal(0.2, spread), 0, 1)
        errors += [ErrorRate(int(n), 0, 0, 10) for n in generator.binomial(10, rate, size=turns)]
        groups += [f"call-{call}"] * turns
    return errors, groups


def test_width_is_that_of_the_normal_distribution():
    errors, groups = calls(count=400, turns=5, spread=0.1, seed=1)
    per_call = np.array([one.errors for one in errors]).reshape(400, 5).sum(axis=1) / 50
    expected = 1.96 * per_call.std() / np.sqrt(400)
    low, high = bootstrap_interval(errors, groups, seed=7, resamples=4000)
    assert low == pytest.approx(per_call.mean() - expected, abs=0.15 * expected)
    assert high == pytest.approx(per_call.mean() + expected, abs=0.15 * expected)
    narrow = bootstrap_interval(errors, groups, seed=7, resamples=4000, level=0.5)
    assert narrow[1] - narrow[0] == pytest.approx(2 * expected * 0.6745 / 1.96, rel=0.15)


def test_coverage_by_call_and_not_by_turn():
    by_call = by_turn = 0
    for trial in range(200):
        errors, groups = calls(count=40, turns=8, spread=0.08, seed=trial)
        low, high = bootstrap_interval(errors, groups, seed=trial, resamples=200)
        by_call += low <= 0.2 <= high
        turns = [str(turn) for turn in range(len(errors))]
        low, high = bootstrap_interval(errors, turns, seed=trial, resamples=200)
        by_turn += low <= 0.2 <= high
    assert by_call >= 178  # 95 % of 200 is 190; three standard deviations of chance are 9
    assert by_turn < 170


def test_errors_are_added_over_groups_of_unequal_size():
    errors = [ErrorRate(length=90), ErrorRate(substitutions=10, length=10)]
    # Two groups can be drawn in three ways: CER 0, 1, or both together, which is 10 / 100.
    low, high = bootstrap_interval(errors, ["a", "b"], seed=0)
    assert (low, high) == (0, 1)
    low, high = bootstrap_interval(errors, ["a", "b"], seed=0, level=0.2)
    assert (low, high) == (0.1, 0.1)


def test_one_group_resamples_its_utterances():
    errors, _ = calls(count=1, turns=100, spread=0, seed=3)
    names = [f"{turn:03d}" for turn in range(100)]
    assert bootstrap_interval(errors, ["one"] * 100, 5) == bootstrap_interval(errors, names, 5)


def test_seed_decides_and_the_order_of_utterances_does_not():
    errors, groups = calls(count=20, turns=3, spread=0.1, seed=4)
    interval = bootstrap_interval(errors, groups, seed=1)
    assert interval == bootstrap_interval(errors, groups, seed=1)
    assert interval != bootstrap_interval(errors, groups, seed=2)
    assert interval == bootstrap_interval(errors[::-1], groups[::-1], seed=1)


def test_paired_difference_is_narrower_than_the_two_intervals():
    a, groups = calls(count=50, turns=4, spread=0.15, seed=5)
    b = [ErrorRate(max(one.substitutions - 1, 0), 0, 0, one.length) for one in a]
    difference, low, high = paired_difference(a, b, groups, seed=1)
    assert difference == pytest.approx(sum(b).rate - sum(a).rate)
    assert low <= difference <= high < 0
    alone = bootstrap_interval(a, groups, seed=1)
    assert high - low < (alone[1] - alone[0]) / 2


def test_paired_difference_of_equal_and_of_exchanged_lists():
    a, groups = calls(count=30, turns=4, spread=0.1, seed=6)
    b, _ = calls(count=30, turns=4, spread=0.1, seed=7)
    assert paired_difference(a, a, groups, seed=1) == (0, 0, 0)
    forth, back = paired_difference(a, b, groups, 1), paired_difference(b, a, groups, 1)
    assert back == pytest.approx((-forth[0], -forth[2], -forth[1]))


def test_empty_references_do_not_spoil_the_interval():
    errors = [ErrorRate(insertions=3), ErrorRate(1, 0, 0, 10), ErrorRate(0, 0, 0, 10)]
    assert np.isfinite(bootstrap_interval(errors, ["a", "b", "c"], seed=0)).all()


def test_refusals():
    one = ErrorRate(1, 0, 0, 5)
    with pytest.raises(ValueError, match="2 utterances but 1 group"):
        bootstrap_interval([one, one], ["a"], seed=0)
    with pytest.raises(ValueError, match="no characters"):
        bootstrap_interval([], [], seed=0)
    with pytest.raises(ValueError, match="same utterances"):
        paired_difference([one], [ErrorRate(length=6)], ["a"], seed=0)
