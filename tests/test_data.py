"""What became of each utterance: one query explains any of them."""

import json

import pytest

from telephone_asr.commands import data
from telephone_asr.errors import InputError
from telephone_asr.paths import SHARDS


@pytest.fixture
def manifests(data_repository):
    return data_repository.path / "data" / "manifests"


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_ids_tell_a_terminal_is_not_done(capsys):
    data._print(["calls\ta\nb\x1b[2J\u2028\x9b\tbad_id\t客户"])
    assert capsys.readouterr().out == "calls\ta\\nb\\x1b[2J\\u2028\\x9b\tbad_id\t客户\n"


def test_the_rejected_of_one_reason_or_all(manifests):
    every = list(data.rejected(manifests, None))
    assert len(every) == sum(len(lines(manifests / source / "rejected.jsonl")) for source in SHARDS)
    some = list(data.rejected(manifests, "unreadable_line"))
    assert some == [line for line in every if line.split("\t")[2] == "unreadable_line"]
    assert len(some) == 2
    with pytest.raises(InputError, match=r"--reason clip: expected one of .*clipped"):
        next(data.rejected(manifests, "clip"))


def test_manifests_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist: run `dvc repro manifests`"):
        next(data.rejected(tmp_path, None))


def test_what_is_frozen_is_the_test_set_and_is_not_overwritten(manifests, tmp_path):
    data.freeze(manifests, tmp_path)
    for source in ("wideband", "telecall"):
        ids = (tmp_path / f"{source}.txt").read_text(encoding="utf-8").splitlines()
        expected = [entry["key"] for entry in lines(manifests / source / "test.jsonl")]
        assert ids == sorted(expected)
    (tmp_path / "wideband.txt").unlink()
    with pytest.raises(InputError, match=r"telecall\.txt is there already"):
        data.freeze(manifests, tmp_path)
    assert not (tmp_path / "wideband.txt").exists()
