"""Writes the comment on a pull request: first what the change did, then all there is to it.

Error rates are in per cent of the reference's characters, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.names import CHECKPOINTS, FINAL, TELEPHONE, TEST_SETS
from telephone_asr.report.changes import (
    SliceChange,
    content_section,
    data_section,
    other_section,
    param_section,
    slice_section,
    stage_section,
)
from telephone_asr.report.markdown import inert, table
from telephone_asr.report.tables import VERDICTS
from telephone_asr.scoring.difference import Difference, Results, compare, percent
from telephone_asr.scoring.gate import Check, passed
from telephone_asr.titles import TITLES, title_of

SIGNS = {**VERDICTS, "unchanged": "= unchanged", "not comparable": "? not comparable"}
LEGEND = (
    "CER in %. ▼ lower is better, ▲ higher is worse; ≈ within noise: the 95 % interval of the "
    "difference holds 0."
)

Differences = Mapping[tuple[str, str], Difference | None]  # by test set and checkpoint


@dataclass(frozen=True)
class Review:
    """Everything that the comment tells of a change."""

    base: str  # how the two revisions are called
    here: str
    before: Results
    after: Results
    stand_in: str  # a sentence where another checkpoint is compared with final; empty: none is
    differences: Differences
    checks: Sequence[Check]
    unreadable: Sequence[str]  # what fails the gate since it cannot be read or is not there
    slices: Sequence[SliceChange]
    remeasured: Sequence[str]  # checkpoints that are the same model with another CER
    params: Mapping[str, tuple]  # key: before, after; None: not there
    data: tuple[Mapping, Mapping]  # metrics/data.json before and after, with dotted keys
    stages: Mapping[str, Sequence[str]]  # whose lock changed: what of their inputs did
    others: Mapping[str, tuple]  # other metrics that changed: before, after
    pictures: Mapping[str, str]  # what one shows: its path


def compare_all(before: Results, after: Results, seed: int, own: Sequence[str] = ()) -> Differences:
    """Compares every checkpoint on every test set, after against before; own: those of the
    user's."""
    return {
        (test_set, checkpoint): compare(test_set, (before, checkpoint), (after, checkpoint), seed)
        for test_set in (*TEST_SETS, *own)
        for checkpoint in CHECKPOINTS
    }


def comment(review: Review) -> str:
    """Returns the whole comment; its pictures are expected where their paths say."""
    gate = "passed" if passed(review.checks) else "**not passed**"
    sections = [
        f"## {verdict(review.differences)}; gate {gate}",
        f"{TITLES[FINAL]} of {inert(review.here)} against {inert(review.base)}. {LEGEND}",
        inert(review.stand_in),
        _warning(review.remeasured),
        cer_table(review.differences, [FINAL]),
        gate_list(review.checks),
        _folded("Every checkpoint on every test set", cer_table(review.differences, CHECKPOINTS)),
        "### What it cost elsewhere",
        _wideband(review.differences["wideband", FINAL]),
        slice_section(review.slices),
        _folded(
            "Digits, names, repetitions, words where nobody speaks: what is worse, noise or not",
            content_section(review.before, review.after, FINAL),
        ),
        "### What was changed",
        param_section(review.params),
        data_section(*review.data),
        stage_section(review.stages),
        _folded("Other metrics that changed, time among them", other_section(review.others)),
        *(f"![{what}]({path})" for what, path in review.pictures.items()),
        interval_note(review),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def verdict(differences: Differences) -> str:
    """Says what became of telephone speech; the model that ships speaks for the change.

    >>> calls, simulated = Difference(0.3, 0.2, -0.2, -0.05), Difference(0.2, 0.21, -0.01, 0.03)
    >>> verdict({("telecall", "final"): calls, ("simulated", "final"): simulated})
    '▼ Better on telephone calls, ≈ within noise on simulated telephone speech'
    """
    order = ("worse", "better", "within noise", "unchanged", "not comparable")
    sets: dict[str, list[str]] = {word: [] for word in order}
    for test_set in TELEPHONE:
        sets[_verdict(differences[test_set, FINAL])].append(TITLES[test_set])
    parts = [
        f"{SIGNS[word][0]} {word} on {' and '.join(names)}" for word, names in sets.items() if names
    ]
    return parts[0][:2] + parts[0][2].upper() + ", ".join(parts)[3:]


def cer_table(differences: Differences, checkpoints: Sequence[str]) -> str:
    """Returns after against before; p is the chance of as large a difference by noise alone."""
    rows = [
        [title_of(test_set), TITLES[name], *_cells(differences[test_set, name])]
        for test_set in dict.fromkeys(test_set for test_set, _ in differences)
        for name in checkpoints
    ]
    heads = ["test set", "checkpoint", "change", "before", "after", "difference"]
    heads += ["95 % interval", "p"]
    if len(checkpoints) > 1:
        return table(heads, rows, left=3)
    heads, *rows = ([line[0], *line[2:]] for line in (heads, *rows))  # said above the table
    return table(heads, rows, left=2)


def gate_list(checks: Sequence[Check]) -> str:
    words = {True: "✓ passed", False: "✗ **not passed**", None: "?"}
    lines = [f"- {words[one.ok]}: {inert(one.sentence)}" for one in checks]
    return "**Gate:**\n\n" + "\n".join(lines)


def interval_note(review: Review) -> str:
    """Says how the intervals were come by, which decides how far they can be trusted."""
    notes, changed = [], []
    for (test_set, name), one in review.differences.items():
        if one is None or one.unchanged:
            continue
        changed.append(one)
        size = review.after.metrics_of(name, test_set)["utterances"]
        if one.utterances is not None and one.utterances < size:
            notes.append(
                f"{TITLES[name]} on {title_of(test_set)} is compared on the {one.utterances:,} of "
                f"{size:,} utterances that are the same before and after."
            )
    if any(one.utterances is not None for one in changed):
        notes.insert(0, "Intervals: paired bootstrap by speaker on the same utterances.")
    if any(one.utterances is None for one in changed):
        notes.append(
            "Where there is no p, the transcripts of one side are not at hand (`dvc pull`): the "
            "interval is put together from those of both sides' metrics, and is wider."
        )
    return " ".join(notes)


def _wideband(one: Difference | None) -> str:
    if one is None:
        return "Wideband speech: not comparable."
    value, _ = one.in_points()
    rates = f"{percent(one.before)} → {percent(one.after)} % ({value} points)"
    return f"Wideband speech: {SIGNS[_verdict(one)]}, {rates}."


def _warning(remeasured: Sequence[str]) -> str:
    if not remeasured:
        return ""
    names = " and ".join(TITLES[name] for name in remeasured)
    return (
        f"**Caution:** {names} is the same model as before and yet has another CER. So the test "
        "speech, the decoding or the scoring was changed, and not the models alone."
    )


def _verdict(one: Difference | None) -> str:
    if one is None:
        return "not comparable"
    return "unchanged" if one.unchanged else one.verdict


def _cells(one: Difference | None) -> list[str]:
    sign = SIGNS[_verdict(one)]
    if one is None:
        return [sign, *["–"] * 5]
    rates = [percent(one.before), f"**{percent(one.after)}**"]
    if one.unchanged:
        return [sign, *rates, *["–"] * 3]
    return [sign, *rates, *one.in_points(), "–" if one.p is None else f"{one.p:.3f}"]


def _folded(title: str, text: str) -> str:
    """Folds a text away until it is clicked on, as GitHub and GitLab show it."""
    if not text:
        return ""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
