"""`telephone-asr storage`: is what DVC holds whole, here and on the remote?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from telephone_asr.commands.credentials import check_credentials
from telephone_asr.errors import InputError
from telephone_asr.textfiles import printable

if TYPE_CHECKING:
    from dvc.repo import Repo

    from telephone_asr.commands.stored import Finding, Stored

SIDES = ("in the cache", "on the remote")
WHOLE, MISSING, CUT_SHORT, DAMAGED = STATES = ("whole", "missing", "cut short", "not its MD5")
REPAIRED = "repaired"


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("storage", help="is what DVC holds whole, here and on the remote?")
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser(
        "check",
        help="read every object of this checkout, on both sides",
        description="Finds what DVC does not see: docs/remotes.md",
    )
    task.add_argument("--repair", action="store_true", help="take what a side lacks from the other")
    task.add_argument("--remote", metavar="NAME", help="not the default one")
    task.set_defaults(run=lambda a: check(a.remote, a.repair))


def check(remote: str | None, repair: bool) -> None:
    """Prints a line for each object that is not whole on both sides, and a table; exits with 1
    where something is wrong and was not repaired.

    Args:
        remote: its name; None: the default one.
        repair: whether to take what a side lacks from the other.

    Raises:
        InputError: there is no such remote or it does not answer, or git has credentials.
    """
    check_credentials()
    with _repository() as repo:
        findings = _read(repo, remote)
    counts = Counter(pair for one in findings for pair in _states(one))
    left = []
    for finding in sorted(findings, key=lambda one: one.stored.path):
        if not finding.is_sound:
            said = ", ".join(f"{state} {side}" for state, side in _states(finding))
            print(printable(f"{finding.stored.path}: {said}"), end="", flush=True)
            if repair:
                print(_settle(finding, counts), end="")
            print(flush=True)
            if finding.is_lost or not repair:
                left.append(finding)
    _print_table(counts)
    for line in _advice(findings, left, repair):
        print(printable(line))
    if left:
        sys.exit(1)


def _settle(finding: Finding, counts: Counter[tuple[str, str]]) -> str:
    """Repairs what a side has, and counts it; returns what was done, as the line ends with it."""
    from telephone_asr.commands import stored

    if not finding.is_lost:
        stored.repair(finding)
        counts.update((REPAIRED, side) for state, side in _states(finding) if state != WHOLE)
        return f": {REPAIRED}"
    if finding.copies[0].bytes is not None:
        aside = stored.set_aside(finding.stored.cache, finding.stored.oid)
        return printable(f"; set aside as {aside}")
    return ""


@contextmanager
def _repository() -> Iterator[Repo]:
    """Opens the checkout; raises InputError for what DVC has against it, or against its remote."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.fs.base import RemoteMissingDepsError

    try:
        with Repo() as repo:
            yield repo
    except RemoteMissingDepsError as error:
        raise InputError(
            f"{error.url} is read by a package that is not installed: pip install "
            "'telephone-asr[remotes]', with constraints.txt."
        ) from error
    except DvcException as error:
        raise InputError(" ".join(f"DVC says: {error}".split())) from error


def _read(repo: Repo, remote: str | None) -> list[Finding]:
    from tqdm import tqdm

    from telephone_asr.commands import stored

    outs = list(stored.outs_of(repo, remote))
    total = sum(2 * (out.meta.size or 0) for out, _ in outs if out.meta)
    with tqdm(
        total=total, unit="B", unit_scale=True, desc="reading", leave=False, disable=None
    ) as bar:
        return list(stored.examine([one for _, one in outs], lambda n_bytes: bar.update(n_bytes)))


def _states(finding: Finding) -> list[tuple[str, str]]:
    """Returns the state of each copy, and its side."""
    whole_bytes = max((copy.bytes or 0 for copy in finding.copies if copy.is_whole), default=0)
    states = []
    for copy, side in zip(finding.copies, SIDES, strict=True):
        state = MISSING if copy.bytes is None else WHOLE if copy.is_whole else DAMAGED
        if state == DAMAGED and (copy.bytes or 0) < whole_bytes:
            state = CUT_SHORT
        states.append((state, side))
    return states


def _print_table(counts: Counter[tuple[str, str]]) -> None:
    print(f"{'objects':14}{SIDES[0]:>14}{SIDES[1]:>15}")
    for state in (*STATES, REPAIRED):
        row = [counts[state, side] for side in SIDES]
        if any(row) or state == WHOLE:
            print(f"{state:14}{row[0]:14,}{row[1]:15,}")


def _advice(findings: list[Finding], left: list[Finding], repair: bool) -> Iterator[str]:
    """Yields what is to be done now, a line each."""
    damaged = [one for one in findings if one.copies[0].bytes is not None and not one.is_lost]
    damaged = [one for one in damaged if not one.copies[0].is_whole]
    if repair and damaged:
        stages = " ".join(sorted({one.stored.stage for one in damaged}))
        yield (
            f"`dvc checkout --relink --force {stages}` puts what was repaired into the working "
            "tree, where links to the damaged files can be."
        )
    for n, (side, command) in enumerate(zip(SIDES, ("dvc pull", "dvc push"), strict=True)):
        if left and all(one.copies[n].bytes is None for one in findings):
            yield f"nothing is {side}: `{command}` brings all of it."
    if any(not finding.is_lost for finding in left):
        yield "`telephone-asr storage check --repair` takes what a side lacks from the other."
    lost: dict[str, list[Stored]] = {}
    for finding in left:
        if finding.is_lost:
            lost.setdefault(finding.stored.stage, []).append(finding.stored)
    for stage, (one, *more) in sorted(lost.items()):
        objects = f"{one.path}{f' and {len(more)} more' if more else ''} of {stage}"
        again = f"`dvc repro {stage}`" if one.is_made else f"`dvc add {one.path}` of another copy"
        yield (
            f"{objects}: whole nowhere: `telephone-asr storage check --repair` sets aside what is "
            f"damaged, {again} makes it again, and the first brings it to the remote."
        )
