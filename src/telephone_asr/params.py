"""The typed view of params.yaml: every number a person tunes, checked before any work starts.

The sections stand in the file's order. The library's own options (the telephone line, the length
filter, ...) are their types, so a parameter has one name and one meaning everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from telephone_asr.channel.options import Line
from telephone_asr.errors import InputError
from telephone_asr.keys import change_key, refuse_old_keys
from telephone_asr.manifests.hotwords import Hotword
from telephone_asr.manifests.quality import Filter
from telephone_asr.manifests.split import Split
from telephone_asr.manifests.text import English
from telephone_asr.model.frontend import Filters
from telephone_asr.scoring.mask import Shown
from telephone_asr.scoring.options import Scoring
from telephone_asr.sections import (
    Amount,
    Count,
    Mismatch,
    Natural,
    Positive,
    Share,
    Span,
    Texts,
    read_section,
    section,
)
from telephone_asr.textfiles import read_text

LearningRate = Annotated[StrictFloat, Field(gt=0, lt=1)]
ShareBelow1 = Annotated[StrictFloat, Field(ge=0, lt=1)]
Hours = Annotated[StrictFloat, Field(ge=0, le=1000)]


@section
class Source:
    """The place that one corpus comes from."""

    kind: StrictStr  # synthetic, kaldi, lhotse, calls, a recipe of Lhotse's, or several
    path: StrictStr
    part: StrictStr | None  # of a Lhotse corpus; null: all of it


@section
class Synthetic:
    """The embedded corpus."""

    wideband_minutes: Amount
    calls_minutes: Amount
    line: Line  # the calls' own line, harsher than the simulated one


@section
class NoSpeech:
    """Sound in which nobody speaks; see stages/no_speech.py."""

    minutes: Amount  # to train on, of all kinds together
    test_minutes: Positive  # of each kind
    path: StrictStr | None  # recordings of the user's: a calls.jsonl or a Kaldi directory


@section
class Recordings:
    """Whole calls that nobody wrote down; see stages/unlabelled.py."""

    kind: Literal["synthetic", "recordings"]
    path: StrictStr  # of recordings: one, a folder, or a list of them


@section
class Corpus:
    wideband: Source
    calls: Source
    test_sets: StrictStr | None  # a YAML list of test sets beside the three
    unlabelled: Recordings
    no_speech: NoSpeech
    scripts: StrictStr  # a file of sentences; used where unlabelled.scripts is above 0
    noise: StrictStr | None  # a folder of recordings of noise, for lines
    rooms: StrictStr | None  # a folder of rooms' impulse responses, for lines
    synthetic: Synthetic
    sample_size: Count | None  # so many utterances of each corpus, for a quick look; null: all
    shard_size: Count  # utterances a shard
    max_rejected_share: Share  # more unusable utterances than this stop the stage
    max_hours: Hours  # of one recording

    def __post_init__(self) -> None:
        check_own_sounds(self.synthetic.line, self, "synthetic.line.")


@section
class Text:
    """The way transcripts are written for training; see manifests/text.py."""

    english: English


@section
class Frontend:
    """The front end of the stages after base; see model/frontend.py.

    The tiny base is trained with the dither too.
    """

    fs: Literal[8000, 16000]  # Hz; audio of another rate is resampled to it
    filters: Filters  # where fs is 8000
    dither: Amount  # white noise, steps of 16 bits


@section
class TinyTraining:
    lr: LearningRate
    epochs: Natural
    max_batch_rows: Count  # of 60 ms, padding counted


@section
class TinyModel:
    """The size and training of the embedded base model; see stages/base.py for the recipe."""

    encoder_blocks: Count
    tp_blocks: Count
    encoder_dim: Count
    llm_layers: Count
    llm_dim: Count
    no_speech: ShareBelow1  # as train.no_speech, of what the language model learns from
    ctc: TinyTraining
    llm: TinyTraining


@section
class Base:
    kind: Literal["tiny", "modelscope", "huggingface"]
    path: StrictStr | None  # a Fun-ASR-Nano directory, to take instead of a hub's
    repo: StrictStr  # where kind is a hub
    revision: StrictStr
    pins: StrictStr | None  # a file with the SHA-256 of each of its files; null: not checked
    tiny: TinyModel

    @property
    def is_tiny(self) -> bool:
        return self.kind == "tiny" and self.path is None


Projection = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@section
class EncoderStage:
    lr: LearningRate | None  # null: train.lr
    epochs: Natural
    ctc_weight: Share  # share of the CTC branch's loss, where the base model has one


@section
class AdaptorStage:
    lr: LearningRate | None
    epochs: Natural


@section
class LoraStage:
    lr: LearningRate | None
    epochs: Natural
    r: Count
    alpha: StrictInt
    dropout: Share
    targets: tuple[Projection, ...]  # of the language model
    whole: StrictBool  # no LoRA: the language model is trained whole


@section
class Augment:
    """The most that features are changed by, drawn anew for each utterance in each epoch."""

    speed: Share  # so much faster or slower
    tract: Share  # filters moved so far along the mel scale, as by another vocal tract
    hidden_filters: Natural  # in one band
    hidden_frames: Natural  # in one stretch, of 10 ms each

    @property
    def changes(self) -> bool:
        return any(vars(self).values())


@section
class Pad:
    """Quiet line before and after utterances, drawn anew in each epoch; see dataset/pad.py."""

    share: Share  # of the utterances
    most_s: Amount  # before, and after


@section
class Hotwords:
    """The lists of words in the prompts of training; see training/hotwords.py."""

    share: Share  # of the batches whose prompts hold one
    most: Count  # words in a list


@section
class Train:
    lr: LearningRate  # the base learning rate of all three stages
    weight_decay: Share  # AdamW's
    warmup_share: Share  # of the steps, linear from 0
    max_batch_rows: Count  # of 60 ms, padding counted
    batches_per_step: Count  # shared out over the processes; their gradients are added
    clip: Amount  # largest norm of the gradient
    evaluations: Count  # validation passes a stage; the best checkpoint is kept
    average: Count  # so many of the best are averaged, where the mean is no worse
    valid_utterances: Count  # at most so many are decoded in each of them
    mix: Amount  # wideband utterances for each telephone one, against forgetting
    hotwords: Hotwords
    augment: Augment  # in base, too
    pad: Pad  # likewise
    fresh_line: StrictBool  # simulated speech is made anew in each epoch; see simulation.py
    no_speech: ShareBelow1  # share of the utterances in which nobody speaks
    precision: Literal["fp32", "bf16"]  # of the computations; weights are fp32
    gradient_checkpointing: StrictBool  # keeps less for the backward pass, and computes it again
    processes: Count  # one a GPU
    accelerate: StrictStr | None  # a file of `accelerate config`: several machines
    workers: Natural  # processes that read sound ahead
    track: tuple[Literal["tensorboard", "mlflow", "wandb"], ...]  # where curves go too
    cache_mb: Natural  # memory for features, of all processes together; workers keep none
    cache_frozen_gb: Amount  # disk for frozen parts' outputs; what does not fit is computed again
    encoder: EncoderStage
    adaptor: AdaptorStage
    lora: LoraStage

    def __post_init__(self) -> None:
        if self.batches_per_step % self.processes:
            wanted = f"a multiple of train.processes ({self.processes})"
            raise Mismatch("batches_per_step", wanted, self.batches_per_step)


@section
class Short:
    """Which texts of the CTC branch are taken instead of the language model's."""

    characters: Count  # at most
    ctc: Share  # their mean probability is above this


@section
class Branch:
    doubt: Share | None  # of what is right in validation calls, that it may cost
    short: Short | None


@section
class Decode:
    batch_size: Count
    max_tokens: Count  # a transcript longer than this is cut off
    beams: Count  # 1: greedy
    hotwords: tuple[Hotword, ...]  # in the prompt, where texts are scored
    branch: Branch | None  # see decoding/branch.py
    hotword_floor: Annotated[StrictFloat, Field(le=0)] | None  # see decoding/spotting.py


@section
class Export:
    """What the model that ships is written as, and the most that FunASR's texts of models/final may
    differ from ours; see stages/export.py and stages/export_formats.py."""

    formats: tuple[Literal["funasr", "transformers", "sherpa_onnx", "sherpa_onnx_int8"], ...]
    max_different_share: Share  # of the texts compared
    max_cer_difference: Share  # absolute


@section
class Keep:
    """The limits beyond which a label is left out; null: none. See unlabelled/keep.py."""

    confidence: Share | None  # the least mean token probability of the language model's text
    ctc_confidence: Share | None
    distance: Share | None  # the most of two texts that may differ, in characters, of the longer
    second_distance: Share | None
    characters_per_s: Span[Amount] | None  # of the speech


@section
class Unlabelled:
    """Calls that nobody wrote down: docs/unlabelled.md."""

    rounds: Natural  # so many times the calls are labelled and trained on; 0: none
    share: Amount  # pseudo-labelled turns for each labelled utterance of a training, at the most
    scripts: Amount  # sentences of corpus.scripts for each utterance of stage 3
    second_model: StrictStr | None  # a Fun-ASR-Nano directory whose texts are compared
    keep: Keep


@section
class Gate:
    """The most that a change may cost, in absolute CER; see scoring/gate.py."""

    max_wideband_loss: Share  # of wideband speech, by the adaptation: final less base
    max_cer_increase: Share  # of telephone speech, against the revision that is compared with
    max_short_turns_increase: Share  # of turns of a few characters, likewise
    max_no_speech: Amount | None  # characters a minute, where nobody speaks; null: not checked
    accept: Texts  # what that revision may lack, by the names that the gate gives it


@section
class Report:
    """The parts of utterances that git and pull requests may see; see scoring/mask.py."""

    texts: Shown  # unless all: no sound and no ids either


@section
class Params:
    seed: Natural
    corpus: Corpus
    channel: Line
    text: Text
    filter: Filter
    split: Split
    frontend: Frontend
    base: Base
    train: Train
    unlabelled: Unlabelled
    decode: Decode
    scoring: Scoring
    export: Export
    gate: Gate
    report: Report

    def __post_init__(self) -> None:
        check_own_sounds(self.channel, self.corpus, "channel.")


def check_own_sounds(line: Line, corpus: Corpus, place: str) -> None:
    """Raises Mismatch where a line has sounds of the user's, and no folder of them is named."""
    for key, share, folder in (
        ("noise.share", line.noise.share, corpus.noise),
        ("room", line.room, corpus.rooms),
    ):
        if share and folder is None:
            name = "corpus.noise" if key == "noise.share" else "corpus.rooms"
            raise Mismatch(place + key, f"0 where {name} names no folder", share)


def load_params(path: Path = Path("params.yaml"), changes: Sequence[str] = ()) -> Params:
    """Reads and checks params.yaml.

    Args:
        changes: "key=value" with dotted keys and YAML values, as `dvc exp run -S` takes them.

    Raises:
        InputError: the file is missing, is no YAML, or a key is unknown, missing or ill-typed.
    """
    # ruamel.yaml follows YAML 1.2, where 1e-4 is a number; PyYAML reads it as a string.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        raise InputError(f"{path.absolute()} does not exist: run from the repository's root.")
    try:
        tree = YAML(typ="safe").load(read_text(path))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise InputError(f"{path}{line} is no valid YAML: {problem}") from None
    refuse_old_keys(tree, "params.yaml")
    for change in changes:
        change_key(tree, change)
    try:
        return read_section(Params, tree)
    except InputError as error:
        raise InputError(f"params.yaml: {error}") from None


def stage_options(train: Train, part: str) -> EncoderStage | AdaptorStage | LoraStage:
    """Returns the section of the training that makes a part's checkpoint."""
    if part == "encoder":
        return train.encoder
    return train.lora if part == "lora" else train.adaptor


def stage_lr(train: Train, stage: EncoderStage | AdaptorStage | LoraStage) -> float:
    """Returns the stage's own learning rate, or the common one where it has none."""
    return train.lr if stage.lr is None else stage.lr
