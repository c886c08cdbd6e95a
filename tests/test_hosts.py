"""Machines that train together: each in a directory of its own, which the other does not read.

Between real network namespaces: `bench/hosts.py`.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from repository_fixtures import write_params
from telephone_asr.model.pretrained import file_sha256

# torchrun's options, by the environment.
TWO = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1", "PET_MASTER_ADDR": "127.0.0.1"}
STAGE = ["-m", "telephone_asr.stages.train", "encoder"]


def start(repository: Path, rank: int, port: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *STAGE],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **TWO, "PET_NODE_RANK": str(rank), "PET_MASTER_PORT": str(port)},
    )


def start_both(first: Path, second: Path) -> list[subprocess.Popen]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [start(first, 0, port), start(second, 1, port)]


def checkpoint(repository: Path) -> dict[str, str]:
    return {p.name: file_sha256(p) for p in (repository / "models/encoder").glob("*")}


@pytest.fixture
def machines(trained_repository, tmp_path) -> list[Path]:
    options = {"processes": 2, "batches_per_step": 2, "max_batch_rows": 40}
    options |= {"evaluations": 4, "encoder.epochs": 8, "fresh_line": True}
    paths = [tmp_path / "first", tmp_path / "second"]
    for path in paths:
        shutil.copytree(trained_repository, path)
        shutil.rmtree(path / "models/encoder")
        write_params(path, {f"train.{key}": value for key, value in options.items()})
    return paths


def test_a_machine_that_has_something_else_is_refused(machines):
    manifest = machines[1] / "data/manifests/simulated/train.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[1:]))
    write_params(machines[1], {"train.clip": 4.0})
    for process in start_both(*machines):
        said, _ = process.communicate(timeout=900)
        assert process.returncode
        assert "since params.yaml, data/manifests/simulated there are not the same: " in said
    assert not checkpoint(machines[0])


@pytest.mark.slow
def test_one_is_killed_and_both_go_on_to_the_bytes_of_one_machine(machines):
    first, second = machines
    alone = shutil.copytree(first, first.with_name("alone"))
    subprocess.run([sys.executable, *STAGE], cwd=alone, check=True)
    expected = checkpoint(alone)

    for dies in (1, 0):
        shutil.rmtree(first / "models/encoder", ignore_errors=True)
        processes = start_both(first, second)
        while not list(first.glob(".scratch/encoder-*/state.pt")):
            assert processes[0].poll() is None
            time.sleep(0.02)
        for worker in psutil.Process(processes[dies].pid).children():
            worker.kill()
        said, _ = processes[1 - dies].communicate(timeout=900)
        processes[dies].communicate()
        assert "another process of this work has ended" in said
        assert not checkpoint(first)
        said = [process.communicate(timeout=900)[0] for process in start_both(first, second)]
        assert "goes on at step" in said[0]
        assert checkpoint(first) == expected
        assert not checkpoint(second)
        assert not list(second.glob(".scratch/encoder-*"))
