"""Several processes: what they learn is what one learns."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from model_fixtures import write_params

STEPS = 50


def train(repository: Path, batches_per_step: int, processes: int) -> subprocess.CompletedProcess:
    shutil.rmtree(repository / "models" / "encoder", ignore_errors=True)
    changes = {"batches_per_step": batches_per_step, "processes": processes}
    write_params(repository, {f"train.{key}": value for key, value in changes.items()})
    return subprocess.run(
        [sys.executable, "-m", "telephone_asr.stages.train_encoder"],
        cwd=repository,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=300,
    )


def losses(repository: Path) -> list[tuple[int, float]]:
    path = repository / "metrics/train/encoder/plots/metrics/loss.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [(int(step), float(loss)) for step, loss in ((row[0], row[-1]) for row in rows)]


@pytest.fixture
def trained(trained_repository, tmp_path) -> Path:
    path = tmp_path / "trained"
    shutil.copytree(trained_repository, path)
    return path


@pytest.mark.parametrize("batches_per_step", [2, 4], ids=["one batch each", "accumulated"])
def test_two_processes_learn_what_one_learns(trained, batches_per_step):
    epochs = 9 * batches_per_step
    write_params(trained, {"train.max_frames": 60, "train.encoder.epochs": epochs})
    outcomes = []
    for processes in (1, 2):
        done = train(trained, batches_per_step, processes)
        assert done.returncode == 0, done.stderr[-2000:]
        note = json.loads((trained / "models/encoder/checkpoint.json").read_text())
        weights = load_file(trained / "models/encoder/encoder.safetensors")
        outcomes.append((losses(trained), note["steps"], note["valid_cer"], weights))
        assert done.stdout.count("trains") == 1  # said once
    (one, steps, cer, weights), (two, *others) = outcomes
    assert steps >= STEPS
    assert others[:2] == [steps, cer]
    assert [step for step, _ in two] == [step for step, _ in one]
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], abs=1e-4)
    for name, tensor in weights.items():
        assert (others[2][name] - tensor).abs().max() < 1e-3, name
    assert os.listdir(trained / ".scratch") == ["frozen"]


def test_a_users_mistake_is_one_sentence_from_two_processes_too(trained):
    (trained / "models/base/model.pt").unlink()
    done = train(trained, 2, 2)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "model.pt" in done.stderr


def test_batches_are_a_multiple_of_the_processes(trained):
    done = train(trained, 3, 2)
    assert done.returncode == 1
    assert "train.batches_per_step: expected a multiple of train.processes (2)" in done.stderr
