"""Splits: the same every time, of the sizes asked for, and steady when a corpus grows."""

import math
from collections import Counter
from fractions import Fraction

import pytest

from telephone_asr.errors import InputError
from telephone_asr.manifests.split import SPLITS, Split, assign

DEFAULT = Split(valid=0.1, test=0.17)


def speakers(n: int) -> list[str]:
    return [f"说话人-{i}" for i in range(n)]


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [group for group, name in before.items() if after.get(group, name) != name]


def test_the_same_for_good():
    """A changed assignment would let yesterday's training speakers into today's test set.

    By `printf 0/NAME | sha256sum` they come in the order anna, bert, dora, emil, cora.
    """
    split = assign(["anna", "bert", "cora", "dora", "emil"], Split(valid=0.2, test=0.3), seed=0)
    assert split == {
        **{"anna": "test", "bert": "test", "dora": "valid"},
        **{"emil": "train", "cora": "train"},
    }


def test_neither_order_nor_repetition_matters():
    groups = speakers(60)
    expected = assign(groups, DEFAULT, 3)
    assert assign(groups[::-1], DEFAULT, 3) == expected
    assert assign(iter(groups * 4), DEFAULT, 3) == expected
    assert set(expected) == set(groups)


def test_the_seed_chooses():
    chosen = {
        frozenset(g for g, name in assign(speakers(60), DEFAULT, seed).items() if name == "test")
        for seed in range(20)
    }
    assert len(chosen) == 20


def test_chance_is_fair():
    """Every group is in the test set as often as its share says, wherever it stands."""
    n_seeds = 400
    counts = Counter(
        group
        for seed in range(n_seeds)
        for group, name in assign(speakers(20), Split(valid=0.1, test=0.25), seed).items()
        if name == "test"
    )
    spread = math.sqrt(n_seeds * 0.25 * 0.75)
    assert all(abs(counts[group] - n_seeds * 0.25) < 4 * spread for group in speakers(20))


@pytest.mark.parametrize("n", [3, 10, 25, 50, 100, 300])
@pytest.mark.parametrize(("valid", "test"), [("0.1", "0.17"), ("0.07", "0.14"), ("0.28", "0.1")])
def test_shares_are_rounded_up(valid, test, n):
    sizes = Counter(assign(speakers(n), Split(float(valid), float(test)), 0).values())
    n_valid, n_test = math.ceil(Fraction(valid) * n), math.ceil(Fraction(test) * n)
    assert sizes == {"valid": n_valid, "test": n_test, "train": n - n_valid - n_test}


@pytest.mark.parametrize(
    ("valid", "test"), [(0.1, 0.17), (0.001, 0.001), (0.34, 0.33), (0.1, 0.5), (0.45, 0.45)]
)
def test_three_groups_and_more_make_three_sets(valid, test):
    for n in range(3, 40):
        for seed in range(3):
            names = set(assign(speakers(n), Split(valid, test), seed).values())
            assert names == set(SPLITS), f"{n} groups, seed {seed}"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_groups_than_sets(n):
    split = assign(speakers(n), DEFAULT, 0)
    assert set(split) == set(speakers(n))
    assert set(split.values()) <= set(SPLITS)


def test_one_more_speaker_moves_at_most_three():
    split = assign(speakers(50), DEFAULT, 0)
    for n in range(51, 150):
        larger = assign(speakers(n), DEFAULT, 0)
        assert len(moved(split, larger)) <= 3
        split = larger


def test_a_tenth_more_speakers_moves_few():
    for seed in range(20):
        before = assign(speakers(200), DEFAULT, seed)
        after = assign(speakers(220), DEFAULT, seed)
        assert len(moved(before, after)) <= 12  # a new draw would move 90
        # Nobody that a model was trained on gets into its test set.
        changes = {(before[group], after[group]) for group in moved(before, after)}
        assert not changes & {("train", "test"), ("test", "train")}


@pytest.mark.parametrize(
    ("valid", "test"),
    [(0.0, 0.1), (0.1, 0.0), (-0.1, 0.2), (0.5, 0.5), (0.9, 0.2), (math.nan, 0.1)],
)
def test_shares_that_leave_a_set_empty(valid, test):
    with pytest.raises(InputError, match=f"valid: expected .* got {valid} and {test}"):
        Split(valid, test)
