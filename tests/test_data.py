"""What became of each utterance: one query explains any of them."""

import json

import pytest

from label_fixtures import label
from telephone_asr.commands import data
from telephone_asr.errors import InputError
from telephone_asr.manifests.quality import REASONS
from telephone_asr.paths import SHARDS
from telephone_asr.unlabelled.labels import label_line


@pytest.fixture
def manifests(data_repository):
    return data_repository.path / "data" / "manifests"


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_kept_utterance_is_found_where_it_is(manifests):
    for split in ("train", "valid", "test"):
        for entry in lines(manifests / "telecall" / f"{split}.jsonl"):
            line = data.why(manifests, entry["key"])[0]
            assert line.startswith(f"telecall: {entry['key']} is in {split}, ")
            assert entry["messages"][2]["content"] in line


def test_every_rejected_utterance_is_explained_in_words_and_numbers(manifests):
    entries = lines(manifests / "telecall" / "rejected.jsonl")
    assert len({entry["reason"] for entry in entries}) >= 5
    for entry in entries:
        found = data.why(manifests, entry["id"])
        assert any(REASONS[entry["reason"]] in line and entry["detail"] in line for line in found)


def test_wideband_speech_is_found_with_its_simulation(manifests):
    found = data.why(manifests, "w3")
    assert [line.split(" ")[:2] for line in found] == [
        ["wideband:", "w3"],
        ["simulated:", "sim-w3"],
    ]
    assert data.why(manifests, "sim-w3") == found[1:]


def test_a_turn_that_nobody_wrote_down_is_explained(manifests, tmp_path):
    labels = [label(id="a-b-1", second_text="我后天还款"), label(id="a-b-2", distance=0.75)]
    (tmp_path / "turns.jsonl").write_text("".join(map(label_line, labels)), encoding="utf-8")
    (kept,) = data.why(manifests, "a-b-1", tmp_path)
    assert "'我明天还款', by the CTC branch '我明天还款'" in kept
    assert "by the second model '我后天还款'; it is kept" in kept
    (left_out,) = data.why(manifests, "a-b-2", tmp_path)
    assert "distance: 0.75, limit 0.3" in left_out
    with pytest.raises(InputError, match="no manifest names it"):
        data.why(manifests, "a-b-3", tmp_path)


def test_what_ids_tell_a_terminal_is_not_done(capsys):
    data._print(["calls\ta\nb\x1b[2J\u2028\x9b\tbad_id\t客户"])
    assert capsys.readouterr().out == "calls\ta\\nb\\x1b[2J\\u2028\\x9b\tbad_id\t客户\n"


def test_an_id_is_not_found_inside_others(manifests):
    with pytest.raises(InputError, match=r"^w: no manifest names it"):
        data.why(manifests, "w")


def test_the_rejected_of_one_reason_or_all(manifests):
    every = list(data.rejected(manifests, None))
    assert len(every) == sum(len(lines(manifests / source / "rejected.jsonl")) for source in SHARDS)
    some = list(data.rejected(manifests, "unreadable_line"))
    assert some == [line for line in every if line.split("\t")[2] == "unreadable_line"]
    assert len(some) == 2
    with pytest.raises(InputError, match=r"--reason clip: expected one of .*clipped"):
        next(data.rejected(manifests, "clip"))


def test_manifests_that_are_not_there(tmp_path):
    for ask in (
        lambda: data.why(tmp_path, "x"),
        lambda: next(data.rejected(tmp_path, None)),
    ):
        with pytest.raises(InputError, match="does not exist: run `dvc repro manifests`"):
            ask()


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
