"""Turns that nobody wrote down are labelled: by one model or two, killed or not, to the byte."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from published_fixtures import write_published
from repository_fixtures import run_stage, write_params
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.model.pretrained import file_sha256, load
from telephone_asr.params import load_params
from telephone_asr.scoring.options import Scoring
from telephone_asr.shards import count_shards, read_shard, write_shards
from telephone_asr.unlabelled.keep import errors_of
from telephone_asr.unlabelled.labelling import label_turns
from telephone_asr.unlabelled.labels import read_labels

LABELS = Path("data/pseudo")


@pytest.fixture
def repository(trained_repository, tmp_path, monkeypatch):
    """A trained repository whose calls are there once more, as if nobody had written them down."""
    path = tmp_path / "repository"
    shutil.copytree(trained_repository, path)
    monkeypatch.chdir(path)
    calls = Path("data/telecall")
    write_shards(
        Path("data/unlabelled"),
        (
            replace(call, text="", custom={})
            for shard in range(count_shards(calls))
            for call in read_shard(calls, shard)
        ),
        3,
    )
    return path


def hashes() -> dict[str, str]:
    return {path.name: file_sha256(path) for path in LABELS.iterdir()}


def test_every_turn_has_a_label_and_validation_calls_their_reference(repository):
    run_stage(repository, "pseudo_label")
    turns = list(read_labels(LABELS / "turns.jsonl"))
    shards = Path("data/unlabelled")
    every = [turn for shard in range(count_shards(shards)) for turn in read_shard(shards, shard)]
    assert [label.id for label in turns] == [turn.id for turn in every]
    assert all(label.reference is None and label.second_text is None for label in turns)
    valid = {label.id: label for label in read_labels(LABELS / "valid.jsonl")}
    examples = read_manifest(Path("data/manifests/telecall/valid.jsonl"))
    assert {key: label.reference for key, label in valid.items()} == {
        example.key: example.text for example in examples
    }
    for label in (*turns, *valid.values()):
        assert all(0 <= share <= 1 for share in (label.confidence, label.ctc_confidence))
        assert 0 <= label.distance <= 1
        assert label.speech_s > 0
    # A validation call is labelled as if nobody had written it down.
    by_id = {label.id: label for label in turns}
    for key, label in valid.items():
        assert (by_id[key].text, by_id[key].ctc_text) == (label.text, label.ctc_text)
        assert by_id[key].confidence == pytest.approx(label.confidence, abs=2e-3)


def test_a_second_model_of_another_make_is_heard_too(repository, tmp_path):
    run_stage(repository, "pseudo_label")
    first = list(read_labels(LABELS / "turns.jsonl"))
    other = write_published(tmp_path / "other" / "model", "huggingface")
    write_params(repository, {"unlabelled.second_model": str(other)})
    run_stage(repository, "pseudo_label")
    turns = list(read_labels(LABELS / "turns.jsonl"))
    assert [replace(one, second_text=None, second_distance=None) for one in turns] == first
    assert len({one.second_text for one in turns}) > 1
    for one in turns:
        expected = errors_of(replace(one, text=one.second_text, reference=one.text), Scoring())
        if expected.length:
            assert one.second_distance == 0 if expected.errors == 0 else one.second_distance > 0
    assert all(one.second_text for one in read_labels(LABELS / "valid.jsonl"))


def test_a_second_model_that_is_not_there(repository):
    write_params(repository, {"unlabelled.second_model": "models/none"})
    with pytest.raises(InputError, match="models/none"):
        run_stage(repository, "pseudo_label")
    assert not LABELS.exists()


def test_without_turns_there_is_an_empty_out_and_no_model_is_loaded(repository):
    shutil.rmtree("data/unlabelled")
    Path("data/unlabelled").mkdir()
    shutil.rmtree("models")
    command = "import sys; from telephone_asr.stages import pseudo_label; pseudo_label.main()"
    command += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)
    assert not list(LABELS.iterdir())


def test_text_that_never_came_to_its_end_is_a_loop(repository):
    params, nano = load_params(), load(Path("models/final"))
    (call, *_) = read_shard(Path("data/unlabelled"), 0)
    decode = replace(params.decode, max_tokens=1)
    (label,) = label_turns(nano, [call], "语音转写：", decode, params.scoring)
    assert label.loop


def start() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "telephone_asr.stages.pseudo_label"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_again_and_again_it_writes_the_same_bytes(repository, tmp_path, processes):
    other = write_published(tmp_path / "other" / "model", "huggingface")
    write_params(repository, {"unlabelled.second_model": str(other)})
    run_stage(repository, "pseudo_label")
    expected = hashes()
    assert set(expected) == {"turns.jsonl", "valid.jsonl"}
    shutil.rmtree(LABELS)
    write_params(repository, {"train.processes": processes, "train.batches_per_step": processes})
    for done in (1, 12):  # files of shards, by either model
        process = start()
        while len(list(Path(".scratch").glob("pseudo_label-*/*.[ls][ae]*"))) < done:
            assert process.poll() is None
            time.sleep(0.01)
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.communicate()
    process = start()
    said, _ = process.communicate()
    assert process.returncode == 0
    assert "goes on at shard" in said
    assert hashes() == expected
    assert not list(Path(".scratch").glob("pseudo_label-*"))
