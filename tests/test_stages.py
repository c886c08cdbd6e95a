"""The stages on a miniature of what a user brings: every utterance accounted for, faults told."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from repository_fixtures import ROOT, SMALL, run_stage, stage_command, write_params
from telephone_asr.commands.data import freeze
from telephone_asr.corpora.imported import identity, list_items
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import is_written
from telephone_asr.measures import measure
from telephone_asr.model import parts
from telephone_asr.model.pretrained import file_sha256, read_weights
from telephone_asr.no_speech import clips
from telephone_asr.params import load_params, stage_lr, stage_options
from telephone_asr.shards import count_shards, read_cuts, read_shard, sound_index

SOURCES = ("wideband", "simulated", "telecall")
STAGES = list(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def reasons(path: Path) -> dict[str, int]:
    return Counter(entry["reason"] for entry in lines(path))


def as_subprocess(directory: Path, name: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *stage_command(name)],
        cwd=directory,
        capture_output=True,
        text=True,
    )


def sentence(done: subprocess.CompletedProcess) -> str:
    """The one line of a refusal."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    return last


# --- corpus


def test_every_imported_utterance_is_kept_or_rejected_with_its_reason(data_repository):
    for part, counts in data_repository.counts.items():
        directory = data_repository.path / "data" / "raw" / part
        kept = list(read_cuts(directory))
        rejected = lines(directory / "rejected.jsonl")
        assert len(kept) + len(rejected) == counts["in"]
        expected = {k: n for k, n in counts.items() if k != "in"}
        for later in ("annotation_error", "empty_text", "too_short"):  # judged by manifests
            expected.pop(later, None)
        assert reasons(directory / "rejected.jsonl") == expected
        ids = [cut["id"] for cut in kept] + [entry["id"] for entry in rejected]
        assert len({cut["id"] for cut in kept}) == len(kept)
        assert len(ids) == counts["in"]
        assert all(entry["detail"] for entry in rejected)


def test_a_rejection_names_file_or_line(data_repository):
    raw = data_repository.path / "data" / "raw"
    details = {
        e["id"]: e["detail"]
        for p in ("wideband", "calls")
        for e in lines(raw / p / "rejected.jsonl")
    }
    assert "corrupt.wav" in details["corrupt"]
    assert "empty.wav" in details["empty"]
    assert "calls.jsonl:10" in details["calls.jsonl:10"]
    assert "calls.jsonl:16" in details["calls.jsonl:16"]
    assert "lost.wav" in details["lost"]
    assert "c8" in details["c8"]


def test_sound_and_text_are_those_imported(data_repository):
    import soundfile

    found = {
        u.id: u
        for i in range(count_shards(data_repository.path / "data" / "raw" / "calls"))
        for u in read_shard(data_repository.path / "data" / "raw" / "calls", i)
    }
    sound, rate_hz = soundfile.read(
        data_repository.path / "import" / "calls" / "c4.wav", dtype="int16"
    )
    np.testing.assert_array_equal(found["c4"].samples, sound[:, 1])
    assert (found["c4"].sample_rate_hz, rate_hz) == (8000, 8000)
    assert (found["c4"].speaker, found["c4"].scene) == ("call-4", "telesales")
    assert found["c5"].annotation_error
    assert found["c3"].sample_rate_hz == 44100


@pytest.fixture
def imported(tmp_path, speech, data_repository) -> Path:
    """The import alone, nothing run yet."""
    shutil.copytree(data_repository.path / "import", tmp_path / "import")
    write_params(tmp_path, SMALL)
    return tmp_path


def test_too_many_rejections_stop_the_stage_in_one_sentence(imported):
    write_params(imported, {"corpus.max_rejected_share": 0.1})
    message = sentence(as_subprocess(imported, "corpus"))
    assert "corpus.wideband.path" in message
    assert "corpus.max_rejected_share" in message
    assert "4 of 28" in message


def test_a_corpus_path_that_does_not_exist_is_named(imported):
    write_params(imported, {"corpus.calls.path": "import/nowhere.jsonl"})
    message = sentence(as_subprocess(imported, "corpus"))
    assert "corpus.calls.path" in message
    assert "import/nowhere.jsonl" in message


def test_a_corpus_of_which_nothing_can_be_used_is_refused(imported):
    write_params(imported, {"corpus.max_rejected_share": 1.0})
    for path in (imported / "import" / "wideband").glob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="wideband"):
        run_stage(imported, "corpus")


def test_sample_size_takes_so_many_of_each_corpus(imported):
    write_params(imported, {"corpus.sample_size": 10})
    run_stage(imported, "corpus")
    for part in ("wideband", "calls"):
        directory = imported / "data" / "raw" / part
        kept = [cut["id"] for cut in read_cuts(directory)]
        assert len(kept) + len(lines(directory / "rejected.jsonl")) == 10


def test_the_data_stages_give_the_same_bytes_again(imported, data_repository):
    for name in ("corpus", "simulate", "telecall", "no_speech", "tokenizer", "manifests"):
        run_stage(imported, name)
    expected = sorted(
        p.relative_to(data_repository.path)
        for folder in ("data", "models", "metrics")
        for p in (data_repository.path / folder).rglob("*")
        if p.is_file() and "unpacked" not in p.parts
    )
    assert len(expected) > 30
    for path in expected:
        assert file_sha256(imported / path) == file_sha256(data_repository.path / path), path


@pytest.mark.parametrize("part", ["wideband", "calls"])
def test_killed_the_import_goes_on_where_it_stopped(part, imported, data_repository):
    """As dvc kills: the whole group at once, at whatever it is doing."""
    stage = subprocess.Popen(
        [sys.executable, "-m", "telephone_asr.stages.corpus"],
        cwd=imported,
        env={**os.environ, "LOKY_MAX_CPU_COUNT": "1"},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    scratch = imported / ".scratch"
    while not list(scratch.glob(f"corpus-{part}-*/shards/rejected.*.jsonl")):
        assert stage.poll() is None
        time.sleep(0.002)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    assert not (imported / "data" / "raw").exists()
    written = list(scratch.glob("corpus-wideband-*/shards/rejected.*.jsonl"))
    if part == "calls":  # all of the wideband speech is there, and stays
        assert len(written) == count_shards(data_repository.path / "data" / "raw" / "wideband")
    kept = [p.with_name(f"cuts.{p.suffixes[0][1:]}.jsonl.gz") for p in written]
    times = {path.name: path.stat().st_mtime_ns for path in kept}

    run_stage(imported, "corpus")
    raw = Path("data/raw")
    for path in (data_repository.path / raw).rglob("*"):
        if path.is_file():
            found = imported / path.relative_to(data_repository.path)
            assert file_sha256(found) == file_sha256(path), path
    # A shard that was there is not made again.
    for name, mtime_ns in times.items():
        assert (imported / raw / "wideband" / name).stat().st_mtime_ns == mtime_ns
    assert not list((imported / ".scratch").glob("corpus-*"))


def test_a_changed_recording_is_read_again(imported):
    items = imported_items(imported)
    before = list(identity(items))
    assert before == list(identity(imported_items(imported)))
    path = imported / "import" / "wideband" / "w3.wav"
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert list(identity(items)) != before


def imported_items(directory: Path) -> list:
    return list_items("kaldi", directory / "import" / "wideband", "corpus.wideband")


# --- simulate and telecall


def test_each_wideband_utterance_is_simulated_at_8_khz(data_repository):
    data = data_repository.path / "data"
    wideband, simulated = (
        [u for i in range(count_shards(d)) for u in read_shard(d, i)]
        for d in (data / "raw" / "wideband", data / "simulated")
    )
    assert [u.id for u in simulated] == [f"sim-{u.id}" for u in wideband]
    for source, telephone in zip(wideband, simulated, strict=True):
        assert telephone.sample_rate_hz == 8000
        assert len(telephone.samples) == -(-len(source.samples) // 2)
        assert (telephone.text, telephone.speaker) == (source.text, source.speaker)
        assert telephone.custom["codec"].split("+")[-1] in ("alaw", "mulaw")
        assert 10 <= telephone.custom["babble_snr_db"] <= 25


def test_calls_come_at_8_khz_and_those_that_were_there_keep_their_samples(data_repository):
    raw, telecall = (
        {u.id: u for i in range(count_shards(d)) for u in read_shard(d, i)}
        for d in (
            data_repository.path / "data" / "raw" / "calls",
            data_repository.path / "data" / "telecall",
        )
    )
    assert list(telecall) == list(raw)
    for key, utterance in telecall.items():
        assert utterance.sample_rate_hz == 8000
        if key != "c3":
            np.testing.assert_array_equal(utterance.samples, raw[key].samples)
    duration_s = len(raw["c3"].samples) / 44100
    assert len(telecall["c3"].samples) / 8000 == pytest.approx(duration_s, abs=2e-4)


# --- manifests


@pytest.mark.parametrize("source", SOURCES)
def test_the_accounts_add_up(data_repository, source):
    metrics = json.loads((data_repository.path / "metrics" / "data.json").read_text())[source]
    directory = data_repository.path / "data" / "manifests" / source
    counts = data_repository.counts["calls" if source == "telecall" else "wideband"]
    assert metrics["in"] == counts["in"]
    assert metrics["rejected"] == {k: n for k, n in counts.items() if k != "in"}
    assert metrics["in"] == metrics["kept"] + sum(metrics["rejected"].values())
    assert metrics["kept"] == metrics["train"] + metrics["valid"] + metrics["test"]
    assert metrics["annotation_errors"] == counts.get("annotation_error", 0)
    assert metrics["share_audio_exists"] == metrics["share_all_fields"] == 1.0
    for split in ("train", "valid", "test"):
        assert len(lines(directory / f"{split}.jsonl")) == metrics[split] > 0
    assert reasons(directory / "rejected.jsonl") == metrics["rejected"]
    kept = [e for split in ("train", "valid", "test") for e in lines(directory / f"{split}.jsonl")]
    prompts = {e["messages"][1]["content"].partition("<|")[0] for e in kept}
    assert prompts == {metrics["prompt"]}
    written = [is_written(e["messages"][2]["content"]) for e in kept]
    assert metrics["share_written"] == pytest.approx(np.mean(written), abs=1e-4)
    for key, field in (
        ("mean_speech_length", "speech_length"),
        ("mean_text_length", "text_length"),
    ):
        assert metrics[key] == pytest.approx(np.mean([e[field] for e in kept]), abs=0.01)


@pytest.mark.parametrize("source", SOURCES)
def test_no_speaker_is_in_two_sets_and_no_utterance_twice(data_repository, source):
    directory = data_repository.path / "data" / "manifests" / source
    speakers, keys = {}, []
    for split in ("train", "valid", "test"):
        entries = lines(directory / f"{split}.jsonl")
        speakers[split] = {entry["speaker"] for entry in entries}
        keys += [entry["key"] for entry in entries]
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values()))
    assert len(set(keys)) == len(keys)
    sounds = sound_index(
        data_repository.path / "data" / ("raw/wideband" if source == "wideband" else source)
    )
    assert all(key in sounds for key in keys)


def test_an_utterance_and_its_simulation_are_in_the_same_set(data_repository):
    directory = data_repository.path / "data" / "manifests"
    for split in ("train", "valid", "test"):
        wideband = {e["key"] for e in lines(directory / "wideband" / f"{split}.jsonl")}
        simulated = {e["key"] for e in lines(directory / "simulated" / f"{split}.jsonl")}
        assert simulated == {f"sim-{key}" for key in wideband}


def test_a_filter_that_leaves_nothing_is_refused(repository):
    write_params(repository, {"filter.min_frames": 5000})
    with pytest.raises(
        InputError, match=r"filter: all 24 utterances of wideband are rejected \(too_short 24\)"
    ):
        run_stage(repository, "manifests")


def test_a_frozen_test_set_is_kept_and_a_foreign_one_refused(repository):
    tests = Path("data/manifests/telecall/test.jsonl")
    before = [entry["key"] for entry in lines(tests)]
    freeze(Path("data/manifests"), Path("splits"))
    write_params(repository, {"split.frozen": True, "split.seed": 6})
    run_stage(repository, "manifests")
    assert [entry["key"] for entry in lines(tests)] == before
    Path("splits/telecall.txt").write_text("another-corpus-1\n")
    with pytest.raises(InputError, match=r"splits/telecall\.txt names 1 utterances, and none"):
        run_stage(repository, "manifests")


def test_a_seed_that_leaves_a_set_empty_is_refused_with_better_ones(repository):
    message = ""
    for seed in range(20):
        write_params(repository, {"split.seed": seed})
        try:
            run_stage(repository, "manifests")
        except InputError as error:
            message = str(error)
            break
    found = re.search(
        r"split\.seed: with \d+, nothing of .* choose another, such as (\d+)", message
    )
    assert found, message
    write_params(repository, {"split.seed": int(found.group(1))})
    run_stage(repository, "manifests")


def test_a_changed_transcript_is_kept_with_what_it_was(repository):
    """Spaces are taken out of the two-space text of c6, which leaves nothing of it."""
    changed = lines(Path("data/manifests/telecall/changed.jsonl"))
    assert {"id": "c6", "rules": ["spaces"], "before": "  "} in changed
    metrics = json.loads(Path("metrics/data.json").read_text())["telecall"]
    assert metrics["text"]["spaces"] == sum("spaces" in entry["rules"] for entry in changed)


# --- params


def test_there_are_the_stages_of_the_pipeline():
    assert {"corpus", "simulate", "telecall", "tokenizer", "manifests", "base"} <= set(STAGES)
    assert {"train_encoder", "train_adaptor", "train_lora", "evaluate", "export"} <= set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_an_unknown_key_stops_every_stage_before_it_does_anything(tmp_path, name):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text + "\nfrontent: {fs: 8000}\n", encoding="utf-8")
    arguments = ["base"] if name == "evaluate" else []
    with pytest.raises(InputError, match="frontent: unknown key"):
        run_stage(tmp_path, name, *arguments)
    assert os.listdir(tmp_path) == ["params.yaml"]


def test_an_ill_typed_key_is_one_sentence_of_a_stage(tmp_path):
    write_params(tmp_path, {"train.lr": "fast"})
    message = sentence(as_subprocess(tmp_path, "train_encoder"))
    assert "train.lr" in message
    assert "'fast'" in message


def test_a_model_that_was_not_exported_is_named(tmp_path):
    write_params(tmp_path, SMALL)
    with pytest.raises(InputError, match="models/final holds no model: run `dvc repro export`"):
        run_stage(tmp_path, "evaluate", "final")


@pytest.mark.parametrize("name", ["train_encoder", "train_adaptor", "train_lora", "evaluate"])
def test_a_stage_without_a_base_model_names_it(tmp_path, name):
    write_params(tmp_path, SMALL)
    with pytest.raises(InputError, match="models/base"):
        run_stage(tmp_path, name, *(["base"] if name == "evaluate" else []))


# --- base


@pytest.mark.parametrize("stage", ["simulate", "telecall"])
def test_without_speech_a_stage_says_so_and_writes_nothing(stage, tmp_path):
    write_params(tmp_path, {})
    with pytest.raises(InputError, match=r"holds no shards .*: run `dvc repro`"):
        run_stage(tmp_path, stage)
    assert list(tmp_path.glob("data/*")) == []


def test_a_directory_of_the_users_is_taken_as_it_is(repository, tiny_directory):
    write_params(repository, {"base.path": str(tiny_directory)})
    run_stage(repository, "base")
    for path in tiny_directory.rglob("*"):
        if path.is_file():
            copied = repository / "models" / "base" / path.relative_to(tiny_directory)
            assert file_sha256(copied) == file_sha256(path)
    shutil.rmtree(repository / "models" / "tokenizer")
    run_stage(repository, "tokenizer")
    own = repository / "models" / "tokenizer" / "tokenizer.json"
    assert file_sha256(own) == file_sha256(tiny_directory / "Qwen3-0.6B" / "tokenizer.json")


def test_other_weights_than_those_named_are_refused(repository, tiny_directory):
    pins = repository / "model.sha256"
    pins.write_text(f"# known\n{'0' * 64}  model.pt\n")
    write_params(repository, {"base.path": str(tiny_directory), "base.pins": pins.name})
    with pytest.raises(InputError, match=r"model\.pt is not the file that model\.sha256 pins"):
        run_stage(repository, "base")
    assert not (repository / "models" / "base").exists()
    assert "config.yaml" not in pins.read_text()  # of a refused model nothing is recorded


def test_what_is_not_pinned_is_recorded_once_and_checked_from_then_on(repository, own_directory):
    import subprocess

    known = f"# known\n{file_sha256(own_directory / 'model.pt')}  model.pt\n"
    pins = repository / "model.sha256"
    pins.write_text(known)
    write_params(repository, {"base.path": str(own_directory), "base.pins": pins.name})
    run_stage(repository, "base")
    recorded = pins.read_text()
    assert recorded.startswith(known)
    for name in ("config.yaml", "configuration.json", "multilingual.tiktoken", "Qwen3-0.6B/"):
        assert f"  {name}" in recorded
    # It is what `sha256sum` writes.
    checked = ["sha256sum", "--check", "--quiet", str(pins.absolute())]
    assert subprocess.run(checked, cwd=own_directory, check=False).returncode == 0
    shutil.rmtree(repository / "models" / "base")
    run_stage(repository, "base")
    assert pins.read_text() == recorded
    with open(own_directory / "config.yaml", "a") as file:
        file.write("# another version\n")
    for stage in ("base", "tokenizer"):
        with pytest.raises(InputError, match=r"config\.yaml is not the file that"):
            run_stage(repository, stage)


def test_a_directory_without_weights_is_refused_in_one_sentence(repository, own_directory):
    (own_directory / "model.pt").unlink()
    write_params(repository, {"base.path": str(own_directory)})
    message = sentence(as_subprocess(repository, "base"))
    assert "base.path" in message
    assert "model.pt" in message


# --- Training, evaluation and export


def test_each_training_leaves_its_checkpoint_and_curves_and_no_scratch(trained_repository):
    train = load_params(trained_repository / "params.yaml").train
    for stage, file in (
        ("encoder", "encoder.safetensors"),
        ("adaptor", "adaptor.safetensors"),
        ("lora", "adapter_model.safetensors"),
    ):
        note = json.loads((trained_repository / "models" / stage / "checkpoint.json").read_text())
        assert note["sha256"] == file_sha256(trained_repository / "models" / stage / file)
        assert 0 <= note["step"] <= note["steps"]
        assert note["lr"] == stage_lr(train, stage_options(train, stage))
        curves = trained_repository / "metrics" / "train" / stage
        final = json.loads((curves / "metrics.json").read_text())
        assert final["step"] == note["steps"]
        cers = (curves / "plots" / "metrics" / "cer.tsv").read_text().splitlines()[1:]
        best = min(float(line.split("\t")[-1]) for line in cers)
        if note["averaged"] == 1:
            assert note["valid_cer"] == pytest.approx(best, abs=1e-6)
        assert note["valid_cer"] <= best + 1e-6
        assert note["averaged"] in (1, train.average)
        cost = json.loads(
            (trained_repository / "metrics" / "cost" / f"train_{stage}.json").read_text()
        )
        assert cost["seconds"] > 0
        assert cost["peak_memory_mb"] > 100
    assert os.listdir(trained_repository / ".scratch") == ["frozen"]


def test_evaluation_covers_every_test_utterance(trained_repository):
    for checkpoint in ("base", "lora", "final"):
        metrics = json.loads((trained_repository / "metrics" / f"{checkpoint}.json").read_text())
        texts = lines(trained_repository / "data" / "transcripts" / f"{checkpoint}.jsonl")
        for source in SOURCES:
            test = lines(trained_repository / "data" / "manifests" / source / "test.jsonl")
            own = [t for t in texts if t["source"] == source]
            assert [t["key"] for t in own] == [e["key"] for e in test]
            assert metrics[source]["utterances"] == len(test)
            errors = sum(t["substitutions"] + t["deletions"] + t["insertions"] for t in own)
            characters = sum(t["characters"] for t in own)
            assert metrics[source]["cer"] == pytest.approx(errors / characters, abs=1e-5)
        path = trained_repository / "metrics" / "slices" / f"{checkpoint}.json"
        slices = json.loads(path.read_text())
        assert set(slices["telecall"]["scene"]) <= {"telesales", "collections"}
        assert all(not isinstance(value, dict) for value in metrics["telecall"].values())
        made_up = metrics["no_speech"]
        listed = metrics["hotwords"]
        assert set(listed) == {"0", "10", "100", "100_unsaid"}
        test = lines(trained_repository / "data" / "manifests" / "telecall" / "test.jsonl")
        for name, one in listed.items():
            assert set(one) == {"cer", "recall", "insertions_per_1000"}
            assert all(slices["hotwords"][name][key] == value for key, value in one.items())
            assert 0 < slices["hotwords"][name]["words"] <= len(test)
        assert listed["0"]["cer"] == metrics["telecall"]["cer"]
        clips = list(read_cuts(trained_repository / "data" / "no_speech" / "test"))
        assert set(made_up) == {cut["custom"]["kind"] for cut in clips}
        texts = trained_repository / "data" / "transcripts" / "no_speech" / f"{checkpoint}.jsonl"
        for with_words in (False, True):
            heard = [line for line in lines(texts) if (line["hotwords"] > 0) == with_words]
            assert [line["key"] for line in heard] == [cut["id"] for cut in clips]
            for kind, one in made_up.items():
                own = [line for line in heard if line["scene"] == kind]
                rate = 60 * sum(x["insertions"] for x in own) / sum(x["duration"] for x in own)
                one = one["hotwords"] if with_words else one
                assert one["insertions_per_minute"] == pytest.approx(rate, abs=1e-3)


def test_a_transcript_line_says_what_its_sound_went_through(trained_repository):
    data = trained_repository / "data"
    texts = lines(data / "transcripts" / "lora.jsonl")
    shards = {"telecall": data / "telecall", "simulated": data / "simulated"}
    shards["wideband"] = data / "raw" / "wideband"
    for source, directory in shards.items():
        cuts = {cut["id"]: cut["custom"] for cut in read_cuts(directory)}
        sounds = sound_index(directory)
        for text in (text for text in texts if text["source"] == source):
            samples, rate_hz = sounds.read(text["key"])
            # Of this sound: a simulated cut keeps the measures of the speech it was made from.
            assert text["snr_db"] == measure(samples, rate_hz)["snr_db"]
            assert text["duration"] == pytest.approx(len(samples) / rate_hz, abs=1e-3)
            for key in ("codec", "lost_packets"):
                assert text[key] == cuts[text["key"]].get(key)
            assert (text["codec"] is None) == (source != "simulated")


def test_evaluating_again_gives_the_same_bytes_but_for_the_time(trained):
    names = ("metrics/lora.json", "data/transcripts/lora.jsonl")
    before = [file_sha256(trained / name) for name in names]
    cost = trained / "metrics" / "cost" / "evaluate_lora.json"
    cost.unlink()
    started = time.monotonic()
    run_stage(trained, "evaluate", "lora")
    assert [file_sha256(trained / name) for name in names] == before
    found = json.loads(cost.read_text())
    assert 0 < found["seconds"] < time.monotonic() - started
    texts = lines(trained / "data" / "transcripts" / "lora.jsonl")
    assert found["utterances_per_s"] == pytest.approx(len(texts) / found["seconds"], rel=0.01)
    audio_s = sum(text["duration"] for text in texts)
    assert found["real_time_factor"] == pytest.approx(found["seconds"] / audio_s, rel=0.01)


def test_the_unit_and_the_fillers_of_params_are_those_of_the_metrics(trained):
    before = json.loads(Path("metrics/base.json").read_text())["telecall"]
    reference = next(e for e in lines(Path("data/transcripts/base.jsonl")) if e["reference"])
    write_params(trained, {"scoring.fillers": [reference["reference"][0]]})
    run_stage(trained, "evaluate", "base")
    after = json.loads(Path("metrics/base.json").read_text())["telecall"]
    assert after["characters"] < before["characters"]


def test_the_base_models_timestamps_are_nearest_to_its_own(trained_repository, monkeypatch):
    """On the telephone they are off; on the same sound they are not."""
    metrics = json.loads((trained_repository / "metrics" / "base.json").read_text())["timestamps"]
    assert metrics["borders"] > 0
    assert 0 < metrics["within_120_ms"] <= 1
    from telephone_asr.decoding.heard import dataset_of, listen
    from telephone_asr.paths import SHARDS
    from telephone_asr.stages import evaluate

    monkeypatch.chdir(trained_repository)
    params = load_params()
    base = parts.load_checkpoint(Path("models"), "base", **vars(params.frontend))
    examples = evaluate.read_examples("wideband")
    dataset = dataset_of(base, examples, sound_index(SHARDS["wideband"]))
    _, heard = listen(base, dataset, params.decode, kept={e.key for e in examples})
    pairs = [(example, example) for example in examples]
    assert evaluate.timestamps(base, pairs, heard, params)["mean_ms"] == 0


def test_a_base_trained_without_speech_too_writes_less_there_and_the_same_after_a_kill(
    repository, trained_repository, monkeypatch
):
    from telephone_asr.training import loop
    from telephone_asr.training.objective import Objective

    options = {"lr": 3e-3, "epochs": 24, "max_batch_rows": 300}
    write_params(repository, {"base.tiny.no_speech": 0.3, "base.tiny.llm": options})
    run_stage(repository, "base")
    run_stage(repository, "evaluate", "base")
    before, after = (
        json.loads((path / "metrics" / "base.json").read_text())["no_speech"]
        for path in (trained_repository, repository)
    )
    rates = [sum(k["insertions_per_minute"] for k in x.values()) for x in (before, after)]
    assert rates[1] < rates[0] / 2

    whole = file_sha256(repository / "models" / "base" / "model.pt")
    shutil.rmtree(repository / "models" / "base")
    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    forward, texts = Objective.forward, []

    def interrupted(self, batch, totals):
        texts.append(batch.texts)
        if len(texts) == 12:
            raise KeyboardInterrupt
        return forward(self, batch, totals)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_stage(repository, "base")
    assert any("" in batch for batch in texts)
    run_stage(repository, "base")
    assert file_sha256(repository / "models" / "base" / "model.pt") == whole


def test_funasr_and_the_evaluation_agree_on_the_exported_model(trained_repository):
    metrics = json.loads((trained_repository / "metrics" / "export.json").read_text())
    assert metrics["equal"] == metrics["utterances"] > 0
    assert metrics["cer"] == metrics["funasr_cer"] > 0
    assert metrics["share_different"] == metrics["cer_difference"] == metrics["distance"] == 0


def test_final_is_scored_from_the_exported_directory_alone(trained):
    import torch

    for folder, suffix in (("data/transcripts", "jsonl"), ("metrics", "json")):
        lora, final = (Path(folder, f"{name}.{suffix}") for name in ("lora", "final"))
        assert lora.read_text() == final.read_text()
    before = Path("metrics/lora.json").read_text()
    weights = torch.load("models/final/model.pt", weights_only=True)
    weights["state_dict"]["audio_adaptor.linear2.weight"] *= -1
    torch.save(weights, "models/final/model.pt")
    for name in ("lora", "final"):
        run_stage(trained, "evaluate", name)
    assert Path("metrics/lora.json").read_text() == before
    lora, final = (
        json.loads(Path(f"metrics/{name}.json").read_text()) for name in ("lora", "final")
    )
    texts = []
    for name in ("lora", "final"):
        content = Path(f"data/transcripts/{name}.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in content.splitlines()]
        texts.append([[x["text"] for x in lines if x["source"] == source] for source in SOURCES])
    assert all(a != b for a, b in zip(*texts, strict=True))
    assert "silence" in final["no_speech"]
    assert final["timestamps"] == lora["timestamps"]  # the CTC branch lies before the adaptor

    # It hears through its own front end, and needs no checkpoint.
    write_params(trained, {"frontend.fs": 8000, "frontend.filters": "native"})
    for name in ("encoder", "adaptor", "lora"):
        shutil.rmtree(Path("models", name))
    run_stage(trained, "evaluate", "final")
    again = json.loads(Path("metrics/final.json").read_text())
    assert [again[source] for source in SOURCES] == [final[source] for source in SOURCES]


def test_export_measures_how_far_funasr_is_from_us():
    from telephone_asr.scoring.options import Scoring
    from telephone_asr.stages.export import agreement

    said = ["您好请问", "再见", "谢谢您", "好的"]
    ours = ["您好请问", "再见", "谢谢", "好吧"]
    theirs = ["您好请问", "在线", "谢谢", "好的"]
    assert agreement(said, ours, theirs, Scoring()) == {
        "utterances": 4,
        "cut_off": 0,
        "equal": 2,
        "share_different": 0.5,
        "cer": pytest.approx(2 / 11, abs=1e-6),
        "funasr_cer": pytest.approx(3 / 11, abs=1e-6),
        "cer_difference": pytest.approx(1 / 11, abs=2e-6),
        "distance": pytest.approx(3 / 10),
    }


@pytest.mark.parametrize(
    ("share", "cer", "named"),
    [
        *[(0.5, 1.0, ""), (0.01, 1.0, "export.max_different_share: 0.01")],
        *[(0.5, 0.0, "export.max_cer_difference: 0)")],
    ],
)
def test_export_fails_beyond_the_limits_and_not_before(trained, monkeypatch, share, cer, named):
    """FunASR that hears one call otherwise: its own texts, but for one."""
    from telephone_asr.stages import export

    funasr_texts, misheard = export.funasr_texts, 9 * "听错了"  # longer than any text of ours
    monkeypatch.setattr(export, "funasr_texts", lambda *a: [misheard, *funasr_texts(*a)[1:]])
    write_params(trained, {"export.max_different_share": share, "export.max_cer_difference": cer})
    if named:
        with pytest.raises(InputError) as error:
            run_stage(trained, "export")
        assert named in str(error.value)
        first = lines(Path("data/manifests/telecall/test.jsonl"))[0]["key"]
        assert f"the first, {first}: '{misheard}', not '" in str(error.value)
        assert "\n" not in str(error.value)
    else:
        run_stage(trained, "export")
    found = json.loads(Path("metrics/export.json").read_text())
    assert found["equal"] == found["utterances"] - 1


@pytest.mark.parametrize("stage", ["encoder", "lora"])
def test_a_stage_that_is_interrupted_and_run_again_writes_the_same_bytes(
    trained, trained_repository, monkeypatch, stage
):
    from telephone_asr.training import loop
    from telephone_asr.training.objective import Objective

    shutil.rmtree(trained / "models" / stage)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    forward, calls = Objective.forward, []

    def interrupted(self, batch, totals):
        calls.append(batch.keys)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(self, batch, totals)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_stage(trained, f"train_{stage}")
    assert not (trained / "models" / stage).exists()
    assert len(os.listdir(trained / ".scratch")) == 2  # its own, and frozen
    run_stage(trained, f"train_{stage}")
    for path in sorted((trained_repository / "models" / stage).iterdir()):
        assert file_sha256(trained / "models" / stage / path.name) == file_sha256(path), path.name
    assert os.listdir(trained / ".scratch") == ["frozen"]


def test_an_interrupted_stage_does_not_go_on_behind_another_front_end(trained, monkeypatch):
    from telephone_asr.training import loop

    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "save_checkpoint", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_stage(trained, "train_encoder")
    assert len(os.listdir(trained / ".scratch")) == 2  # its own, and frozen
    write_params(trained, {"frontend.dither": 3.0})
    run_stage(trained, "train_encoder")
    assert len(os.listdir(trained / ".scratch")) == 2  # what was interrupted waits


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_frozen_weight_that_changes_stops_the_training(trained, monkeypatch):
    from telephone_asr.training.objective import Objective

    forward = Objective.forward

    def meddling(self, batch, totals):
        self.model.audio_encoder.after_norm.bias.data += 1e-3
        return forward(self, batch, totals)

    monkeypatch.setattr(Objective, "forward", meddling)
    with pytest.raises(RuntimeError, match="frozen weight"):
        run_stage(trained, "train_adaptor")


def test_a_stage_of_no_epochs_leaves_the_model_as_it_is(trained):
    """As the profiles have it that train the adaptor alone."""
    import torch
    from safetensors.torch import load_file

    write_params(trained, {"train.encoder.epochs": 0})
    run_stage(trained, "train_encoder")
    found = load_file("models/encoder/encoder.safetensors")
    base = read_weights(Path("models/base/model.pt"))
    assert found
    assert all(torch.equal(tensor, base[name].float()) for name, tensor in found.items())
    note = json.loads(Path("models/encoder/checkpoint.json").read_text())
    assert (note["step"], note["steps"]) == (0, 0)


@pytest.mark.parametrize("mix", [0.0, 0.25, 9.0])
def test_wideband_speech_is_mixed_in(trained, monkeypatch, mix):
    """So many for each telephone utterance, of all speakers, and never from validation or test."""
    from telephone_asr.training.objective import Objective

    forward, seen = Objective.forward, set()

    def listening(self, batch, totals):
        seen.update(batch.keys)
        return forward(self, batch, totals)

    monkeypatch.setattr(Objective, "forward", listening)
    write_params(trained, {"train.mix": mix})
    run_stage(trained, "train_encoder")
    manifests = Path("data/manifests")
    simulated, calls, wideband = (
        {e["key"] for e in lines(manifests / source / "train.jsonl")}
        for source in ("simulated", "telecall", "wideband")
    )
    assert simulated | calls <= seen
    mixed = {key for key in seen - simulated - calls if not key.startswith(clips.KEY)}
    assert mixed <= wideband
    assert len(mixed) == min(round(mix * (len(simulated) + len(calls))), len(wideband))


def test_hotwords_of_params_are_in_every_test_but_that_of_lists(trained):
    before = json.loads(Path("metrics/lora.json").read_text())
    write_params(trained, {"decode.hotwords": ["张三", "还款"]})
    run_stage(trained, "evaluate", "lora")
    after = json.loads(Path("metrics/lora.json").read_text())
    assert after["telecall"] != before["telecall"]
    assert after["hotwords"] == before["hotwords"]


def prompts_of(trained: Path, monkeypatch, stage: str, share: float) -> list[str]:
    """The prompts that a training of the language model's loss sees, in their order."""
    from telephone_asr.training.objective import Objective

    forward, seen = Objective.forward, []

    def listening(self, batch, totals):
        if self._llm_weight:
            seen.extend(batch.prompts)
        return forward(self, batch, totals)

    write_params(trained, {"train.hotwords": {"share": share, "most": 5}})
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", listening)
        run_stage(trained, stage)
    return seen


@pytest.mark.parametrize("stage", ["base", "train_encoder", "train_adaptor", "train_lora"])
def test_prompts_of_every_training_have_lists_of_hotwords(trained, monkeypatch, stage):
    seen = prompts_of(trained, monkeypatch, stage, share=1.0)
    assert all("热词列表：[" in prompt for prompt in seen)
    assert len(set(seen)) > len(seen) / 2


def test_without_a_share_of_hotwords_no_prompt_has_a_list(trained, monkeypatch):
    assert not any("热词" in p for p in prompts_of(trained, monkeypatch, "train_lora", share=0.0))


def test_hotwords_are_the_same_after_an_interruption(trained, monkeypatch):
    from telephone_asr.training import loop

    expected = prompts_of(trained, monkeypatch, "train_lora", share=0.5)
    whole = file_sha256(Path("models/lora/adapter_model.safetensors"))
    shutil.rmtree(trained / "models" / "lora")
    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_keep_if_best", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_stage(trained, "train_lora")
    found = prompts_of(trained, monkeypatch, "train_lora", share=0.5)
    assert 0 < len(found) < len(expected)
    assert found[-3:] == expected[-3:]
    assert file_sha256(Path("models/lora/adapter_model.safetensors")) == whole


def test_the_tiny_model_is_trained_without_room_for_frozen_outputs_too(trained):
    shutil.rmtree(trained / "models" / "base")
    write_params(trained, {"train.cache_frozen_gb": 0})
    run_stage(trained, "base")
    assert (trained / "models" / "base" / "model.pt").exists()


def test_a_damaged_shard_is_named(trained):
    shard = next((trained / "data" / "telecall").glob("recording.*"))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match=shard.name):
        run_stage(trained, "evaluate", "base")


def test_evaluate_wants_a_checkpoint_that_there_is(tmp_path):
    write_params(tmp_path, SMALL)
    with pytest.raises(InputError, match="base, encoder, adaptor, lora, final"):
        run_stage(tmp_path, "evaluate", "lorra")
