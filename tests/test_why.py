"""What happened to an utterance, a turn or a recording: one query explains any of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from label_fixtures import label
from telephone_asr.commands.why import why
from telephone_asr.errors import InputError
from telephone_asr.manifests.quality import REASONS
from telephone_asr.shards import Utterance, write_shards
from telephone_asr.unlabelled.labels import label_line


@pytest.fixture
def repository(data_repository) -> Path:
    return data_repository.path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, *entries: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def test_every_kept_utterance_is_found_where_it_is(repository):
    for split in ("train", "valid", "test"):
        for entry in lines(repository / "data" / "manifests" / "telecall" / f"{split}.jsonl"):
            line = why(entry["key"], repository)[0]
            assert line.startswith(f"telecall: {entry['key']} is in {split}, ")
            assert entry["messages"][2]["content"] in line


def test_every_rejected_utterance_is_explained_in_words_and_numbers(repository):
    entries = lines(repository / "data" / "manifests" / "telecall" / "rejected.jsonl")
    assert len({entry["reason"] for entry in entries}) >= 5
    for entry in entries:
        found = why(entry["id"], repository)
        assert any(REASONS[entry["reason"]] in line and entry["detail"] in line for line in found)


def test_wideband_speech_is_found_with_its_simulation(repository):
    found = why("w3", repository)
    assert [line.split(" ")[:2] for line in found] == [
        ["wideband:", "w3"],
        ["simulated:", "sim-w3"],
    ]
    assert why("sim-w3", repository) == found[1:]


def test_a_turn_that_nobody_wrote_down_is_explained(repository, tmp_path, monkeypatch):
    shutil.copytree(repository / "data" / "manifests", tmp_path / "data" / "manifests")
    shutil.copy(repository / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    labels = [label(id="a-b-1", second_text="我后天还款"), label(id="a-b-2", distance=0.75)]
    Path("data/pseudo").mkdir()
    Path("data/pseudo/turns.jsonl").write_text("".join(map(label_line, labels)), encoding="utf-8")
    (kept,) = why("a-b-1")
    assert "'我明天还款', by the CTC branch '我明天还款'" in kept
    assert "by the second model '我后天还款'; it is kept" in kept
    (left_out,) = why("a-b-2")
    assert "distance: 0.75, limit 0.3" in left_out
    with pytest.raises(InputError, match="no manifest names it"):
        why("a-b-3")

    messages = [{}, {}, {"content": "我明天还款"}]
    for number in (10, 2):
        write_lines(
            Path(f"data/rounds/{number}/train.jsonl"), {"key": "a-b-1", "messages": messages}
        )
        sentence = {"id": "a-b-2", "reason": "sentence_in_test", "detail": "text '您好'"}
        write_lines(Path(f"data/rounds/{number}/left_out.jsonl"), sentence)
    assert why("a-b-1")[1:] == [f"round {n}: trained on as '我明天还款'" for n in (2, 10)]
    assert why("a-b-2")[1:] == [
        f"round {n}: left out (sentence_in_test: text '您好')" for n in (2, 10)
    ]


def test_a_recording_that_nobody_wrote_down_is_explained(repository, tmp_path):
    shutil.copytree(repository / "data" / "manifests", tmp_path / "data" / "manifests")
    turns = [
        Utterance(
            f"used-a-{n}", np.zeros(800, np.int16), 8000, "", "used-a", custom={"recording": "used"}
        )
        for n in range(3)
    ]
    write_shards(tmp_path / "data" / "unlabelled", turns, 2)
    write_lines(
        tmp_path / "data" / "unlabelled" / "left_out.jsonl",
        {"id": "gone", "reason": "duplicate", "detail": "it has the sound of used"},
        {"recording": "used", "channel": "a", "start_s": 1.0, "end_s": 3.5, "reason": "music"},
        {"recording": "used", "channel": "b", "start_s": 7.0, "end_s": 8.5, "reason": "music"},
        {"recording": "used", "channel": "b", "start_s": 9.0, "end_s": 9.1, "reason": "too_short"},
    )
    assert why("gone", tmp_path) == [
        "unlabelled: gone is left out, because an earlier recording has the same sound "
        "(duplicate: it has the sound of used)"
    ]
    assert why("used", tmp_path) == [
        "unlabelled: 3 turns of used are used; left out: music 4.0 s, too_short 0.1 s"
    ]
    with pytest.raises(InputError, match="no manifest names it"):
        why("use", tmp_path)


def test_manifests_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist: run `dvc repro manifests`"):
        why("x", tmp_path)


def test_an_id_is_not_found_inside_others(repository):
    with pytest.raises(InputError, match=r"^w: no manifest names it"):
        why("w", repository)
