"""Data files for `dvc plots`, which draws those of several experiments into one picture."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from telephone_asr.report.alignment import align
from telephone_asr.report.findings import LAST, SETS, errors_of, lines_of
from telephone_asr.report.slices import KINDS, grouped
from telephone_asr.scoring.cer import ErrorRate

SHOWN_CHARACTERS = 16  # a side of the confusion matrix
NOTHING = "∅"  # deleted or inserted


def write(directory: Path, transcripts: Mapping[str, Sequence[dict]]) -> None:
    """CER by slice and the confusions of the last checkpoint, a CSV each."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "slices.csv", ("slice", "cer"), _slices(transcripts))
    telephone = [
        line for name in ("telecall", "simulated") for line in lines_of(transcripts, LAST, name)
    ]
    _write(directory / "confusions.csv", ("said", "recognised"), _pairs(telephone))


def _slices(transcripts: Mapping[str, Sequence[dict]]) -> Iterable[tuple[str, str]]:
    for name, title in SETS.items():
        lines = lines_of(transcripts, LAST, name)
        groups = {(title,): lines}
        for kind, (kind_title, _) in KINDS.items():
            groups |= {(title, kind_title, v): own for v, own in grouped(lines, kind).items()}
        for names, own in groups.items():
            total = sum(map(errors_of, own), ErrorRate())
            if total.length:
                yield ": ".join(names), f"{total.rate:.6f}"


def _pairs(lines: Sequence[dict]) -> Iterable[tuple[str, str]]:
    """What was said and recognised, a row each time, of the characters with most errors.

    Characters that were right are among them: DVC's template counts rows, and a matrix without
    its diagonal says little.
    """
    columns = [one for line in lines for one in align(line["reference"], line["text"])]
    wrong = Counter(said for said, _, kind in columns if kind and said)
    most = {
        said for said, _ in sorted(wrong.items(), key=lambda x: (-x[1], x[0]))[:SHOWN_CHARACTERS]
    }
    for said, heard, _ in columns:
        if said in most and (heard in most or not heard):
            yield said, heard or NOTHING


def _write(path: Path, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
