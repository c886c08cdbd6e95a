"""Frozen parts' outputs on disk: each computed once, and never more than there is room for."""

import os

import numpy as np
import pytest
import torch

from telephone_asr.dataset import precomputed
from telephone_asr.dataset.precomputed import PrecomputedOutputs, make_room
from telephone_asr.errors import InputError

N = 11


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(precomputed, "PART", 3)


def rows_of(index: int) -> torch.Tensor:
    return torch.full((index + 1, 4), float(index))


class Computing:
    """Computes rows, counts them, and is interrupted at a utterance."""

    def __init__(self, fails_at=None):
        self.done, self.fails_at = [], fails_at

    def __call__(self, indices):
        if self.fails_at in indices:
            raise KeyboardInterrupt
        self.done += indices
        return [rows_of(i) for i in indices]


def order():
    return np.random.default_rng(0).permutation(N).tolist()


def test_every_utterance_has_its_own_rows(tmp_path):
    outputs = PrecomputedOutputs(tmp_path / "a", order())
    outputs.fill(Computing(), (0, 1))
    for index in range(N):
        assert torch.equal(outputs[index], rows_of(index))


def test_nothing_is_computed_twice(tmp_path):
    PrecomputedOutputs(tmp_path, order()).fill(Computing(), (0, 1))
    again = Computing()
    PrecomputedOutputs(tmp_path, order()).fill(again, (0, 1))
    assert again.done == []


def test_after_an_interruption_the_rest_is_computed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        PrecomputedOutputs(tmp_path, order()).fill(Computing(fails_at=order()[7]), (0, 1))
    rest = Computing()
    outputs = PrecomputedOutputs(tmp_path, order())
    outputs.fill(rest, (0, 1))
    assert rest.done == order()[6:]
    assert all(torch.equal(outputs[i], rows_of(i)) for i in range(N))


def test_processes_share_the_work(tmp_path):
    shares = [Computing(), Computing()]
    for rank, compute in enumerate(shares):
        outputs = PrecomputedOutputs(tmp_path, order())
        outputs.fill(compute, (rank, 2))
    assert sorted(shares[0].done + shares[1].done) == list(range(N))
    assert len(shares[0].done) == 6
    assert all(torch.equal(outputs[i], rows_of(i)) for i in range(N))


def test_a_part_that_is_half_written_does_not_count(tmp_path):
    outputs = PrecomputedOutputs(tmp_path, order())
    outputs.fill(Computing(), (0, 1))
    (tmp_path / "000001.ends.npy").unlink()
    again = Computing()
    outputs = PrecomputedOutputs(tmp_path, order())
    outputs.fill(again, (0, 1))
    assert again.done == order()[3:6]


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(file, _):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"No space left on device.*cache_frozen_gb"):
        PrecomputedOutputs(tmp_path, order()).fill(Computing(), (0, 1))
    assert list(tmp_path.iterdir()) == []


def test_what_was_used_longest_ago_makes_room(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert make_room(tmp_path / "next", needed_bytes=100, limit_bytes=300)
    assert sorted(d.name for d in tmp_path.iterdir()) == ["middle", "new", "next"]
    assert make_room(tmp_path / "next", 250, 300)
    assert sorted(d.name for d in tmp_path.iterdir()) == ["next"]


def test_what_would_never_fit_deletes_nothing(tmp_path):
    (tmp_path / "other").mkdir()
    assert not make_room(tmp_path / "next", needed_bytes=301, limit_bytes=300)
    assert [d.name for d in tmp_path.iterdir()] == ["other"]


def test_what_a_training_reads_stays(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rows").write_bytes(bytes(100))
    outputs = PrecomputedOutputs(tmp_path / "read", order())
    outputs.fill(Computing(), (0, 1))
    size = sum(file.stat().st_size for file in (tmp_path / "read").iterdir())
    assert not make_room(tmp_path / "next", needed_bytes=201, limit_bytes=size + 200)
    assert sorted(d.name for d in tmp_path.iterdir()) == ["other", "read"]
    assert make_room(tmp_path / "next", 150, size + 200)
    assert sorted(d.name for d in tmp_path.iterdir()) == ["next", "read"]
    assert all(torch.equal(outputs[i], rows_of(i)) for i in range(N))
    del outputs
    assert make_room(tmp_path / "next", size, size + 200)
    assert [d.name for d in tmp_path.iterdir()] == ["next"]
