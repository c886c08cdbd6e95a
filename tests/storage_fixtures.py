"""A small repository of DVC with a remote, and faults in what it holds."""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from review_fixtures import commit, dvc, shell

MAKE = """
import random
from pathlib import Path
draw = random.Random(7)
Path("raw").mkdir(exist_ok=True)
for name in "abcd":
    Path("raw", f"{name}.tar").write_bytes(draw.randbytes(70_000))
Path("model").write_bytes(draw.randbytes(3_000_000))
Path("cer.json").write_text("{}")
Path("own").write_text("on this machine alone")
"""
PIPELINE = """
stages:
  corpus:
    cmd: python make.py
    deps: [make.py]
    outs: [raw, model, own: {push: false}]
    metrics: [cer.json: {cache: false}]
  never:
    cmd: python make.py
    outs: [never]
"""


def set_remote(directory: Path, url: str, *settings: str) -> None:
    """Gives a repository the remote `store`, which verifies what it gives.

    Args:
        directory: of the repository.
        url: of the remote.
        settings: of the remote, for .dvc/config.local: "user = me".
    """
    lines = ["[core]", "remote = store", "['remote \"store\"']", f"url = {url}", "verify = true"]
    (directory / ".dvc" / "config").write_text("\n".join([*lines, ""]))
    lines = ["['remote \"store\"']", *settings, ""]
    (directory / ".dvc" / "config.local").write_text("\n".join(lines))


def dvc_says(directory: Path, *arguments: str, fails: bool = False) -> str:
    """What a command of DVC's prints."""
    done = shell(directory, sys.executable, "-m", "dvc", *arguments, fails=fails)
    return done.stdout + done.stderr


def objects(root: Path) -> list[Path]:
    """The objects below a cache or a remote's directory, the largest (the model) first."""
    paths = [path for path in (root / "files" / "md5").rglob("*") if path.is_file()]
    return sorted(paths, key=lambda path: (-path.stat().st_size, path))


def content(root: Path) -> dict[str, bytes]:
    return {"/".join(path.parts[-2:]): path.read_bytes() for path in objects(root)}


def rewrite(path: Path, change) -> None:
    """Changes an object as a disk does: neither its time nor its mode tells of it."""
    status = path.stat()
    path.chmod(0o644)
    path.write_bytes(change(path.read_bytes()))
    path.chmod(stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def flip(path: Path) -> None:
    rewrite(path, flipped)


def cut(path: Path) -> None:
    rewrite(path, lambda data: data[: len(data) // 2])


def lose(path: Path) -> None:
    path.unlink()


@pytest.fixture(scope="session")
def ran_once(made_once) -> Path:
    """A repository whose stage ran once, without a remote; not to be changed."""
    return made_once("ran", run_once)


def run_once(directory: Path) -> None:
    shell(directory, "git", "init", "--quiet", "--initial-branch", "main")
    dvc(directory, "init")
    (directory / "make.py").write_text(MAKE)
    (directory / "dvc.yaml").write_text(PIPELINE)
    (directory / "notes").write_text("by hand")
    dvc(directory, "add", "notes")
    dvc(directory, "repro", "corpus")
    commit(directory, "one run")


@pytest.fixture(scope="session")
def pushed(ran_once, made_once) -> Path:
    """A directory with `mine`, such a repository, and `store`, its remote; not to be changed."""

    def make(directory: Path) -> None:
        shutil.copytree(ran_once, directory / "mine")
        set_remote(directory / "mine", "../../store")  # from .dvc/config
        dvc(directory / "mine", "push")

    return made_once("pushed", make)


@pytest.fixture
def mine(pushed, tmp_path, monkeypatch) -> Path:
    """A copy of the repository, and the working directory; its remote is ../store."""
    shutil.copytree(pushed, tmp_path / "pushed")
    monkeypatch.chdir(tmp_path / "pushed" / "mine")
    return tmp_path / "pushed" / "mine"
