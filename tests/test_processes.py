"""Several processes: what they learn is what one learns."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from repository_fixtures import ROOT, run_stage, stage_command, write_params
from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.processes import check_shared_out, merged
from telephone_asr.scoring.cut_off import CutOff

STEPS = 50


def run(repository: Path, stage: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *stage_command(stage, *arguments)],
        cwd=repository,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=900,
    )


def train(repository: Path, stage: str = "encoder", **options) -> subprocess.CompletedProcess:
    """Runs a stage with these options of the train section."""
    prepare(repository, stage, **options)
    return run(repository, f"train_{stage}")


def train_alone(repository: Path, stage: str = "encoder", **options) -> None:
    """The same in this process, which has imported what takes long."""
    prepare(repository, stage, **options)
    run_stage(repository, f"train_{stage}")


def prepare(repository: Path, stage: str, **options) -> None:
    shutil.rmtree(repository / "models" / stage, ignore_errors=True)
    write_params(repository, {f"train.{key}": value for key, value in options.items()})


def losses(repository: Path, stage: str = "encoder") -> list[tuple[int, float]]:
    path = repository / f"metrics/train/{stage}/plots/metrics/loss.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [(int(step), float(loss)) for step, loss in ((row[0], row[-1]) for row in rows)]


@pytest.fixture
def trained(trained_repository, tmp_path) -> Path:
    path = tmp_path / "trained"
    shutil.copytree(trained_repository, path)
    return path


@pytest.mark.parametrize("batches_per_step", [2, 4], ids=["one batch each", "accumulated"])
def test_two_processes_learn_what_one_learns(trained, batches_per_step, capsys):
    epochs = 9 * batches_per_step
    write_params(trained, {"train.max_batch_rows": 60, "train.encoder.epochs": epochs})
    outcomes = []
    for processes in (1, 2):
        if processes == 1:
            train_alone(trained, batches_per_step=batches_per_step)
            printed = capsys.readouterr().out
        else:
            done = train(trained, batches_per_step=batches_per_step, processes=processes)
            assert done.returncode == 0, done.stderr[-2000:]
            printed = done.stdout
        note = json.loads((trained / "models/encoder/checkpoint.json").read_text())
        weights = load_file(trained / "models/encoder/encoder.safetensors")
        outcomes.append((losses(trained), note["steps"], note["valid_cer"], weights))
        assert printed.count("trains") == 1  # said once
    (one, steps, cer, weights), (two, *others) = outcomes
    assert steps >= STEPS
    assert others[:2] == [steps, cer]
    assert [step for step, _ in two] == [step for step, _ in one]
    one, two = ([loss for _, loss in rows] for rows in (one, two))
    # Sums in another order differ by their rounding, which grows from step to step: 2e-7 of ten
    # steps' mean, 1e-5 after 30, 1e-4 after 110; nothing where a process has one batch.
    assert two[:1] == pytest.approx(one[:1], rel=1e-6)
    assert two[:3] == pytest.approx(one[:3], rel=1e-4)
    assert two == pytest.approx(one, rel=1e-3)
    if batches_per_step == 2:
        assert two[:3] == pytest.approx(one[:3], rel=1e-6)
    for name, tensor in weights.items():
        assert (others[2][name] - tensor).abs().max() < 1e-3, name
    assert os.listdir(trained / ".scratch") == ["frozen"]


def test_a_users_mistake_is_one_sentence_from_two_processes_too(trained):
    (trained / "models/base/model.pt").unlink()
    done = train(trained, batches_per_step=2, processes=2)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "model.pt" in done.stderr


def test_two_processes_evaluate_as_one_does(trained, capsys):
    """Each decodes its share of the batches, which are the same: everything is the same bytes."""
    names = ("metrics/lora.json", "metrics/slices/lora.json", "data/transcripts/lora.jsonl")
    write_params(trained, {"decode.batch_size": 2, "train.batches_per_step": 2})
    found = []
    for processes in (1, 2):
        write_params(trained, {"train.processes": processes})
        if processes == 1:
            run_stage(trained, "evaluate", "lora")
            printed = capsys.readouterr().out
        else:
            done = run(trained, "evaluate", "lora")
            assert done.returncode == 0, done.stderr[-2000:]
            printed = done.stdout
        assert printed.count("CER") == 3  # of three test sets, said once
        found.append([(trained / name).read_bytes() for name in names])
        shutil.rmtree(trained / "metrics/slices")
    assert found[1] == found[0]


def test_a_text_of_which_nothing_can_be_shown_is_cut_off_from_whichever_process():
    shares = [[CutOff(""), "", "", "c"], ["", CutOff("b"), "", ""]]
    texts = merged(shares)
    assert texts == ["", "b", "", "c"]
    assert [isinstance(text, CutOff) for text in texts] == [True, True, False, False]


def test_batches_are_a_multiple_of_the_processes(trained):
    done = train(trained, batches_per_step=3, processes=2)
    assert done.returncode == 1
    assert "train.batches_per_step: expected a multiple of train.processes (2)" in done.stderr


def test_a_launcher_starts_as_many_as_a_step_has_batches_for():
    train = load_params(ROOT / "params.yaml", ["train.batches_per_step=3"]).train
    check_shared_out(train, 3)
    with pytest.raises(InputError, match=r"expected a multiple of 2, .* got 3"):
        check_shared_out(train, 2)


@pytest.mark.parametrize("stage", ["encoder", "adaptor", "lora"])
def test_bf16_learns_nearly_what_fp32_learns(trained, stage):
    """Computations alone are in bfloat16, which has 8 bits: the checkpoint stays in fp32."""
    curves, frozen = [], []
    for precision in ("fp32", "bf16"):
        # Of a batch of clips, whose only tokens are ends of turns, other losses are far apart.
        if precision == "fp32":
            train_alone(trained, stage, precision=precision, no_speech=0.0)
        else:  # accelerate knows one precision in a process
            done = train(trained, stage, precision=precision, no_speech=0.0)
            assert done.returncode == 0, done.stderr[-2000:]
        curves.append([loss for _, loss in losses(trained, stage)])
        frozen.append({path.read_bytes() for path in trained.glob(".scratch/frozen/*/000000.npy")})
    assert curves[1] == pytest.approx(curves[0], rel=0.05)
    assert curves[1] != curves[0]
    # Frozen parts' outputs are computed anew in bf16, for training and for validation.
    assert len(frozen[1] - frozen[0]) == (0 if stage == "encoder" else 2)
    (weights,) = (trained / "models" / stage).glob("*.safetensors")
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float32}
