"""Tables of error rates, changes, trainings, costs and stages; rates are in per cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from telephone_asr.names import CHECKPOINTS, COLUMNS, TEST_SETS
from telephone_asr.report.blocks import Table
from telephone_asr.report.findings import Changes, Transcripts, speakers_of
from telephone_asr.report.lock import StageState
from telephone_asr.scoring.compare import FEWEST_GROUPS
from telephone_asr.scoring.difference import between, percent
from telephone_asr.titles import TITLES, title_of

TRAINED_ON = {"encoder": "simulated", "adaptor": "simulated, calls", "lora": "calls"}
VERDICTS = {"better": "▼ **better**", "worse": "▲ **worse**", "within noise": "≈ within noise"}


def cer_table(
    metrics: Mapping[str, dict], transcripts: Transcripts, test_sets: Sequence[str] = TEST_SETS
) -> Table:
    """Returns the CER of every checkpoint on every test set, its interval, and its errors."""
    rows = []
    for name in test_sets:
        speakers = len(speakers_of(transcripts, name))
        for checkpoint in CHECKPOINTS:
            one = metrics[checkpoint][name]
            counts = [one[key] for key in ("substitutions", "deletions", "insertions")]
            sizes = (one["utterances"], one["characters"], speakers)
            rate = [f"**{percent(one['cer'])}**", between(one["cer_low"], one["cer_high"])]
            names = title_of(name), TITLES[checkpoint]
            rows.append([*names, *rate, *(f"{value:,}" for value in (*counts, *sizes))])
    heads = ["test set", "checkpoint", "CER %", "95 % interval"]
    heads += ["subst.", "del.", "ins.", "utterances", "characters", "speakers"]
    return Table(heads, rows, "CER of every checkpoint on every test set", left=2)


def interval_note(transcripts: Transcripts, test_sets: Sequence[str] = TEST_SETS) -> str:
    """Says how far the intervals can be trusted: they are drawn by speaker."""
    counts = {title_of(name): len(speakers_of(transcripts, name)) for name in test_sets}
    sizes = ", ".join(f"{n:,} in {title}" for title, n in counts.items())
    note = f"Intervals are bootstrapped by speaker ({sizes})."
    if few := [title for title, n in counts.items() if 1 < n < FEWEST_GROUPS]:
        note += (
            f" With fewer than {FEWEST_GROUPS} speakers, as in {' and in '.join(few)}, they are "
            "Student's: speakers are assumed to vary normally."
        )
    if one := [title for title, n in counts.items() if n == 1]:
        note += (
            f" There is only one speaker in {' and in '.join(one)}: utterances are drawn instead, "
            "and the interval holds for that speaker alone."
        )
    return note


def change_table(changes: Changes) -> Table:
    """Returns the paired differences and whether each is more than noise."""
    rows = []
    for (test_set, before, after), one in changes.items():
        pair = [title_of(test_set), f"{TITLES[after]} against {TITLES[before].split(' (')[0]}"]
        p = "–" if one.p is None else f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001"
        rows.append([*pair, VERDICTS[one.verdict], *one.in_points(), p])
    heads = ["test set", "comparison", "beyond noise?", "difference", "95 % interval", "p"]
    return Table(heads, rows, "CER against the checkpoint before, in percentage points", left=3)


HOTWORD_LISTS = {  # of the metrics: in words
    "0": "none",
    "10": "10 words, said ones among them",
    "100": "100 words, said ones among them",
    "100_unsaid": "100 words, none of them said",
}
HOTWORD_MEASURES = {  # what it is called, and what it is multiplied by
    "cer": ("CER, %", 100),
    "recall": ("said words that are recognised, %", 100),
    "insertions_per_1000": ("unsaid words in 1,000 characters", 1),
}


def hotword_table(metrics: Mapping[str, dict]) -> Table | None:
    """Returns what lists of hotwords do to the texts of calls; None where nobody measured it."""
    rows = []
    for key, (title, scale) in HOTWORD_MEASURES.items():
        for name, words in HOTWORD_LISTS.items():
            lists = [metrics[one].get("hotwords", {}).get(name, {}) for one in COLUMNS]
            if key in lists[-1]:
                rates = [f"{scale * one[key]:.1f}" if key in one else "–" for one in lists]
                low, high = (scale * lists[-1].get(f"{key}_{end}", 0) for end in ("low", "high"))
                rows.append([title, words, *rates, f"{low:.1f} to {high:.1f}"])
    if not rows:
        return None
    heads = ["on calls", "hotwords", *(TITLES[one] for one in COLUMNS), "95 % interval of final"]
    return Table(heads, rows, "Lists of hotwords", left=2)


def training_table(checkpoints: Mapping[str, dict]) -> Table:
    """Returns what each stage trained, for how long, and which of its steps was kept."""
    rows = []
    for name, one in checkpoints.items():
        trained = [TITLES[name], TRAINED_ON[name], f"{one['trainable_parameters']:,}"]
        steps = [f"{one['lr']:g}", f"{one['steps']:,}", f"{one['step']:,}"]
        rows.append([*trained, *steps, percent(one["valid_cer"])])
    heads = ["stage", "trained on", "trainable parameters", "lr", "steps", "best step"]
    return Table([*heads, "validation CER %"], rows, "What each stage trained", left=2)


def idle_note(checkpoints: Mapping[str, dict]) -> str:
    """Names the stages that brought nothing; empty where there are none."""
    idle = [TITLES[name] for name, one in checkpoints.items() if one["step"] == 0]
    if not idle:
        return ""
    return (
        f"No step of {' and '.join(idle)} was better than the state before training: that "
        "checkpoint is the one before it, unchanged."
    )


def size(n_bytes: float) -> str:
    """Returns a number of bytes in the unit that suits it.

    >>> size(1_234), size(5_600_000), size(3_200_000_000)
    ('1.2 kB', '5.6 MB', '3.2 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"


def time(seconds: float) -> str:
    """Returns a time in the units that suit it.

    >>> time(7.4), time(95), time(100_000)
    ('7 s', '1 min 35 s', '27 h 46 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


COSTS = {  # key of metrics/cost: head of the column, and how its numbers are written
    "seconds": ("time", time),
    "peak_memory_mb": ("peak memory", lambda mb: size(1e6 * mb)),
    "checkpoint_mb": ("checkpoint", lambda mb: size(1e6 * mb)),
    "real_time_factor": ("real-time factor", lambda x: f"{x:.3g}"),
    "utterances_per_s": ("utterances a second", lambda x: f"{x:.3g}"),
}


def cost_table(costs: Mapping[str, dict]) -> Table | None:
    """Returns time, memory and disk as far as they were measured; None where nothing was.

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
    """Returns how large the models are: a checkpoint is the part that was trained, alone."""
    rows = [
        [f"`{path}`", size(n_bytes)]
        for one in stages
        for path, n_bytes in one.outs.items()
        if path.startswith("models/")
    ]
    return Table(["model", "on disk"], rows, "Size of the models") if rows else None


def stage_table(stages: Sequence[StageState]) -> Table | None:
    """Returns every stage of the pipeline, and whether it ran; None where no lock file tells."""
    rows = []
    for one in stages:
        ran, made = ("✓ ran", size(sum(one.outs.values()))) if one.ran else ("✗ **not run**", "–")
        rows.append([f"`{one.name}`", ran, one.about, made])
    return Table(["stage", "status", "what for", "made"], rows, "Every stage", 3) if rows else None
