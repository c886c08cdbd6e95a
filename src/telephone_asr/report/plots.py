"""Data files for `dvc plots`, which draws those of several experiments into one picture."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from telephone_asr.report.findings import FINAL, Findings, lines_of
from telephone_asr.report.slices import KINDS, name_of
from telephone_asr.scoring.confusion import confusions

SHOWN_PAIRS = 30
NOTHING = "∅"  # deleted or inserted


def write(directory: Path, findings: Findings) -> None:
    """CER by slice and the confusions of the model that ships, a CSV each."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "slices.csv", ("slice", "cer"), _slices(findings.metrics[FINAL]["telecall"]))
    telephone = [
        line
        for name in ("telecall", "simulated")
        for line in lines_of(findings.transcripts, FINAL, name)
    ]
    pairs = _pairs(confusions(telephone, findings.scoring))
    _write(directory / "confusions.csv", ("said", "recognised"), pairs)


def _slices(calls: Mapping) -> Iterable[tuple[str, str]]:
    rates = {"all calls": calls["cer"]}
    for kind, (title, _) in KINDS.items():
        for name, one in calls.get(kind, {}).items():
            rates[f"{title} {name_of(kind, name)}"] = one["cer"]
    return [(name, f"{rate:.6f}") for name, rate in rates.items() if rate is not None]


def _pairs(found: Counter[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """The most frequent errors, a row each time, since DVC's template counts rows.

    Without what was right: beside it no error would be seen.
    """
    wrong = [pair for pair in found if pair[0] != pair[1]]
    for pair in sorted(wrong, key=lambda pair: (-found[pair], pair))[:SHOWN_PAIRS]:
        yield from [(pair[0] or NOTHING, pair[1] or NOTHING)] * found[pair]


def _write(path: Path, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
