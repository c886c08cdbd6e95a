"""Tables of the corpora: what was kept, left out and changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from telephone_asr.manifests.quality import REASONS
from telephone_asr.manifests.text import clean_transcript
from telephone_asr.report.blocks import Table, literal
from telephone_asr.report.findings import SETS
from telephone_asr.report.words import share

EXAMPLES = 3  # of what each rule of the normaliser changed
ORDER = ("simulated", "telecall", "wideband")


def data_table(data: Mapping[str, dict]) -> Table:
    """What became of every utterance of each corpus."""
    keys = ("in", "train", "valid", "test", "kept")
    rows = []
    for name in ORDER:
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
    rows.insert(2, ["simulated and calls together", *(f"{n:,}" for n in sums), hours, ""])
    heads = ["type", "in", "train", "valid", "test", "valid samples", "rejected"]
    heads += ["of them annotation errors", "hours kept", "speakers"]
    return Table(heads, rows, "What became of every utterance")


def quality_table(data: Mapping[str, dict]) -> Table:
    """Lengths, completeness and storage of each corpus."""
    rows = [
        [
            SETS[name],
            f"{data[name]['mean_speech_length']:.1f}",
            f"{data[name]['mean_text_length']:.1f}",
            share(data[name]["share_all_fields"]),
            share(data[name]["share_audio_exists"]),
            f"{data[name]['mb_per_hour']:.1f}",
        ]
        for name in ORDER
    ]
    heads = ["type", "mean speech\\_length (10 ms frames)", "mean text\\_length (tokens)"]
    heads += ["all fields present", "audio exists", "MB an hour"]
    return Table(heads, rows, "Lengths, completeness and storage")


def rejection_table(rejected: Mapping[str, Iterable[dict]]) -> Table | str:
    """Each reason that was met, in how many utterances of each corpus, and one of them."""
    counts: dict[str, Counter] = {}
    example: dict[str, str] = {}
    for source, entries in rejected.items():
        for entry in entries:
            counts.setdefault(entry["reason"], Counter())[source] += 1
            example.setdefault(entry["reason"], f"{entry['id']}: {entry['detail']}")
    if not counts:
        return "Nothing was left out."
    rows = [
        [
            f"`{reason}`",
            REASONS[reason],
            literal(example[reason]),
            *(f"{counts[reason][source]:,}" for source in rejected),
        ]
        for reason in REASONS
        if reason in counts
    ]
    heads = ["reason", "what it means", "one of them", *map(SETS.get, rejected)]
    return Table(heads, rows, "Left out, by reason", left=3)


def change_table(changed: Mapping[str, Iterable[dict]], version: int) -> Table | str:
    """How many transcripts each rule of the normaliser changed, and some of them."""
    counts: dict[str, Counter] = {}
    examples: dict[str, list[str]] = {}
    for source, entries in changed.items():
        for entry in entries:
            for rule in entry["rules"]:
                counts.setdefault(rule, Counter())[source] += 1
                some = examples.setdefault(rule, [])
                if len(some) < EXAMPLES and entry["before"] not in some:
                    some.append(entry["before"])
    note = f"Normaliser of training texts, version {version}"
    if not counts:
        return f"{note}: it changed no transcript."
    rows = [
        [
            f"`{rule}`",
            " / ".join(f"{literal(b)} → {literal(clean_transcript(b)[0])}" for b in examples[rule]),
            *(f"{counts[rule][source]:,}" for source in changed),
        ]
        for rule in counts
    ]
    heads = ["rule", "before → after", *map(SETS.get, changed)]
    return Table(heads, rows, f"{note}: transcripts changed", left=2)
