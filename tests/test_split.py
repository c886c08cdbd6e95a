"""Splits: the same for good, fair, and nobody moves when a corpus grows."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephone_asr.errors import InputError
from telephone_asr.manifests.split import SPLITS, Split, assign_split, read_frozen, write_frozen

DEFAULT = Split(valid=0.1, test=0.17, seed=0, frozen=False, short=4)
NAMES = [f"说话人-{i}" for i in range(2000)]


def test_the_same_for_good():
    """A changed assignment would let yesterday's training speakers into today's test set.

    `printf 0/NAME | sha256sum` begins, of 100 hexadecimal: anna 08, bert 21, cora 5d, dora 2c, emil
    33. So with 0.1 and 0.2 of it, test is below 1a and valid below 4d.
    """
    split = replace(DEFAULT, valid=0.2, test=0.1)
    names = ["anna", "bert", "cora", "dora", "emil"]
    assert [assign_split(name, split) for name in names] == [
        "test",
        "valid",
        "train",
        "valid",
        "valid",
    ]


@given(st.text(), st.integers(0, 99))
def test_everybody_is_somewhere(name, seed):
    assert assign_split(name, replace(DEFAULT, seed=seed)) in SPLITS


@pytest.mark.parametrize(("valid", "test"), [(0.1, 0.17), (0.3, 0.05), (0.01, 0.5)])
def test_shares_are_kept_on_average(valid, test):
    sizes = Counter(assign_split(name, replace(DEFAULT, valid=valid, test=test)) for name in NAMES)
    for name, share in (("valid", valid), ("test", test)):
        spread = math.sqrt(len(NAMES) * share * (1 - share))
        assert abs(sizes[name] - share * len(NAMES)) < 4 * spread


def test_the_seed_chooses():
    chosen = {
        frozenset(n for n in NAMES[:60] if assign_split(n, replace(DEFAULT, seed=seed)) == "test")
        for seed in range(20)
    }
    assert len(chosen) == 20


def test_a_larger_share_moves_nobody_out_of_the_test_set():
    larger = replace(DEFAULT, test=0.3)
    assert all(
        assign_split(n, larger) == "test" for n in NAMES if assign_split(n, DEFAULT) == "test"
    )


@pytest.mark.parametrize(
    ("valid", "test"),
    [(0.0, 0.1), (0.1, 0.0), (-0.1, 0.2), (0.5, 0.5), (0.9, 0.2), (math.nan, 0.1)],
)
def test_shares_that_leave_a_set_empty(valid, test):
    with pytest.raises(InputError, match=rf"(valid|test): expected .*, got ({valid}|{test})\."):
        replace(DEFAULT, valid=valid, test=test)


def test_a_frozen_list_is_read_back_and_sorted(tmp_path):
    path = tmp_path / "splits" / "telecall.txt"
    assert read_frozen(path) is None
    write_frozen(path, ["b 2", "a", "通话"])
    assert path.read_text(encoding="utf-8") == "a\nb 2\n通话\n"
    assert read_frozen(path) == {"a", "b 2", "通话"}
    path.write_text("\n\n")
    with pytest.raises(InputError, match=r"telecall\.txt names no utterance"):
        read_frozen(path)
