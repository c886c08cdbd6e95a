"""The slices of a test set as the metrics have them: which are worst, and what they are called.

Noise by codec is no slice of the metrics; `heat_map` counts it from the transcripts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.report.blocks import FEW_CHARACTERS, Cell, HeatMap
from telephone_asr.report.findings import FINAL, lines_of
from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.slices import SNR_DB, band, codec_family

# Slices by one property: its key in the metrics, what it is called, and the unit of its bands.
KINDS = {
    "scene": ("scene", None),
    "duration_s": ("duration", "s"),
    "snr_db": ("SNR", "dB"),
    "codec": ("codec", None),
    "lost_packets": ("lost packets", "%"),
}


@dataclass(frozen=True)
class Slice:
    """CER of the calls that have one property in common; rates, not per cent."""

    kind: str  # of KINDS
    name: str
    cer: float
    characters: int
    share_of_errors: float
    low: float | None  # 95 % interval, where there are speakers enough for one
    high: float | None

    @property
    def words(self) -> str:
        return f"{KINDS[self.kind][0]} {name_of(self.kind, self.name)}"


def name_of(kind: str, name: str) -> str:
    """A slice in words.

    >>> name_of("duration_s", "below_1"), name_of("snr_db", "10-15"), name_of("snr_db", "30+")
    ('under 1 s', '10 to 15 dB', '30 dB and more')
    >>> name_of("lost_packets", "1-3%"), name_of("lost_packets", "none"), name_of("scene", "a-b")
    ('1 to 3 %', 'none', 'a-b')
    """
    unit = KINDS[kind][1]
    if unit is None or name == "none":
        return name
    limits = name.removesuffix("%")
    if limits.startswith("below_"):
        return f"under {limits.removeprefix('below_')} {unit}"
    if "+" in limits:
        return f"{limits.replace('%', '').removesuffix('+')} {unit} and more"
    return f"{limits.replace('-', ' to ')} {unit}"


def worse_than_all(metrics: Mapping) -> list[Slice]:
    """The slices with a higher CER than their whole test set, the worst first.

    Those with too few characters for a rate are left out.

    Args:
        metrics: of one checkpoint on one test set.
    """
    errors = sum(metrics[key] for key in ("substitutions", "deletions", "insertions"))
    found = [
        Slice(
            kind,
            name,
            one["cer"],
            one["characters"],
            one["cer"] * one["characters"] / errors,
            one.get("cer_low"),
            one.get("cer_high"),
        )
        for kind in KINDS
        for name, one in metrics.get(kind, {}).items()
        if one["characters"] >= FEW_CHARACTERS and one["cer"] > metrics["cer"]
    ]
    return sorted(found, key=lambda one: -one.cer)


def heat_map(
    transcripts: Mapping[str, Sequence[dict]], test_set: str, title: str
) -> HeatMap | None:
    """CER of the model that ships by SNR and codec; None where no utterance has both."""
    cells: dict[tuple[str, str], list[ErrorRate]] = defaultdict(list)
    lowest_db: dict[str, float] = {}
    for line in lines_of(transcripts, FINAL, test_set):
        snr_db, codec = line.get("snr_db"), codec_family(line.get("codec"))
        if snr_db is not None and codec:
            name = band(snr_db, SNR_DB)
            cells[name, codec].append(errors_of(line))
            lowest_db[name] = min(snr_db, lowest_db.get(name, snr_db))
    codecs = sorted({codec for _, codec in cells})
    rows = [
        (name_of("snr_db", name), [_cell(cells.get((name, codec))) for codec in codecs])
        for name in sorted(lowest_db, key=lowest_db.get)
    ]
    return HeatMap(title, "SNR \\ codec", codecs, rows) if rows else None


def _cell(errors: Sequence[ErrorRate] | None) -> Cell | None:
    if not errors:
        return None
    total = sum(errors, ErrorRate())
    return Cell(total.errors, total.length, len(errors))
