"""Renews constraints.txt and says what changed: `make upgrade`, or `make upgrade ONLY=funasr`.

    python .ci/upgrade.py [PACKAGE ...]

uv resolves everything in pyproject.toml for each Python that it allows; without names, to the
newest versions that go together. Nothing is installed: `make test` does that, with the new ones.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"


def main(packages: Sequence[str]) -> None:
    before = CONSTRAINTS.read_text(encoding="utf-8")
    head = [line for line in before.splitlines() if line.startswith("#")]
    with tempfile.TemporaryDirectory() as directory:
        new = Path(directory, "constraints.txt")
        shutil.copyfile(CONSTRAINTS, new)  # what uv keeps to where it is not told to upgrade
        resolve(new, packages)
        after = "\n".join([*head, *new.read_text(encoding="utf-8").splitlines()]) + "\n"
    CONSTRAINTS.write_text(after, encoding="utf-8")
    print("\n".join(changes(before, after)) or "nothing changed")


def resolve(target: Path, packages: Sequence[str]) -> None:
    """Writes the versions that go together into `target`; ends where uv finds none."""
    chosen = [f"--upgrade-package={name}" for name in packages] or ["--upgrade"]
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras"]
    command += ["--universal", "--fork-strategy=requires-python", f"--python-version={oldest()}"]
    command += ["--no-header", "--no-annotate", "--quiet", *chosen]
    done = subprocess.run([*command, "--output-file", str(target)], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def oldest() -> str:
    """Returns the first Python that pyproject.toml allows."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [version] = re.findall(r'^requires-python = ">=([0-9.]+)', project, re.MULTILINE)
    return version


def changes(before: str, after: str) -> list[str]:
    """Returns a line for each package whose versions changed; first what is to be looked at.

    >>> changes("a==1.0\\nb==2.0\\n", "a==2.0\\nc==1.0; python_version < '3.11'\\n")
    ['a 1.0 -> 2.0 (major)', 'b 2.0 -> gone', 'c new -> 1.0']
    """
    old, new = versions(before), versions(after)
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if old[name] == new[name]:
            continue
        words = [", ".join(map(str, sorted(one))) for one in (old[name], new[name])]
        word = ""
        if old[name] and new[name]:
            was, now = max(old[name]), max(new[name])
            word = " (lower)" if now < was else " (major)" if now.major != was.major else ""
        lines.append((not word, f"{name} {words[0] or 'new'} -> {words[1] or 'gone'}{word}"))
    return [line for _, line in sorted(lines)]


def versions(constraints: str) -> defaultdict[str, set[Version]]:
    """Reads the versions of each package, of which there can be one for each Python."""
    read: defaultdict[str, set[Version]] = defaultdict(set)
    for line in constraints.splitlines():
        if line.strip() and not line.startswith("#"):
            one = Requirement(line)
            [pin] = one.specifier
            read[canonicalize_name(one.name)].add(Version(pin.version))
    return read


if __name__ == "__main__":
    main(sys.argv[1:])
