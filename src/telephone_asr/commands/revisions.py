"""Asks git what another revision of this repository holds: for gate and review."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError
from telephone_asr.names import CHECKPOINTS, FINAL, UNMERGED
from telephone_asr.paths import METRICS, SLICES, TRANSCRIPTS
from telephone_asr.scoring import evidence
from telephone_asr.scoring.evidence import Side

if TYPE_CHECKING:
    from telephone_asr.scoring.difference import Results

LOCK, PIPELINE = Path("dvc.lock"), "dvc.yaml"


def is_revision(name: str) -> bool:
    """Says whether there is a branch, tag, commit or experiment of this name."""
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
    """Returns the revision's name with its commit, as in `main (1a2b3c4)`."""
    commit = _git("rev-parse", "--short", _commit(name)).stdout.strip()
    return commit if name.startswith(commit) else f"{name} ({commit})"


def title_here() -> str:
    """Says what is checked out: branch or commit, and whether its results are committed."""
    branch = _git("branch", "--show-current").stdout.strip()
    changed = _git("status", "--porcelain", "--", str(METRICS), str(LOCK), "params.yaml").stdout
    return title(branch or "HEAD") + (" with uncommitted changes" if changed.strip() else "")


def read(base: str | None) -> Side:
    """Reads what git has of a revision; of this checkout, what lies in it.

    Every file that dvc.lock says is made in metrics/ must be there, and those that the gate needs.
    """
    name = "this checkout" if base is None else base
    unreadable: dict[str, str] = {}

    def parsed(file: str, parse: Callable[[str], dict]) -> dict:
        try:
            return parse(_text(file, base))
        except ValueError as error:
            unreadable[file] = str(error)
            return {}

    stages = _of_pipeline(parsed(LOCK.as_posix(), evidence.read_stages), base)
    outs = {out["path"] for stage in stages.values() for out in stage.get("outs") or []}
    files = {one for one in outs if one.startswith(f"{METRICS}/") and one.endswith(".json")}
    files |= {(METRICS / f"{one}.json").as_posix() for one in (*CHECKPOINTS, "data")}
    metrics = {file: parsed(file, partial(evidence.read_metrics, file)) for file in sorted(files)}
    metrics = {file: tree for file, tree in metrics.items() if file not in unreadable}
    params = parsed("params.yaml", evidence.read_params)
    if base is not None and not metrics:
        raise InputError(
            f"{name} has no metrics: compare with a revision that has those of a `dvc repro` in "
            f"{METRICS}/."
        )
    return Side(name, metrics, stages, params, unreadable)


def _of_pipeline(stages: dict[str, dict], base: str | None) -> dict[str, dict]:
    """Leaves out stages that dvc.yaml has no longer: DVC keeps what was renamed in dvc.lock."""
    try:
        pipeline = evidence.read_params(_text(PIPELINE, base))
    except ValueError:
        return stages
    return {name: stage for name, stage in stages.items() if _is_in(pipeline, name)}


def _is_in(pipeline: Mapping[str, Any], name: str) -> bool:
    """Says whether a stage of dvc.lock is one of dvc.yaml, given by its dotted keys."""
    stage, _, word = name.partition("@")
    words = [value for key, value in pipeline.items() if key.startswith(f"stages.{stage}.matrix.")]
    if word and len(words) == 1 and isinstance(words[0], list):
        return word in map(str, words[0])
    return any(key.startswith(f"stages.{stage}.") for key in pipeline)


def _text(file: str, base: str | None) -> str:
    """Reads a file of a revision or of this checkout. Raises ValueError for what is no text file,
    with words that follow its name."""
    if ".." in Path(file).parts:
        raise ValueError("is outside")
    try:
        content = _committed(file, base) if base is not None else _lying_here(Path(file))
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if content is None or len(content) > evidence.LARGEST_BYTES:
        raise ValueError("is no file, or too large a one")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None


def _committed(file: str, base: str) -> bytes | None:
    """Returns a file of a revision; None for a link or a directory, which `git show` shows too."""
    kind = _git("ls-tree", _commit(base), "--", file).stdout[:6]
    if not kind:
        raise ValueError("is missing")
    shown = _git("show", f"{_commit(base)}:./{file}", encoding=None)
    return shown.stdout if kind.startswith("100") and not shown.returncode else None


def _lying_here(path: Path) -> bytes | None:
    if not path.exists() and not path.is_symlink():
        raise ValueError("is missing")
    if path.is_symlink() or not path.is_file() or path.stat().st_size > evidence.LARGEST_BYTES:
        return None
    return path.read_bytes()


def has_final(side: Side) -> bool:
    """Says whether the exported model was scored; older revisions are still about."""
    return f"{METRICS}/{FINAL}.json" in side.metrics


def stand_in(there: Side, here: Side) -> str:
    """Says it where a revision's lora stands in for the final that it has not; else empty."""
    if has_final(there) or not has_final(here):
        return ""
    file = f"{METRICS}/{FINAL}.json"
    return f"{there.name} has no {file}: its stage 3 before merging is compared with final."


def results(side: Side, base: str | None) -> tuple[Results, list[str]]:
    """Returns rates by checkpoint and test set, and the transcripts that can be had.

    Args:
        base: the revision, whose lora stands in for a final that it has not; None: this checkout.

    Returns:
        The results, and the checkpoints whose transcripts are not at hand.
    """
    from telephone_asr.scoring.difference import Results

    sources = {name: name for name in CHECKPOINTS}
    if base is not None and not has_final(side):
        sources[FINAL] = UNMERGED
    by_checkpoint, transcripts = {}, {}
    for name, source in sources.items():
        trees = [side.metrics.get(f"{place}/{source}.json", {}) for place in (METRICS, SLICES)]
        sets: dict[str, dict] = {}
        for tree in trees:
            for test_set, part in tree.items():
                values = evidence.flat(part) if isinstance(part, dict) else {}
                known = {key: value for key, value in values.items() if value is not None}
                sets.setdefault(test_set, {}).update(known)
        by_checkpoint[name] = sets
    with _files_of(base) as files:
        for name, source in sources.items():
            lines = _transcripts(files, source)
            if lines is not None and _belong(lines, by_checkpoint[name]):
                transcripts[name] = lines
    missing = [name for name in CHECKPOINTS if name not in transcripts]
    return Results(by_checkpoint, transcripts), missing


@contextmanager
def _files_of(base: str | None) -> Iterator[Any]:
    """Opens all files of a revision, DVC's too, as a file system; None where DVC cannot read it."""
    from dvc.api import DVCFileSystem

    with ExitStack() as stack:
        files = None
        with suppress(Exception):  # of a repository in conflict, whatever its parsers raise
            files = stack.enter_context(closing(DVCFileSystem(rev=base)))
        yield files


def _transcripts(files: Any, checkpoint: str) -> list[dict] | None:
    """Reads them from the working directory, DVC's cache or its remote; None if none has them."""
    try:
        text = files.read_text(f"{TRANSCRIPTS}/{checkpoint}.jsonl", encoding="utf-8")
        return evidence.read_transcripts(text)
    except Exception:  # a remote raises what it likes: without it, the metrics have to do
        return None


def _belong(lines: Sequence[dict], sets: Mapping[str, dict]) -> bool:
    """Says whether the transcripts are those that the metrics were counted on."""
    counts = ("substitutions", "deletions", "insertions", "characters")
    for test_set in {line["source"] for line in lines}:
        own = [line for line in lines if line["source"] == test_set]
        if any(sum(x[name] for x in own) != sets.get(test_set, {}).get(name) for name in counts):
            return False
    return True


def _commit(name: str) -> str:
    """Returns the hash of the commit that a name stands for; empty where there is none."""
    commits = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout
    if not commits:
        # An experiment is refs/exps/<its baseline>/<name>, where git does not look for names.
        commits = _git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").stdout
    return commits.partition("\n")[0]


def _git(*arguments: str, encoding: str | None = "utf-8") -> subprocess.CompletedProcess:
    # Names as they are, not quoted; a revision is never taken for an option.
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, capture_output=True, encoding=encoding)
