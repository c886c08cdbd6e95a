"""`telephone-asr gate`: may this be merged? Exits with 1 where it costs more than params allow."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from telephone_asr.errors import InputError

MAIN = "main"


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("gate", help="check CER against the limits of params.yaml's gate")
    parser.add_argument("--base", metavar="REV", help=f"compare with this revision, not {MAIN}")
    parser.set_defaults(run=lambda a: guard(a.base))


def guard(base: str | None) -> None:
    """Prints a sentence for each check; exits with 1 where one is not passed.

    Args:
        base: the revision to compare with; None: main.

    Raises:
        InputError: there is no such revision, or it has no metrics.
    """
    from telephone_asr.commands import revisions
    from telephone_asr.params import load_params
    from telephone_asr.scoring.evidence import lacks, own_tests
    from telephone_asr.scoring.gate import check, passed
    from telephone_asr.textfiles import one_line

    params = load_params()
    revisions.require_revision(base or "HEAD")
    if base is None and not revisions.is_revision(MAIN):
        raise InputError(f"there is no {MAIN} to compare with: name a revision with --base REV.")
    base = base or MAIN
    there, here = revisions.read(base), revisions.read(None)
    before, missing_there = revisions.results(there, base)
    after, missing_here = revisions.results(here, None)
    limits: dict[str, Any] = dict(vars(params.gate))
    limits |= {"lacks": lacks(there, here), "own": own_tests(here)}
    checks = check(after, before, **limits, seed=params.seed)
    words = {True: "ok    ", False: "BROKEN", None: "-     "}
    for one in checks:
        print(words[one.ok], one.sentence)
    if sentence := revisions.stand_in(there, here):
        print(words[None], one_line(sentence))
    if missing_there or missing_here:
        print(f"{words[None]} not all transcripts are at hand (`dvc pull`), so intervals are wide.")
    if not passed(checks):
        sys.exit(1)
