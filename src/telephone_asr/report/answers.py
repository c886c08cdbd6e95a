"""What a reviewer asks first, answered from the numbers: what came of it, at what price, and where
calls are still bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from telephone_asr.report.blocks import Answer, literal
from telephone_asr.report.findings import (
    CHECKPOINTS,
    LAST,
    SETS,
    Change,
    Findings,
    Gate,
    speakers_of,
)
from telephone_asr.report.slices import KINDS, Slice
from telephone_asr.report.tables import FEW_SPEAKERS
from telephone_asr.report.words import capital, count, interval, percent, points, relative

TONES = {"better": "good", "worse": "bad", "within noise": "neutral"}
NAMED_SLICES = 3

Changes = Mapping[tuple[str, str, str], Change]  # test set, before, after


def lead(findings: Findings, changes: Changes, hardest: Sequence[Slice]) -> str:
    """The run in three sentences."""
    calls, wideband = (changes[name, "base", LAST] for name in ("telecall", "wideband"))
    sentences = [
        f"The three stages took **telephone calls from {percent(calls.cer_before)} to "
        f"{percent(calls.cer_after)} % character error rate (CER)**, {relative(calls)}: "
        f"**{calls.verdict}**.",
        f"Wideband speech went from {percent(wideband.cer_before)} to "
        f"{percent(wideband.cer_after)} %, {relative(wideband)}: **{wideband.verdict}**.",
    ]
    if hardest:
        sentences.append(f"Calls are still worst with {_slice(hardest[0])}.")
    return " ".join(sentences)


def answers(findings: Findings, changes: Changes, hardest: Sequence[Slice]) -> list[Answer]:
    return [
        _merge(findings.gate, changes),
        _brought(findings, changes),
        _price(changes),
        _still_bad(findings, hardest),
    ]


def _merge(gate: Gate | None, changes: Changes) -> Answer:
    question = "May I merge?"
    if gate is not None:
        headline = "Yes: the gate is passed" if gate.passed else "No: the gate is not passed"
        checks = [("good" if passed else "bad", text) for passed, text in gate.checks]
        return Answer(question, headline, "good" if gate.passed else "bad", points=checks)
    sides = []
    for name in ("telecall", "wideband"):
        change = changes[name, "base", LAST]
        sides.append((TONES[change.verdict], f"{capital(SETS[name])}: {change.verdict} than base"))
    text = "No gate was checked in this run. What there is to weigh:"
    noise = [(tone, side.replace("noise than base", "noise of base")) for tone, side in sides]
    return Answer(question, "The gate was not checked", "neutral", text, noise)


def _brought(findings: Findings, changes: Changes) -> Answer:
    whole = changes["telecall", "base", LAST]
    found = []
    for before, after in pairwise(CHECKPOINTS):
        change = changes["telecall", before, after]
        rates = f"{percent(change.cer_before)} → {percent(change.cer_after)} %"
        text = f"{capital(CHECKPOINTS[after])}: {rates}, **{change.verdict}** ({points(change)})"
        found.append((TONES[change.verdict], text))
    rates = f"{percent(whole.cer_before)} → {percent(whole.cer_after)} % CER: {whole.verdict}"
    base = findings.metrics["base"]["telecall"]
    text = f"Base had {percent(base['cer'])} % (95 % interval {interval(base)})."
    return Answer("What did each stage bring on calls?", rates, TONES[whole.verdict], text, found)


def _price(changes: Changes) -> Answer:
    whole = changes["wideband", "base", LAST]
    rates = f"{percent(whole.cer_before)} → {percent(whole.cer_after)} % CER: {whole.verdict}"
    found = []
    for before, after in pairwise(CHECKPOINTS):
        change = changes["wideband", before, after]
        text = f"{capital(CHECKPOINTS[after])}: **{change.verdict}** ({points(change)})"
        found.append((TONES[change.verdict], text))
    text = f"In all {points(whole)}."
    return Answer("What did it cost on wideband speech?", rates, TONES[whole.verdict], text, found)


def _still_bad(findings: Findings, hardest: Sequence[Slice]) -> Answer:
    question = "On which calls is it still bad?"
    whole = findings.metrics[LAST]["telecall"]
    text = f"All calls: {percent(whole['cer'])} % (95 % interval {interval(whole)})."
    if not hardest:
        return Answer(question, f"{percent(whole['cer'])} % CER on all calls", "neutral", text)
    named = [
        ("bad", f"{capital(_slice(one))} (95 % interval {percent(one.low)} to {percent(one.high)})")
        for one in hardest[:NAMED_SLICES]
    ]
    first = hardest[0]
    headline = f"{capital(KINDS[first.kind][0])} {literal(first.value)}: "
    return Answer(question, f"{headline}{percent(first.errors.rate)} % CER", "bad", text, named)


def _slice(one: Slice) -> str:
    return f"{KINDS[one.kind][0]} {literal(one.value)}: {percent(one.errors.rate)} %"


def notes(findings: Findings) -> list[str]:
    """What a reader has to know before believing the numbers."""
    found = [_synthetic(findings.synthetic)]
    speakers = len(speakers_of(findings.transcripts, "telecall"))
    if speakers < FEW_SPEAKERS:
        found.append(
            f"Caution: the calls of the test set have {count(speakers, 'speaker')} only, so their "
            "intervals are too narrow and other voices may fare otherwise."
        )
    found.append(
        f"The exported model gives the same text in FunASR as here for {findings.export['equal']} "
        f"of {findings.export['utterances']} test utterances."
    )
    missing = [one.name for one in findings.stages if not one.ran]
    if missing:
        found.append(f"Not run: {', '.join(f'`{name}`' for name in missing)}.")
    return [note for note in found if note]


def _synthetic(synthetic: frozenset[str]) -> str:
    if not synthetic:
        return ""
    if synthetic >= set(SETS):
        return "All speech in this report is synthetic: a speech synthesiser spoke it, no person."
    names = " and ".join(title for name, title in SETS.items() if name in synthetic)
    return f"Synthetic, spoken by no person, are here: {names}."
