"""`dvc exp run` in each of its forms, with real DVC: what ran is what the experiment holds."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from dvc.api import DVCFileSystem
from dvc.repo import Repo
from ruamel.yaml import YAML

from repository_fixtures import ROOT
from review_fixtures import commit, shell, write_cheap_pipeline
from telephone_asr.shards import count_shards, read_cuts

CODE = "src/telephone_asr/stages/telecall.py"
LINE = "            yield at_telephone_rate(utterance)\n"
WAIT_S = 900


@pytest.fixture(scope="module")
def reproduced(made_once, speech) -> Path:
    """A repository with the package in src/ and two cheap stages of dvc.yaml; to be read only."""

    def make(parent: Path) -> None:
        directory = parent / "repository"
        write_cheap_pipeline(directory, speech)
        dvc(directory, "init", "--quiet")
        dvc(directory, "repro", "--quiet")
        commit(directory, "reproduced")

    return made_once("experiments", make) / "repository"


@pytest.fixture
def repository(reproduced, tmp_path) -> Path:
    return Path(shutil.copytree(reproduced, tmp_path / "repository", symlinks=True))


def dvc(directory: Path, *arguments: str) -> str:
    """DVC where the package is installed from the checkout, as `pip install --editable` does it."""
    path = f"PYTHONPATH={directory / 'src'}"
    return shell(directory, "env", path, sys.executable, "-m", "dvc", *arguments).stdout


def edit(directory: Path, scene: str) -> None:
    """Changes what telecall writes: the scene of every call."""
    code = (ROOT / CODE).read_text(encoding="utf-8")
    assert code.count(LINE) == 1
    edited = LINE.replace("utterance", f'Utterance(**vars(utterance) | dict(scene="{scene}"))')
    (directory / CODE).write_text(code.replace(LINE, edited), encoding="utf-8")


def scenes(directory: Path) -> set[str]:
    return {cut["supervisions"][0]["custom"]["scene"] for cut in read_cuts(directory)}


def run_queue(directory: Path, workers: int) -> None:
    """Runs what is queued, on so many workers at once."""
    try:
        dvc(directory, "queue", "start", "--jobs", str(workers))
        with Repo(str(directory)) as repo:
            queue = repo.experiments.celery_queue
            deadline = time.monotonic() + WAIT_S
            while len(queue.status()) > sum(1 for _ in queue.iter_done()):
                assert time.monotonic() < deadline
                time.sleep(0.2)
            failed = [done.entry.name for done in queue.iter_failed()]
            assert not failed, [dvc(directory, "queue", "logs", name) for name in failed]
    except BaseException:  # else they stop by themselves
        dvc(directory, "queue", "stop", "--kill")
        raise


def assert_ran(repository: Path, experiment: str, scene: str, shard_size: int) -> None:
    """What an experiment's commit holds, and what was made by it, are what was edited then."""
    made = repository.parent / f"made by {experiment}"
    with closing(DVCFileSystem(str(repository), rev=experiment)) as files:
        assert f'scene="{scene}"' in files.read_text(CODE)
        params = YAML(typ="safe").load(files.read_text("params.yaml"))
        files.get("data/telecall", str(made), recursive=True)
    assert params["corpus"]["shard_size"] == shard_size
    assert scenes(made) == {scene}
    assert count_shards(made) == -(-len(list(read_cuts(made))) // shard_size)


def test_queued_experiments_run_the_code_they_hold(repository):
    before = scenes(repository / "data" / "telecall")
    edit(repository, "first")
    dvc(repository, "exp", "run", "--queue", "--name", "first")
    edit(repository, "second")
    dvc(repository, "exp", "run", "--queue", "--name", "second", "-S", "corpus.shard_size=5")
    edit(repository, "third")
    dirty = shell(repository, "git", "diff").stdout
    run_queue(repository, workers=2)
    assert_ran(repository, "first", "first", shard_size=7)
    assert_ran(repository, "second", "second", shard_size=5)
    assert shell(repository, "git", "diff").stdout == dirty
    assert scenes(repository / "data" / "telecall") == before


def test_beside_the_checkout_and_in_it_an_experiment_runs_the_code_it_holds(repository):
    edit(repository, "beside")
    dirty = shell(repository, "git", "diff").stdout
    dvc(repository, "exp", "run", "--temp", "--name", "beside")
    assert_ran(repository, "beside", "beside", shard_size=7)
    assert shell(repository, "git", "diff").stdout == dirty
    edit(repository, "in it")
    dvc(repository, "exp", "run", "--name", "in-it", "-S", "corpus.shard_size=5")
    assert_ran(repository, "in-it", "in it", shard_size=5)
    assert scenes(repository / "data" / "telecall") == {"in it"}


def test_the_default_remote_takes_what_an_experiment_pushes(repository, tmp_path, monkeypatch):
    """DVC takes a relative address, read from the experiment's commit, from the root directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(ROOT / ".dvc" / "config", repository / ".dvc" / "config")
    commit(repository, "the default remote")
    shell(tmp_path, "git", "init", "--quiet", "--bare", "shared.git")
    shell(repository, "git", "remote", "add", "shared", str(tmp_path / "shared.git"))
    shell(repository, "git", "push", "--quiet", "shared", "main")
    dvc(repository, "exp", "run", "--name", "smaller", "-S", "corpus.shard_size=5")
    dvc(repository, "exp", "push", "shared", "smaller")
    pushed = list((tmp_path / "telephone-asr-storage" / "files" / "md5").glob("*/*.dir"))
    assert len(pushed) == 2  # data/raw, data/telecall


def test_code_that_is_not_the_directorys_own_does_not_run_there(repository):
    for command in (["-m", "telephone_asr.stages.telecall"], ["-m", "telephone_asr.cli", "doctor"]):
        python = ["env", f"PYTHONPATH={ROOT / 'src'}", sys.executable]
        done = shell(repository, *python, *command, fails=True)
        assert "PYTHONPATH=src" in done.stderr
        assert "Traceback" not in done.stderr


def test_killed_beside_the_checkout_the_work_goes_on_in_the_next_directory(reproduced, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(reproduced / "data" / "raw", tmp_path / name / "data" / "raw")
        shutil.copy(reproduced / "params.yaml", tmp_path / name)
    first = start_simulate(tmp_path / "first", tmp_path)
    while not (written := list(tmp_path.glob(".scratch/simulate-*/shards/cuts.*.gz"))):
        assert first.poll() is None
        time.sleep(0.002)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "first" / "data" / "simulated").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in written}
    assert start_simulate(tmp_path / "second", tmp_path).wait() == 0
    for name, mtime_ns in kept.items():
        path = tmp_path / "second" / "data" / "simulated" / name
        assert path.stat().st_mtime_ns == mtime_ns


def start_simulate(directory: Path, root: Path) -> subprocess.Popen:
    """The stage, as DVC runs it for an experiment in a directory of its own."""
    environment = {"DVC_ROOT": str(root), "LOKY_MAX_CPU_COUNT": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "telephone_asr.stages.simulate"],
        cwd=directory,
        env=os.environ | environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
