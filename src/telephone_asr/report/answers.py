"""What a reviewer asks first, answered from the numbers: what came of it, at what price, and where
calls are still bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from telephone_asr.report.blocks import Answer, literal
from telephone_asr.report.findings import (
    CHECKPOINTS,
    FINAL,
    SETS,
    Change,
    Check,
    Findings,
    rewritten,
    speakers_of,
)
from telephone_asr.report.slices import Slice
from telephone_asr.report.words import capital, count, interval, percent, points, relative

TONES = {"better": "good", "worse": "bad", "within noise": "neutral"}
AGAINST = {"better": "better than base", "worse": "worse than base", "within noise": "as base"}
BRACKETS = "In brackets: 95 % intervals."
NAMED_SLICES = 3
FEW_SPEAKERS = 20

Changes = Mapping[tuple[str, str, str], Change]  # test set, before, after


def lead(changes: Changes, hardest: Sequence[Slice]) -> str:
    """The run in three sentences."""
    calls, wideband = (changes[name, "base", FINAL] for name in ("telecall", "wideband"))
    sentences = [
        f"The three stages took **telephone calls from {percent(calls.cer_before)} to "
        f"{percent(calls.cer_after)} % character error rate (CER)**, {relative(calls)}: "
        f"**{calls.verdict}**.",
        f"Wideband speech went from {percent(wideband.cer_before)} to "
        f"{percent(wideband.cer_after)} %, {relative(wideband)}: **{wideband.verdict}**.",
    ]
    for first in hardest[:1]:
        sentences.append(
            f"Calls are still worst with {literal(first.words)}: {percent(first.cer)} %."
        )
    return " ".join(sentences)


def answers(findings: Findings, changes: Changes, hardest: Sequence[Slice]) -> list[Answer]:
    return [
        _merge(findings.gate, changes),
        _brought(findings, changes),
        _price(changes),
        _still_bad(findings, hardest),
    ]


def _merge(gate: Sequence[Check], changes: Changes) -> Answer:
    question = "May I merge?"
    against = "What it did against another revision: `telephone-asr review REVISION`."
    if not gate:
        sides = []
        for name in ("telecall", "wideband"):
            change = changes[name, "base", FINAL]
            sides.append(
                (TONES[change.verdict], f"{capital(SETS[name])}: {AGAINST[change.verdict]}")
            )
        return Answer(question, "The gate was not checked", "unknown", against, sides)
    passed = all(check.ok is not False for check in gate)
    headline = "Yes: the gate is passed" if passed else "No: the gate is not passed"
    tones = {True: "good", False: "bad", None: "unknown"}
    checks = [(tones[check.ok], literal(check.sentence)) for check in gate]
    return Answer(question, headline, tones[passed], against, checks)


def _brought(findings: Findings, changes: Changes) -> Answer:
    base = findings.metrics["base"]["telecall"]
    text = f"Base: {percent(base['cer'])} % ({interval(base)}). {BRACKETS}"
    return _by_stage("What did each stage bring on calls?", "telecall", text, changes)


def _price(changes: Changes) -> Answer:
    whole = changes["wideband", "base", FINAL]
    text = f"In all {points(whole)}. {BRACKETS}"
    return _by_stage("What did it cost on wideband speech?", "wideband", text, changes)


def _by_stage(question: str, test_set: str, text: str, changes: Changes) -> Answer:
    whole = changes[test_set, "base", FINAL]
    headline = f"{percent(whole.cer_before)} → {percent(whole.cer_after)} % CER: {whole.verdict}"
    found = []
    for before, after in pairwise(CHECKPOINTS):
        if (test_set, before, after) not in changes:  # merging, which changed no text
            continue
        change = changes[test_set, before, after]
        rates = f"{percent(change.cer_before)} → {percent(change.cer_after)} %"
        stage = f"{capital(CHECKPOINTS[after])}: **{change.verdict}**, {rates}, {points(change)}"
        found.append((TONES[change.verdict], stage))
    return Answer(question, headline, TONES[whole.verdict], text, found)


def _still_bad(findings: Findings, hardest: Sequence[Slice]) -> Answer:
    question = "On which calls is it still bad?"
    whole = findings.metrics[FINAL]["telecall"]
    text = f"All calls: {percent(whole['cer'])} % ({interval(whole)})."
    if not hardest:
        return Answer(question, f"{percent(whole['cer'])} % CER on all calls", "neutral", text)
    named = []
    for one in hardest[:NAMED_SLICES]:
        known = "" if one.low is None else f" ({percent(one.low)} to {percent(one.high)})"
        share = f"{100 * one.share_of_errors:.0f} % of all errors"
        named.append(
            ("bad", f"{capital(literal(one.words))}: {percent(one.cer)} %{known}, {share}")
        )
    first = hardest[0]
    headline = f"{capital(literal(first.words))}: {percent(first.cer)} % CER"
    return Answer(question, headline, "bad", text, named)


def notes(findings: Findings) -> list[str]:
    """What a reader has to know before believing the numbers."""
    found = [_synthetic(findings.synthetic)]
    speakers = len(speakers_of(findings.transcripts, "telecall"))
    if speakers < FEW_SPEAKERS:
        found.append(
            f"Caution: the calls of the test set have {count(speakers, 'speaker')} only: other "
            "voices may fare otherwise."
        )
    if "telecall" not in findings.synthetic:
        found.append(
            "This report holds transcripts of calls, and on its page recordings: show it to nobody "
            "who may not hear the calls."
        )
    found.append(_shipped(findings))
    missing = [one.name for one in findings.stages if not one.ran]
    if missing:
        found.append(f"Not run: {', '.join(f'`{name}`' for name in missing)}.")
    return [note for note in found if note]


def _shipped(findings: Findings) -> str:
    """What the rates are of: the exported model, here and in FunASR."""
    utterances = len(findings.transcripts[FINAL])
    others = sum(rewritten(findings.transcripts, name) for name in SETS)
    changed = f"the text of {others:,} of {utterances:,} utterances" if others else "no text"
    equal, compared = findings.export["equal"], findings.export["utterances"]
    rates = [percent(findings.export[key]) for key in ("funasr_cer", "cer")]
    return (
        "The model that ships is final: stage 3 merged into models/final, and loaded anew to be "
        f"scored. Merging changed {changed}. FunASR's AutoModel gives the same text as we do for "
        f"{equal} of {compared} test utterances (CER {rates[0]} % there, {rates[1]} % here), and "
        f"for {findings.export['without_dither']['equal']} where neither dithers."
    )


def _synthetic(synthetic: frozenset[str]) -> str:
    if not synthetic:
        return ""
    if synthetic >= set(SETS):
        return "All speech in this report is synthetic: a speech synthesiser spoke it, no person."
    names = " and ".join(title for name, title in SETS.items() if name in synthetic)
    return f"Synthetic, spoken by no person, are here: {names}."
