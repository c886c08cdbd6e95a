"""`telephone-asr review`: what a change did to the error rates, as a comment in Markdown."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.names import CHECKPOINTS, FINAL
from telephone_asr.paths import METRICS, SLICES

if TYPE_CHECKING:
    from telephone_asr.report.review import Review
    from telephone_asr.scoring.evidence import Side
    from telephone_asr.scoring.mask import Shown

DATA = f"{METRICS}/data.json"
HOTWORDS = "decode.hotwords"
REPORT = Path("report")
PICTURES = {"CER by stage": "cer.png", "Loss and validation CER by step": "curves.png"}


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("review", help="what a change did, as a pull request's comment")
    parser.add_argument("base", metavar="BASE", help="what to compare with: main, an experiment")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.set_defaults(run=lambda a: write_review(a.base, a.output))


def write_review(base: str, output: Path | None) -> None:
    """Writes the comment, to `output` or standard output.

    Raises:
        InputError: no repository, no such revision, or something that cannot be read; where the
            comment can be made all the same, it says what, and is written.
    """
    from telephone_asr.report.review import comment

    if output and not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: {output.parent} is no directory; make it.")
    review = gather(base, output.parent if output else Path())
    text = comment(review)
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    if review.unreadable:
        first, *more = review.unreadable
        raise InputError(f"{first}{f' (and {len(more)} more)' if more else ''}: the gate fails.")


def gather(base: str, place: Path) -> Review:
    """Returns the review of this checkout against `base`.

    Args:
        place: the directory of the comment; its pictures' paths are relative to it.
    """
    from telephone_asr.commands import revisions
    from telephone_asr.params import load_params
    from telephone_asr.report import changes, review
    from telephone_asr.scoring import evidence, gate
    from telephone_asr.textfiles import one_line

    params = load_params()
    revisions.require_revision(base)
    there, here = revisions.read(base), revisions.read(None)
    before, _ = revisions.results(there, base)
    after, _ = revisions.results(here, None)
    own = evidence.own_tests(here)
    differences = review.compare_all(before, after, params.seed, tuple(own))
    changed = {name for (_, name), one in differences.items() if one and not one.unchanged}
    remeasured = [name for name in CHECKPOINTS if name in changed]
    lacks = evidence.lacks(there, here)
    return review.Review(
        base=revisions.title(base),
        here=revisions.title_here(),
        before=before,
        after=after,
        stand_in=revisions.stand_in(there, here),
        differences=differences,
        checks=gate.check(
            *(after, before), **vars(params.gate), seed=params.seed, lacks=lacks, own=own
        ),
        unreadable=[
            one_line(f"{one.name} {one.why}")
            for one in lacks
            if one.name not in params.gate.accept or not one.acceptable
        ],
        slices=changes.slice_changes(before, after, FINAL, params.seed),
        remeasured=changes.remeasured(there.stages, here.stages, remeasured),
        params=_without_names(_differences(there.params, here.params), params.report.texts),
        data=(_counts(there), _counts(here)),
        stages=changes.changed_stages(there.stages, here.stages),
        others=_others(there.metrics, here.metrics),
        pictures={
            what: Path(os.path.relpath(REPORT / name, place)).as_posix()
            for what, name in PICTURES.items()
            if (REPORT / name).is_file()
        },
    )


def _counts(side: Side) -> dict[str, float]:
    from telephone_asr.scoring.evidence import flat

    data = flat(side.metrics.get(DATA, {}))
    return {key: value for key, value in data.items() if isinstance(value, int | float)}


def _differences(before: Mapping, after: Mapping) -> dict[str, tuple]:
    """Returns what changed: before, after; None where it is not there."""
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys(), key=str)
        if before.get(key) != after.get(key)
    }


def _without_names(changed: dict[str, tuple], texts: Shown) -> dict[str, tuple]:
    """Counts the hotwords, which are names, unless all texts are shown."""
    if texts == "all" or HOTWORDS not in changed:
        return changed
    before, after = (f"{len(words or ())} words" for words in changed[HOTWORDS])
    return changed | {HOTWORDS: (before, after)}


def _others(before: Mapping[str, dict], after: Mapping[str, dict]) -> dict[str, tuple]:
    """Returns the numbers of other files that changed: time and memory, the export's equality."""
    from telephone_asr.scoring.evidence import flat

    told = {DATA, *(f"{place}/{name}.json" for name in CHECKPOINTS for place in (METRICS, SLICES))}

    def numbers(metrics: Mapping[str, dict]) -> dict:
        trees = {file: tree for file, tree in metrics.items() if file not in told}
        return {f"{file}: {k}": v for file, tree in trees.items() for k, v in flat(tree).items()}

    return _differences(numbers(before), numbers(after))
