"""Counts and draws the corpora: who speaks how much, how fast, in what noise; what was kept, left
out and changed."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import FigureBase

from telephone_asr.manifests.quality import REASONS
from telephone_asr.manifests.text import clean_transcript, syllables
from telephone_asr.names import OWN
from telephone_asr.report.blocks import Table
from telephone_asr.report.figures import ACCENT, SECOND, Panel
from telephone_asr.report.markdown import literal
from telephone_asr.scoring.mask import Shown, masked
from telephone_asr.titles import TITLES

# A simulated utterance is the wideband one again, as far as these pictures go.
SHOWN = {"wideband": ACCENT, "telecall": SECOND}
LINES = {"wideband": "-", "telecall": "--"}  # told apart without colours too
MOST_SCENES = 20
EXAMPLES = 3  # of what each rule of the normaliser changed
ORDER = ("simulated", "telecall", "wideband")  # of the tables' rows


@dataclass
class Contents:
    """The counts of one corpus, a few bytes an utterance."""

    duration_s: array = field(default_factory=lambda: array("f"))
    syllables_per_s: array = field(default_factory=lambda: array("f"))
    snr_db: array = field(default_factory=lambda: array("f"))
    scenes: Counter = field(default_factory=Counter)
    speakers: Counter = field(default_factory=Counter)

    @classmethod
    def of(cls, cuts: Iterable[dict]) -> Contents:
        """Counts the cuts of a corpus, those left out included."""
        contents = cls()
        for cut in cuts:
            supervision = cut["supervisions"][0]
            text, _ = clean_transcript(supervision["text"])
            contents.duration_s.append(cut["duration"])
            contents.syllables_per_s.append(syllables(text) / cut["duration"])
            contents.snr_db.append(cut["custom"]["measures"]["snr_db"])
            contents.scenes[supervision["custom"]["scene"]] += 1
            contents.speakers[supervision["speaker"]] += 1
        return contents


def panels(contents: Mapping[str, Contents]) -> list[Panel]:
    """Draws lengths, pace and noise of the corpora of SHOWN, and how much each speaker says."""
    drawn = []
    for name, title, label in (
        ("duration_s", "Durations", "duration (s)"),
        ("syllables_per_s", "Pace", "syllables a second"),
        ("snr_db", "Noise", "SNR (dB, estimated)"),
    ):
        values = {source: np.array(getattr(contents[source], name)) for source in SHOWN}
        medians = ", ".join(f"{TITLES[s]} {np.median(v):.1f}" for s, v in values.items())
        alt = f"Distribution of {label}; medians: {medians}."
        drawn.append(Panel(f"data-{name}", title, alt, _distribution_drawer(values, label)))
    counts = {source: sorted(contents[source].speakers.values())[::-1] for source in SHOWN}
    most = ", ".join(f"{TITLES[s]} {c[0]:,} to {c[-1]:,}" for s, c in counts.items() if c)
    alt = f"Utterances of each speaker, those with most first: {most}."
    drawn.append(Panel("data-speakers", "Speakers", alt, _speaker_drawer(counts)))
    return drawn


def _distribution_drawer(values: Mapping[str, np.ndarray], label: str) -> Callable:
    """Draws shares, since the corpora differ in size, and not the last per mille."""

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        every = np.concatenate(list(values.values()))
        edges = np.linspace(every.min(), np.percentile(every, 99.9), 41)
        for source, colour in SHOWN.items():
            weights = np.full(len(values[source]), 100 / max(len(values[source]), 1))
            axes.hist(
                *(values[source], edges.tolist()),
                weights=weights,
                histtype="step",
                label=TITLES[source],
                color=colour,
                ls=LINES[source],
                lw=1.5,
            )
        axes.set_xlabel(label)
        axes.set_ylabel("% of utterances")
        figure.legend(loc="outside upper center", ncols=len(SHOWN))

    return draw


def _speaker_drawer(counts: Mapping[str, list[int]]) -> Callable:
    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        for source, colour in SHOWN.items():
            places = range(1, len(counts[source]) + 1)
            [line] = axes.plot(places, counts[source], label=TITLES[source], color=colour)
            line.set(linestyle=LINES[source], linewidth=1.5, marker=".", markersize=4)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("speakers, those with most first")
        axes.set_ylabel("utterances")
        figure.legend(loc="outside upper center", ncols=len(SHOWN))

    return draw


def scene_table(contents: Mapping[str, Contents]) -> Table | None:
    """Returns how much of each corpus is of which scene; None where no scene is named."""
    both: Counter[str] = sum((one.scenes for one in contents.values()), Counter())
    named = [scene for scene, _ in both.most_common(MOST_SCENES) if scene]
    if not named:
        return None
    rows = [
        [literal(scene), *(f"{contents[source].scenes[scene]:,}" for source in SHOWN)]
        for scene in named
    ]
    return Table(["scene", *(TITLES[source] for source in SHOWN)], rows, "Utterances by scene")


def data_table(data: Mapping[str, dict]) -> Table:
    """Returns what became of every utterance of each corpus."""

    def row(title: str, speakers: str, *corpora: str) -> list[str]:
        own = [data[name] for name in corpora]
        counts = [sum(one[key] for one in own) for key in ("in", "train", "valid", "test", "kept")]
        counts.append(sum(sum(one["rejected"].values()) for one in own))
        counts.append(sum(one["annotation_errors"] for one in own))
        hours = sum(one["hours"] for one in own)
        return [title, *(f"{n:,}" for n in counts), f"{hours:.2f}", speakers]

    rows = [row(TITLES[name], f"{data[name]['speakers']:,}", name) for name in ORDER]
    rows.insert(2, row("simulated and calls together", "", *ORDER[:2]))
    heads = ["type", "in", "train", "valid", "test", "valid samples", "rejected"]
    heads += ["of them annotation errors", "hours kept", "speakers"]
    return Table(heads, rows, "What became of every utterance")


def corpus_table(data: Mapping[str, dict]) -> Table | None:
    """Returns what became of the corpora of lists; None where there are none."""
    rows = []
    for name in ORDER:
        for corpus, one in data[name].get("corpora", {}).items():
            counts = [one[key] for key in ("in", "train", "valid", "test", "kept")]
            counts += [sum(one["rejected"].values()), one["speakers"]]
            facts = [f"{one['hours']:.2f}", f"{one['weight']:g}", literal(one["licence"])]
            rows.append([TITLES[name], literal(corpus), *(f"{n:,}" for n in counts), *facts])
    heads = ["type", "corpus", "in", "train", "valid", "test", "valid samples", "rejected"]
    heads += ["speakers", "hours kept", "weight", "licence"]
    return Table(heads, rows, "The corpora, one by one", left=2) if rows else None


def test_set_table(data: Mapping[str, dict]) -> Table | None:
    """Returns what became of the user's own test sets; None where there are none."""
    rows = []
    for name, one in data.get(OWN, {}).items():
        counts = [one["in"], one["test"], sum(one["rejected"].values())]
        counts += [one["speakers"], one["speakers_in_corpora"]]
        limit = "–" if one["gate"] is None else f"{100 * one['gate']:g}"
        facts = [f"{one['hours']:.2f}", one["band"], limit, literal(one["licence"])]
        rows.append([literal(name), *(f"{n:,}" for n in counts), *facts])
    heads = ["test set", "in", "test", "rejected", "speakers", "of them in the corpora, too"]
    heads += ["hours kept", "speech", "gate, points", "licence"]
    return Table(heads, rows, "Test sets beside those of the corpora") if rows else None


def quality_table(data: Mapping[str, dict]) -> Table:
    """Returns lengths, completeness and storage of each corpus."""
    rows = []
    for name, one in ((name, data[name]) for name in ORDER):
        lengths = [f"{one[key]:.1f}" for key in ("mean_speech_length", "mean_text_length")]
        shares = [_share(one[key]) for key in ("share_all_fields", "share_audio_exists")]
        rows.append([TITLES[name], *lengths, *shares, f"{one['mb_per_hour']:.1f}"])
    heads = ["type", "mean speech\\_length (10 ms frames)", "mean text\\_length (tokens)"]
    heads += ["all fields present", "audio exists", "MB an hour"]
    return Table(heads, rows, "Lengths, completeness and storage")


def _share(part: float) -> str:
    """Returns a share in per cent; 99.99 % must not read as all.

    >>> _share(1.0), _share(0.9999)
    ('100 %', '99.99 %')
    """
    return f"{100 * part:.4g} %"


def rejection_table(rejected: Mapping[str, Iterable[dict]], texts: Shown = "all") -> Table | str:
    """Returns each reason that was met, in how many utterances of each corpus, and one of them;
    unless `texts` is all, none: the details name others, and quote transcripts."""
    counts: dict[str, Counter] = {}
    example: dict[str, str] = {}
    for source, entries in rejected.items():
        for entry in entries:
            counts.setdefault(entry["reason"], Counter())[source] += 1
            example.setdefault(entry["reason"], f"{entry['id']}: {entry['detail']}")
    if not counts:
        return "Nothing was left out."
    rows = []
    for reason in (reason for reason in REASONS if reason in counts):
        numbers = [f"{counts[reason][source]:,}" for source in rejected]
        one = [literal(example[reason])] if texts == "all" else []
        rows.append([f"`{reason}`", REASONS[reason], *one, *numbers])
    words = ["reason", "what it means", *(["one of them"] if texts == "all" else [])]
    heads = [*words, *(TITLES[source] for source in rejected)]
    return Table(heads, rows, "Left out, by reason", left=len(words))


def change_table(
    changed: Mapping[str, Iterable[dict]],
    version: int,
    texts: Shown = "all",
    names: Sequence[str] = (),
) -> Table | str:
    """Returns how many transcripts each rule of the normaliser changed, and some of them, if texts
    are shown; names: masked in texts."""

    def shown(text: str) -> str:
        return literal(masked(text, names) if texts == "masked" else text)

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
    rows = []
    for rule, count in counts.items():
        pairs = [f"{shown(b)} → {shown(clean_transcript(b)[0])}" for b in examples[rule]]
        some = [] if texts == "none" else [" / ".join(pairs)]
        rows.append([f"`{rule}`", *some, *(f"{count[source]:,}" for source in changed)])
    words = ["rule", *([] if texts == "none" else ["before → after"])]
    heads = [*words, *(TITLES[source] for source in changed)]
    return Table(heads, rows, f"{note}: transcripts changed", left=len(words))
