"""Holds what a run left, and answers what a reviewer asks of it first: what it brought, at what
price, and where calls are still bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from telephone_asr.errors import InputError
from telephone_asr.names import BASE, CHECKPOINTS, FINAL, OWN, TEST_SETS, UNMERGED
from telephone_asr.report.blocks import Answer
from telephone_asr.report.lock import StageState
from telephone_asr.report.markdown import literal
from telephone_asr.report.slices import Slice
from telephone_asr.scoring.difference import (
    Difference,
    between,
    of_transcripts,
    percent,
    signed,
)
from telephone_asr.scoring.gate import Check, passed
from telephone_asr.scoring.mask import Shown
from telephone_asr.scoring.options import Scoring
from telephone_asr.scoring.transcripts import lines_of
from telephone_asr.titles import TITLES

TONES = {"better": "good", "worse": "bad", "within noise": "neutral"}
AGAINST = {"better": "better than base", "worse": "worse than base", "within noise": "as base"}
BRACKETS = "In brackets: 95 % intervals."
NAMED_SLICES = 3
FEW_SPEAKERS = 20
LEFT_OUT = {  # by report.texts
    "none": "Sound, texts and ids of utterances are left out (`report.texts: none`); counts stay.",
    "masked": "Sound and ids of utterances are left out, and in texts digits and names are masked "
    "as far as rules find them (`report.texts: masked`): show it to nobody who may not read calls.",
}

Transcripts = Mapping[str, Sequence[dict]]  # checkpoint: one dictionary an utterance
Changes = Mapping[tuple[str, str, str], Difference]  # by test set, checkpoint before and after


@dataclass(frozen=True)
class Findings:
    """Everything that the report tells, as the other stages wrote it."""

    metrics: Mapping[str, dict]  # checkpoint: test set: CER and its parts
    transcripts: Transcripts
    data: Mapping[str, dict]  # corpus: what became of its utterances
    checkpoints: Mapping[str, dict]  # stage: its checkpoint.json
    export: Mapping[str, Any]  # metrics/export.json
    synthetic: frozenset[str]  # of TEST_SETS: those that no person spoke
    seed: int
    costs: Mapping[str, dict] = field(default_factory=dict)  # stage or checkpoint: time, memory
    stages: Sequence[StageState] = ()
    gate: Sequence[Check] = ()  # empty: nobody checked it
    made_up: Sequence[dict] = ()  # lines of the final model where nobody speaks
    scoring: Scoring = field(default_factory=Scoring)  # as the transcripts' errors were counted
    texts: Shown = "all"  # of utterances: whether they are shown
    names: Sequence[str] = ()  # masked wherever they stand, where texts are

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Returns the names of the three and of the user's own."""
        return (*TEST_SETS, *self.data.get(OWN, {}))


def compare(
    transcripts: Transcripts, seed: int, test_sets: Sequence[str] = TEST_SETS
) -> dict[tuple[str, str, str], Difference]:
    """Compares each checkpoint with the one before it, and the last with base, on every test set.

    Merging is a step of its own only where it changed a text.
    """
    pairs = [*pairwise(CHECKPOINTS), (BASE, FINAL)]
    return {
        (name, before, after): _change(name, before, after, transcripts, seed)
        for name in test_sets
        for before, after in pairs
        if (before, after) != (UNMERGED, FINAL) or rewritten(transcripts, name)
    }


def rewritten(transcripts: Transcripts, test_set: str) -> int:
    """Counts the texts of the model that ships that are others than before it was merged."""
    own = {line["key"]: line["text"] for line in lines_of(transcripts, UNMERGED, test_set)}
    shipped = lines_of(transcripts, FINAL, test_set)
    return sum(line["text"] != own.get(line["key"]) for line in shipped)


def _change(
    test_set: str, before: str, after: str, transcripts: Transcripts, seed: int
) -> Difference:
    old, new = (lines_of(transcripts, name, test_set) for name in (before, after))
    change = of_transcripts(old, new, seed)
    if change is None or [line["key"] for line in old] != [line["key"] for line in new]:
        raise InputError(
            f"data/transcripts: {before}.jsonl and {after}.jsonl are not of the same utterances of "
            f"{test_set}: run `dvc repro`."
        )
    return change


def speakers_of(transcripts: Transcripts, test_set: str) -> set[str]:
    return {line["speaker"] for line in lines_of(transcripts, FINAL, test_set)}


# --- The answers


def lead(changes: Changes, hardest: Sequence[Slice]) -> str:
    """Tells the run in three sentences."""
    calls, wideband = (changes[name, BASE, FINAL] for name in ("telecall", "wideband"))
    sentences = [
        f"The three stages took **telephone calls from {percent(calls.before)} to "
        f"{percent(calls.after)} % character error rate (CER)**, {_relative(calls)}: "
        f"**{calls.verdict}**.",
        f"Wideband speech went from {percent(wideband.before)} to "
        f"{percent(wideband.after)} %, {_relative(wideband)}: **{wideband.verdict}**.",
    ]
    if hardest:
        worst = hardest[0]
        sentences += [f"Calls are still worst with {literal(worst.words)}: {percent(worst.cer)} %."]
    return " ".join(sentences)


def answers(findings: Findings, changes: Changes, hardest: Sequence[Slice]) -> list[Answer]:
    base = f"Base: {_rate(findings.metrics[BASE]['telecall'])}. {BRACKETS}"
    whole = f"In all {changes['wideband', BASE, FINAL]}. {BRACKETS}"
    return [
        _merge(findings.gate, changes),
        _by_stage("What did each stage bring on calls?", "telecall", base, changes),
        _by_stage("What did it cost on wideband speech?", "wideband", whole, changes),
        _still_bad(findings, hardest),
    ]


def _merge(gate: Sequence[Check], changes: Changes) -> Answer:
    question = "May I merge?"
    against = "What it did against another revision: `telephone-asr review REVISION`."
    if not gate:
        verdicts = {n: changes[n, BASE, FINAL].verdict for n in ("telecall", "wideband")}
        sides = [
            (TONES[verdict], f"{_capital(TITLES[name])}: {AGAINST[verdict]}")
            for name, verdict in verdicts.items()
        ]
        return Answer(question, "The gate was not checked", "unknown", against, sides)
    headline = "Yes: the gate is passed" if passed(gate) else "No: the gate is not passed"
    tones = {True: "good", False: "bad", None: "unknown"}
    checks = [(tones[check.ok], literal(check.sentence)) for check in gate]
    return Answer(question, headline, tones[passed(gate)], against, checks)


def _by_stage(question: str, test_set: str, text: str, changes: Changes) -> Answer:
    whole = changes[test_set, BASE, FINAL]
    headline = f"{percent(whole.before)} → {percent(whole.after)} % CER: {whole.verdict}"
    steps = []
    for before, after in pairwise(CHECKPOINTS):
        if (test_set, before, after) not in changes:  # merging, which changed no text
            continue
        change = changes[test_set, before, after]
        rates = f"{percent(change.before)} → {percent(change.after)} %"
        stage = f"{_capital(TITLES[after])}: **{change.verdict}**, {rates}, {change}"
        steps.append((TONES[change.verdict], stage))
    return Answer(question, headline, TONES[whole.verdict], text, steps)


def _still_bad(findings: Findings, hardest: Sequence[Slice]) -> Answer:
    question = "On which calls is it still bad?"
    whole = findings.metrics[FINAL]["telecall"]
    text = f"All calls: {_rate(whole)}."
    if not hardest:
        return Answer(question, f"{percent(whole['cer'])} % CER on all calls", "neutral", text)
    named = []
    for one in hardest[:NAMED_SLICES]:
        rate = f"{percent(one.cer)} %" + (f" ({one.interval})" if one.interval else "")
        share = f"{100 * one.share_of_errors:.0f} % of all errors"
        named.append(("bad", f"{_capital(literal(one.words))}: {rate}, {share}"))
    first = hardest[0]
    headline = f"{_capital(literal(first.words))}: {percent(first.cer)} % CER"
    return Answer(question, headline, "bad", text, named)


def notes(findings: Findings) -> list[str]:
    """Says what a reader has to know before believing the numbers."""
    said = [_synthetic(findings.synthetic)]
    speakers = len(speakers_of(findings.transcripts, "telecall"))
    if speakers < FEW_SPEAKERS:
        said.append(
            f"Caution: the calls of the test set have {speakers} speaker{'s' * (speakers != 1)} "
            "only: other voices may fare otherwise."
        )
    if findings.texts != "all":
        said.append(LEFT_OUT[findings.texts])
    elif "telecall" not in findings.synthetic:
        said.append(
            "This report holds transcripts of calls, and on its page recordings: show it to nobody "
            "who may not hear the calls."
        )
    said.append(_shipped(findings))
    missing = [one.name for one in findings.stages if not one.ran]
    if missing:
        said.append(f"Not run: {', '.join(f'`{name}`' for name in missing)}.")
    return [note for note in said if note]


def _shipped(findings: Findings) -> str:
    """Says what the rates are of: the exported model, here and in FunASR."""
    utterances = len(findings.transcripts[FINAL])
    others = sum(rewritten(findings.transcripts, name) for name in findings.test_sets)
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
    if synthetic >= set(TEST_SETS):
        return "All speech in this report is synthetic: a speech synthesiser spoke it, no person."
    names = " and ".join(TITLES[name] for name in TEST_SETS if name in synthetic)
    return f"Synthetic, spoken by no person, are here: {names}."


def _relative(change: Difference) -> str:
    """Returns the change and its interval in per cent of the CER before."""
    if change.before == 0:
        return "no relative change from 0"
    value, low, high = (
        signed(100 * x / change.before, "+.0f") for x in (change.value, change.low, change.high)
    )
    return f"{value} % (95 % interval {low} to {high} %)"


def _rate(metrics: Mapping) -> str:
    return f"{percent(metrics['cer'])} % ({between(metrics['cer_low'], metrics['cer_high'])})"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
