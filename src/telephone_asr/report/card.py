"""Writes the model card, README.md of a model that is handed over: with Hugging Face's fields, and
nothing that anybody said or is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from telephone_asr.names import BASE, FINAL, TELEPHONE, TEST_SETS
from telephone_asr.params import Params, Source
from telephone_asr.report import slices, tables
from telephone_asr.report.blocks import FEW_CHARACTERS, Table
from telephone_asr.report.markdown import literal, table
from telephone_asr.scoring.difference import between, percent
from telephone_asr.titles import TITLES

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

EMBEDDED = "MIT (spoken by Kokoro-82M, Apache-2.0)"
UNKNOWN = "not known here"
USE = """```python
from funasr import AutoModel  # pip install funasr

model = AutoModel(model="{name}", disable_update=True)
print(model.generate(input="call.wav")[0]["text"])  # one utterance of a few seconds
```

Whole calls, stereo too, with times, by the repository that made it:

```sh
telephone-asr transcribe calls/ --model {name} --format srt
```"""
CITATION = """```bibtex
@misc{{telephone-asr,
  title = {{telephone-asr: adapting Fun-ASR-Nano to 8 kHz Chinese telephone speech, reproducibly}},
  author = {{telephone-asr contributors}},
  note = {{Commit {commit}}},
}}
@article{{fun-asr,
  title = {{Fun-ASR Technical Report}},
  author = {{Tongyi Fun Team}},
  year = {{2025}},
  url = {{https://arxiv.org/abs/2509.12508}},
}}
```"""


@dataclass(frozen=True)
class Facts:
    """Everything that the card tells, as the stages wrote it."""

    name: str  # of the model
    params: Params
    metrics: Mapping[str, dict]  # checkpoint: test set: CER, its parts and slices
    data: Mapping[str, dict]  # corpus: what became of its utterances
    checkpoints: Mapping[str, dict]  # stage: its checkpoint.json
    export: Mapping[str, Any]  # metrics/export.json
    base_licence: str | None  # as Hugging Face names it; None: nobody says
    licences: Mapping[str, str]  # corpus.wideband and corpus.calls: of their directories
    commit: str
    formats: Mapping[str, dict] = field(default_factory=dict)  # metrics/export_formats.json

    @property
    def sources(self) -> dict[str, Source]:
        corpus = self.params.corpus
        return {"wideband": corpus.wideband, "telecall": corpus.calls}

    @property
    def synthetic(self) -> bool:
        return all(source.kind == "synthetic" for source in self.sources.values())

    @property
    def licence(self) -> str:
        """Returns the licence of the model: the base's where only it is known to bind, ours where
        everything is from here, else one that the reader has to look up."""
        if self.synthetic:
            return "mit" if self.params.base.is_tiny else self.base_licence or "other"
        return "other"


def model_card(facts: Facts) -> str:
    """Returns the card's text. Nothing is asked of Hugging Face."""
    from huggingface_hub import ModelCardData

    hub = not facts.params.base.is_tiny and facts.params.base.path is None
    data = ModelCardData(
        language="zh",
        license=facts.licence,
        license_name="base-model-and-corpora" if facts.licence == "other" else None,
        base_model=facts.params.base.repo if hub else None,
        library_name="funasr",
        pipeline_tag="automatic-speech-recognition",
        metrics=["cer"],
        tags=["telephone", "8khz", "fun-asr-nano"],
        model_name=facts.name,
        eval_results=[_result(facts, name) for name in TEST_SETS],
    )
    sections: dict[str, Sequence[str | Table | None]] = {
        "Error rates": _rates(facts),
        "Data": _data(facts),
        "Training": _training(facts),
        "Use": [USE.format(name=facts.name)],
        "Other runtimes": _formats(facts),
        "Limits": _limits(facts),
        "How to cite": [CITATION.format(commit=facts.commit)],
    }
    parts = [f"# {facts.name}", *_lead(facts)]
    for title, blocks in sections.items():
        if not any(blocks):
            continue
        parts += [f"## {title}", *(_written(one) for one in blocks if one)]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def _written(block: str | Table) -> str:
    if isinstance(block, str):
        return block
    return f"{block.caption}:\n\n{table(block.heads, block.rows, block.left)}"


def _result(facts: Facts, test_set: str) -> EvalResult:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="automatic-speech-recognition",
        dataset_type=test_set,
        dataset_name=TITLES[test_set],
        dataset_split="test",
        metric_type="cer",
        metric_name="CER, %",
        metric_value=round(100 * facts.metrics[FINAL][test_set]["cer"], 2),
    )


def _lead(facts: Facts) -> list[str]:
    base = facts.params.base
    of = f"`{base.repo}` at `{base.revision}`" if base.path is None else "a directory of its user's"
    what = "a tiny Fun-ASR-Nano, trained on the wideband speech below" if base.is_tiny else of
    rates = (percent(facts.metrics[one]["telecall"]["cer"]) for one in (BASE, FINAL))
    said = [
        "Fun-ASR-Nano (SenseVoice encoder, adaptor, Qwen3) adapted to 8 kHz Chinese telephone "
        f"speech. Base model: {what}. Character error rate (CER) on telephone calls: "
        "{} % before, **{} %** after.".format(*rates)
    ]
    if facts.synthetic:
        said += [
            "**All speech was made by a speech synthesiser.** The numbers say that the pipeline "
            "works, not how good a model of people's calls is."
        ]
    return said


def _rates(facts: Facts) -> list[str | Table | None]:
    metrics = facts.metrics
    return [
        _rate_table(
            "CER on the test sets", "test set", {TITLES[s]: (s, None) for s in TEST_SETS}, facts
        ),
        "The 95 % intervals are over speakers. In brackets: fewer than "
        f"{FEW_CHARACTERS} characters, too few to tell.",
        *(_slice_table(facts, name, kind) for name in TELEPHONE for kind in ("scene", "codec")),
        slices.short_turn_table(metrics),
        slices.measure_table(metrics),
        slices.no_speech_table(metrics),
        tables.hotword_table(metrics),
    ]


def _slice_table(facts: Facts, test_set: str, kind: str) -> Table | None:
    names = facts.metrics[FINAL][test_set].get(kind, {})
    title = slices.SLICE_TITLES[kind][0]
    rows = {literal(slices.name_of(kind, one)): (test_set, (kind, one)) for one in names}
    return (
        _rate_table(f"CER on {TITLES[test_set]} by {title}", title, rows, facts) if rows else None
    )


def _rate_table(
    caption: str, head: str, rows: Mapping[str, tuple[str, tuple[str, str] | None]], facts: Facts
) -> Table:
    """Returns CER before and after, with the interval where there is one.

    Args:
        rows: what a row is called, and its test set and the kind and name of its slice.
    """

    def metrics(checkpoint: str, test_set: str, part: tuple[str, str] | None) -> Mapping[str, Any]:
        whole = facts.metrics[checkpoint][test_set]
        return whole if part is None else whole.get(part[0], {}).get(part[1], {})

    written = []
    for title, place in rows.items():
        before, after = (metrics(one, *place) for one in (BASE, FINAL))
        rates = [percent(before.get("cer")), f"**{percent(after['cer'])}**"]
        if after["characters"] < FEW_CHARACTERS:
            rates = [percent(before.get("cer")), f"({percent(after['cer'])})"]
        known = after.get("cer_low") is not None
        interval = between(after["cer_low"], after["cer_high"]) if known else "–"
        written.append([title, *rates, interval, f"{after['characters']:,}"])
    return Table(
        [head, "base, %", "this model, %", "95 % interval", "characters"], written, caption
    )


def _data(facts: Facts) -> list[str | Table | None]:
    rows = []
    for name, source in facts.sources.items():
        one = facts.data[name]
        counts = [f"{one[key]:,}" for key in ("train", "valid", "test", "speakers")]
        part = f", part {source.part}" if source.part else ""
        licence = EMBEDDED if source.kind == "synthetic" else facts.licences.get(name, UNKNOWN)
        kind = "synthetic, in the repository" if source.kind == "synthetic" else source.kind
        names = [TITLES[name], literal(kind + part), literal(licence)]
        rows.append([*names, f"{one['hours']:.2f}", *counts])
    heads = ["corpus", "kind", "licence", "hours kept", "train", "valid", "test", "speakers"]
    train = facts.params.train
    said = [
        f"Simulated telephone speech, {facts.data['simulated']['hours']:.2f} h, is the wideband "
        "speech over a simulated line (levels, noises, handset, codecs, lost packets), as "
        "`channel` in params.yaml has it.",
        f"For each telephone utterance {train.mix:g} wideband ones were trained on, so that "
        f"wideband speech is not forgotten; {100 * train.no_speech:.0f} % of the utterances were "
        f"sound in which nobody speaks. Prompt: `{facts.data['telecall'].get('prompt', '')}`.",
    ]
    whole = {facts.data[name].get("split_by") for name in facts.sources} == {"speaker"}
    caption = "Utterances by set" + ("; no speaker is in two of them" if whole else "")
    return [Table(heads, rows, caption, left=3), *said]


def _training(facts: Facts) -> list[str | Table | None]:
    train, front = facts.params.train, facts.params.frontend
    versions = next(iter(facts.checkpoints.values())).get("versions", {})
    lora = train.lora
    sizes = f"r {lora.r}, alpha {lora.alpha}, {', '.join(lora.targets)}"
    third = "the whole language model" if lora.whole else f"LoRA on the language model ({sizes})"
    said = [
        f"Stage 1 is the audio encoder with a share of {train.encoder.ctc_weight:g} of the CTC "
        f"branch's loss, stage 2 the adaptor, stage 3 {third}, merged. AdamW, weight decay "
        f"{train.weight_decay:g}, {train.precision}, seed {facts.params.seed}; front end at "
        f"{front.fs} Hz.",
        "Versions: " + ", ".join(f"{name} {one}" for name, one in versions.items()) + "."
        if versions
        else "",
    ]
    return [tables.training_table(facts.checkpoints), tables.idle_note(facts.checkpoints), *said]


def _formats(facts: Facts) -> list[str | Table | None]:
    """Says what other runtimes write with what was exported for them."""
    if len(facts.formats) < 2:
        return []
    rows = [
        [
            f"`{name}`",
            percent(one["cer"]),
            percent(one["share_different"]),
            f"{one['real_time_factor']:.3f}",
            f"{one['megabytes']:,.0f}",
        ]
        for name, one in facts.formats.items()
    ]
    heads = ["format", "CER, %", "other texts than FunASR's, %", "real-time factor", "MB"]
    utterances = next(iter(facts.formats.values()))["utterances"]
    caption = (
        f"{utterances} test utterances, calls first, without dither, on one CPU; made by "
        "`export.formats`, and not in this directory"
    )
    return [Table(heads, rows, caption)]


def _limits(facts: Facts) -> list[str | Table | None]:
    same, export = facts.export.get("without_dither", {}), facts.export
    points = [
        "It is for Chinese telephone speech at 8 kHz; wideband speech is recognised "
        + _wideband(facts),
        "It writes text where nobody speaks, as often as the table above says: a detector of "
        "speech belongs before it (`telephone-asr transcribe` has one).",
        *_branch(facts),
        "A list of hotwords in the prompt can make other words worse: see the table above.",
        "Intervals hold for speakers and lines like those of the test sets, and for no others.",
        f"FunASR's AutoModel gave the same text as our decoder for {export['equal']} of "
        f"{export['utterances']} utterances"
        + (f", and for {same['equal']} of {same['utterances']} without dither." if same else "."),
        f"Licences: base model {_base_licence(facts)}; corpora as listed above. Who passes the "
        "model on has to keep to all of them.",
    ]
    return ["\n".join(f"- {point}" for point in points)]


def _branch(facts: Facts) -> list[str]:
    branch, said = facts.params.decode.branch, []
    if branch and branch.short:
        said.append("short turns are the CTC branch's")
    if doubt := facts.metrics[FINAL].get("branch", {}).get("doubt"):
        said.append(
            "what it, the language model and a detector of speech are less sure of than "
            f"{doubt:.2f} is left out"
        )
    if not said:
        return []
    return [
        f"The rates above are as `telephone-asr` writes texts: {' and '.join(said)} (`branch_conf` "
        "in config.yaml). FunASR writes what the language model says, also where nobody speaks."
    ]


def _wideband(facts: Facts) -> str:
    before, after = (facts.metrics[one]["wideband"]["cer"] for one in (BASE, FINAL))
    return f"with {percent(after)} % CER ({percent(before)} % before the adaptation)."


def _base_licence(facts: Facts) -> str:
    if facts.params.base.is_tiny:
        return "MIT (made in the repository)"
    return literal(facts.base_licence or UNKNOWN)
