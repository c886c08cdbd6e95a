"""What docs/reproducible.md says to do when two branches wrote dvc.lock: with real git and DVC.

Two clones stand for two machines, whose trainings give other weights from the same inputs.
"""

import re
import shutil
from pathlib import Path

import pytest

from repository_fixtures import ROOT
from review_fixtures import commit, dvc, shell

PIPELINE = """
stages:
  data:
    cmd: python data.py
    deps: [data.py]
    params: [filter]
    outs: [data]
  train:
    cmd: python train.py
    deps: [data, train.py]
    params: [lr]
    outs: [model]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model]
    metrics: [metrics/cer.json: {cache: false}]
"""
DATA = """
from pathlib import Path
Path("data").write_text(Path("params.yaml").read_text().splitlines()[0])
"""
TRAIN = """
import os
from pathlib import Path
lr = Path("params.yaml").read_text().splitlines()[-1]
Path("model").write_text(f"{Path('data').read_text()}, {lr}, by {os.environ['MACHINE']}")
print("trained")
"""
EVALUATE = """
from pathlib import Path
Path("metrics").mkdir(exist_ok=True)
Path("metrics/cer.json").write_text('{"cer": "of %s"}\\n' % Path("model").read_text())
"""
PARAMS = "filter: 10\n" + 8 * "# far from the other\n" + "lr: 1\n"


def documented(heading: str) -> str:
    """The commands below a heading of docs/reproducible.md."""
    text = (ROOT / "docs" / "reproducible.md").read_text(encoding="utf-8")
    return re.search(rf"^## {heading}$.*?```sh\n(.*?)```", text, re.S | re.M).group(1)


def change(clone: Path, old: str, new: str) -> None:
    path = clone / "params.yaml"
    path.write_text(path.read_text().replace(old, new))


def reproduce(clone: Path, message: str) -> None:
    dvc(clone, "repro")
    commit(clone, message)
    dvc(clone, "push")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> Path:
    """`server` and its `store`; `mine`, a clone of it. They know each other by relative paths."""
    directory = tmp_path_factory.mktemp("machines")
    server = directory / "server"
    server.mkdir()
    shell(server, "git", "init", "--quiet", "--initial-branch", "main")
    dvc(server, "init")
    dvc(server, "remote", "add", "--default", "store", "../store")
    for name, text in {"data": DATA, "train": TRAIN, "evaluate": EVALUATE}.items():
        (server / f"{name}.py").write_text(text)
    (server / "dvc.yaml").write_text(PIPELINE)
    (server / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MACHINE", "server")
        reproduce(server, "the first run")
    shell(directory, "git", "clone", "--quiet", "server", "mine")
    shell(directory / "mine", "git", "remote", "set-url", "origin", "../server")
    shell(directory / "mine", "git", "switch", "--quiet", "--create", "higher-lr")
    return directory


@pytest.fixture
def clones(first_run, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """`server`, whose dvc.lock is the truth, and `mine` on a branch; one remote for both."""
    directory = Path(shutil.copytree(first_run, tmp_path / "machines", symlinks=True))
    monkeypatch.setenv("MACHINE", "server")
    return directory / "server", directory / "mine"


def merge(mine: Path) -> str:
    """Runs the documented commands, as a user would; the merge stops at its conflict."""
    lines = documented("A conflict in dvc.lock").splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("git merge"))
    shell(mine, "bash", "-ec", "\n".join(lines[:place]))
    stopped = shell(mine, "bash", "-ec", lines[place], fails=True)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in stopped.stdout
    done = shell(mine, "bash", "-ec", "\n".join(lines[place + 1 :]))
    assert shell(mine, "git", "status", "--porcelain").stdout == ""
    checked = shell(mine, "dvc", "repro", "--dry", "--allow-missing").stdout
    assert "Data and pipelines are up to date" in checked
    return done.stdout


def test_where_both_sides_changed_something_all_that_changed_runs(clones, monkeypatch):
    server, mine = clones
    change(server, "filter: 10", "filter: 12")
    reproduce(server, "another filter")
    monkeypatch.setenv("MACHINE", "mine")
    change(mine, "lr: 1", "lr: 2")
    reproduce(mine, "a higher rate")
    assert "trained" in merge(mine)
    assert (mine / "model").read_text() == "filter: 12, lr: 2, by mine"


def test_where_both_trained_the_same_the_servers_stays_and_nothing_runs(clones, monkeypatch):
    server, mine = clones
    change(server, "lr: 1", "lr: 2")
    reproduce(server, "a higher rate")
    monkeypatch.setenv("MACHINE", "mine")
    change(mine, "lr: 1", "lr: 2")
    reproduce(mine, "a higher rate")
    assert "by mine" in (mine / "metrics" / "cer.json").read_text()
    assert "trained" not in merge(mine)
    for path in ("model", "dvc.lock", "metrics/cer.json"):
        assert (mine / path).read_bytes() == (server / path).read_bytes()
