"""The typed view of params.yaml: every number a person tunes, checked before any work starts.

The library's own option classes (the telephone line, the length filter, ...) are the types of their
sections, so a parameter has one name and one meaning everywhere. An unknown key, a missing key or
a value of the wrong type is an InputError that names the key.
"""

from __future__ import annotations

import dataclasses
import operator
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from telephone_asr.channel.options import Line
from telephone_asr.errors import InputError
from telephone_asr.manifests.quality import Filter
from telephone_asr.manifests.split import Split
from telephone_asr.manifests.text import English
from telephone_asr.model.frontend import Filters
from telephone_asr.scoring.options import Scoring
from telephone_asr.textfiles import read_text


@dataclass(frozen=True)
class Source:
    """Where one corpus comes from."""

    kind: str  # synthetic, kaldi, lhotse, calls, or a recipe of Lhotse's
    path: str
    part: str | None  # of a Lhotse corpus; null: all of it


@dataclass(frozen=True)
class Synthetic:
    """The embedded corpus."""

    wideband_minutes: float
    calls_minutes: float
    wrong_transcripts: float  # share of the calls whose transcript is wrong and marked so
    line: Line  # the calls' own line, harsher than the simulated one


@dataclass(frozen=True)
class Corpus:
    wideband: Source
    calls: Source
    synthetic: Synthetic
    sample_size: int | None  # so many utterances of each corpus, for a quick look; null: all
    shard_size: int  # utterances a shard
    max_rejected_share: float  # more unusable utterances than this stop the stage
    max_hours: float  # of one recording


@dataclass(frozen=True)
class Text:
    """How transcripts are written for training; see manifests/text.py."""

    english: English


@dataclass(frozen=True)
class Frontend:
    """What the stages after base hear through; see model/frontend.py. The tiny base is trained with
    the dither too."""

    fs: int  # Hz; audio of another rate is resampled to it
    filters: Filters  # where fs is 8000
    dither: float  # white noise, steps of 16 bits


@dataclass(frozen=True)
class TinyTraining:
    lr: float
    epochs: int
    max_batch_rows: int  # of 60 ms, padding counted


@dataclass(frozen=True)
class TinyModel:
    """Size and training of the embedded base model; see stages/base.py for the recipe."""

    encoder_blocks: int
    tp_blocks: int
    encoder_dim: int
    llm_layers: int
    llm_dim: int
    ctc: TinyTraining
    llm: TinyTraining


@dataclass(frozen=True)
class Base:
    kind: Literal["tiny", "modelscope", "huggingface"]
    path: str | None  # a Fun-ASR-Nano directory, to take instead of a hub's
    repo: str  # where kind is a hub
    revision: str
    pins: str | None  # a file with the SHA-256 of each of its files; null: not checked
    tiny: TinyModel

    @property
    def is_tiny(self) -> bool:
        return self.kind == "tiny" and self.path is None


Projection = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class EncoderStage:
    lr: float | None  # null: train.lr
    epochs: int
    ctc_weight: float  # share of the CTC branch's loss, where the base model has one


@dataclass(frozen=True)
class AdapterStage:
    lr: float | None
    epochs: int


@dataclass(frozen=True)
class LoraStage:
    lr: float | None
    epochs: int
    r: int
    alpha: int
    dropout: float
    targets: tuple[Projection, ...]  # of the language model
    whole: bool  # no LoRA: the language model is trained whole


@dataclass(frozen=True)
class Train:
    lr: float  # the base learning rate of all three stages
    weight_decay: float  # AdamW's
    warmup_share: float  # of the steps, linear from 0
    max_batch_rows: int  # of 60 ms, padding counted
    batches_per_step: int  # shared out over the processes; their gradients are added
    clip: float  # largest norm of the gradient
    evaluations: int  # validation passes a stage; the best checkpoint is kept
    average: int  # so many of the best are averaged, where the mean is no worse
    valid_utterances: int  # at most so many are decoded in each of them
    mix: float  # wideband utterances for each telephone one, against forgetting
    precision: Literal["fp32", "bf16"]  # of the computations; weights are fp32
    gradient_checkpointing: bool  # keeps less for the backward pass, and computes it again
    processes: int  # one a GPU
    accelerate: str | None  # a file of `accelerate config`: several machines
    workers: int  # processes that read sound ahead
    cache_mb: int  # memory for features, of all processes together; workers keep none
    cache_frozen_gb: float  # disk for frozen parts' outputs; what does not fit is computed again
    encoder: EncoderStage
    adapter: AdapterStage
    lora: LoraStage


@dataclass(frozen=True)
class Decode:
    batch_size: int
    max_tokens: int  # a transcript longer than this is cut off
    beams: int  # 1: greedy
    hotwords: tuple[str, ...]  # put into the prompt; only where texts are scored, not in training


@dataclass(frozen=True)
class Gate:
    """What a change may cost, in absolute CER; see scoring/gate.py."""

    max_wideband_loss: float  # of wideband speech, by the adaptation: final less base
    max_cer_increase: float  # of telephone speech, against the revision that is compared with
    accept: tuple[str, ...]  # what that revision may lack, by the names that the gate gives it


@dataclass(frozen=True)
class Export:
    """How far FunASR's texts of the exported model may be from ours; see stages/export.py."""

    max_different_share: float  # of the texts compared
    max_cer_difference: float  # absolute


@dataclass(frozen=True)
class Params:
    seed: int
    corpus: Corpus
    channel: Line
    text: Text
    filter: Filter
    split: Split
    frontend: Frontend
    base: Base
    train: Train
    decode: Decode
    scoring: Scoring
    export: Export
    gate: Gate


def load_params(path: Path = Path("params.yaml"), changes: Sequence[str] = ()) -> Params:
    """Reads and checks params.yaml.

    Args:
        changes: "key=value" with dotted keys and YAML values, as `dvc exp run -S` takes them.

    Raises:
        InputError: the file is missing, is no YAML, or a key is unknown, missing or ill-typed.
    """
    # ruamel.yaml follows YAML 1.2, where 1e-4 is a number; PyYAML reads it as a string.
    from ruamel.yaml import YAML, YAMLError

    if not path.is_file():
        raise InputError(f"{path.absolute()} does not exist: run from the repository's root.")
    try:
        tree = YAML(typ="safe").load(read_text(path))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise InputError(f"{path}{line} is no valid YAML: {problem}") from None
    for change in changes:
        change_key(tree, change)
    params = _build(Params, tree, "")
    _cross_check(params)
    return params


def change_key(tree: Any, change: str) -> None:
    """Changes one key in place.

    Args:
        tree: params.yaml as it was loaded.
        change: "key=value" with a dotted key and a YAML value.

    Raises:
        InputError: there is no such key, or the value is no YAML.
    """
    from ruamel.yaml import YAML, YAMLError

    key, equals, text = change.partition("=")
    *sections, name = key.split(".")
    for section in sections:
        tree = tree.get(section) if isinstance(tree, dict) else None
    if not equals or not isinstance(tree, dict) or name not in tree:
        raise InputError(f"{change}: expected KEY=VALUE with a key of params.yaml, {key} is none.")
    try:
        tree[name] = YAML(typ="safe").load(text)
    except YAMLError:
        raise InputError(f"{change}: the value is no valid YAML.") from None


def stage_lr(train: Train, stage: EncoderStage | AdapterStage | LoraStage) -> float:
    """The stage's own learning rate, or the common one where it has none."""
    return train.lr if stage.lr is None else stage.lr


_MANY = float("inf")
_RANGES = {
    "seed": (0, _MANY),
    "corpus.sample_size": (1, _MANY),
    "corpus.shard_size": (1, _MANY),
    "corpus.max_rejected_share": (0, 1),
    "corpus.max_hours": (0, 1000),
    "corpus.synthetic.wideband_minutes": (0, _MANY),
    "corpus.synthetic.calls_minutes": (0, _MANY),
    "corpus.synthetic.wrong_transcripts": (0, 1),
    "frontend.dither": (0, _MANY),
    **{
        f"base.tiny.{name}": (1, _MANY)
        for name in ("encoder_blocks", "tp_blocks", "encoder_dim", "llm_layers", "llm_dim")
    },
    "base.tiny.ctc.epochs": (0, _MANY),
    "base.tiny.llm.epochs": (0, _MANY),
    "base.tiny.ctc.max_batch_rows": (1, _MANY),
    "base.tiny.llm.max_batch_rows": (1, _MANY),
    "train.weight_decay": (0, 1),
    "train.warmup_share": (0, 1),
    "train.max_batch_rows": (1, _MANY),
    "train.clip": (0, _MANY),
    "train.evaluations": (1, _MANY),
    "train.valid_utterances": (1, _MANY),
    "train.batches_per_step": (1, _MANY),
    "train.average": (1, _MANY),
    "train.processes": (1, _MANY),
    "train.workers": (0, _MANY),
    "train.cache_mb": (0, _MANY),
    "train.cache_frozen_gb": (0, _MANY),
    "train.mix": (0, _MANY),
    "train.encoder.epochs": (0, _MANY),
    "train.adapter.epochs": (0, _MANY),
    "train.lora.epochs": (0, _MANY),
    "train.encoder.ctc_weight": (0, 1),
    "train.lora.r": (1, _MANY),
    "train.lora.dropout": (0, 1),
    "decode.batch_size": (1, _MANY),
    "decode.max_tokens": (1, _MANY),
    "decode.beams": (1, _MANY),
    "export.max_different_share": (0, 1),
    "export.max_cer_difference": (0, 1),
    "gate.max_wideband_loss": (0, 1),
    "gate.max_cer_increase": (0, 1),
}


def _cross_check(params: Params) -> None:
    if params.frontend.fs not in (8_000, 16_000):
        raise InputError(
            f"params.yaml: frontend.fs: expected 8000 or 16000, got {params.frontend.fs}."
        )
    for key, (low, high) in _RANGES.items():
        value = operator.attrgetter(key)(params)
        if value is not None and not low <= value <= high:
            expected = f"{low} or more" if high == _MANY else f"{low} to {high}"
            raise InputError(f"params.yaml: {key}: expected {expected}, got {value}.")
    if params.train.batches_per_step % params.train.processes:
        raise InputError(
            f"params.yaml: train.batches_per_step: expected a multiple of train.processes "
            f"({params.train.processes}), got {params.train.batches_per_step}."
        )
    rates = {"train.lr": params.train.lr}
    rates["base.tiny.ctc.lr"] = params.base.tiny.ctc.lr
    rates["base.tiny.llm.lr"] = params.base.tiny.llm.lr
    for name in ("encoder", "adapter", "lora"):
        rates[f"train.{name}.lr"] = getattr(params.train, name).lr
    for key, rate in rates.items():
        if rate is not None and not 0 < rate < 1:
            raise InputError(f"params.yaml: {key}: expected a number between 0 and 1, got {rate}.")


def _build(kind: Any, value: Any, key: str) -> Any:
    """`value` as the type `kind`, or an InputError that names `key`."""
    if dataclasses.is_dataclass(kind):
        return _build_section(kind, value, key)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        plain = [a for a in arguments if a is not type(None)]
        sections = [a for a in plain if typing.get_origin(a) is dict]
        return _build((sections if isinstance(value, Mapping) else plain)[0], value, key)
    if origin is Literal:
        if value not in arguments:
            raise _ill_typed(key, " or ".join(map(str, arguments)), value)
        return value
    if origin is tuple and arguments[-1] is ...:
        if not isinstance(value, list):
            raise _ill_typed(key, "a list", value)
        return tuple(_build(arguments[0], v, f"{key}[{i}]") for i, v in enumerate(value))
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(arguments):
            raise _ill_typed(key, f"a list of {len(arguments)} values", value)
        return tuple(
            _build(a, v, f"{key}[{i}]")
            for i, (a, v) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is dict:
        return {
            _build(arguments[0], name, key): _build(arguments[1], entry, f"{key}.{name}")
            for name, entry in value.items()
        }
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # exact: True is no int here
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise _ill_typed(key, names[kind], value)
    return value


def _build_section(kind: Any, value: Any, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise _ill_typed(key or "(top level)", "a section with keys", value)
    prefix = f"{key}." if key else ""
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise InputError(
                f"params.yaml: {prefix}{name}: unknown key; expected one of {', '.join(hints)}."
            )
    missing = [name for name in hints if name not in value]
    if missing:
        raise InputError(f"params.yaml: {prefix}{missing[0]}: missing key; add it.")
    fields = {name: _build(hint, value[name], prefix + name) for name, hint in hints.items()}
    try:
        return kind(**fields)
    except InputError as error:  # a section that checks its own values names keys within itself
        raise InputError(f"params.yaml: {prefix}{error}") from None


def _ill_typed(key: str, expected: str, value: Any) -> InputError:
    return InputError(
        f"params.yaml: {key}: expected {expected}, got {value!r} ({type(value).__name__})."
    )
