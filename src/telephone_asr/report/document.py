"""The whole report as one Markdown document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from telephone_asr.report import tables
from telephone_asr.report.findings import (
    CHECKPOINTS,
    SETS,
    Change,
    Findings,
    compare,
    last,
    speakers_of,
)
from telephone_asr.report.tables import (
    FEW_SPEAKERS,
    SHOWN_UTTERANCES,
    count,
    interval,
    minus,
    percent,
)


def document(findings: Findings, accounts: Sequence[str], spectrogram_texts: Sequence[str]) -> str:
    """The whole README.md; its pictures are expected beside it.

    Args:
        accounts: tables of what was left out of the corpora and of what was changed.
    """
    found = compare(findings.transcripts, findings.seed)
    calls = [line for line in last(findings.transcripts) if line["source"] == "telecall"]

    def heading(title: str, *sets: str) -> str:
        return "## " + titled(title, findings.synthetic, sets or tuple(SETS))

    sections = [
        "# " + titled("Adaptation to telephone speech: where it stands", findings.synthetic),
        summary(findings, found),
        heading("Character error rates"),
        "![CER of every checkpoint on every test set, with 95 % intervals](cer.png)",
        tables.cer_table(findings.metrics, findings.transcripts),
        tables.interval_note(findings.transcripts),
        heading("Telephone calls by scene: CER in %", "telecall"),
        tables.scene_table(findings.metrics, findings.transcripts),
        heading("What each stage changed"),
        "CER of a checkpoint less that of the one before it, on the same utterances, in "
        "percentage points. An interval that holds 0 is within noise.",
        tables.change_table(found),
        heading("Data"),
        tables.data_table(findings.data),
        tables.quality_table(findings.data),
        "![Durations, pace, SNR, speakers, scenes and rejections of the corpora](data.png)",
        *accounts,
        "`telephone-asr data why ID` says what happened to an utterance; docs/data.md has the "
        "limits behind each reason.",
        heading("What the simulated line did", "simulated"),
        "![Distributions of level, noise, codec, loss and duration in the simulated corpus]"
        "(channel.png)",
        "![Spectrograms of simulated utterances with what their lines did](sheet.png)",
        "![Spectrograms of wideband, simulated and call speech](spectrograms.png)",
        "\n".join(f"- {text}" for text in spectrogram_texts),
        heading("Training"),
        tables.training_table(findings.checkpoints),
        "Each training is validated on the valid set of what it trains on (base: wideband), so "
        "the curves' CERs are not compared with each other.",
        "![Loss and validation CER of each training by step](curves.png)",
        heading(f"The {SHOWN_UTTERANCES} worst utterances of the calls", "telecall"),
        f"Of the last checkpoint, {CHECKPOINTS['lora']}, by CER.",
        tables.utterance_table(tables.worst(calls)),
        heading(f"{SHOWN_UTTERANCES} utterances of the calls drawn at random", "telecall"),
        tables.utterance_table(tables.drawn(calls, findings.seed)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def titled(title: str, synthetic: Iterable[str], sets: Sequence[str] = tuple(SETS)) -> str:
    """The title, with word of those of its test sets that are synthetic.

    >>> titled("CER", ["telecall"], ["telecall"]), titled("CER", ["telecall"])
    ('CER (synthetic speech)', 'CER (synthetic: telephone calls)')
    """
    own = [name for name in sets if name in synthetic]
    if not own:
        return title
    if len(own) == len(sets):
        return f"{title} (synthetic speech)"
    return f"{title} (synthetic: {', '.join(SETS[name] for name in own)})"


def summary(findings: Findings, found: Sequence[Change]) -> str:
    """The run in one paragraph."""
    base, *stages = CHECKPOINTS
    of = {(c.test_set, c.before, c.after): c for c in found}
    calls, wideband = (findings.metrics[base][name] for name in ("telecall", "wideband"))
    sentences = [_synthetic_sentence(findings.synthetic)]
    sentences.append(
        f"Before adaptation, base has a character error rate (CER) of **{percent(calls['cer'])} % "
        f"on telephone calls** (95 % interval {interval(calls)}) and {percent(wideband['cer'])} % "
        f"on wideband speech ({interval(wideband)})."
    )
    for before, after in pairwise(CHECKPOINTS):
        sentences.append(f"{_on_calls(of['telecall', before, after])}.")
    whole, price = (of[name, base, stages[-1]] for name in ("telecall", "wideband"))
    sentences.append(
        f"**All three together: calls went from {percent(whole.cer_before)} to "
        f"{percent(whole.cer_after)} %, {relative(whole)}: {whole.verdict}.**"
    )
    sentences.append(
        f"What it cost: wideband speech went from {percent(price.cer_before)} to "
        f"{percent(price.cer_after)} %, {relative(price)}: {price.verdict}."
    )
    sentences.append(
        f"The exported model gives the same text in FunASR as here for {findings.export['equal']} "
        f"of {findings.export['utterances']} test utterances."
    )
    speakers = len(speakers_of(findings.transcripts, "telecall"))
    if speakers < FEW_SPEAKERS:
        sentences.append(
            f"Caution: the calls of the test set have {count(speakers, 'speaker')} only, so their "
            "intervals are too narrow and other voices may fare otherwise."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def _synthetic_sentence(synthetic: frozenset[str]) -> str:
    if not synthetic:
        return ""
    if synthetic >= set(SETS):
        return "All speech in this report is synthetic: a speech synthesiser spoke it, no person."
    names = " and ".join(title for name, title in SETS.items() if name in synthetic)
    return f"Synthetic, spoken by no person, are here: {names}."


def _on_calls(change: Change) -> str:
    """What a stage did on the calls, as a sentence without its full stop."""
    name = CHECKPOINTS[change.after]
    name = name[0].upper() + name[1:]
    rates = f"from {percent(change.cer_before)} to {percent(change.cer_after)} %"
    if change.verdict == "better":
        return f"{name} made calls better: {rates}, {relative(change)}"
    if change.verdict == "worse":
        return f"{name} made calls worse: {rates}, {relative(change)}"
    return f"{name} left calls as they were, within noise: {rates}, {relative(change)}"


def relative(change: Change) -> str:
    """The change and its interval in per cent of the CER before."""
    if change.cer_before == 0:
        return "no relative change from 0"
    difference, low, high = (
        minus(100 * value / change.cer_before, "+.0f")
        for value in (change.difference, change.low, change.high)
    )
    return f"{difference} % (95 % interval {low} to {high} %)"
