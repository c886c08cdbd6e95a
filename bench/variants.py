"""Copies of the repository with other params, in which the stages run beside one's own work, and
how what comes of them is written down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from telephone_asr.keys import change_key
from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.compare import bootstrap_interval, paired_difference

NEVER = (".venv", ".dvc", ".git", ".scratch", "report")
TRAINING = ("base", "train encoder", "train adaptor", "train lora")


def copy(root: Path, changes: Sequence[str], without: Sequence[str] = ()) -> None:
    """Copies the working directory to `root`, anew, and changes its params.yaml (key=value)."""
    here = Path.cwd()

    def ignored(folder: str, names: list[str]) -> set[str]:
        """Names what stays here: of the top alone, since the package has a report, too."""
        return {*NEVER, *without}.intersection(names) if Path(folder) == here else set()

    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(here, root, ignore=ignored)
    yaml = YAML()
    yaml.width = 4096
    tree = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    for change in changes:
        change_key(tree, change)
    with open(root / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def run(root: Path, stages: Sequence[str]) -> None:
    """Runs stages ("train encoder") one after another in a copy, with the copy's own code."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "TQDM_MININTERVAL": "60"}
    for name in stages:
        command = [sys.executable, "-m", *f"telephone_asr.stages.{name}".split()]
        subprocess.run(command, cwd=root, env=environment, check=True)


def train(root: Path, changes: Sequence[str]) -> None:
    """Trains the base and the three stages in a copy, unless that has been done."""
    if (root / "trained").exists():
        return
    copy(root, changes)
    run(root, TRAINING)
    (root / "trained").touch()


def percent(errors: Sequence[ErrorRate], speakers: Sequence[str]) -> str:
    """Returns a CER in per cent with its 95 % interval by speaker."""
    low, high = bootstrap_interval(errors, speakers, seed=0)
    rate = sum(errors, ErrorRate()).rate
    return f"{100 * rate:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def change(a: Sequence[ErrorRate], b: Sequence[ErrorRate], speakers: Sequence[str]) -> str:
    """Returns b less a in points, paired, with the interval."""
    difference, low, high = paired_difference(a, b, speakers, seed=0)
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
