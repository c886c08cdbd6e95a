"""The simulate stage: the same bytes by any number of workers, and after a kill."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from repository_fixtures import write_params
from telephone_asr.params import load_params
from telephone_asr.shards import Utterance, count_shards, write_shards
from telephone_asr.simulation import babble_pool, simulate_shard
from telephone_asr.stages import simulate

SHARDS = 6
EVERYTHING = {
    "channel.codec": {"amr_nb+alaw": 1.0, "gsm+alaw": 1.0, "mulaw": 1.0},
    "channel.loss.share": 1.0,
    "channel.music.share": 0.5,
    "channel.echo.share": 0.5,
    "channel.clipping.share": 0.5,
}


@pytest.fixture
def wideband(tmp_path, monkeypatch, speech) -> Path:
    """A repository with wideband speech alone, and the working directory."""
    utterances = [
        Utterance(f"w{i}", speech(0.5 + i / 20, seed=i), 16000, "您好", f"s{i % 5}")
        for i in range(3 * SHARDS)
    ]
    write_shards(tmp_path / "data/raw/wideband", utterances, shard_size=3)
    write_params(tmp_path, EVERYTHING)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(directory: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()}


def run(workers: int, **environment: str) -> subprocess.CompletedProcess:
    """The stage in a process of its own, as dvc runs it."""
    return subprocess.run(
        [sys.executable, "-m", "telephone_asr.stages.simulate"],
        env={**os.environ, "LOKY_MAX_CPU_COUNT": str(workers), **environment},
        capture_output=True,
        text=True,
    )


def simulated_once(workers: int = 1, **environment: str) -> dict[str, str]:
    done = run(workers, **environment)
    assert done.returncode == 0, done.stderr
    return digest(Path("data/simulated"))


def test_the_bytes_do_not_depend_on_the_number_of_workers(wideband):
    one = simulated_once(1)
    assert len(one) == 2 * SHARDS
    assert simulated_once(2) == one
    assert simulated_once(3) == one


def test_the_bytes_do_not_depend_on_the_order_of_the_shards(wideband):
    expected = simulated_once()
    params, source = load_params(), Path("data/raw/wideband")
    pool = Path("pool.npz")
    babble_pool(source, params.channel, params.seed).save(pool)
    for index in np.random.default_rng(0).permutation(SHARDS).tolist():
        simulate_shard(source, Path("shuffled"), index, params.channel, pool, params.seed)
    assert digest(Path("shuffled")) == expected


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_bytes(wideband):
    pytest.importorskip("ray", reason="pip install -e '.[cluster]'")
    assert simulated_once(RAY_ADDRESS="local") == simulated_once()


def test_killed_it_goes_on_where_it_stopped(wideband):
    expected = simulated_once()
    shutil.rmtree("data/simulated")
    # As dvc kills: the whole group at once, at whatever it is doing.
    stage = subprocess.Popen(
        [sys.executable, "-m", "telephone_asr.stages.simulate"],
        env={**os.environ, "LOKY_MAX_CPU_COUNT": "1"},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not (written := list(Path(".scratch").glob("simulate-*/shards/cuts.*.gz"))):
        assert stage.poll() is None
        time.sleep(0.002)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    assert not Path("data/simulated").exists()
    kept = {path: path.stat().st_mtime_ns for path in written}

    # A shard that is there is not made again: its file moves to the stage's out as it is.
    assert simulated_once() == expected
    for path, mtime_ns in kept.items():
        assert (Path("data/simulated") / path.name).stat().st_mtime_ns == mtime_ns
    assert not list(Path(".scratch").glob("simulate-*"))


def test_another_line_does_not_go_on_from_the_first_ones_shards(wideband):
    source = Path("data/raw/wideband").absolute()
    names = []
    for codec in ("mulaw", "alaw"):
        write_params(wideband, {"channel.codec": codec})
        params = load_params()
        scratch = simulate._open_scratch(source, params.channel, params.seed)
        names.append(scratch.directory)
        scratch.close(remove=True)
    assert names[0] != names[1]


def test_a_damaged_shard_is_named_and_nothing_is_lost(wideband):
    path = sorted(Path("data/raw/wideband").glob("recording.*"))[2]
    path.write_bytes(path.read_bytes()[:1000])
    done = run(1)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert path.name in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not Path("data/simulated").exists()
    assert count_shards(Path("data/raw/wideband")) == SHARDS
