"""train.fresh_line: training speech is simulated in the training, and all accounts stay as they
are."""

import gzip
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from repository_fixtures import run_stage, write_params
from telephone_asr.errors import InputError
from telephone_asr.manifests.fresh_line import recorded_sets, with_made
from telephone_asr.manifests.split import SPLITS, Split
from telephone_asr.params import load_params
from telephone_asr.paths import SHARDS
from telephone_asr.shards import Utterance, read_cuts, recorded_id, sound_index, write_shards
from telephone_asr.simulation import FreshLine
from telephone_asr.stages.report import read_curves

FRESH = {"train.fresh_line": True, "train.encoder.epochs": 3, "train.adaptor.epochs": 2}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def without_path(line: dict) -> dict:
    """A manifest's line without where its sound would lie."""
    system, user, assistant = line["messages"]
    prompt = user["content"].split("<|startofspeech|>")[0]
    return line | {"messages": [system, prompt, assistant]}


@pytest.fixture(scope="module")
def fresh_repository(tmp_path_factory, data_repository) -> Path:
    """A repository whose simulated training speech is made in the training."""
    path = tmp_path_factory.mktemp("fresh") / "repository"
    shutil.copytree(data_repository.path, path)
    write_params(path, FRESH)
    for name in ("simulate", "manifests"):
        run_stage(path, name)
    return path


# --- What lies on the disk, and what is said of it


def test_data_simulated_holds_valid_and_test_as_they_were(fresh_repository, data_repository):
    before, after = (d / "data" / "simulated" for d in (data_repository.path, fresh_repository))
    there, here = sound_index(before), sound_index(after)
    kept = {cut["id"]: cut for cut in read_cuts(after)}
    held_out = {
        line["key"]
        for name in ("valid", "test")
        for line in lines(data_repository.path / f"data/manifests/simulated/{name}.jsonl")
    }
    assert held_out == set(kept)
    every = {cut["id"]: cut for cut in read_cuts(before)}
    assert len(every) > len(kept)
    for key, cut in kept.items():
        assert here.read_file(key) == there.read_file(key)
        for one in (cut, every[key]):  # places in the shards differ
            one["custom"].pop("stored", None)
        assert cut == every[key]


def test_manifests_and_accounts_are_those_of_speech_on_disk(fresh_repository, data_repository):
    for source in SHARDS:
        for name in (*SPLITS, "rejected", "changed"):
            before, after = (
                lines(d / "data" / "manifests" / source / f"{name}.jsonl")
                for d in (data_repository.path, fresh_repository)
            )
            if name in SPLITS:
                before, after = (list(map(without_path, own)) for own in (before, after))
            assert after == before
    before, after = (
        json.loads((d / "metrics" / "data.json").read_text())
        for d in (data_repository.path, fresh_repository)
    )
    stored = [metrics["simulated"].pop("mb_per_hour") for metrics in (before, after)]
    assert after == before
    assert stored[1] < stored[0]


def test_the_recordings_are_read_for_their_own_manifests_and_for_the_simulated_ones(
    fresh_repository, tmp_path, monkeypatch
):
    """As often as each of them is read, and not once more to know their sets."""
    shutil.copytree(fresh_repository, tmp_path / "repository")
    opened, gzip_open = Counter(), gzip.open

    def counted(path, *arguments, **options):
        opened[path.parent] += path.name == "cuts.000000.jsonl.gz"
        return gzip_open(path, *arguments, **options)

    monkeypatch.setattr(gzip, "open", counted)
    run_stage(tmp_path / "repository", "manifests")
    counts = {name: opened[SHARDS[name]] for name in SHARDS}
    looked_up = counts["telecall"] - counts["simulated"]  # where sounds may be the same
    assert counts["wideband"] == 2 * counts["simulated"] + looked_up
    assert counts["simulated"] > looked_up


@pytest.mark.parametrize("speakers", [2, 9])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_frozen_list_decides_too(tmp_path, speech, rate_hz, speakers):
    """Sets by speaker and by recording: what the manifests hear of is what was simulated."""
    utterances = [
        Utterance(f"w{i}", speech(0.3 + i / 97, seed=i), rate_hz, "您好", f"s{i % speakers}")
        for i in range(18)
    ]
    write_shards(tmp_path / "raw", utterances, shard_size=5)
    (tmp_path / "frozen.txt").write_text("w1\nw10\n")
    split = Split(valid=0.3, test=0.2, seed=1, frozen=True, short=4)
    sets = recorded_sets(tmp_path / "raw", split, tmp_path / "frozen.txt")
    held = [u.id for u in utterances if sets.holds_out(u.id, u.speaker)]
    assert {"w1", "w10"} <= set(held) < {u.id for u in utterances}
    recorded = list(read_cuts(tmp_path / "raw"))
    simulated = [cut | {"id": f"sim-{cut['id']}"} for cut in recorded if cut["id"] in held]
    both = list(with_made(recorded, simulated, sets))
    assert [cut["id"] for cut in both] == [f"sim-{u.id}" for u in utterances]
    for cut, utterance in zip(both, utterances, strict=True):
        if utterance.id not in held:
            assert cut["recording"]["num_samples"] == -(-len(utterance.samples) * 8000 // rate_hz)
    for wrong in (simulated[1:], [*simulated, recorded[0]]):
        with pytest.raises(InputError, match="made by another split"):
            list(with_made(recorded, wrong, sets))


def test_another_split_is_told_in_a_sentence(fresh_repository, tmp_path):
    repository = tmp_path / "repository"
    shutil.copytree(fresh_repository, repository)
    write_params(repository, {"split.seed": 45})
    with pytest.raises(InputError, match="run `dvc repro simulate`"):
        run_stage(repository, "manifests")


def test_unpack_says_what_it_leaves_out(fresh_repository, tmp_path, monkeypatch, capsys):
    from telephone_asr.commands.unpack import unpack_sound

    shutil.copytree(fresh_repository, tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    unpack_sound()
    assert "train.fresh_line" in capsys.readouterr().out
    unpacked = {path.stem for path in Path("data/unpacked/simulated").iterdir()}
    for name in SPLITS:
        keys = {line["key"] for line in lines(Path(f"data/manifests/simulated/{name}.jsonl"))}
        assert (keys & unpacked) == (set() if name == "train" else keys)


# --- What is heard in the training


@pytest.fixture(scope="module")
def fresh(fresh_repository, tmp_path_factory):
    params = load_params(fresh_repository / "params.yaml")
    line = FreshLine(fresh_repository / "data/raw/wideband", params.channel, params.seed)
    pool = tmp_path_factory.mktemp("babble") / "babble.npz"
    line.save_babble(pool)
    return line.sounds(pool)


def test_the_first_copy_is_what_data_simulated_had(fresh, data_repository):
    manifest = lines(data_repository.path / "data/manifests/simulated/train.jsonl")
    on_disk = sound_index(data_repository.path / "data/simulated")
    for entry in manifest:
        samples, rate_hz = fresh.read(entry["key"], entry["speaker"], copy=0)
        expected, expected_rate_hz = on_disk.read(entry["key"])
        assert rate_hz == expected_rate_hz == 8000
        np.testing.assert_array_equal(samples, expected)


def test_every_copy_has_a_line_of_its_own_and_the_same_again(fresh, data_repository):
    manifest = lines(data_repository.path / "data/manifests/simulated/train.jsonl")[:3]
    heard = {
        (entry["key"], copy): fresh.read(entry["key"], entry["speaker"], copy)[0]
        for entry in manifest
        for copy in range(4)
    }
    assert len({samples.tobytes() for samples in heard.values()}) == len(heard)
    speakers = {entry["key"]: entry["speaker"] for entry in manifest}
    for key, copy in reversed(heard):  # in another order
        again, _ = fresh.read(key, speakers[key], copy)
        np.testing.assert_array_equal(again, heard[key, copy])
    assert manifest[0]["key"] in fresh
    assert recorded_id(manifest[0]["key"]) in fresh.recorded
    assert "sim-nobody" not in fresh


def losses(repository: Path) -> list[tuple[int, float]]:
    """What the encoder's steps said: the checkpoint that is kept may be that before them."""
    return read_curves(repository / "metrics/train/encoder")["loss"]


@pytest.fixture(scope="module")
def encoder_repository(fresh_repository, tmp_path_factory) -> Path:
    """The same, with an encoder that was trained on fresh lines."""
    path = tmp_path_factory.mktemp("encoder") / "repository"
    shutil.copytree(fresh_repository, path)
    run_stage(path, "base")
    run_stage(path, "train_encoder")
    return path


def test_readers_ahead_teach_the_same_and_one_line_for_all_epochs_does_not(
    encoder_repository, data_repository, tmp_path
):
    repository = tmp_path / "repository"
    shutil.copytree(encoder_repository, repository)
    alone = losses(repository)
    assert len(alone) > 1
    assert not list((repository / ".scratch").glob("encoder-*"))
    write_params(repository, {"train.workers": 2})
    run_stage(repository, "train_encoder")
    assert losses(repository) == alone
    write_params(repository, {"train.fresh_line": False})
    shutil.rmtree(repository / "data/simulated")
    shutil.copytree(data_repository.path / "data/simulated", repository / "data/simulated")
    run_stage(repository, "train_encoder")
    assert losses(repository) != alone


def test_frozen_parts_hear_each_copy_beforehand(encoder_repository, tmp_path):
    from telephone_asr.stages.train import stage_plan

    repository = tmp_path / "repository"
    shutil.copytree(encoder_repository, repository)
    run_stage(repository, "train_adaptor")
    params = load_params(repository / "params.yaml")
    assert stage_plan("adaptor", params).copies == 2
    assert stage_plan("lora", params).fresh_line is None
    examples = sum(
        len(lines(repository / f"data/manifests/{source}/train.jsonl"))
        for source in ("simulated", "telecall")
    )
    kept = [
        sum(len(np.load(path)) for path in directory.glob("*.ends.npy"))
        for directory in (repository / ".scratch/frozen").iterdir()
    ]
    assert max(kept) >= 2 * examples
    assert min(kept) < examples  # the validation set has no copies
