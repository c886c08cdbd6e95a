"""What another revision of this repository holds, asked of git and DVC: for gate and review."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.stages import METRICS, SLICES, TRANSCRIPTS

if TYPE_CHECKING:
    from telephone_asr.report.differences import Results

LOCK = Path("dvc.lock")


def is_revision(name: str) -> bool:
    """Whether there is a branch, tag, commit or experiment of this name."""
    return bool(_commit(name))


def require_revision(name: str) -> None:
    """Raises InputError where there is no repository, no dvc.lock or no such revision."""
    if _git("rev-parse").returncode:
        raise InputError(f"{Path.cwd()} is in no git repository: run from the root of a clone.")
    if not LOCK.is_file():
        raise InputError(f"{LOCK} does not exist: run `dvc repro` and commit it.")
    if not is_revision(name):
        raise InputError(
            f"{name}: git knows no such revision; expected a branch, tag, commit or experiment "
            "(`git fetch origin` and `dvc exp pull origin NAME` bring those of the remote)."
        )


def title(name: str) -> str:
    """The revision's name with its commit, as in `main (1a2b3c4)`."""
    commit = _git("rev-parse", "--short", _commit(name)).stdout.strip()
    return commit if name.startswith(commit) else f"{name} ({commit})"


def title_here() -> str:
    """What is checked out: branch or commit, and whether its results are committed."""
    branch = _git("branch", "--show-current").stdout.strip()
    changed = _git("status", "--porcelain", "--", str(METRICS), str(LOCK), "params.yaml").stdout
    return title(branch or "HEAD") + (" with uncommitted changes" if changed.strip() else "")


def metrics(base: str) -> tuple[dict[str, dict], dict[str, dict]]:
    """The metrics of every file, at `base` and here: file: dotted key: number.

    Raises InputError where `base` has none.
    """
    found = _dvc("metrics", "diff", "--all", "--json", base)
    sides = tuple(
        {
            file: {key: one[side] for key, one in keys.items() if one.get(side) is not None}
            for file, keys in found.items()
        }
        for side in ("old", "new")
    )
    for side, place in zip(sides, (base, "this checkout"), strict=True):
        if not any(side.values()):
            raise InputError(
                f"{place} has no metrics: compare with a revision that has those of a "
                f"`dvc repro` in {METRICS}/."
            )
    return sides


def params_diff(base: str) -> dict[str, tuple]:
    """The params that changed since `base`: key: value before, value after (None: not there)."""
    files = _dvc("params", "diff", "--json", base)
    return {
        key if file == "params.yaml" else f"{file}: {key}": (one.get("old"), one.get("new"))
        for file, keys in sorted(files.items())
        for key, one in sorted(keys.items())
    }


def locks(base: str) -> tuple[dict[str, dict], dict[str, dict]]:
    """The stages of dvc.lock at `base` and here; DVC itself compares files, not stages."""
    from ruamel.yaml import YAML

    shown = _git("show", f"{_commit(base)}:./{LOCK}")
    if shown.returncode:
        raise InputError(f"{base} has no {LOCK}: compare with a revision that was reproduced.")
    texts = (shown.stdout, LOCK.read_text(encoding="utf-8"))
    return tuple(
        (YAML(typ="safe", pure=False).load(text) or {}).get("stages", {}) for text in texts
    )


def has_final(metrics: Mapping[str, dict]) -> bool:
    """Whether the exported model was scored; revisions from before that are still about."""
    return bool(metrics.get(str(METRICS / "final.json")))


def stand_in(metrics: Mapping[str, dict], base: str) -> str:
    """A sentence where a revision's lora stands in for the final that it has not; else empty."""
    if has_final(metrics):
        return ""
    return f"{base} has no {METRICS}/final.json: its stage 3 before merging is compared with final."


def results(
    metrics: Mapping[str, dict], checkpoints: Sequence[str], base: str | None
) -> tuple[Results, list[str]]:
    """Metrics by checkpoint and test set, and the transcripts that can be had.

    Args:
        metrics: of a revision, as `metrics` above gives them.
        base: the revision, whose lora stands in for a final that it has not; None: this checkout.

    Returns:
        The results, and the checkpoints whose transcripts are not at hand.

    Raises:
        InputError: this checkout has no metrics of final.
    """
    from dvc.api import DVCFileSystem

    from telephone_asr.report.differences import Results
    from telephone_asr.report.findings import FINAL, UNMERGED

    last = FINAL if has_final(metrics) else UNMERGED
    if base is None and last != FINAL:
        raise InputError(
            f"{METRICS}/{FINAL}.json does not exist: run `dvc repro`, which scores the exported "
            "model."
        )
    by_checkpoint, transcripts = {}, {}
    files = DVCFileSystem(rev=base)
    for name in checkpoints:
        source = last if name == FINAL else name
        sets: dict[str, dict] = {}
        for key, value in metrics.get(str(METRICS / f"{source}.json"), {}).items():
            test_set, _, rest = key.partition(".")
            sets.setdefault(test_set, {})[rest] = value
        for test_set, slices in _slices(source, base).items():
            sets.setdefault(test_set, {}).update(_flat(slices))
        by_checkpoint[name] = sets
        lines = _transcripts(files, source)
        if lines is not None and _belong(lines, sets):
            transcripts[name] = lines
    missing = [name for name in checkpoints if name not in transcripts]
    return Results(by_checkpoint, transcripts), missing


def _slices(checkpoint: str, base: str | None) -> dict:
    """By test set; of a revision from git, since they are no metrics to DVC."""
    path = SLICES / f"{checkpoint}.json"
    if base is not None:
        text = _git("show", f"{_commit(base)}:./{path}").stdout
    else:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return json.loads(text or "{}")


def _flat(tree: Mapping, prefix: str = "") -> dict[str, float]:
    """Numbers by their dotted keys."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _transcripts(files, checkpoint: str) -> list[dict] | None:
    """From the working directory, DVC's cache or its remote; None where none of them has it."""
    try:
        text = files.read_text(f"{TRANSCRIPTS}/{checkpoint}.jsonl", encoding="utf-8")
    except Exception:  # a remote raises what it likes: without it, the metrics have to do
        return None
    return [json.loads(line) for line in text.splitlines()]


def _belong(lines: Sequence[dict], sets: Mapping[str, dict]) -> bool:
    """Whether the transcripts are those that the metrics were counted on."""
    counts = ("substitutions", "deletions", "insertions", "characters")
    for test_set in {line["source"] for line in lines}:
        own = [line for line in lines if line["source"] == test_set]
        if any(sum(x[name] for x in own) != sets.get(test_set, {}).get(name) for name in counts):
            return False
    return True


def _commit(name: str) -> str:
    """The hash of the commit that a name stands for; empty where there is none."""
    found = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout
    # An experiment is refs/exps/<its baseline>/<name>, where git does not look for names.
    found = found or _git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").stdout
    return found.partition("\n")[0]


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")


def _dvc(*arguments: str) -> dict:
    """What a command of DVC prints as JSON; its own sentence as InputError where it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1].removeprefix("ERROR: ")
        raise InputError(f"dvc {' '.join(arguments)}: {reason}")
    return json.loads(done.stdout or "{}")
