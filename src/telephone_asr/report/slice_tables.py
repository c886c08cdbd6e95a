"""Tables of where the calls go wrong: by slice, by what is said, by character."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from telephone_asr.report.blocks import FEW_CHARACTERS, Table, literal
from telephone_asr.report.findings import COLUMNS, FINAL, SETS, lines_of
from telephone_asr.report.slices import KINDS, Slice, name_of
from telephone_asr.report.words import percent
from telephone_asr.scoring.confusion import confusions
from telephone_asr.scoring.options import Scoring

SHOWN_CONFUSIONS = 15


def hardest_table(hardest: Sequence[Slice]) -> Table:
    rows = [
        [
            KINDS[one.kind][0],
            literal(name_of(one.kind, one.name)),
            f"**{percent(one.cer)}**",
            "–" if one.low is None else f"{percent(one.low)} to {percent(one.high)}",
            f"{100 * one.share_of_errors:.0f} %",
            f"{one.characters:,}",
        ]
        for one in hardest
    ]
    heads = ["by", "calls", "CER %", "95 % interval", "share of all errors", "characters"]
    return Table(heads, rows, "Where calls are worst with the final model", left=2)


def slice_table(metrics: Mapping[str, dict], test_set: str, kind: str) -> Table | None:
    """CER of every checkpoint by one property; None where no utterance has it."""
    by_checkpoint = {name: metrics[name][test_set].get(kind, {}) for name in COLUMNS}
    rows = []
    for name, one in by_checkpoint[FINAL].items():
        rates = [percent(by_checkpoint[c].get(name, {}).get("cer")) for c in COLUMNS]
        if one["characters"] < FEW_CHARACTERS:
            rates = [f"({rate})" for rate in rates]
        rows.append([literal(name_of(kind, name)), *rates, f"{one['characters']:,}"])
    if not rows:
        return None
    title = KINDS[kind][0]
    heads = [title, *COLUMNS.values(), "characters"]
    return Table(heads, rows, f"CER % on {SETS[test_set]} by {title}")


MEASURES = {  # where it is in the metrics of a test set, and what it is called
    ("digits", "exact"): "digit strings right, %",
    ("amounts", "exact"): "amounts right, %",
    ("dates", "exact"): "dates right, %",
    ("names", "exact"): "names right, %",
    ("short_turns", "cer"): "CER of very short turns, %",
    ("loops", "share"): "utterances with loops, %",
    ("speaker", "median"): "CER of the median speaker, %",
    ("speaker", "p90"): "CER that one speaker in ten is above, %",
}
NO_SPEECH = {"silence": "silence", "noise": "noise", "hold_music": "music on hold"}


def measure_table(metrics: Mapping[str, dict]) -> Table | None:
    """What telephone teams ask for besides CER; None where nobody measured it."""
    rows = []
    for (kind, key), title in MEASURES.items():
        found = {name: metrics[name]["telecall"].get(kind, {}) for name in COLUMNS}
        if found[FINAL].get(key) is not None:
            n = found[FINAL].get("n", "")
            rates = [percent(one.get(key)) for one in found.values()]
            rows.append([title, *rates, "" if kind == "loops" else f"{n:,}" if n else ""])
    for kind, title in NO_SPEECH.items():
        found = [metrics[name].get("no_speech", {}).get(kind, {}) for name in COLUMNS]
        if found[-1]:
            rates = [f"{one['insertions_per_minute']:.1f}" if one else "–" for one in found]
            rows.append([f"characters made up in a minute of {title}", *rates, ""])
    cut_off = [metrics[name]["telecall"].get("cut_off", 0) for name in COLUMNS]
    if any(cut_off):
        rows.append(["texts cut off at decode.max_tokens", *(f"{n:,}" for n in cut_off), ""])
    if not rows:
        return None
    heads = ["on calls", *COLUMNS.values(), "of how many"]
    return Table(heads, rows, "Numbers, names, loops and made-up speech")


def confusion_tables(
    transcripts: Mapping[str, Sequence[dict]], options: Scoring
) -> list[Table | None]:
    """The characters most often taken for others, missed or made up, on telephone speech."""
    sets = ("telecall", "simulated")
    found = {name: confusions(lines_of(transcripts, FINAL, name), options) for name in sets}
    both = sum(found.values(), Counter())
    said = Counter()
    for (character, _), times in both.items():
        said[character] += times
    most = sorted(both, key=lambda pair: (-both[pair], pair))

    def rows(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
        return [
            [
                *(f"**{literal(one)}**" if one else "(nothing)" for one in pair),
                *(f"{found[name][pair]:,}" for name in sets),
                f"{100 * both[pair] / said[pair[0]]:.1f} %" if pair[0] else "–",
            ]
            for pair in pairs
        ]

    swapped = [pair for pair in most if all(pair) and pair[0] != pair[1]][:SHOWN_CONFUSIONS]
    single = [pair for pair in most if not all(pair)][: SHOWN_CONFUSIONS // 2]
    heads = [
        "said",
        "recognised",
        "times in calls",
        "times in simulated",
        "of all times it is said",
    ]
    return [
        Table(heads, rows(swapped), "Characters that the final model takes for another", 2)
        if swapped
        else None,
        Table(heads, rows(single), "Characters that the final model misses or makes up", 2)
        if single
        else None,
    ]
