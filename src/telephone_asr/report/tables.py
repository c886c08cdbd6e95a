"""The tables of the report from plain metrics.

Rates are shown in per cent of the reference's characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from telephone_asr.report.blocks import Table
from telephone_asr.report.findings import (
    CHECKPOINTS,
    SETS,
    Change,
    StageState,
    speakers_of,
)
from telephone_asr.report.words import interval, percent, signed, size, time
from telephone_asr.scoring.compare import FEWEST_GROUPS

TRAINED_ON = {
    "encoder": "simulated",
    "adapter": "simulated, calls",
    "lora": "calls",
}
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
            "Student's: speakers are assumed to vary normally."
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
        before = "base" if one.before == "base" else CHECKPOINTS[one.before].split(" (")[0]
        pair = [SETS[one.test_set], f"{CHECKPOINTS[one.after]} against {before}"]
        p = f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001"
        rows.append([*pair, SIGNS[one.verdict], *signed(one), p])
    heads = ["test set", "comparison", "beyond noise?", "difference", "95 % interval", "p"]
    return Table(heads, rows, "CER against the checkpoint before, in percentage points", left=3)


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
