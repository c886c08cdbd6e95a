"""The tables of the report, as Markdown, from plain metrics.

Rates are shown in per cent of the reference's characters.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from telephone_asr.report.findings import CHECKPOINTS, SETS, Change, errors_of, last, speakers_of

TRAINED_ON = {
    "encoder": "simulated",
    "adapter": "simulated, calls",
    "lora": "calls",
}
SHOWN_UTTERANCES = 10
FEW_SPEAKERS = 20  # with fewer, the bootstrap's intervals are too narrow


def cer_table(metrics: Mapping[str, dict], transcripts: Mapping[str, Sequence[dict]]) -> str:
    """CER of every checkpoint on every test set, its interval, and the errors behind it."""
    rows = []
    for name, title in SETS.items():
        speakers = len(speakers_of(transcripts, name))
        for checkpoint, label in CHECKPOINTS.items():
            one = metrics[checkpoint][name]
            counts = [one[key] for key in ("substitutions", "deletions", "insertions")]
            sizes = (one["utterances"], one["characters"], speakers)
            rows.append(
                [
                    title,
                    label,
                    f"**{percent(one['cer'])}**",
                    interval(one),
                    *(f"{value:,}" for value in (*counts, *sizes)),
                ]
            )
    heads = ["test set", "checkpoint", "CER %", "95 % interval"]
    heads += ["subst.", "del.", "ins.", "utterances", "characters", "speakers"]
    return table(heads, rows, left=2)


def interval_note(transcripts: Mapping[str, Sequence[dict]]) -> str:
    """How far the intervals can be trusted: they are drawn by speaker."""
    counts = {title: len(speakers_of(transcripts, name)) for name, title in SETS.items()}
    note = "Intervals are bootstrapped by speaker."
    if few := [f"{n} in {title}" for title, n in counts.items() if 1 < n < FEW_SPEAKERS]:
        note += (
            f" There are few speakers ({', '.join(few)}): below about {FEW_SPEAKERS} the intervals "
            "are too narrow, and they say little about other voices."
        )
    if one := [title for title, n in counts.items() if n == 1]:
        note += (
            f" There is only one speaker in {' and in '.join(one)}: utterances are drawn instead, "
            "and the interval holds for that speaker alone."
        )
    return note


def scene_table(metrics: Mapping[str, dict], transcripts: Mapping[str, Sequence[dict]]) -> str:
    """CER of the calls by scene and checkpoint, with the size of each scene."""
    scenes = metrics["base"]["telecall"]["scene"]
    if not scenes:
        return "The calls' transcripts name no scenes."
    rows = []
    for scene in scenes:
        own = [
            line
            for line in last(transcripts)
            if line["source"] == "telecall" and line["scene"] == scene
        ]
        rates = [percent(metrics[name]["telecall"]["scene"][scene]) for name in CHECKPOINTS]
        rows.append([scene, *rates, f"{len(own):,}", f"{sum(x['characters'] for x in own):,}"])
    return table(["scene", *CHECKPOINTS.values(), "utterances", "characters"], rows)


def change_table(found: Sequence[Change]) -> str:
    """The paired differences and whether each is more than noise."""
    rows = []
    for one in found:
        points = [minus(100 * x, "+.1f") for x in (one.difference, one.low, one.high)]
        beyond = "no, within noise" if one.verdict == "within noise" else f"yes, **{one.verdict}**"
        before = "base" if one.before == "base" else CHECKPOINTS[one.before].split(" (")[0]
        rows.append(
            [
                SETS[one.test_set],
                f"{CHECKPOINTS[one.after]} against {before}",
                points[0],
                f"{points[1]} to {points[2]}",
                beyond,
            ]
        )
    heads = ["test set", "comparison", "difference", "95 % interval", "beyond noise?"]
    return table(heads, rows, left=2)


def data_table(data: Mapping[str, dict]) -> str:
    """What became of every utterance of each corpus."""
    keys = ("in", "train", "valid", "test", "kept")
    rows = []
    for name in ("simulated", "telecall", "wideband"):
        one = data[name]
        rows.append(
            [
                SETS[name],
                *(f"{one[key]:,}" for key in keys),
                f"{sum(one['rejected'].values()):,}",
                f"{one['annotation_errors']:,}",
                f"{one['hours']:.2f}",
                f"{one['speakers']:,}",
            ]
        )
    both = [data["simulated"], data["telecall"]]
    sums = [sum(one[key] for one in both) for key in keys]
    sums.append(sum(sum(one["rejected"].values()) for one in both))
    sums.append(sum(one["annotation_errors"] for one in both))
    hours = f"{sum(one['hours'] for one in both):.2f}"
    together = ["simulated and calls together", *(f"{n:,}" for n in sums), hours, ""]
    rows.insert(2, together)
    heads = ["type", "in", "train", "valid", "test", "valid samples", "rejected"]
    heads.append("of them annotation errors")
    return table([*heads, "hours kept", "speakers"], rows)


def quality_table(data: Mapping[str, dict]) -> str:
    """Lengths, completeness and storage of each corpus."""
    rows = []
    for name in ("simulated", "telecall", "wideband"):
        one = data[name]
        rows.append(
            [
                SETS[name],
                f"{one['mean_speech_length']:.1f}",
                f"{one['mean_text_length']:.1f}",
                _share(one["share_all_fields"]),
                _share(one["share_audio_exists"]),
                f"{one['mb_per_hour']:.1f}",
            ]
        )
    heads = ["type", "mean speech_length (10 ms frames)", "mean text_length (tokens)"]
    return table([*heads, "all fields present", "audio exists", "MB an hour"], rows)


def training_table(checkpoints: Mapping[str, dict]) -> str:
    """What each stage trained, for how long, and which of its steps was kept."""
    rows, idle = [], []
    for name, one in checkpoints.items():
        rows.append(
            [
                CHECKPOINTS[name],
                TRAINED_ON[name],
                f"{one['trainable_parameters']:,}",
                f"{one['lr']:g}",
                f"{one['steps']:,}",
                f"{one['step']:,}",
                percent(one["valid_cer"]),
            ]
        )
        if one["step"] == 0:
            idle.append(CHECKPOINTS[name])
    heads = ["stage", "trained on", "trainable parameters", "lr", "steps", "best step"]
    text = table([*heads, "validation CER %"], rows, left=2)
    if idle:
        text += (
            f"\n\nNo step of {' and '.join(idle)} was better than the state before training: that "
            "checkpoint is the one before it, unchanged."
        )
    return text


def worst(lines: Sequence[dict], count: int = SHOWN_UTTERANCES) -> list[dict]:
    """The utterances with the highest CER, those with more errors first among equals."""

    def badness(line: dict) -> tuple:
        errors = errors_of(line)
        return -errors.rate, -errors.errors, line["key"]

    return sorted((line for line in lines if errors_of(line).errors), key=badness)[:count]


def drawn(lines: Sequence[dict], seed: int, count: int = SHOWN_UTTERANCES) -> list[dict]:
    """Utterances drawn at random, the same ones whatever the order of the lines."""
    in_order = sorted(lines, key=lambda line: line["key"])
    return random.Random(seed).sample(in_order, min(count, len(in_order)))


def utterance_table(lines: Sequence[dict]) -> str:
    """References and what was recognised, side by side."""
    if not lines:
        return "None: every utterance is without an error."
    rows = []
    for line in lines:
        errors = errors_of(line)
        rate = percent(errors.rate) if errors.length else "–"
        counts = f"{errors.substitutions} / {errors.deletions} / {errors.insertions}"
        texts = [line["reference"] or "(empty)", line["text"] or "(empty)"]
        rows.append([line["key"], line["scene"] or "–", *texts, rate, counts])
    heads = ["utterance", "scene", "reference", "recognised", "CER %", "subst. / del. / ins."]
    return table(heads, rows, left=4)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all but the first `left` columns are aligned to the right."""
    aligned = [":--" if column < left else "--:" for column in range(len(heads))]
    lines = [heads, aligned, *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def percent(rate: float | None) -> str:
    """A rate in per cent, without the sign; no rate without a reference.

    >>> percent(0.12345), percent(None)
    ('12.3', '–')
    """
    return "–" if rate is None else f"{100 * rate:.1f}"


def interval(one: Mapping[str, float]) -> str:
    return f"{percent(one['cer_low'])} to {percent(one['cer_high'])}"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _share(share: float) -> str:
    """A share in per cent; 99.99 % must not read as all.

    >>> _share(1.0), _share(0.9999)
    ('100 %', '99.99 %')
    """
    return f"{100 * share:.4g} %"


def minus(value: float, form: str) -> str:
    """A signed number with a real minus sign, and 0 without a sign."""
    text = format(value, form)
    if not text.strip("+-0."):
        return text[1:]
    return text.replace("-", "−")
