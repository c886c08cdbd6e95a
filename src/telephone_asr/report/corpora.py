"""The corpora as they came: a picture of them, tables of what was left out or changed."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from telephone_asr.manifests.quality import REASONS
from telephone_asr.manifests.text import normalise, syllables
from telephone_asr.report.figures import COLOURS, new_figure, png
from telephone_asr.report.findings import SETS
from telephone_asr.report.tables import table

# A simulated utterance is the wideband one again, as far as these pictures go.
SHOWN = {"wideband": COLOURS["encoder"], "telecall": COLOURS["adapter"]}
EXAMPLES = 3  # of what each rule of the normaliser changed
MOST_SCENES = 8


@dataclass
class Contents:
    """What is counted of one corpus, a few bytes an utterance."""

    duration_s: array = field(default_factory=lambda: array("f"))
    syllables_per_s: array = field(default_factory=lambda: array("f"))
    snr_db: array = field(default_factory=lambda: array("f"))
    scenes: Counter = field(default_factory=Counter)
    speakers: Counter = field(default_factory=Counter)

    @classmethod
    def of(cls, cuts: Iterable[dict]) -> Contents:
        """Of the cuts of a corpus, those left out included."""
        found = cls()
        for cut in cuts:
            supervision = cut["supervisions"][0]
            text, _ = normalise(supervision["text"])
            found.duration_s.append(cut["duration"])
            found.syllables_per_s.append(syllables(text) / cut["duration"])
            found.snr_db.append(cut["custom"]["measures"]["snr_db"])
            found.scenes[supervision["custom"]["scene"] or "none"] += 1
            found.speakers[supervision["speaker"]] += 1
        return found


@png
def picture(contents: Mapping[str, Contents], data: Mapping[str, dict], title: str) -> Figure:
    """Lengths, pace and noise of the corpora, who speaks how much, and what was left out.

    Args:
        contents: of SHOWN.
        data: metrics/data.json.
    """
    figure = new_figure(title, 7.2)
    grid = figure.subplots(3, 2)
    _distribution(grid[0, 0], contents, "duration_s", "duration (s)")
    _distribution(grid[0, 1], contents, "syllables_per_s", "syllables a second")
    _distribution(grid[1, 0], contents, "snr_db", "SNR (dB, estimated)")
    _speakers(grid[1, 1], contents)
    _bars(grid[2, 0], {name: contents[name].scenes for name in SHOWN}, "utterances by scene")
    rejected = {name: Counter(data[name]["rejected"]) for name in SHOWN}
    _bars(grid[2, 1], rejected, "utterances left out, by reason")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(SHOWN))
    return figure


def _distribution(axes: Axes, contents: Mapping[str, Contents], name: str, label: str) -> None:
    """Shares, since the corpora are of different size; the last per mille is not shown."""
    values = {source: np.array(getattr(contents[source], name)) for source in SHOWN}
    every = np.concatenate(list(values.values()))
    edges = np.linspace(every.min(), np.percentile(every, 99.9), 41)
    for source, colour in SHOWN.items():
        weights = np.full(len(values[source]), 100 / len(values[source]))
        look = {"histtype": "step", "color": colour, "lw": 1.4, "label": SETS[source]}
        axes.hist(values[source], edges, weights=weights, **look)
    axes.set_xlabel(label)
    axes.set_ylabel("% of utterances")


def _speakers(axes: Axes, contents: Mapping[str, Contents]) -> None:
    for source, colour in SHOWN.items():
        counts = sorted(contents[source].speakers.values(), reverse=True)
        axes.plot(range(1, len(counts) + 1), counts, color=colour, marker=".", ms=3, lw=1.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("speakers, those with most first")
    axes.set_ylabel("utterances")


def _bars(axes: Axes, counts: Mapping[str, Counter], title: str) -> None:
    """The largest on top; names that are not Latin are numbered, since no font can be assumed."""
    names = [name for name, _ in sum(counts.values(), Counter()).most_common(MOST_SCENES)]
    names.reverse()
    shown = [name if name.isascii() else f"scene {i}" for i, name in enumerate(names, start=1)]
    left = np.zeros(len(names))
    for source, colour in SHOWN.items():
        sizes = np.array([counts[source][name] for name in names], dtype=float)
        axes.barh(shown, sizes, left=left, color=colour)
        left += sizes
    for place, total in enumerate(left):
        axes.annotate(f" {total:,.0f}", (total, place), va="center", fontsize=9)
    axes.margins(x=0.15)
    axes.set_title(title if names else f"{title}: none")
    axes.tick_params(axis="y", length=0)


def rejection_table(rejected: Mapping[str, Iterable[dict]]) -> str:
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
            example[reason],
            *(f"{counts[reason][source]:,}" for source in rejected),
        ]
        for reason in REASONS
        if reason in counts
    ]
    return table(["reason", "what it means", "one of them", *map(SETS.get, rejected)], rows, left=3)


def change_table(changed: Mapping[str, Iterable[dict]], version: int) -> str:
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
            " / ".join(f"{before} → {normalise(before)[0]}" for before in examples[rule]),
            *(f"{counts[rule][source]:,}" for source in changed),
        ]
        for rule in counts
    ]
    heads = ["rule", "before → after", *map(SETS.get, changed)]
    return f"{note}:\n\n" + table(heads, rows, left=2)
