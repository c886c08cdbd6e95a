"""Guesses what a long run will take: steps, hours, memory and disk of each stage.

The rates are those that bench/training.py and bench/gpu.py measured and noted in bench/rates.yaml,
on the machine that is named there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError
from telephone_asr.paths import METRICS
from telephone_asr.scoring.evidence import own_metrics

if TYPE_CHECKING:
    from telephone_asr.corpora.several import Corpus
    from telephone_asr.params import Params

RATES = Path("bench/rates.yaml")
ROW_S = 0.06
# Of Fun-ASR-Nano (tests/test_full_size.py counts them), with the CTC branch in stage 1.
TRAINED = {"encoder": 221_136_992 + 51_620_195, "adaptor": 12_604_928, "lora": 2_293_760}
WIDTH = {"encoder": 0, "adaptor": 512, "lora": 1024}  # values a row of what is kept of frozen parts
GIVEN_ON = {"encoder": 1.0, "adaptor": 1.0, "lora": 1 / 8}  # of the rows
WHOLE_LLM = 596_049_920
FINAL_GB = 4.1
TELEPHONE_GB_PER_HOUR = 0.029  # of data/simulated and data/telecall
WIDEBAND_GB_PER_HOUR = 0.067
HOTWORD_LISTS, LISTED = 3, 500  # each checkpoint hears so many calls, at most, with each list
PADDING = 1.1  # of batches of similar length
DATA = {"encoder": ("wideband", "calls"), "adaptor": ("wideband", "calls"), "lora": ("calls",)}


@dataclass(frozen=True)
class Speech:
    """The speech that one corpus has to train and to test on."""

    utterances: int
    hours: float

    def share(self, share: float) -> Speech:
        return Speech(round(self.utterances * share), self.hours * share)

    def __add__(self, other: Speech) -> Speech:
        return Speech(self.utterances + other.utterances, self.hours + other.hours)


@dataclass(frozen=True)
class Forecast:
    """The forecast of one stage; hours and memory are None where no rate is known."""

    stage: str
    speech: Speech
    steps: int
    hours: float | None
    memory_gb: float | None  # of each process
    disk_gb: float

    def __str__(self) -> str:
        text = (
            f"{self.stage}: {self.speech.utterances:,} utterances, {self.speech.hours:,.1f} hours"
        )
        if self.steps:
            text += f", {self.steps:,} steps"
        if self.hours is not None:
            text += f", {_time(self.hours)}"
        if self.memory_gb is not None:
            text += f", {self.memory_gb:.0f} GB of memory a process"
        return f"{text}, {self.disk_gb:.1f} GB of disk"


def forecast(
    params: Params, speech: Mapping[str, Speech], rates: Mapping[str, Any] | None
) -> Iterator[Forecast]:
    """Yields a Forecast for each stage that takes long.

    Args:
        speech: by corpus, wideband and calls, before it is split.
        rates: one machine's of bench/rates.yaml; None: hours and memory are not known.
    """
    from telephone_asr.no_speech.held_out import KINDS

    own_share = 1 - params.split.valid - params.split.test
    train = {name: part.share(own_share) for name, part in speech.items()}
    everything = speech["wideband"] + speech["calls"]
    # Imported as it is, then as the telephone carries it.
    disk_gb = everything.hours * (WIDEBAND_GB_PER_HOUR + TELEPHONE_GB_PER_HOUR)
    if params.train.fresh_line:  # the training's is made in the training
        disk_gb -= train["wideband"].hours * TELEPHONE_GB_PER_HOUR
    yield Forecast("data", everything, 0, None, None, disk_gb)
    for stage in DATA:
        yield _training(stage, params, train, rates)
    if params.unlabelled.rounds:
        yield from _self_training(params, train, rates)
    calls = speech["calls"].share(params.split.test)
    test = speech["wideband"].share(2 * params.split.test) + calls
    listed_hours = HOTWORD_LISTS * calls.hours * min(1.0, LISTED / max(1, calls.utterances))
    # Without hotwords and with some.
    silent_hours = 2 * len(KINDS) * params.corpus.no_speech.test_minutes / 60
    hours = 5 * (test.hours + silent_hours + listed_hours)
    decoding = _decoding_hours(hours, rates, params.train.processes)
    if decoding is not None:
        decoding += 5 * 2 * _start_hours(rates)  # timestamps are held against base's
    yield Forecast("evaluate (5 checkpoints)", test, 0, decoding, None, FINAL_GB)


def _self_training(
    params: Params, speech: Mapping[str, Speech], rates: Mapping[str, Any] | None
) -> Iterator[Forecast]:
    """Yields what labels take, once the stage `unlabelled` has counted the turns, and the rounds of
    training, where as many turns are kept as `unlabelled.share` allows."""
    rounds, own = params.unlabelled.rounds, params.unlabelled
    if turns := _unlabelled_speech():
        decoding = _decoding_hours(rounds * turns.hours, rates, params.train.processes)
        yield Forecast(f"pseudo_label, {rounds} times", turns, 0, decoding, None, 0.0)
    parts = [_training(stage, params, speech, rates, own.share) for stage in DATA]
    hours = [part.hours for part in parts if part.hours is not None]
    memory = [part.memory_gb for part in parts if part.memory_gb is not None]
    yield Forecast(
        f"self_train, {rounds} times",
        parts[0].speech,
        rounds * sum(part.steps for part in parts),
        rounds * sum(hours) if len(hours) == len(parts) else None,
        max(memory) if len(memory) == len(parts) else None,
        rounds * sum(part.disk_gb for part in parts),
    )


def _unlabelled_speech() -> Speech | None:
    """Returns the turns that the stage `unlabelled` found; None before it ran with a round.

    Raises InputError where its metrics are damaged.
    """
    path = METRICS / "unlabelled.json"
    if not path.is_file():
        return None
    found = own_metrics(path)
    return Speech(found["turns"], found["channel_hours"]["speech"]) if "turns" in found else None


def _training(
    stage: str,
    params: Params,
    speech: Mapping[str, Speech],
    rates: Mapping[str, Any] | None,
    beside: float = 0.0,
) -> Forecast:
    """Returns one stage's forecast. beside: turns without transcripts for each labelled one."""
    from telephone_asr.no_speech.clips import TRAIN_S
    from telephone_asr.params import stage_options
    from telephone_asr.training.plan import COPIES

    options, common = stage_options(params.train, stage), params.train
    labelled = Speech(0, 0.0)
    for name in DATA[stage]:
        labelled += speech[name]
    wideband = speech["wideband"]
    mixed = min(common.mix * labelled.utterances / max(1, wideband.utterances), 1.0)
    own = labelled + wideband.share(mixed) + labelled.share(beside)
    # As much before an utterance as after it: half of the most each, on average.
    quiet_s = common.pad.share * common.pad.most_s * own.utterances
    silent = round(own.utterances * common.no_speech / (1 - common.no_speech))
    low_s, high_s = TRAIN_S
    own += Speech(silent, silent * (high_s - low_s) / math.log(high_s / low_s) / 3600)
    rows = (own.hours * 3600 + quiet_s) / ROW_S * PADDING
    steps = math.floor(rows / common.max_batch_rows) * options.epochs // common.batches_per_step
    fresh = common.fresh_line and stage != "lora"  # which hears no simulated speech
    changed = common.augment.changes or common.pad.share or fresh
    rounds = -(-options.epochs // COPIES)  # as the plan has it
    heard = rows * (-(-options.epochs // max(1, rounds)) if changed else 1)
    frozen_gb = heard * GIVEN_ON[stage] * WIDTH[stage] * 4 / 1e9
    kept = frozen_gb <= common.cache_frozen_gb
    trained = WHOLE_LLM if stage == "lora" and params.train.lora.whole else TRAINED[stage]
    # Weights and Adam's two moments, the best checkpoints beside them, and the one that is written.
    disk_gb = trained * 4 * (3 + common.average + 1) / 1e9 + (frozen_gb if kept else 0.0)
    hours = memory_gb = None
    if rates is not None and stage in rates:
        rate = rates[stage]
        seconds = rows * options.epochs / rate["rows_a_second"]
        if kept and "frozen_rows_a_second" in rate:
            seconds += heard / rate["frozen_rows_a_second"]
        hours = seconds / 3600 / common.processes
        validated = min(common.valid_utterances, own.utterances * params.split.valid)
        validated_hours = validated * own.hours / max(1, own.utterances) * (common.evaluations + 2)
        hours += _decoding_hours(validated_hours, rates, common.processes) or 0.0
        hours += _start_hours(rates)
        memory_gb = rate["weights_gb"] + rate["gb_a_1000_rows"] * common.max_batch_rows / 1000
    return Forecast(f"train_{stage}", own, steps, hours, memory_gb, disk_gb)


def _decoding_hours(hours: float, rates: Mapping[str, Any] | None, processes: int) -> float | None:
    if rates is None or "decoding" not in rates:
        return None
    return hours / rates["decoding"]["seconds_a_second"] / processes


def _start_hours(rates: Mapping[str, Any] | None) -> float:
    """Returns how long a process takes until the model is there."""
    return (rates or {}).get("start_s", 0.0) / 3600


def read_rates(machine: str, gpu: bool, path: Path = RATES) -> tuple[dict[str, Any] | None, str]:
    """Returns the rates of this machine, or of one of its kind, and a sentence that says whose.

    Args:
        machine: the GPU's name, or the processor's.
        gpu: whether it is a GPU: rates of the other kind are not taken.
    """
    from ruamel.yaml import YAML

    entries: Sequence[dict] = YAML(typ="safe").load(path) if path.is_file() else []
    kind = [entry for entry in entries if (entry["device"] == "cuda") == gpu]
    command = "bench/gpu.py" if gpu else "bench/training.py"
    if not kind:
        what = "GPU" if gpu else "processor"
        return (
            None,
            f"no rate of a {what} is known: `python {command} --rates {path}` measures them",
        )
    rates = next((entry for entry in kind if entry["machine"].startswith(machine)), kind[0])
    said = f"by rates that {command} measured on {rates['machine']} ({rates['precision']})"
    return rates, said


def corpus_speech(part: str, params: Params) -> Speech:
    """Returns what a corpus holds, from a sample of its entries.

    Raises InputError where only its import can tell: a corpus as it was downloaded.
    """
    from telephone_asr.corpora import several

    source, key = getattr(params.corpus, part), f"corpus.{part}"
    own = [
        _speech_of(one, *several.place_of(one, source.path, key), params.corpus.sample_size)
        for one in several.corpora(**vars(source), key=key)
    ]
    return Speech(sum(one.utterances for one in own), sum(one.hours for one in own))


def _speech_of(one: Corpus, file: str, key: str, sample_size: int | None) -> Speech:
    if one.kind not in ("kaldi", "calls", "lhotse"):
        raise InputError(f"{key}: how much speech {one.kind} holds its import will tell.")
    from telephone_asr.corpora.imported import list_items
    from telephone_asr.corpora.items import load
    from telephone_asr.shards import Utterance

    items = [
        item
        for item in list_items(one.kind, Path(one.path), key, one.part, file)
        if not item.problem
    ]
    opened = [u for u in map(load, _spread(items, 100)) if isinstance(u, Utterance)]
    if not opened:
        raise InputError(f"{key}: none of {len(items)} entries could be opened.")
    mean_s = sum(len(u.samples) / u.sample_rate_hz for u in opened) / len(opened)
    n = min(len(items), sample_size or len(items))
    return Speech(n, n * mean_s / 3600)


def _spread(items: Sequence[Any], at_most: int) -> Iterator[Any]:
    step = max(1, len(items) // at_most)
    return iter(items[::step])


def _time(hours: float) -> str:
    if hours < 2:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.1f} days"
