"""The words and tables of the report, as Markdown, from plain metrics.

Rates are shown in per cent of the reference's characters. Whether a change is more than noise is
decided in one place, `Change.verdict`, from the paired bootstrap interval of the difference.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.compare import paired_difference

# Test sets, in the order of the report.
SETS = {
    "telecall": "telephone calls",
    "simulated": "simulated telephone speech",
    "wideband": "wideband speech",
}
# Checkpoints, in the order in which they are trained on top of each other.
CHECKPOINTS = {
    "base": "base",
    "encoder": "stage 1 (encoder)",
    "adapter": "stage 2 (adapter)",
    "lora": "stage 3 (LoRA)",
}
TRAINED_ON = {
    "encoder": "simulated",
    "adapter": "simulated, calls",
    "lora": "calls",
}
SHOWN_UTTERANCES = 10
FEW_SPEAKERS = 20  # with fewer, the bootstrap's intervals are too narrow


@dataclass(frozen=True)
class Change:
    """What one checkpoint changed against another on the same utterances; rates, not per cent."""

    before: str
    after: str
    test_set: str
    cer_before: float
    cer_after: float
    low: float  # 95 % interval of the difference
    high: float

    @property
    def difference(self) -> float:
        return self.cer_after - self.cer_before

    @property
    def verdict(self) -> str:
        if self.high < 0:
            return "better"
        if self.low > 0:
            return "worse"
        return "within noise"

    @property
    def relative(self) -> str:
        """The change and its interval in per cent of the CER before."""
        if self.cer_before == 0:
            return "no relative change from 0"
        change, low, high = (
            _minus(100 * value / self.cer_before, "+.0f")
            for value in (self.difference, self.low, self.high)
        )
        return f"{change} % (95 % interval {low} to {high} %)"


@dataclass(frozen=True)
class Findings:
    """Everything that the report tells, as the other stages wrote it."""

    metrics: Mapping[str, dict]  # checkpoint: test set: CER and its parts
    transcripts: Mapping[str, Sequence[dict]]  # checkpoint: one dictionary an utterance
    data: Mapping[str, dict]  # corpus: what became of its utterances
    checkpoints: Mapping[str, dict]  # stage: its checkpoint.json
    export: Mapping[str, int]
    synthetic: frozenset[str]  # of SETS: those that no person spoke
    seed: int


def document(findings: Findings, spectrogram_texts: Sequence[str]) -> str:
    """The whole README.md; its pictures are expected beside it."""
    found = compare(findings.transcripts, findings.seed)
    calls = [line for line in last(findings.transcripts) if line["source"] == "telecall"]

    def heading(title: str, *sets: str) -> str:
        return "## " + titled(title, findings.synthetic, sets or tuple(SETS))

    sections = [
        "# " + titled("Adaptation to telephone speech: where it stands", findings.synthetic),
        summary(findings, found),
        heading("Character error rates"),
        "![CER of every checkpoint on every test set, with 95 % intervals](cer.png)",
        cer_table(findings.metrics, findings.transcripts),
        interval_note(findings.transcripts),
        heading("Telephone calls by scene: CER in %", "telecall"),
        scene_table(findings.metrics, findings.transcripts),
        heading("What each stage changed"),
        "CER of a checkpoint less that of the one before it, on the same utterances, in "
        "percentage points. An interval that holds 0 is within noise.",
        change_table(found),
        heading("Data"),
        data_table(findings.data),
        quality_table(findings.data),
        heading("What the simulated line did", "simulated"),
        "![Distributions of level, noise and duration in the simulated corpus](channel.png)",
        "![Spectrograms of wideband, simulated and call speech](spectrograms.png)",
        "\n".join(f"- {text}" for text in spectrogram_texts),
        heading("Training"),
        training_table(findings.checkpoints),
        "Each training is validated on the valid set of what it trains on (base: wideband), so "
        "the curves' CERs are not compared with each other.",
        "![Loss and validation CER of each training by step](curves.png)",
        heading(f"The {SHOWN_UTTERANCES} worst utterances of the calls", "telecall"),
        f"Of the last checkpoint, {CHECKPOINTS['lora']}, by CER.",
        utterance_table(worst(calls)),
        heading(f"{SHOWN_UTTERANCES} utterances of the calls drawn at random", "telecall"),
        utterance_table(drawn(calls, findings.seed)),
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


def compare(transcripts: Mapping[str, Sequence[dict]], seed: int) -> list[Change]:
    """Each checkpoint against the one before it, and the last against base, on every test set."""
    names = list(CHECKPOINTS)
    pairs = [*pairwise(names), (names[0], names[-1])]
    return [
        _change(name, before, after, transcripts, seed) for name in SETS for before, after in pairs
    ]


def _change(
    test_set: str, before: str, after: str, transcripts: Mapping[str, Sequence[dict]], seed: int
) -> Change:
    lines_a, lines_b = (
        [line for line in transcripts[name] if line["source"] == test_set]
        for name in (before, after)
    )
    if [line["key"] for line in lines_a] != [line["key"] for line in lines_b]:
        raise ValueError(f"{before} and {after} are not of the same utterances of {test_set}")
    errors_a, errors_b = [_errors(line) for line in lines_a], [_errors(line) for line in lines_b]
    speakers = [line["speaker"] for line in lines_a]
    _, low, high = paired_difference(errors_a, errors_b, speakers, seed)
    rates = (sum(errors, ErrorRate()).rate for errors in (errors_a, errors_b))
    return Change(before, after, test_set, *rates, low, high)


def _errors(line: dict) -> ErrorRate:
    return ErrorRate(
        line["substitutions"], line["deletions"], line["insertions"], line["characters"]
    )


def last(transcripts: Mapping[str, Sequence[dict]]) -> Sequence[dict]:
    return transcripts[list(CHECKPOINTS)[-1]]


def summary(findings: Findings, found: Sequence[Change]) -> str:
    """The run in one paragraph."""
    base, *stages = CHECKPOINTS
    of = {(c.test_set, c.before, c.after): c for c in found}
    calls, wideband = (findings.metrics[base][name] for name in ("telecall", "wideband"))
    sentences = [_synthetic_sentence(findings.synthetic)]
    sentences.append(
        f"Before adaptation, base has a character error rate (CER) of **{percent(calls['cer'])} % "
        f"on telephone calls** (95 % interval {_interval(calls)}) and {percent(wideband['cer'])} % "
        f"on wideband speech ({_interval(wideband)})."
    )
    for before, after in pairwise(CHECKPOINTS):
        sentences.append(f"{_on_calls(of['telecall', before, after])}.")
    whole, price = (of[name, base, stages[-1]] for name in ("telecall", "wideband"))
    sentences.append(
        f"**All three together: calls went from {percent(whole.cer_before)} to "
        f"{percent(whole.cer_after)} %, {whole.relative}: {whole.verdict}.**"
    )
    sentences.append(
        f"What it cost: wideband speech went from {percent(price.cer_before)} to "
        f"{percent(price.cer_after)} %, {price.relative}: {price.verdict}."
    )
    sentences.append(
        f"The exported model gives the same text in FunASR as here for {findings.export['equal']} "
        f"of {findings.export['utterances']} test utterances."
    )
    speakers = len(_speakers(findings.transcripts, "telecall"))
    if speakers < FEW_SPEAKERS:
        sentences.append(
            f"Caution: the calls of the test set have {_count(speakers, 'speaker')} only, so their "
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
        return f"{name} made calls better: {rates}, {change.relative}"
    if change.verdict == "worse":
        return f"{name} made calls worse: {rates}, {change.relative}"
    return f"{name} left calls as they were, within noise: {rates}, {change.relative}"


def cer_table(metrics: Mapping[str, dict], transcripts: Mapping[str, Sequence[dict]]) -> str:
    """CER of every checkpoint on every test set, its interval, and the errors behind it."""
    rows = []
    for name, title in SETS.items():
        speakers = len(_speakers(transcripts, name))
        for checkpoint, label in CHECKPOINTS.items():
            one = metrics[checkpoint][name]
            counts = [one[key] for key in ("substitutions", "deletions", "insertions")]
            sizes = (one["utterances"], one["characters"], speakers)
            rows.append(
                [
                    title,
                    label,
                    f"**{percent(one['cer'])}**",
                    _interval(one),
                    *(f"{value:,}" for value in (*counts, *sizes)),
                ]
            )
    heads = ["test set", "checkpoint", "CER %", "95 % interval"]
    heads += ["subst.", "del.", "ins.", "utterances", "characters", "speakers"]
    return table(heads, rows, left=2)


def interval_note(transcripts: Mapping[str, Sequence[dict]]) -> str:
    """How far the intervals can be trusted: they are drawn by speaker."""
    counts = {title: len(_speakers(transcripts, name)) for name, title in SETS.items()}
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


def _speakers(transcripts: Mapping[str, Sequence[dict]], test_set: str) -> set[str]:
    return {line["speaker"] for line in last(transcripts) if line["source"] == test_set}


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
        points = [_minus(100 * x, "+.1f") for x in (one.difference, one.low, one.high)]
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
    keys = ("in", "train", "valid", "test")
    rows = []
    for name in ("simulated", "telecall", "wideband"):
        one = data[name]
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in one["rejected"].items())
        rejected = f"{sum(one['rejected'].values()):,}" + (f" ({reasons})" if reasons else "")
        rows.append(
            [
                SETS[name],
                *(f"{one[key]:,}" for key in keys),
                rejected,
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
    heads = ["type", "in", "train", "valid", "test", "rejected (reason)", "annotation errors"]
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
        errors = _errors(line)
        return -errors.rate, -errors.errors, line["key"]

    return sorted((line for line in lines if _errors(line).errors), key=badness)[:count]


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
        errors = _errors(line)
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


def _interval(one: Mapping[str, float]) -> str:
    return f"{percent(one['cer_low'])} to {percent(one['cer_high'])}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _share(share: float) -> str:
    """A share in per cent; 99.99 % must not read as all.

    >>> _share(1.0), _share(0.9999)
    ('100 %', '99.99 %')
    """
    return f"{100 * share:.4g} %"


def _minus(value: float, form: str) -> str:
    """A signed number with a real minus sign, and 0 without a sign."""
    text = format(value, form)
    if not text.strip("+-0."):
        return text[1:]
    return text.replace("-", "−")
