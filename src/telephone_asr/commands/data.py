"""`telephone-asr data`: what became of each utterance, from the manifests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from telephone_asr.commands import forget
from telephone_asr.commands.align import MIN_SCORE, align_list
from telephone_asr.commands.arguments import add_model
from telephone_asr.commands.trust import suspects, thresholds
from telephone_asr.commands.why import manifest_there, own_tests, why
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.manifests.split import hashed, write_frozen
from telephone_asr.paths import FROZEN_SPLITS, MANIFESTS, PSEUDO, SHARDS
from telephone_asr.textfiles import json_lines, printable


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("data", help="what became of the corpora's utterances")
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("why", help="what happened to an utterance, a turn or a recording")
    task.add_argument("id", metavar="ID", help="as the corpus has it; the report shows some")
    task.set_defaults(run=lambda a: _print(why(a.id)))

    task = tasks.add_parser("rejected", help="list what was left out, and why")
    task.add_argument("--reason", help="of this reason alone, such as clipped")
    task.set_defaults(run=lambda a: _print_rejected(a.reason))

    task = tasks.add_parser("freeze", help="keep the ids of the test sets in splits/, for git")
    task.set_defaults(run=lambda _: _print(freeze(MANIFESTS, FROZEN_SPLITS, not _shows_ids())))

    forget.add(tasks)

    task = tasks.add_parser(
        "align",
        help="long transcripts without times become turns to train on",
        description="Aligns them by a model's CTC branch and cuts them at pauses: docs/data.md",
    )
    task.add_argument("list", type=Path, metavar="LIST", help="of calls: JSONL or CSV")
    add_model(task)
    task.add_argument("--output", type=Path, required=True, metavar="FILE", help="a JSONL of turns")
    task.add_argument(
        "--min-score",
        type=float,
        default=MIN_SCORE,
        metavar="X",
        help=f"log probability per character of turns that are kept (default: {MIN_SCORE})",
    )
    task.set_defaults(run=lambda a: _print(align_list(a.list, a.model, a.output, a.min_score)))

    task = tasks.add_parser(
        "thresholds",
        help="limits for pseudo-labels that reach a CER on the validation calls",
        description="Prints unlabelled.keep for params.yaml: docs/unlabelled.md",
    )
    task.add_argument("--target-cer", type=float, required=True, metavar="X", help="0.05: 5 %%")
    task.set_defaults(run=lambda a: _print(thresholds(PSEUDO, a.target_cer)))

    task = tasks.add_parser(
        "suspects",
        help="calls whose transcripts are most likely wrong, the worst first",
        description="Compares them with what a model hears: docs/unlabelled.md",
    )
    add_model(task)
    task.add_argument("--first", type=int, default=50, metavar="N", help="(default: 50)")
    task.add_argument(
        "--marked",
        action="store_true",
        help="rank those too that are marked as wrong, and say where they come",
    )
    task.set_defaults(run=lambda a: _print(suspects(a.model, a.first, a.marked)))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(line))


def _print_rejected(reason: str | None) -> None:
    lines = list(rejected(MANIFESTS, reason))
    _print(lines)
    if not lines:
        print(f"nothing is left out{f' as {reason}' if reason else ''}", file=sys.stderr)


def rejected(manifests: Path, reason: str | None) -> Iterator[str]:
    """Yields source, id, reason and detail, tab between them; of one reason, if it is named.

    Raises InputError for a reason that there is not.
    """
    from telephone_asr.manifests.quality import REASONS

    if reason is not None and reason not in REASONS:
        raise InputError(f"--reason {reason}: expected one of {', '.join(REASONS)}.")
    for directory in (*(manifests / source for source in SHARDS), *own_tests(manifests)):
        for entry in entries(directory / "rejected.jsonl"):
            if reason in (None, entry["reason"]):
                yield f"{directory.name}\t{entry['id']}\t{entry['reason']}\t{entry['detail']}"


def _shows_ids() -> bool:
    from telephone_asr.params import load_params

    return load_params().report.texts == "all"


def freeze(manifests: Path, directory: Path, by_hash: bool = False) -> list[str]:
    """Writes the test sets' ids, or their hashes, into `directory`; returns what was written, a
    line a file.

    Raises InputError, and writes nothing, where a list is there already.
    """
    paths = {source: directory / f"{source}.txt" for source in ("wideband", "telecall")}
    for path in paths.values():
        if path.is_file():
            raise InputError(f"{path} is there already: delete it to freeze another test set.")
    done = []
    for source, path in paths.items():
        ids = {e.key for e in read_manifest(manifests / source / "test.jsonl")}
        write_frozen(path, map(hashed, ids) if by_hash else ids)
        done.append(f"{path}: {len(ids)} utterances")
    return done


def entries(path: Path) -> Iterator[dict]:
    """Yields the lines of one of the manifests' files; raises InputError where there is none."""
    yield from json_lines(manifest_there(path), "run `dvc repro manifests`")
