"""`telephone-asr gate`: may this be merged? Exits with 1 where it costs more than params allow."""

from __future__ import annotations

import sys

MAIN = "main"


def add(commands) -> None:
    parser = commands.add_parser("gate", help="check CER against the limits of params.yaml's gate")
    parser.add_argument("--base", metavar="REV", help=f"compare with this revision, not {MAIN}")
    parser.set_defaults(run=lambda a: guard(a.base))


def guard(base: str | None) -> None:
    """Prints a sentence for each check; exits with 1 where a limit is broken.

    Args:
        base: the revision to compare with; None: main, if there is one.

    Raises:
        InputError: `base` is unknown, or there are no metrics.
    """
    from telephone_asr.commands import revisions
    from telephone_asr.params import load_params
    from telephone_asr.report.findings import BASE, FINAL
    from telephone_asr.report.gate import check, passed

    params = load_params()
    revisions.require_revision(base or "HEAD")
    base = base or (MAIN if revisions.is_revision(MAIN) else None)
    before, after = revisions.metrics(base or "HEAD")
    here, missing = revisions.results(after, (BASE, FINAL), None)
    there = None
    if base:
        there, missing_there = revisions.results(before, (FINAL,), base)
        missing += missing_there
    checks = check(here, there, **vars(params.gate), seed=params.seed)
    words = {True: "ok    ", False: "BROKEN", None: "-     "}
    for one in checks:
        print(words[one.ok], one.sentence)
    if base and (sentence := revisions.stand_in(before, base)):
        print(words[None], sentence)
    if base is None:
        print(f"{words[None]} there is no {MAIN} to compare with: --base REV names a revision.")
    if missing:
        print(f"{words[None]} not all transcripts are at hand (`dvc pull`), so intervals are wide.")
    if not passed(checks):
        sys.exit(1)
