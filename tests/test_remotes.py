"""Remotes of a team on real servers, and what becomes of them when something goes wrong: after each
fault DVC or `storage check` says what is wrong, and nothing is lost.

Minutes long: `pytest -m slow -n 0 -s tests/test_remotes.py`; -s shows what docs/remotes.md tells.
Needs `pip install 'telephone-asr[servers]'` and Debian's openssh-server.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote_fixtures import SERVERS, Line, Server, program
from review_fixtures import shell
from storage_fixtures import content, dvc_says, flip, objects, set_remote

pytestmark = pytest.mark.slow
HALF_BYTES = 1_500_000  # of what is pushed and pulled


class Team:
    """A server, and the repository of somebody who pushes to it."""

    def __init__(self, server: Server, mine: Path):
        self.server, self.mine = server, mine

    def check(self, *options: str, fails: bool = False, clone: Path | None = None) -> str:
        """What `telephone-asr storage check` prints."""
        command = [sys.executable, "-m", "telephone_asr.cli", "storage", "check", *options]
        done = shell(clone or self.mine, *command, fails=fails)
        said = (done.stdout + done.stderr).strip()
        _show(f"storage check {' '.join(options)}", said.splitlines())
        return said

    def dvc(self, *arguments: str, fails: bool = False, clone: Path | None = None) -> str:
        said = dvc_says(clone or self.mine, *arguments, fails=fails)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        _show(f"dvc {' '.join(arguments)}{' fails' if fails else ''}", lines[-6:])
        return said

    @contextmanager
    def other_settings(self, old: str, new: str, clone: Path | None = None) -> Iterator[None]:
        """Others in .dvc/config.local, for a while."""
        path = (clone or self.mine) / ".dvc" / "config.local"
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))
        yield
        path.write_text(before)

    @contextmanager
    def line(self, then: Callable[[], None], clone: Path | None = None) -> Iterator[Line]:
        """A line to the server that is cut half-way."""
        line = Line(self.server.port, HALF_BYTES, then)
        with self.other_settings(str(self.server.port), str(line.port), clone):
            yield line
        assert line.is_cut
        line.cut()

    def clone(self, place: Path) -> Path:
        """Somebody else's clone, with nothing but git and the remote."""
        shell(place.parent, "git", "clone", "--quiet", str(self.mine), str(place))
        shutil.copy(self.mine / ".dvc" / "config.local", place / ".dvc" / "config.local")
        return place

    def nothing_is_lost(self) -> None:
        """All that was pushed is on the server's disk, byte by byte."""
        there, here = content(self.server.store), content(self.mine / ".dvc" / "cache")
        # Not pushed, and git's.
        own = {name for name, data in here.items() if data in (b"on this machine alone", b"{}")}
        aside = {name for name in here.keys() | there.keys() if name.endswith(".tmp")}
        assert {name: data for name, data in there.items() if name not in aside} == {
            name: data for name, data in here.items() if name not in own | aside
        }


def _show(command: str, lines: list[str]) -> None:
    """Prints what a command said, for whoever writes it into docs/remotes.md."""
    print(f"    {command}", *lines, sep="\n        ", flush=True)


@pytest.fixture(params=SERVERS)
def team(request, ran_once, tmp_path) -> Iterator[Team]:
    kind = SERVERS[request.param]
    for need in kind.needs:
        if not program(need) and not importlib.util.find_spec(need):
            pytest.skip(f"{need} is not installed: see the head of this file")
    server = kind(tmp_path)
    server.start()
    print(f"\n{request.node.name}")
    try:
        shutil.copytree(ran_once, tmp_path / "mine")
        set_remote(tmp_path / "mine", server.url(), *server.settings())
        shell(tmp_path / "mine", "git", "commit", "--quiet", "--all", "--message", "the remote")
        yield Team(server, tmp_path / "mine")
    finally:
        server.kill()


def test_a_team_shares_a_remote(team, tmp_path):
    team.dvc("push")
    team.nothing_is_lost()
    assert "in sync" in team.dvc("status", "--cloud")
    theirs = team.clone(tmp_path / "theirs")
    team.dvc("pull", "model", "raw", "notes", clone=theirs)
    assert (theirs / "model").read_bytes() == (team.mine / "model").read_bytes()
    team.check()


@pytest.mark.parametrize("fault", ["server killed", "connection cut"])
def test_a_push_that_ends_half_way(fault, team):
    with team.line(team.server.kill if fault == "server killed" else lambda: None):
        team.dvc("push", fails=True)
    if fault == "server killed":
        assert "could not be had" in team.check(fails=True)
        team.server.start()
    team.check(fails=True)
    team.dvc("push")
    team.check("--repair")
    team.nothing_is_lost()


def test_a_wrong_key(team):
    key = team.server.wrong.partition(" = ")[0]
    config = (team.mine / ".dvc" / "config.local").read_text()
    (right,) = (line for line in config.splitlines() if line.startswith(key))
    with team.other_settings(right, team.server.wrong):
        team.dvc("push", fails=True)
        assert "could not be had" in team.check(fails=True)
    team.dvc("push")
    team.nothing_is_lost()


def test_a_full_disk(team):
    root = team.server.root
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "disk", root]).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        team.server.make_root()
        team.dvc("push", fails=True)
        team.check(fails=True)
        subprocess.run(["mount", "-o", "remount,size=20m", root], check=True)
        team.check("--repair")
        team.nothing_is_lost()
    finally:
        team.server.kill()
        subprocess.run(["umount", root], check=True)


def test_flipped_bits(team):
    team.dvc("push")
    here, there = objects(team.mine / ".dvc" / "cache"), objects(team.server.store)
    flip(here[0])  # the model, on both sides
    team.server.flip(there[0])
    flip(here[1])
    team.server.flip(there[2])
    there[3].unlink()
    assert "in sync" in team.dvc("status", "--cloud")
    assert "up to date" in team.dvc("push")
    team.check("--repair", fails=True)
    team.dvc("repro", "corpus")
    team.check("--repair")
    team.nothing_is_lost()


@pytest.mark.parametrize("fault", ["connection cut", "killed"])
def test_a_pull_that_ends_half_way(fault, team, tmp_path):
    team.dvc("push")
    theirs = team.clone(tmp_path / "theirs")
    wanted = ["pull", "model", "raw", "notes"]
    if fault == "killed":
        command = [sys.executable, "-m", "dvc", *wanted]
        pulls: list[subprocess.Popen] = []
        with team.line(lambda: os.kill(pulls[0].pid, signal.SIGKILL), theirs):
            pulls += [subprocess.Popen(command, cwd=theirs, stderr=subprocess.DEVNULL)]
            assert pulls[0].wait() == -signal.SIGKILL
    else:
        with team.line(lambda: None, theirs):
            team.dvc(*wanted, fails=True, clone=theirs)
    team.check(fails=True, clone=theirs)
    team.dvc(*wanted, clone=theirs)
    assert (theirs / "model").read_bytes() == (team.mine / "model").read_bytes()
    team.nothing_is_lost()


def test_a_repair_that_is_killed(team):
    """What the other side has stays what it was."""
    team.dvc("push")
    objects(team.server.store)[0].unlink()
    command = [sys.executable, "-m", "telephone_asr.cli", "storage", "check", "--repair"]
    repairs: list[subprocess.Popen] = []
    with team.line(lambda: os.kill(repairs[0].pid, signal.SIGKILL)):
        repairs += [subprocess.Popen(command, cwd=team.mine, stderr=subprocess.DEVNULL)]
        assert repairs[0].wait() == -signal.SIGKILL
    team.check("--repair")
    team.nothing_is_lost()
