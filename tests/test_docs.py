"""What the documentation names is there: files, links, commands, params, stages."""

import argparse
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from telephone_asr import cli
from telephone_asr.keys import change_key

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/review/*.md")])
PAGES = [page for page in PAGES if page.name != "example.md"]
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
OTHERS = ("git", "pip", "cd", "cp", "ls", "for", "source", "ffmpeg", "sox", "npm", "actionlint")
# The options of FunASR's servers: tests/test_served.py
# Servers of DVC's remotes: tests/test_remotes.py
OTHERS += ("rclone", "wsgidav")
# Several machines: bench/hosts.py
OTHERS += ("accelerate", "export", "sbatch")
OTHERS += ("curl", "echo", "funasr-server", "funasr-realtime-server")
# Begins of paths that the user has, or that a run makes.
MADE = ("data/", "models/", "metrics/", "report/", "splits/", ".scratch", ".imported", ".venv")


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks, continued ones put together; of a console, its input."""
    found = []
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = text.replace("\\\n", " ").splitlines()
        if kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [line.partition(" #")[0].strip() for line in lines]
    return [line for line in found if line and not line.startswith("#")]


COMMANDS = [(page, line) for page in PAGES for line in commands(page)]


def test_there_are_commands():
    assert len(COMMANDS) > 30


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line[:60] for _, line in COMMANDS])
def test_a_command_can_be_given(page, line):
    """Its program is known, and its options, params, stages and scripts are there."""
    words = shlex.split(line)
    while re.match(r"[A-Z_0-9]+=", words[0]):
        words = words[1:]
    if words[0] == "telephone-asr":
        parser().parse_args(words[1:])
    elif words[0] == "dvc":
        check_dvc(words[1:])
    elif words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= {*targets, "repro"}
    elif words[0] == "python":
        script = words[1] if words[1] != "-m" else None
        assert script is None or (ROOT / script).is_file()
    else:
        assert words[0] in OTHERS


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(exit_on_error=False)
    subparsers = whole.add_subparsers(required=True)
    for command in cli.COMMANDS:
        command.add(subparsers)
    return whole


def check_dvc(words: list[str]) -> None:
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    for option, change in pairwise(words):
        if option in ("-S", "--set-param"):
            key, _, values = change.partition("=")
            grid = (
                "--queue" in words and "]," in values
            )  # several values of a key, as a sweep has them
            change_key(params, f"{key}=[{values}]" if grid else change)
    if words[0] == "repro":
        names = [word for word in words[1:] if not word.startswith("-")]
        assert {name.partition("@")[0] for name in names} <= STAGES.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    """Names in backticks that look like files of the repository."""
    sources = {
        path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if ".git/" not in str(path)
    }
    for name in re.findall(
        r"`([\w./-]+\.(?:py|yaml|toml|yml|md|sha256))`", page.read_text("utf-8")
    ):
        if name.startswith(MADE) or "/" not in name:
            continue
        assert any(path == name or path.endswith(f"/{name}") for path in sources), name
