"""Shows where the calls go wrong, by slice, by what is said and by character: tables, a heat map,
and the CSV files that `dvc plots` draws of several experiments into one picture."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from telephone_asr.names import COLUMNS, FINAL, TELEPHONE, TEST_SETS
from telephone_asr.report.blocks import FEW_CHARACTERS, Cell, HeatMap, Table
from telephone_asr.report.markdown import literal
from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.confusion import confusions
from telephone_asr.scoring.difference import between, percent
from telephone_asr.scoring.options import Scoring
from telephone_asr.scoring.slices import SHORT, SNR_DB, band, codec_family
from telephone_asr.scoring.transcripts import lines_of
from telephone_asr.titles import TITLES

# Slices by one property: its key in the metrics, what it is called, and the unit of its bands.
SLICE_TITLES = {
    "scene": ("scene", None),
    "duration_s": ("duration", "s"),
    "snr_db": ("SNR", "dB"),
    "codec": ("codec", None),
    "lost_packets": ("lost packets", "%"),
    "corpus": ("corpus", None),
}
MEASURES = {  # where it is in the metrics of a test set, and what it is called
    ("digits", "exact"): "digit strings right, %",
    ("amounts", "exact"): "amounts right, %",
    ("dates", "exact"): "dates right, %",
    ("names", "exact"): "names right, %",
    ("loops", "share"): "utterances with loops, %",
    ("speaker", "median"): "CER of the median speaker, %",
    ("speaker", "p90"): "CER that one speaker in ten is above, %",
}
NO_SPEECH = {  # kinds of sound in which nobody speaks
    "silence": "silence",
    "noise": "noise",
    "hold_music": "music on hold",
    "tones": "tones of exchanges",
    "dtmf": "keys",
    "fax": "fax and modem",
    "clicks": "clicks",
    "breath": "breath and wind",
    "babble": "far babble",
    "own": "own recordings",
}
SHOWN_CONFUSIONS = 15
PLOTTED_CONFUSIONS = 30
NOTHING = "∅"  # deleted or inserted


@dataclass(frozen=True)
class Slice:
    """The CER of the calls that have one property in common; rates, not per cent."""

    kind: str  # of SLICE_TITLES
    name: str
    cer: float
    characters: int
    share_of_errors: float
    low: float | None  # 95 % interval, where there are speakers enough for one
    high: float | None

    @property
    def words(self) -> str:
        return f"{SLICE_TITLES[self.kind][0]} {name_of(self.kind, self.name)}"

    @property
    def interval(self) -> str:
        return "" if self.low is None or self.high is None else between(self.low, self.high)


def name_of(kind: str, name: str) -> str:
    """Returns a slice in words.

    >>> name_of("duration_s", "below_1"), name_of("snr_db", "10-15"), name_of("snr_db", "30+")
    ('under 1 s', '10 to 15 dB', '30 dB and more')
    >>> name_of("lost_packets", "1-3%"), name_of("lost_packets", "none"), name_of("scene", "a-b")
    ('1 to 3 %', 'none', 'a-b')
    """
    unit = SLICE_TITLES[kind][1]
    if unit is None or name == "none":
        return name
    limits = name.removesuffix("%")
    if limits.startswith("below_"):
        return f"under {limits.removeprefix('below_')} {unit}"
    if "+" in limits:
        return f"{limits.replace('%', '').removesuffix('+')} {unit} and more"
    return f"{limits.replace('-', ' to ')} {unit}"


def worse_than_all(metrics: Mapping) -> list[Slice]:
    """Returns the slices with a higher CER than their whole test set, the worst first.

    Those with too few characters for a rate are left out.

    Args:
        metrics: of one checkpoint on one test set.
    """
    errors = sum(metrics[key] for key in ("substitutions", "deletions", "insertions"))
    slices = [
        Slice(
            *(kind, name, one["cer"], one["characters"]),
            share_of_errors=one["cer"] * one["characters"] / errors,
            low=one.get("cer_low"),
            high=one.get("cer_high"),
        )
        for kind in SLICE_TITLES
        for name, one in metrics.get(kind, {}).items()
        if one["characters"] >= FEW_CHARACTERS and one["cer"] > metrics["cer"]
    ]
    return sorted(slices, key=lambda one: -one.cer)


def heat_map(
    transcripts: Mapping[str, Sequence[dict]], test_set: str, title: str
) -> HeatMap | None:
    """Returns the CER of the final model by SNR and codec; None where no utterance has both."""
    cells: dict[tuple[str, str], list[ErrorRate]] = defaultdict(list)
    lowest_db: dict[str, float] = {}
    for line in lines_of(transcripts, FINAL, test_set):
        snr_db, codec = line.get("snr_db"), codec_family(line.get("codec"))
        name = band(snr_db, SNR_DB)
        if snr_db is not None and codec and name:
            cells[name, codec].append(errors_of(line))
            lowest_db[name] = min(snr_db, lowest_db.get(name, snr_db))
    codecs = sorted({codec for _, codec in cells})
    rows = [
        (name_of("snr_db", name), [_cell(cells.get((name, codec))) for codec in codecs])
        for name in sorted(lowest_db, key=lambda name: lowest_db[name])
    ]
    return HeatMap(title, "SNR \\ codec", codecs, rows) if rows else None


def _cell(errors: Sequence[ErrorRate] | None) -> Cell | None:
    if not errors:
        return None
    total = sum(errors, ErrorRate())
    return Cell(total.errors, total.length, len(errors))


# --- Tables


def hardest_table(hardest: Sequence[Slice]) -> Table:
    rows = []
    for one in hardest:
        names = [SLICE_TITLES[one.kind][0], literal(name_of(one.kind, one.name))]
        sizes = [f"{100 * one.share_of_errors:.0f} %", f"{one.characters:,}"]
        rows.append([*names, f"**{percent(one.cer)}**", one.interval or "–", *sizes])
    heads = ["by", "calls", "CER %", "95 % interval", "share of all errors", "characters"]
    return Table(heads, rows, "Where calls are worst with the final model", left=2)


def slice_table(metrics: Mapping[str, dict], test_set: str, kind: str) -> Table | None:
    """Returns the CER of every checkpoint by one property; None where no utterance has it."""
    by_checkpoint = {name: metrics[name][test_set].get(kind, {}) for name in COLUMNS}
    rows = []
    for name, one in by_checkpoint[FINAL].items():
        rates = [percent(by_checkpoint[c].get(name, {}).get("cer")) for c in COLUMNS]
        if one["characters"] < FEW_CHARACTERS:
            rates = [f"({rate})" for rate in rates]
        rows.append([literal(name_of(kind, name)), *rates, f"{one['characters']:,}"])
    if not rows:
        return None
    title = SLICE_TITLES[kind][0]
    heads = [title, *(TITLES[c] for c in COLUMNS), "characters"]
    return Table(heads, rows, f"CER % on {TITLES[test_set]} by {title}")


def measure_table(metrics: Mapping[str, dict]) -> Table | None:
    """Returns what telephone teams ask for besides CER; None where nobody measured it."""
    rows = []
    for (kind, key), title in MEASURES.items():
        measured = [metrics[name]["telecall"].get(kind, {}) for name in COLUMNS]
        if measured[-1].get(key) is not None:
            n = None if kind == "loops" else measured[-1].get("n")
            rates = [percent(one.get(key)) for one in measured]
            rows.append([title, *rates, f"{n:,}" if n else ""])
    cut_off = [metrics[name]["telecall"].get("cut_off", 0) for name in COLUMNS]
    if any(cut_off):
        rows.append(["texts cut off at decode.max_tokens", *(f"{n:,}" for n in cut_off), ""])
    if not rows:
        return None
    heads = ["on calls", *(TITLES[c] for c in COLUMNS), "of how many"]
    return Table(heads, rows, "Numbers, names and loops")


def short_turn_table(metrics: Mapping[str, dict]) -> Table | None:
    """Returns the CER of turns of a few characters; None where there are none."""
    rows = []
    for name in TEST_SETS:
        rates = [metrics[one].get("short_turns", {}).get(name, {}) for one in COLUMNS]
        if final := rates[-1]:
            cells = [percent(one.get("cer")) for one in rates]
            known = "cer_low" in final
            cells += [between(final["cer_low"], final["cer_high"]) if known else "–"]
            rows.append([TITLES[name], *cells, f"{final['n']:,}", f"{final['characters']:,}"])
    if not rows:
        return None
    heads = ["test set", *(TITLES[c] for c in COLUMNS), "95 % interval of final", "turns"]
    return Table([*heads, "characters"], rows, f"CER % of turns of 1 to {SHORT} characters")


def no_speech_table(metrics: Mapping[str, dict]) -> Table | None:
    """Returns what is written in a minute in which nobody speaks; None where nobody measured it."""
    rows = []
    for kind, title in NO_SPEECH.items():
        heard = [metrics[name].get("no_speech", {}).get(kind, {}) for name in COLUMNS]
        if final := heard[-1]:
            row = [title, *map(_a_minute, heard), _a_minute(final.get("hotwords", {}))]
            rows.append([*row, percent(final.get("share_with_text"))])
    if not rows:
        return None
    heads = ["nobody speaks", *(TITLES[c] for c in COLUMNS), "with hotwords", "clips with text, %"]
    return Table(heads, rows, "Characters written in a minute in which nobody speaks")


def _a_minute(one: Mapping) -> str:
    return f"{one['insertions_per_minute']:.1f}" if one else "–"


def confusion_tables(
    transcripts: Mapping[str, Sequence[dict]], options: Scoring
) -> list[Table | None]:
    """Returns the characters of telephone speech most often taken for others, missed or made up."""
    by_set = {name: confusions(lines_of(transcripts, FINAL, name), options) for name in TELEPHONE}
    both = sum(by_set.values(), Counter())
    said: Counter[str] = Counter()
    for (character, _), times in both.items():
        said[character] += times
    most = _most_frequent(both)

    def rows(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
        return [
            [
                *(f"**{literal(one)}**" if one else "(nothing)" for one in pair),
                *(f"{one[pair]:,}" for one in by_set.values()),
                f"{100 * both[pair] / said[pair[0]]:.1f} %" if pair[0] else "–",
            ]
            for pair in pairs
        ]

    swapped = [pair for pair in most if all(pair) and pair[0] != pair[1]][:SHOWN_CONFUSIONS]
    single = [pair for pair in most if not all(pair)][: SHOWN_CONFUSIONS // 2]
    heads = ["said", "recognised", "times in calls", "times in simulated"]
    heads += ["of all times it is said"]
    titles = {
        "Characters that the final model takes for another": swapped,
        "Characters that the final model misses or makes up": single,
    }
    return [Table(heads, rows(own), title, 2) if own else None for title, own in titles.items()]


def _most_frequent(counts: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(counts, key=lambda pair: (-counts[pair], pair))


# --- CSV files


def write_plots(
    directory: Path,
    metrics: Mapping[str, dict],
    transcripts: Mapping[str, Sequence[dict]],
    options: Scoring,
) -> None:
    """Writes slices.csv and confusions.csv of the model that ships."""
    directory.mkdir(parents=True, exist_ok=True)
    calls = metrics[FINAL]["telecall"]
    rates = {"all calls": calls["cer"]}
    for kind, (title, _) in SLICE_TITLES.items():
        for name, one in calls.get(kind, {}).items():
            rates[f"{title} {name_of(kind, name)}"] = one["cer"]
    rows = [(name, f"{rate:.6f}") for name, rate in rates.items() if rate is not None]
    _write(directory / "slices.csv", ("slice", "cer"), rows)

    lines = [line for name in TELEPHONE for line in lines_of(transcripts, FINAL, name)]
    counts = confusions(lines, options)
    # Without what was right: beside it no error would be seen. A row each time, since DVC's
    # template counts rows.
    wrong = [pair for pair in _most_frequent(counts) if pair[0] != pair[1]][:PLOTTED_CONFUSIONS]
    pairs = [(a or NOTHING, b or NOTHING) for a, b in wrong for _ in range(counts[a, b])]
    _write(directory / "confusions.csv", ("said", "recognised"), pairs)


def _write(path: Path, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
