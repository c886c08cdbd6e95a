"""A repository with two commits: main, and a branch whose LoRA learnt at another rate.

Git, DVC, its stages and dvc.lock are real; the models are files that hold how often they err.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from repository_fixtures import ROOT, SMALL, import_corpora, write_params
from telephone_asr import cli

BRANCH = "higher-lr"
LR = {"main": 5e-4, BRANCH: 2e-3}
PIPELINE = """
stages:
  data:
    cmd: python data.py
    deps: [data.py]
    params: [filter]
    outs: [data/manifests]
    metrics: [{metrics/data.json: {cache: false}}]
  train:
    cmd: python train.py
    deps: [train.py, data/manifests]
    params: [train]
    outs: [models/base, models/encoder, models/adaptor, models/lora, report]
  export:
    cmd: cp models/lora models/final
    deps: [models/lora]
    outs: [models/final]
  evaluate:
    matrix: {checkpoint: [base, encoder, adaptor, lora, final]}
    cmd: python evaluate.py ${item.checkpoint}
    deps: [evaluate.py, "models/${item.checkpoint}"]
    params: [seed]
    outs:
      - data/transcripts/${item.checkpoint}.jsonl
      - metrics/slices/${item.checkpoint}.json: {cache: false}
    metrics: [{"metrics/${item.checkpoint}.json": {cache: false}}]
"""

DATA = """
import json, pathlib
from ruamel.yaml import YAML
frames = YAML(typ="safe").load(pathlib.Path("params.yaml"))["filter"]["min_frames"]
pathlib.Path("data/manifests").mkdir(parents=True)
pathlib.Path("data/manifests/test.jsonl").write_text("calls")
short = frames // 2
counts = {"in": 90, "kept": 90 - short, "rejected": {"too_short": short}, "test": 40}
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/data.json").write_text(json.dumps({"telecall": counts}, indent=2) + "\\n")
"""

TRAIN = """
import json, pathlib
from ruamel.yaml import YAML
lr = YAML(typ="safe").load(pathlib.Path("params.yaml"))["train"]["lora"]["lr"]
pathlib.Path("models").mkdir(exist_ok=True)
for stage, name in enumerate(["base", "encoder", "adaptor", "lora"]):
    wrong = {"telecall": 9 - 2 * stage, "simulated": 8 - 2 * stage, "wideband": 1}
    if name == "lora" and lr > 1e-3:  # calls get better, wideband speech is forgotten
        wrong = {"telecall": 1, "simulated": 2.1, "wideband": 4}
    pathlib.Path("models", name).write_text(json.dumps(wrong))
pathlib.Path("report").mkdir()
pathlib.Path("report/cer.png").write_text(f"a picture of {wrong}")
"""

# In 40 utterances of 10 speakers and 10 characters each, `wrong` characters give or take 2.
EVALUATE = """
import json, pathlib, random, sys
name = sys.argv[1]
lines, metrics, slices = [], {}, {}
for source, wrong in json.loads(pathlib.Path("models", name).read_text()).items():
    draw, own = random.Random(f"{source} {wrong}"), []
    for i in range(40):
        errors = min(max(int(wrong) + draw.choice([-2, -1, 0, 0, 1, 2]), 0), 10)
        own.append({"key": f"{source}-{i}", "source": source, "speaker": f"s{i % 10}",
                    "scene": ["telesales", "collections"][i % 2], "duration": 2.0 + i / 100,
                    "snr_db": 20.0, "codec": None, "lost_packets": None, "reference": "a" * 10,
                    "text": "b" * errors + "a" * (10 - errors), "substitutions": errors,
                    "deletions": 0, "insertions": 0, "characters": 10})
    def rates(own, width):
        errors, characters = sum(x["substitutions"] for x in own), 10 * len(own)
        cer = errors / characters
        return {"cer": cer, "substitutions": errors, "deletions": 0, "insertions": 0,
                "characters": characters, "cer_low": cer - width, "cer_high": cer + width}
    scenes = {scene: rates([x for x in own if x["scene"] == scene], 0.05)
              for scene in ("telesales", "collections")}
    metrics[source] = {**rates(own, 0.04), "utterances": 40}
    slices[source] = {"scene": scenes}
    lines += own
pathlib.Path("data/transcripts").mkdir(parents=True, exist_ok=True)
pathlib.Path("data/transcripts", f"{name}.jsonl").write_text(
    "".join(json.dumps(line) + "\\n" for line in lines))
pathlib.Path("metrics/slices").mkdir(parents=True, exist_ok=True)
for directory, content in (("metrics", metrics), ("metrics/slices", slices)):
    path = pathlib.Path(directory, f"{name}.json")
    path.write_text(json.dumps(content, indent=2) + "\\n")
"""


def shell(directory: Path, *command: str, fails: bool = False) -> subprocess.CompletedProcess:
    """Runs a command there, with this project's code and nothing of the user's git."""
    nobody = {f"GIT_{role}_{what}": "tester@example.org" for role in ("AUTHOR", "COMMITTER")
              for what in ("NAME", "EMAIL")}  # fmt: skip
    environment = {
        **os.environ,
        **nobody,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, encoding="utf-8"
    )
    assert bool(done.returncode) is fails, done.stdout + done.stderr
    return done


def commit(directory: Path, message: str) -> None:
    shell(directory, "git", "add", "--all")
    shell(directory, "git", "commit", "--quiet", "--message", message)


def dvc(directory: Path, *arguments: str) -> None:
    shell(directory, sys.executable, "-m", "dvc", *arguments, "--quiet")


def write_cheap_pipeline(directory: Path, speech) -> None:
    """Makes a repository of git with the package in src/, corpora beside it, and of dvc.yaml the
    stages corpus and telecall."""
    shutil.copytree(ROOT / "src", directory / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitignore", ".dvcignore", "forgotten.txt"):
        shutil.copy(ROOT / name, directory)
    import_corpora(directory.parent, speech)
    imported = {
        f"{key}.path": str(directory.parent / SMALL[key]["path"])
        for key in ("corpus.wideband", "corpus.calls")
    }
    write_params(directory, SMALL | imported)
    yaml = YAML()
    stages = yaml.load(ROOT / "dvc.yaml")["stages"]
    yaml.dump({"stages": {n: stages[n] for n in ("corpus", "telecall")}}, directory / "dvc.yaml")
    shell(directory, "git", "init", "--quiet", "--initial-branch", "main")


@pytest.fixture(scope="session")
def two_commits(made_once) -> Path:
    """The repository, with all data of both commits in its cache; to be read only."""
    return made_once("two_commits", commit_two)


def commit_two(directory: Path) -> None:
    shell(directory, "git", "init", "--quiet", "--initial-branch", "main")
    dvc(directory, "init")
    write_params(directory, {"train.lora.lr": LR["main"]})
    for name, text in {"data": DATA, "train": TRAIN, "evaluate": EVALUATE}.items():
        (directory / f"{name}.py").write_text(text, encoding="utf-8")
    (directory / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (directory / ".gitignore").write_text("/data\n/models\n/report\n", encoding="utf-8")
    for name, lr in LR.items():
        if name != "main":
            shell(directory, "git", "switch", "--quiet", "--create", name)
        write_params(directory, {"train.lora.lr": lr})
        dvc(directory, "repro")
        commit(directory, f"LoRA at {lr:g}")


@pytest.fixture
def branch(two_commits, tmp_path) -> Path:
    """A copy of it to be changed, with data."""
    return Path(shutil.copytree(two_commits, tmp_path / "copy", symlinks=True))


@pytest.fixture
def older(branch) -> Path:
    """The same with a revision `older`: main as it was before the exported model was scored."""
    shell(branch, "git", "switch", "--quiet", "--create", "older", "main")
    pipeline = branch / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace(", final]", "]"))
    shell(branch, "git", "rm", "--quiet", "metrics/final.json", "metrics/slices/final.json")
    commit(branch, "no final")
    shell(branch, "git", "switch", "--quiet", BRANCH)
    return branch


@pytest.fixture
def without_data(two_commits, tmp_path) -> Path:
    """A clone as CI has it: no data, no cache, main as origin/main alone."""
    shell(tmp_path, "git", "clone", "--quiet", str(two_commits), "ci")
    return tmp_path / "ci"


@pytest.fixture
def telephone_asr(monkeypatch, capsys) -> Callable[..., SimpleNamespace]:
    """telephone_asr(directory, "review", "main", fails=False): what the command prints and says."""

    def run(directory: Path, *arguments: str, fails: bool = False) -> SimpleNamespace:
        monkeypatch.chdir(directory)
        monkeypatch.setattr(sys, "argv", ["telephone-asr", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code
        assert bool(code) is fails, code
        return SimpleNamespace(out=capsys.readouterr().out, error=code if fails else "")

    return run
