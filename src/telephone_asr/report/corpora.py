"""The corpora as they came: who speaks how much, how long, how fast and how noisy."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import FigureBase

from telephone_asr.manifests.text import clean_transcript, syllables
from telephone_asr.report.blocks import Table, literal
from telephone_asr.report.figures import ACCENT, SECOND, Panel
from telephone_asr.report.findings import SETS

# A simulated utterance is the wideband one again, as far as these pictures go.
SHOWN = {"wideband": ACCENT, "telecall": SECOND}
LINES = {"wideband": "-", "telecall": "--"}  # told apart without colours too
MOST_SCENES = 20


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
            text, _ = clean_transcript(supervision["text"])
            found.duration_s.append(cut["duration"])
            found.syllables_per_s.append(syllables(text) / cut["duration"])
            found.snr_db.append(cut["custom"]["measures"]["snr_db"])
            found.scenes[supervision["custom"]["scene"]] += 1
            found.speakers[supervision["speaker"]] += 1
        return found


def panels(contents: Mapping[str, Contents]) -> list[Panel]:
    """Lengths, pace and noise of the corpora of SHOWN, and how much each speaker says."""
    found = []
    for name, title, label in (
        ("duration_s", "Durations", "duration (s)"),
        ("syllables_per_s", "Pace", "syllables a second"),
        ("snr_db", "Noise", "SNR (dB, estimated)"),
    ):
        values = {source: np.array(getattr(contents[source], name)) for source in SHOWN}
        medians = ", ".join(f"{SETS[s]} {np.median(v):.1f}" for s, v in values.items())
        alt = f"Distribution of {label}; medians: {medians}."
        found.append(Panel(f"data-{name}", title, alt, _distribution_drawer(values, label)))
    counts = {source: sorted(contents[source].speakers.values())[::-1] for source in SHOWN}
    most = ", ".join(f"{SETS[s]} {c[0]:,} to {c[-1]:,}" for s, c in counts.items() if c)
    alt = f"Utterances of each speaker, those with most first: {most}."
    found.append(Panel("data-speakers", "Speakers", alt, _speaker_drawer(counts)))
    return found


def _distribution_drawer(values: Mapping[str, np.ndarray], label: str) -> Callable:
    """Shares, since the corpora are of different size; the last per mille is not shown."""

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        every = np.concatenate(list(values.values()))
        edges = np.linspace(every.min(), np.percentile(every, 99.9), 41)
        for source, colour in SHOWN.items():
            weights = np.full(len(values[source]), 100 / max(len(values[source]), 1))
            look = {"histtype": "step", "color": colour, "ls": LINES[source], "lw": 1.5}
            axes.hist(values[source], edges, weights=weights, label=SETS[source], **look)
        axes.set_xlabel(label)
        axes.set_ylabel("% of utterances")
        figure.legend(loc="outside upper center", ncols=len(SHOWN))

    return draw


def _speaker_drawer(counts: Mapping[str, list[int]]) -> Callable:
    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        for source, colour in SHOWN.items():
            places = range(1, len(counts[source]) + 1)
            look = {"color": colour, "ls": LINES[source], "lw": 1.5, "marker": ".", "ms": 4}
            axes.plot(places, counts[source], label=SETS[source], **look)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("speakers, those with most first")
        axes.set_ylabel("utterances")
        figure.legend(loc="outside upper center", ncols=len(SHOWN))

    return draw


def scene_table(contents: Mapping[str, Contents]) -> Table | None:
    """How much of each corpus is of which scene; None where no scene is named."""
    both = sum((one.scenes for one in contents.values()), Counter())
    named = [scene for scene, _ in both.most_common(MOST_SCENES) if scene]
    if not named:
        return None
    rows = [
        [literal(scene), *(f"{contents[source].scenes[scene]:,}" for source in SHOWN)]
        for scene in named
    ]
    return Table(["scene", *(SETS[source] for source in SHOWN)], rows, "Utterances by scene")
