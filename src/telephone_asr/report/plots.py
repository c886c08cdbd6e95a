"""Data files for `dvc plots`, which draws those of several experiments into one picture."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from telephone_asr.report.alignment import confusions
from telephone_asr.report.findings import LAST, SETS, Findings, lines_of
from telephone_asr.report.slices import KINDS, name_of

SHOWN_CHARACTERS = 16  # a side of the confusion matrix
NOTHING = "∅"  # deleted


def write(directory: Path, findings: Findings) -> None:
    """CER by slice and the confusions of the last checkpoint, a CSV each."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "slices.csv", ("slice", "cer"), _slices(findings.metrics[LAST]))
    telephone = [
        line
        for name in ("telecall", "simulated")
        for line in lines_of(findings.transcripts, LAST, name)
    ]
    pairs = _pairs(confusions(telephone, findings.scoring))
    _write(directory / "confusions.csv", ("said", "recognised"), pairs)


def _slices(metrics: Mapping[str, dict]) -> Iterable[tuple[str, str]]:
    for test_set, title in SETS.items():
        rates = {title: metrics[test_set]["cer"]}
        for kind, (kind_title, _) in KINDS.items():
            for name, one in metrics[test_set].get(kind, {}).items():
                rates[f"{title}: {kind_title} {name_of(kind, name)}"] = one["cer"]
        yield from ((name, f"{rate:.6f}") for name, rate in rates.items() if rate is not None)


def _pairs(found: Counter[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """What was said and recognised, a row each time, of the characters with most errors.

    Characters that were right are among them: DVC's template counts rows, and a matrix without
    its diagonal says little.
    """
    wrong = Counter()
    for (said, heard), times in found.items():
        if said and said != heard:
            wrong[said] += times
    most = sorted(wrong, key=lambda said: (-wrong[said], said))[:SHOWN_CHARACTERS]
    for (said, heard), times in sorted(found.items()):
        if said in most and (heard in most or not heard):
            yield from [(said, heard or NOTHING)] * times


def _write(path: Path, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
