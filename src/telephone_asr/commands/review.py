"""`telephone-asr review`: what a change did to the error rates, as a comment in Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.stages import METRICS

REPORT = Path("report")
PICTURES = {"CER by stage": "cer.png", "Loss and validation CER by step": "curves.png"}


def add(commands) -> None:
    parser = commands.add_parser("review", help="what a change did, as a pull request's comment")
    parser.add_argument("base", metavar="BASE", help="what to compare with: main, an experiment")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.set_defaults(run=lambda a: write_review(a.base, a.output))


def write_review(base: str, output: Path | None) -> None:
    """Writes the comment, to `output` or standard output.

    Raises:
        InputError: no repository, no such revision, or no results in it or here.
    """
    from telephone_asr.report.review import comment

    if output and not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: {output.parent} is no directory; make it.")
    text = comment(gather(base, output.parent if output else Path()))
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def gather(base: str, place: Path):
    """The `Review` of this checkout against `base`.

    Args:
        place: the directory of the comment; its pictures' paths are relative to it.
    """
    from telephone_asr.commands import revisions
    from telephone_asr.params import load_params
    from telephone_asr.report import changes, gate, review
    from telephone_asr.report.findings import CHECKPOINTS, FINAL

    params = load_params()
    revisions.require_revision(base)
    metrics = revisions.metrics(base)
    before, _ = revisions.results(metrics[0], CHECKPOINTS, base)
    after, _ = revisions.results(metrics[1], CHECKPOINTS, None)
    data = str(METRICS / "data.json")
    told = {data, *(str(METRICS / f"{name}.json") for name in CHECKPOINTS)}
    locks = revisions.locks(base)
    found = review.differences(before, after, params.seed)
    changed = {name for (_, name), one in found.items() if one and one.verdict != "unchanged"}
    return review.Review(
        base=revisions.title(base),
        here=revisions.title_here(),
        before=before,
        after=after,
        stand_in=revisions.stand_in(metrics[0], base),
        found=found,
        checks=gate.check(after, before, **vars(params.gate), seed=params.seed),
        slices=changes.slice_changes(before, after, FINAL, params.seed),
        remeasured=changes.remeasured(*locks, [name for name in CHECKPOINTS if name in changed]),
        params=revisions.params_diff(base),
        data=(metrics[0].get(data, {}), metrics[1].get(data, {})),
        stages=changes.changed_stages(*locks),
        others=_others(*metrics, told),
        pictures={
            what: Path(os.path.relpath(REPORT / name, place)).as_posix()
            for what, name in PICTURES.items()
            if (REPORT / name).is_file()
        },
    )


def _others(before: Mapping[str, dict], after: Mapping[str, dict], told: set[str]) -> dict:
    """The numbers of the other files that changed: time and memory, the export's equality."""
    return {
        f"{file}: {key}": (before.get(file, {}).get(key), value)
        for file, keys in sorted(after.items())
        if file not in told
        for key, value in keys.items()
        if before.get(file, {}).get(key) != value
    }
