"""The test utterances by what is known of them: scene, duration, noise, codec, lost packets.

A property that no utterance has gives no slices. Errors are added within a slice, never averaged.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.report.blocks import FEW_CHARACTERS, Cell, HeatMap
from telephone_asr.report.findings import LAST, errors_of, lines_of
from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.compare import bootstrap_interval

DURATION_EDGES_S = (1, 2, 3, 4, 6, 10)
SNR_EDGES_DB = (5, 10, 15, 20, 25)
LOST_EDGES = (0.0001, 0.02, 0.05)  # share of the packets


@dataclass(frozen=True)
class Slice:
    kind: str  # of KINDS
    value: str
    errors: ErrorRate
    utterances: int
    low: float  # 95 % interval of the CER
    high: float
    share_of_errors: float


def _between(key: str, edges: Sequence[float], unit: str, scale: float = 1) -> Callable:
    """A function that names the range a line's number is in; None where the number is unknown."""

    def name(line: Mapping) -> tuple[int, str] | None:
        if line.get(key) is None:
            return None
        place = bisect.bisect_right(edges, line[key])
        low, high = (f"{scale * edge:g}" for edge in (edges[place - 1], edges[place % len(edges)]))
        if place == 0:
            return place, f"under {high} {unit}"
        if place == len(edges):
            return place, f"{low} {unit} and more"
        return place, f"{low} to {high} {unit}"

    return name


def _lost(line: Mapping) -> tuple[int, str] | None:
    found = _between("lost_packets", LOST_EDGES, "%", 100)(line)
    if found is None or found[0] > 1:
        return found
    return found[0], ("none", f"up to {100 * LOST_EDGES[1]:g} %")[found[0]]


def _word(key: str) -> Callable:
    return lambda line: (0, str(line[key])) if line.get(key) else None


def pooled_codec(codec: str) -> str:
    """The eight rates of AMR are one codec.

    >>> pooled_codec("amr_nb_4750+alaw")
    'amr_nb+alaw'
    """
    return re.sub(r"amr_nb_\d+", "amr_nb", codec)


def _codec(line: Mapping) -> tuple[int, str] | None:
    return (0, pooled_codec(line["codec"])) if line.get("codec") else None


# What a slice is called, and the place and the name of a line's value of it.
KINDS: dict[str, tuple[str, Callable[[Mapping], tuple[int, str] | None]]] = {
    "scene": ("scene", _word("scene")),
    "duration": ("duration", _between("duration", DURATION_EDGES_S, "s")),
    "snr_db": ("SNR", _between("snr_db", SNR_EDGES_DB, "dB")),
    "codec": ("codec", _codec),
    "lost_packets": ("lost packets", _lost),
}


def grouped(lines: Iterable[dict], kind: str) -> dict[str, list[dict]]:
    """The lines by their value of a kind of slice, in order of the values.

    >>> lines = [{"duration": 12}, {"duration": 1}, {"duration": 0.5}, {"duration": None}, {}]
    >>> {value: len(own) for value, own in grouped(lines, "duration").items()}
    {'under 1 s': 1, '1 to 2 s': 1, '10 s and more': 1}
    >>> list(grouped([{"lost_packets": x} for x in (0, 0.01, 0.02, 0.5)], "lost_packets"))
    ['none', 'up to 2 %', '2 to 5 %', '5 % and more']
    """
    groups: dict[tuple[int, str], list[dict]] = {}
    for line in lines:
        value = KINDS[kind][1](line)
        if value is not None:
            groups.setdefault(value, []).append(line)
    return {value[1]: groups[value] for value in sorted(groups)}


def worse_than_all(lines: Sequence[dict], seed: int) -> list[Slice]:
    """The slices with a higher CER than all the lines together, the worst first.

    Those with too few characters for a rate are left out.
    """
    every = _total(lines)
    found = []
    for kind in KINDS:
        groups = grouped(lines, kind)
        for value, own in groups.items():
            total = _total(own)
            if total.length < FEW_CHARACTERS or total.rate <= every.rate:
                continue
            errors = list(map(errors_of, own))
            low, high = bootstrap_interval(errors, [line["speaker"] for line in own], seed)
            share = total.errors / every.errors
            found.append(Slice(kind, value, total, len(own), low, high, share))
    return sorted(found, key=lambda one: (-one.errors.rate, one.kind, one.value))


def heat_map(
    transcripts: Mapping[str, Sequence[dict]], test_set: str, title: str
) -> HeatMap | None:
    """CER of the last checkpoint by SNR and codec; None where no utterance has both."""
    lines = lines_of(transcripts, LAST, test_set)
    rows = grouped((line for line in lines if _codec(line)), "snr_db")
    if not rows:
        return None
    codecs = sorted({_codec(line)[1] for own in rows.values() for line in own})
    cells = []
    for value, own in rows.items():
        by_codec = grouped(own, "codec")
        cells.append((value, [_cell(by_codec.get(codec)) for codec in codecs]))
    return HeatMap(title, "SNR \\ codec", codecs, cells)


def _cell(lines: Sequence[dict] | None) -> Cell | None:
    if not lines:
        return None
    total = _total(lines)
    return Cell(total.errors, total.length, len(lines))


def _total(lines: Iterable[dict]) -> ErrorRate:
    return sum(map(errors_of, lines), ErrorRate())
