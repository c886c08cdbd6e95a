"""Bootstrap intervals against cases whose answer is known."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.compare import (
    FEWEST_GROUPS,
    bootstrap_interval,
    paired_difference,
    paired_p_value,
)


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


def speakers(n: int, change: float, seed: int) -> tuple[list, list, list[str]]:
    """Two checkpoints on speakers of 3 to 19 turns: each speaker's own CER is drawn around 0.2, and
    what the second checkpoint changes for him around `change`."""
    generator = np.random.default_rng(seed)
    a, b, groups = [], [], []
    for speaker in range(n):
        before = np.clip(generator.normal(0.2, 0.08), 0, 1)
        after = np.clip(before + generator.normal(change, 0.05), 0, 1)
        for _ in range(generator.integers(3, 20)):
            a.append(ErrorRate(int(generator.binomial(10, before)), 0, 0, 10))
            b.append(ErrorRate(int(generator.binomial(10, after)), 0, 0, 10))
            groups.append(f"speaker-{speaker}")
    return a, b, groups


@pytest.mark.parametrize("n", [2, 4, FEWEST_GROUPS, 7, 20])
def test_coverage_for_few_speakers_of_unequal_size(n):
    trials, hit = 400, 0
    for trial in range(trials):
        errors, _, groups = speakers(n, 0.0, seed=trial)
        low, high = bootstrap_interval(errors, groups, seed=trial)
        hit += low <= 0.2 <= high
    # 380 is wanted; 366 to 385 are expected, and of plain percentiles 200 with 2 speakers, 337 with
    # 5, 348 with 7. Two standard deviations of chance are 10.
    assert 356 <= hit <= 390


@pytest.mark.parametrize("n", [3, 4, FEWEST_GROUPS, 7, 20])
def test_without_a_difference_one_p_value_in_twenty_is_below_a_twentieth(n):
    values = []
    for trial in range(400):
        a, b, groups = speakers(n, 0.0, seed=trial)
        values.append(paired_p_value(a, b, groups, seed=trial))
    values = np.array(values)
    assert 8 <= np.sum(values < 0.05) <= 36  # 20 expected, and 40 if it were one-sided
    assert 160 <= np.sum(values < 0.5) <= 240
    assert values.min() > 0
    assert values.max() <= 1


@pytest.mark.parametrize("n", [3, 4, 7, 20])
def test_the_p_value_finds_a_difference_and_belongs_to_the_interval(n):
    found = 0
    for trial in range(100):
        a, b, groups = speakers(n, -0.06, seed=trial)
        p = paired_p_value(a, b, groups, seed=trial)
        assert p == paired_p_value(b, a, groups, seed=trial)  # either way
        _, low, high = paired_difference(a, b, groups, seed=trial)
        assert (p < 0.05) == (high < 0 or low > 0)
        found += p < 0.05
    if n == 20:
        assert 80 < found < 100


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_speakers_of_equal_size_are_a_t_test(n):
    a, groups = calls(n, turns=10, spread=0.1, seed=n)
    b, _ = calls(n, turns=10, spread=0.1, seed=n + 50)
    changes = [(y.errors - x.errors) / 10 for x, y in zip(a, b, strict=True)]
    test = ttest_1samp(np.reshape(changes, (n, 10)).mean(axis=1), 0)
    found = paired_difference(a, b, groups, seed=0, resamples=100_000)
    assert found == pytest.approx(
        (np.mean(changes), *test.confidence_interval(0.95)), rel=0.02, abs=1e-3
    )
    p = paired_p_value(a, b, groups, seed=0, resamples=100_000)
    assert p == pytest.approx(test.pvalue, rel=0.02)


def test_p_values_of_no_difference_and_of_too_few():
    a, b, groups = speakers(20, -0.2, seed=1)
    assert paired_p_value(a, a, groups, seed=1) == 1
    assert 0 < paired_p_value(a, b, groups, seed=1) < 0.005
    two, worse, same = ErrorRate(2, 0, 0, 10), ErrorRate(4, 0, 0, 10), ["one", "two"]
    assert paired_p_value([two, two], [two, two], same, seed=1) == 1
    assert 0 < paired_p_value([two, two], [worse, worse], same, seed=1) < 0.001
    assert paired_p_value(a[:1], [ErrorRate(length=10)], ["one"], seed=1) == 1
    with pytest.raises(ValueError, match="same utterances"):
        paired_p_value(a, b[1:], groups, seed=1)


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
    # Two groups can be drawn in three ways: CER 0, 1, or twice as often both together, 10 / 100.
    deviation = np.std([0, 1, 0.1, 0.1]) * np.sqrt(2)
    low, high = bootstrap_interval(errors, ["a", "b"], seed=0, level=0.2)
    assert low == 0  # not below it
    assert high == pytest.approx(0.1 + 0.325 * deviation, rel=0.02)  # Student's, of one degree


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
