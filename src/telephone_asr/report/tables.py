"""The tables of the report from plain metrics.

Rates are shown in per cent of the reference's characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from telephone_asr.report.alignment import confusions
from telephone_asr.report.blocks import FEW_CHARACTERS, Table, literal
from telephone_asr.report.findings import (
    CHECKPOINTS,
    LAST,
    SETS,
    Change,
    StageState,
    lines_of,
    speakers_of,
)
from telephone_asr.report.slices import KINDS, Slice, name_of
from telephone_asr.report.words import interval, minus, percent, size, time
from telephone_asr.scoring.compare import FEWEST_GROUPS
from telephone_asr.scoring.options import Scoring

TRAINED_ON = {
    "encoder": "simulated",
    "adapter": "simulated, calls",
    "lora": "calls",
}
SHOWN_CONFUSIONS = 15
SIGNS = {"better": "▼ **better**", "worse": "▲ **worse**", "within noise": "≈ within noise"}


def cer_table(metrics: Mapping[str, dict], transcripts: Mapping[str, Sequence[dict]]) -> Table:
    """CER of every checkpoint on every test set, its interval, and the errors behind it."""
    rows = []
    for name, title in SETS.items():
        speakers = len(speakers_of(transcripts, name))
        for checkpoint, label in CHECKPOINTS.items():
            one = metrics[checkpoint][name]
            counts = [one[key] for key in ("substitutions", "deletions", "insertions")]
            sizes = (one["utterances"], one["characters"], speakers)
            rate = [f"**{percent(one['cer'])}**", interval(one)]
            rows.append([title, label, *rate, *(f"{value:,}" for value in (*counts, *sizes))])
    heads = ["test set", "checkpoint", "CER %", "95 % interval"]
    heads += ["subst.", "del.", "ins.", "utterances", "characters", "speakers"]
    return Table(heads, rows, "CER of every checkpoint on every test set", left=2)


def interval_note(transcripts: Mapping[str, Sequence[dict]]) -> str:
    """How far the intervals can be trusted: they are drawn by speaker."""
    counts = {title: len(speakers_of(transcripts, name)) for name, title in SETS.items()}
    sizes = ", ".join(f"{n:,} in {title}" for title, n in counts.items())
    note = f"Intervals are bootstrapped by speaker ({sizes})."
    if few := [title for title, n in counts.items() if 1 < n < FEWEST_GROUPS]:
        note += (
            f" With fewer than {FEWEST_GROUPS} speakers, as in {' and in '.join(few)}, they are "
            "too narrow."
        )
    if one := [title for title, n in counts.items() if n == 1]:
        note += (
            f" There is only one speaker in {' and in '.join(one)}: utterances are drawn instead, "
            "and the interval holds for that speaker alone."
        )
    return note


def change_table(found: Sequence[Change]) -> Table:
    """The paired differences and whether each is more than noise."""
    rows = []
    for one in found:
        difference, low, high = (
            minus(100 * x, "+.1f") for x in (one.difference, one.low, one.high)
        )
        before = "base" if one.before == "base" else CHECKPOINTS[one.before].split(" (")[0]
        pair = [SETS[one.test_set], f"{CHECKPOINTS[one.after]} against {before}"]
        p = f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001"
        rows.append([*pair, SIGNS[one.verdict], difference, f"{low} to {high}", p])
    heads = ["test set", "comparison", "beyond noise?", "difference", "95 % interval", "p"]
    return Table(heads, rows, "CER against the checkpoint before, in percentage points", left=3)


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
    return Table(heads, rows, "Where calls are worst after the last stage", left=2)


def slice_table(metrics: Mapping[str, dict], test_set: str, kind: str) -> Table | None:
    """CER of every checkpoint by one property; None where no utterance has it."""
    by_checkpoint = {name: metrics[name][test_set].get(kind, {}) for name in CHECKPOINTS}
    rows = []
    for name, one in by_checkpoint[LAST].items():
        rates = [percent(by_checkpoint[c].get(name, {}).get("cer")) for c in CHECKPOINTS]
        if one["characters"] < FEW_CHARACTERS:
            rates = [f"({rate})" for rate in rates]
        rows.append([literal(name_of(kind, name)), *rates, f"{one['characters']:,}"])
    if not rows:
        return None
    title = KINDS[kind][0]
    heads = [title, *CHECKPOINTS.values(), "characters"]
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
        found = {name: metrics[name]["telecall"].get(kind, {}) for name in CHECKPOINTS}
        if found[LAST].get(key) is not None:
            n = found[LAST].get("n", "")
            rates = [percent(one.get(key)) for one in found.values()]
            rows.append([title, *rates, "" if kind == "loops" else f"{n:,}" if n else ""])
    for kind, title in NO_SPEECH.items():
        found = [metrics[name].get("no_speech", {}).get(kind, {}) for name in CHECKPOINTS]
        if found[-1]:
            rates = [f"{one['insertions_per_minute']:.1f}" if one else "–" for one in found]
            rows.append([f"characters made up in a minute of {title}", *rates, ""])
    if not rows:
        return None
    heads = ["on calls", *CHECKPOINTS.values(), "of how many"]
    return Table(heads, rows, "Numbers, names, loops and made-up speech")


def confusion_tables(
    transcripts: Mapping[str, Sequence[dict]], options: Scoring
) -> list[Table | None]:
    """The characters most often taken for others, missed or made up, on telephone speech."""
    sets = ("telecall", "simulated")
    found = {name: confusions(lines_of(transcripts, LAST, name), options) for name in sets}
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
        Table(heads, rows(swapped), "Characters taken for another, after the last stage", 2)
        if swapped
        else None,
        Table(heads, rows(single), "Characters missed or made up, after the last stage", 2)
        if single
        else None,
    ]


def training_table(checkpoints: Mapping[str, dict]) -> Table:
    """What each stage trained, for how long, and which of its steps was kept."""
    rows = [
        [
            CHECKPOINTS[name],
            TRAINED_ON[name],
            f"{one['trainable_parameters']:,}",
            f"{one['lr']:g}",
            f"{one['steps']:,}",
            f"{one['step']:,}",
            percent(one["valid_cer"]),
        ]
        for name, one in checkpoints.items()
    ]
    heads = ["stage", "trained on", "trainable parameters", "lr", "steps", "best step"]
    return Table([*heads, "validation CER %"], rows, "What each stage trained", left=2)


def idle_note(checkpoints: Mapping[str, dict]) -> str:
    """The stages that brought nothing; empty where there are none."""
    idle = [CHECKPOINTS[name] for name, one in checkpoints.items() if one["step"] == 0]
    if not idle:
        return ""
    return (
        f"No step of {' and '.join(idle)} was better than the state before training: that "
        "checkpoint is the one before it, unchanged."
    )


COSTS = {  # key of metrics/cost: head of the column, and how its numbers are written
    "seconds": ("time", time),
    "peak_memory_mb": ("peak memory", lambda mb: size(1e6 * mb)),
    "checkpoint_mb": ("checkpoint", lambda mb: size(1e6 * mb)),
    "real_time_factor": ("real-time factor", lambda x: f"{x:.3g}"),
    "utterances_per_s": ("utterances a second", lambda x: f"{x:.3g}"),
}


def cost_table(costs: Mapping[str, dict]) -> Table | None:
    """Time, memory and disk as far as they were measured; None where nothing was.

    Args:
        costs: what each file of metrics/cost says, by the file's name.
    """
    columns = [key for key in COSTS if any(one.get(key) is not None for one in costs.values())]
    if not columns:
        return None
    rows = []
    for name, one in costs.items():
        known = {key: COSTS[key][1](one[key]) for key in columns if one.get(key) is not None}
        rows.append([f"`{name}`", *(known.get(key, "–") for key in columns)])
    return Table(
        ["measured of", *(COSTS[key][0] for key in columns)], rows, "Time and memory, as measured"
    )


def disk_table(stages: Sequence[StageState]) -> Table | None:
    """How large the models are: a checkpoint is the part that was trained, alone."""
    rows = [
        [f"`{path}`", size(n_bytes)]
        for one in stages
        for path, n_bytes in one.outs.items()
        if path.startswith("models/")
    ]
    return Table(["model", "on disk"], rows, "Size of the models") if rows else None


def stage_table(stages: Sequence[StageState]) -> Table | None:
    """Every stage of the pipeline, and whether it ran; None where no lock file tells."""
    rows = [
        [
            f"`{one.name}`",
            "✓ ran" if one.ran else "✗ **not run**",
            one.about,
            size(sum(one.outs.values())) if one.ran else "–",
        ]
        for one in stages
    ]
    return Table(["stage", "status", "what for", "made"], rows, "Every stage", 3) if rows else None
