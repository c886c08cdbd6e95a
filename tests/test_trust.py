"""Which labels to trust, and which transcripts: what the two commands print."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from label_fixtures import label
from telephone_asr.commands.trust import suspects, thresholds
from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.unlabelled.labels import label_line
from telephone_asr.unlabelled.suspects import suspicion


def write_valid(directory: Path, labels) -> Path:
    (directory / "valid.jsonl").write_text("".join(map(label_line, labels)), encoding="utf-8")
    return directory


def some(speakers: int):
    """Turns of which those that a model is less sure of are wrong."""
    return [
        label(
            id=f"{speaker}-{turn}",
            speaker=f"speaker-{speaker}",
            confidence=0.6 + 0.05 * (turn % 8),
            reference="我明天还款" if turn % 8 > 2 else "我后天还钱",
        )
        for speaker in range(speakers)
        for turn in range(16)
    ]


def test_what_is_proposed_can_be_put_into_params_yaml(tmp_path):
    lines = list(thresholds(write_valid(tmp_path, some(8)), 0.01))
    tree = YAML(typ="safe").load("\n".join(lines))
    path = tmp_path / "params.yaml"
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    params["unlabelled"] |= tree["unlabelled"]
    YAML(typ="safe").dump(params, path)
    keep = load_params(path).unlabelled.keep
    assert keep.confidence == 0.75
    said = " ".join(line for line in lines if line.startswith("#"))
    assert "80 are kept, 62% of the speech, CER 0.0 %" in said
    assert "by limits chosen on the others: 62% of the speech, CER 0.0 %" in said
    assert "95 %, of 8 speakers" in said
    assert "They rest on" in said  # 80 turns


def test_one_speaker_shows_nothing_of_others(tmp_path):
    said = " ".join(thresholds(write_valid(tmp_path, some(1)), 0.01))
    assert "chosen on the others" not in said
    assert "turns of one speaker, which is little" in said


def test_a_target_out_of_reach_and_labels_that_are_not_there(tmp_path):
    directory = write_valid(tmp_path, [label(text="错", reference="对")])
    with pytest.raises(InputError, match=r"--target-cer 0\.5: no limits reach it on the 1 validat"):
        list(thresholds(directory, 0.5))
    with pytest.raises(InputError, match=r"rounds is 0.*`dvc repro pseudo_label`"):
        list(thresholds(tmp_path / "none", 0.5))


def test_what_is_heard_otherwise_by_those_who_are_sure_comes_first():
    heard = label(reference="我明天还款", reference_score=-0.1)
    unsure = label(confidence=0.3, ctc_confidence=0.4, reference="x", reference_score=-3.0)
    other = label(reference="再见再见再见", reference_score=-3.0)
    too_long = label(reference="再见" * 50, reference_score=None)
    ranked = sorted([heard, unsure, too_long, other], key=suspicion, reverse=True)
    assert ranked == [too_long, other, unsure, heard]


def test_the_calls_are_ranked_and_those_marked_are_counted(trained_repository, monkeypatch):
    monkeypatch.chdir(trained_repository)
    head, *lines, last = suspects(Path("models/final"), 5, marked=True)
    assert head.split("\t") == ["suspicion", "id", "set", "transcript", "model", "CTC branch"]
    scores = [float(line.split("\t")[0]) for line in lines]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    manifests = Path("data/manifests/telecall")
    sets = [manifests / f"{name}.jsonl" for name in ("train", "valid", "test")]
    total = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sets)
    assert last.endswith(f"of the 1 that are marked as wrong are among the first 5 of {total + 1}")
    every = list(suspects(Path("models/final"), total, marked=False))[1:]
    ids = {line.split("\t")[1] for line in every}
    assert ids == {
        json.loads(line)["key"]
        for path in sets
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    assert not list(Path(".scratch").glob("suspects-*"))
