"""kill -9 at random moments of the three stages: each ends with the bytes of one undisturbed.

Minutes long: `pytest -m slow -n 0 -s tests/test_kill.py`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repository_fixtures import write_params
from telephone_asr.model.pretrained import file_sha256

# States are saved more often than in earnest, so that most kills have one to go on from.
STAGE = """
from telephone_asr.training import loop
loop.SAVE_EVERY_S, loop.SAVE_SHARE = 0.3, 1.0
from telephone_asr.program import run
from telephone_asr.stages import train
run(train.main)
"""
KILLS = {"encoder": 7, "adaptor": 7, "lora": 6}


def start(repository: Path, stage: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", STAGE, stage],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(repository: Path, stage: str) -> tuple[float, str]:
    """Runs a stage to its end: seconds from its announcement on, and what it said."""
    process = start(repository, stage)
    said = [process.stdout.readline()]
    begun = time.monotonic()
    said += process.stdout.readlines()
    assert process.wait() == 0, said
    return time.monotonic() - begun, "".join(said)


@pytest.mark.slow
@pytest.mark.parametrize("stage", KILLS)
def test_a_stage_killed_again_and_again_writes_the_same_bytes(trained_repository, tmp_path, stage):
    repository = tmp_path / "repository"
    shutil.copytree(trained_repository, repository)
    write_params(repository, {"train.max_batch_rows": 40, f"train.{stage}.epochs": 8})
    models = repository / "models"
    shutil.rmtree(models / stage)
    seconds, _ = finish(repository, stage)
    expected = {path.name: file_sha256(path) for path in (models / stage).iterdir()}

    shutil.rmtree(models / stage)
    rng, resumed = random.Random(), 0
    for kill in range(KILLS[stage]):
        process = start(repository, stage)
        process.stdout.readline()  # what it is going to do
        after_s = rng.uniform(0, seconds)
        print(f"{stage}: kill {kill + 1} after {after_s:.2f} of {seconds:.2f} s")
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read()
        process.wait()
        resumed += "goes on at step" in said
        if (models / stage / "checkpoint.json").exists():  # it was through already
            shutil.rmtree(models / stage)
    _, said = finish(repository, stage)
    assert resumed or "goes on at step" in said
    assert {path.name: file_sha256(path) for path in (models / stage).iterdir()} == expected
