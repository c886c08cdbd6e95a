"""The three parts anew, on turns that the model wrote down: what is trained on, and what of it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from repository_fixtures import run_stage, stage_command, write_params
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.model import parts
from telephone_asr.model.pretrained import file_sha256
from telephone_asr.params import load_params
from telephone_asr.shards import count_shards, read_shard, write_shards
from telephone_asr.unlabelled.labels import Label, label_line

TELECALL = Path("data/telecall")
TURNS = Path("data/unlabelled")
SURE = {"confidence": 0.9, "ctc_confidence": 0.9, "distance": 0.0, "characters_per_s": 4.0}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def label(id_: str, text: str, **changes) -> Label:
    fields = {"id": id_, "speaker": f"{id_}-m", "text": text, "ctc_text": text, "loop": False}
    return Label(**(fields | SURE | {"speech_s": 1.0} | changes))


def write_labels(name: str, labels: list[Label]) -> None:
    path = Path("data/pseudo") / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(map(label_line, labels)), encoding="utf-8")


@pytest.fixture
def adapted(trained_repository, tmp_path, monkeypatch) -> Path:
    """A trained repository with six turns that nobody wrote down, and the model's labels."""
    path = tmp_path / "adapted"
    shutil.copytree(trained_repository, path)
    monkeypatch.chdir(path)
    write_params(path, {"unlabelled.rounds": 1, "split.short": 2, "train.mix": 0.0})
    calls = [u for i in range(count_shards(TELECALL)) for u in read_shard(TELECALL, i)]
    turns = [
        replace(call, id=f"new-{i}-m", text="", speaker=f"new-{i}-m")
        for i, call in enumerate(calls[:6])
    ]
    write_shards(TURNS, turns, 4)
    texts = ("您好您好", "再见", "明天还款三百", "好的", "谢谢", "是我")
    write_labels("turns", [label(turn.id, text) for turn, text in zip(turns, texts, strict=True)])
    write_labels("valid", [label("c1", "您好", reference="你好")])
    return path


def test_without_rounds_there_is_nothing_and_final_is_what_it_was(trained_repository, adapted):
    write_params(adapted, {"unlabelled.rounds": 0})
    run_stage(adapted, "self_train")
    assert not [*Path("models/rounds").iterdir(), *Path("data/rounds").iterdir()]
    assert json.loads(Path("metrics/self_train.json").read_text()) == {"rounds": 0}
    run_stage(adapted, "export")
    exported = trained_repository / "models" / "final" / "model.pt"
    assert file_sha256(Path("models/final/model.pt")) == file_sha256(exported)


def test_a_round_trains_all_parts_on_what_is_kept_and_final_is_made_of_it(adapted, capsys):
    run_stage(adapted, "self_train")
    kept = read_manifest(Path("data/rounds/1/train.jsonl"))
    assert [example.text for example in kept][:2] == ["您好您好", "再见"]
    assert {example.source for example in kept} == {"unlabelled"}
    said = capsys.readouterr().out
    both = "simulated and telecall"
    for part, sources in {"encoder": both, "adaptor": both, "lora": "telecall"}.items():
        labelled = sum(
            len(read_manifest(Path(f"data/manifests/{source}/train.jsonl")))
            for source in sources.split(" and ")
        )
        n = labelled + len(kept)
        assert f"on {n} utterances of {sources} and unlabelled" in said
        note = json.loads(Path(f"models/rounds/1/{part}/checkpoint.json").read_text())
        assert Path(f"metrics/train/rounds/1/{part}/metrics.json").is_file()
    assert note["stands_on"]["base"] == file_sha256(Path("models/base/model.pt"))
    hashes = {
        part: file_sha256(Path(f"models/rounds/1/{part}/{part}.safetensors"))
        for part in ("encoder", "adaptor")
    }
    assert {part: note["stands_on"][part] for part in hashes} == hashes
    assert hashes["encoder"] != file_sha256(Path("models/encoder/encoder.safetensors"))
    metrics = json.loads(Path("metrics/self_train.json").read_text())
    assert metrics["1"]["turns"] == len(kept)
    assert metrics["1"]["lora_valid_cer"] == note["valid_cer"]
    assert metrics["by_filter"]["valid"]
    costs = json.loads(Path("metrics/cost/self_train.json").read_text())
    assert costs.keys() == {"rounds", "1_encoder", "1_adaptor", "1_lora"}
    assert os.listdir(".scratch") == ["frozen"]

    run_stage(adapted, "export")
    options = vars(load_params().frontend)
    ours = parts.load_checkpoint(Path("models"), "lora", **options, round_=1)
    from telephone_asr.model.pretrained import load

    weights = load(Path("models/final")).model.state_dict()
    name = next(name for name in weights if name.startswith("audio_adaptor."))
    assert weights[name].equal(ours.model.state_dict()[name])


def test_each_turn_is_kept_or_left_out_with_one_reason(adapted):
    """A test set's sentence is left out, and a short one may be in any set."""
    test = read_manifest(Path("data/manifests/telecall/test.jsonl"))
    long = max((example.text for example in test), key=len)
    assert len(long) > 2
    changes = [
        {"text": long},
        {"text": test[0].text[:2]},
        {"confidence": 0.1},
        {"distance": 0.9},
        {"text": "", "ctc_text": ""},
        {"text": f"{long}。"},
    ]
    labels = [label(f"new-{i}-m", **{"text": "好的"} | own) for i, own in enumerate(changes)]
    write_labels("turns", labels)
    run_stage(adapted, "self_train")
    left_out = lines(Path("data/rounds/1/left_out.jsonl"))
    reasons = {entry["id"]: entry["reason"] for entry in left_out}
    assert reasons == {
        "new-0-m": "sentence_in_test",
        "new-2-m": "confidence",
        "new-3-m": "distance",
        "new-4-m": "no_text",
        "new-5-m": "sentence_in_test",
    }
    assert [e.key for e in read_manifest(Path("data/rounds/1/train.jsonl"))] == ["new-1-m"]


def test_no_more_turns_are_taken_than_the_share_and_all_that_is_labelled_stays(adapted, capsys):
    labelled = len(read_manifest(Path("data/manifests/telecall/train.jsonl")))
    write_params(adapted, {"unlabelled.share": 0.2})
    run_stage(adapted, "self_train")
    n = labelled + round(0.2 * labelled)
    assert n < labelled + 6
    assert f"on {n} utterances of telecall and unlabelled" in capsys.readouterr().out


def test_a_speaker_of_a_test_set_is_never_trained_on(adapted):
    speaker = read_manifest(Path("data/manifests/telecall/test.jsonl"))[0].speaker
    turns = [u for i in range(2) for u in read_shard(TURNS, i)]
    shutil.rmtree(TURNS)
    write_shards(TURNS, [replace(turns[0], speaker=speaker), *turns[1:]], 4)
    with pytest.raises(AssertionError, match=f"{speaker} is in a test set"):
        run_stage(adapted, "self_train")


@pytest.mark.parametrize(
    ("ids", "named"),
    [(range(5), "no label of new-5-m"), (range(7), "a label of new-6-m, which is no turn")],
)
def test_labels_of_other_turns_are_refused(adapted, ids, named):
    write_labels("turns", [label(f"new-{i}-m", "好的") for i in ids])
    with pytest.raises(InputError, match=f"{named}.*dvc repro pseudo_label"):
        run_stage(adapted, "self_train")


def test_a_killed_round_goes_on_with_the_part_that_is_trained(adapted, monkeypatch, capsys):
    """DVC deletes the stage's outs before it runs again."""
    run_stage(adapted, "self_train")
    expected = {
        path: file_sha256(path) for path in Path("models/rounds").rglob("*") if path.is_file()
    }
    shutil.rmtree("models/rounds")
    save = parts.save_checkpoint

    def killed(directory, stage, *rest):
        if stage == "lora":
            raise KeyboardInterrupt
        save(directory, stage, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stage(adapted, "self_train")
    capsys.readouterr()
    run_stage(adapted, "self_train")
    said = capsys.readouterr().out
    for part in ("encoder", "adaptor", "lora"):
        steps = json.loads(Path(f"models/rounds/1/{part}/checkpoint.json").read_text())["steps"]
        assert f"{part}: goes on at step {steps} of {steps}" in said
    assert {path: file_sha256(path) for path in expected} == expected
    assert os.listdir(".scratch") == ["frozen"]


@pytest.mark.slow
def test_two_processes_keep_and_learn_what_one_does(adapted, tmp_path):
    """In two rounds: the second one labels, too, although nothing that so small a model writes is
    kept."""
    write_params(adapted, {"unlabelled.rounds": 2, "train.batches_per_step": 2})
    both = tmp_path / "both"
    shutil.copytree(adapted, both)
    write_params(both, {"train.processes": 2})
    run_stage(adapted, "self_train")
    command = [sys.executable, "-m", *stage_command("self_train")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=both, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for round_ in "12":
        for name in ("train.jsonl", "left_out.jsonl"):
            one, two = (root / "data/rounds" / round_ / name for root in (adapted, both))
            assert two.read_bytes() == one.read_bytes()
    one, two = (root / "data/rounds/2/labels.jsonl" for root in (adapted, both))
    for before, after in zip(lines(one), lines(two), strict=True):
        assert after["text"] == before["text"]
        assert after["confidence"] == pytest.approx(before["confidence"], rel=1e-3)
    one, two = (json.loads((x / "metrics/self_train.json").read_text()) for x in (adapted, both))
    assert two == one
    assert one["1"]["turns"]
    assert os.listdir(both / ".scratch") == ["frozen"]


def test_a_rounds_checkpoints_stand_on_one_another(adapted):
    run_stage(adapted, "self_train")
    options = vars(load_params().frontend)
    assert parts.last_round(Path("models")) == 1
    shutil.copytree("models/adaptor", "models/rounds/1/adaptor", dirs_exist_ok=True)
    with pytest.raises(InputError, match="adaptor was trained on another encoder"):
        parts.load_checkpoint(Path("models"), "lora", **options, round_=1)
    shutil.rmtree("models/rounds/1/adaptor")
    with pytest.raises(InputError, match=r"rounds/1/adaptor holds no checkpoint.*self_train"):
        parts.load_checkpoint(Path("models"), "lora", **options, round_=1)
    parts.load_checkpoint(Path("models"), "lora", **options)


def test_sentences_without_speech_join_the_lora_stage(adapted, capsys):
    """In pieces of its calls; none that a test set has."""
    test = read_manifest(Path("data/manifests/telecall/test.jsonl"))
    calls = read_manifest(Path("data/manifests/telecall/train.jsonl"))
    in_test = max((example.text for example in test), key=len)
    ours = [example.text for example in calls if example.text != in_test][:2]
    Path("scripts.txt").write_text("\n".join([f"{ours[0]}{ours[1]}", in_test]), encoding="utf-8")
    write_params(adapted, {"corpus.scripts": "scripts.txt", "unlabelled.scripts": 0.5})
    before = file_sha256(Path("models/lora/adapter_model.safetensors"))
    run_stage(adapted, "train_lora")
    said = capsys.readouterr().out
    n = round(0.5 * len(calls))
    assert f"{n} times one of 1 sentences of scripts.txt" in said
    assert "left out: 1 sentences that a test set has" in said
    assert f"on {len(calls) + n} utterances of telecall and scripts" in said
    assert file_sha256(Path("models/lora/adapter_model.safetensors")) != before
