"""What the training stages share: inputs in, a part trained, its checkpoint and curves out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import telephone_asr
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.model import parts
from telephone_asr.model.frontend import Frontend
from telephone_asr.params import AdapterStage, EncoderStage, LoraStage, Params, stage_lr
from telephone_asr.shards import sound_index
from telephone_asr.stages import MANIFESTS, METRICS, MODELS, SCRATCH, SHARDS
from telephone_asr.training.resume import Scratch, fingerprint

if TYPE_CHECKING:
    import torch

    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.training.batches import Inputs
    from telephone_asr.training.loop import Result

# Of the train section: what every training depends on.
COMMON_OPTIONS = ("cache_mb", "clip", "evaluations", "valid_utterances", "warmup_share")
VERSIONS = ("torch", "transformers", "funasr", "peft", "accelerate")


@dataclasses.dataclass(frozen=True)
class Plan:
    """One training: on what, how long, and towards what."""

    name: str  # of the scratch directory, the curves and the progress bar
    train: tuple[str, ...]  # sources: wideband, simulated, telecall
    valid: tuple[str, ...]
    level: str  # how far the frozen parts are computed beforehand: features, encoded, adapted
    lr: float
    epochs: int
    max_frames: int
    llm_weight: float
    ctc_weight: float
    mix: float = 0.0  # wideband utterances for each of `train`, so that nothing is forgotten
    splice: bool = False  # see training/splice.py

    @property
    def sources(self) -> set[str]:
        """Everything that it reads."""
        return {*self.train, *self.valid, *(("wideband",) if self.mix else ())}


class Training:
    """Runs a plan; `finish` clears the scratch directory once the result is written."""

    def __init__(self, plan: Plan, params: Params, nano: FunASRNano):
        self.plan, self.params, self.nano = plan, params, nano
        self.scratch: Scratch | None = None

    def run(self, trained: Mapping[str, torch.nn.Parameter]) -> Result:
        """Trains the parameters `trained`, which must be the only ones that require gradients."""
        from accelerate import Accelerator

        from telephone_asr.training import batches, loop
        from telephone_asr.training.objective import Objective, total_error, transcribe

        plan, options, nano = self.plan, self.params.train, self.nano
        frozen = parts.frozen_sha256(nano)
        nano.model.to(Accelerator().device)
        examples = _read(plan.train, "train")
        if plan.mix:
            examples += _spread(_read(("wideband",), "train"), round(plan.mix * len(examples)))
        train_inputs = self._inputs(examples)
        valid_inputs = self._inputs(_spread(_read(plan.valid, "valid"), options.valid_utterances))
        self.scratch = self._open_scratch(trained)
        self._announce(trained, train_inputs, valid_inputs)

        def validate() -> float:
            decode = self.params.decode
            by_ctc = not plan.llm_weight
            texts = transcribe(nano, valid_inputs, decode.batch_size, decode.max_tokens, by_ctc)
            return total_error(valid_inputs, texts).rate

        recipe = loop.Recipe(
            lr=plan.lr,
            warmup_share=options.warmup_share,
            clip=options.clip,
            evaluations=options.evaluations,
            seed=self.params.seed,
            name=plan.name,
        )
        schedule = batches.schedule(
            train_inputs.lengths, plan.max_frames, plan.epochs, self.params.seed
        )
        objective = Objective(nano, train_inputs.level, plan.llm_weight, plan.ctc_weight)
        with _curves(METRICS / "train" / plan.name) as on_row:
            result = loop.train(
                objective,
                trained,
                self._batch_at(train_inputs, schedule),
                len(schedule),
                validate,
                recipe,
                self.scratch,
                on_row,
            )
        if parts.frozen_sha256(nano) != frozen:
            raise RuntimeError(f"{plan.name}: a frozen weight has changed during training")
        return result

    def finish(self) -> None:
        self.scratch.close(remove=True)

    def _batch_at(self, inputs: Inputs, schedule: list[list[int]]) -> Callable[[int], Batch]:
        from telephone_asr.training.splice import Splicer, character_borders

        if not self.plan.splice:
            return lambda number: inputs.batch(schedule[number])
        borders = character_borders(self.nano, inputs, self.plan.max_frames)
        return Splicer(inputs, borders, schedule, self.params.seed).batch

    def _inputs(self, examples: list[Example]) -> Inputs:
        from telephone_asr.training.batches import Inputs

        sounds = [sound_index(SHARDS[source]) for source in sorted({e.source for e in examples})]
        frontend = Frontend(self.nano.config["frontend_conf"])
        inputs = Inputs(examples, sounds, frontend, self.params.train.cache_mb)
        inputs.advance(self.nano, self.plan.level, self.plan.max_frames)
        return inputs

    def _open_scratch(self, trained: Mapping[str, torch.nn.Parameter]) -> Scratch:
        """Named by everything the result depends on: plan, params, model, data, code, versions."""
        options = {name: getattr(self.params.train, name) for name in COMMON_OPTIONS}
        texts = [repr(self.plan), repr(options), repr(self.params.decode)]
        texts += [str(self.params.seed), parts.frozen_sha256(self.nano)]
        texts += [parts.weights_sha256(trained), *map(version, VERSIONS)]
        paths = [MANIFESTS / source for source in self.plan.sources]
        paths += [SHARDS[source] for source in self.plan.sources]
        paths.append(Path(telephone_asr.__file__).parent)
        return Scratch(SCRATCH, self.plan.name, fingerprint(texts, sorted(paths)))

    def _announce(self, trained: Mapping, train_inputs, valid_inputs) -> None:
        plan, count = self.plan, sum(p.numel() for p in trained.values())
        total = sum(p.numel() for p in self.nano.model.parameters())
        print(
            f"{plan.name}: trains {count:,} of {total:,} parameters on {len(train_inputs)} "
            f"utterances of {' and '.join((*plan.train, *(('wideband',) if plan.mix else ())))}, "
            f"validates on {len(valid_inputs)}; "
            f"lr {plan.lr:g}, {plan.epochs} epochs; state in {self.scratch.directory}"
        )


def _read(sources: tuple[str, ...], split: str) -> list[Example]:
    examples = [e for s in sources for e in read_manifest(MANIFESTS / s / f"{split}.jsonl")]
    if not examples:
        raise InputError(
            f"{MANIFESTS}: the {split} set of {' and '.join(sources)} is empty: import more "
            "speech, or change split in params.yaml."
        )
    return examples


def _spread(examples: list[Example], at_most: int) -> list[Example]:
    """So many of them, evenly over the whole."""
    n = min(at_most, len(examples))
    return [examples[i * len(examples) // n] for i in range(n)]


def train_stage(stage: str, params: Params, plan: Plan) -> None:
    """A stage of dvc.yaml: trains one part on top of those before it, writes its checkpoint."""
    below = parts.CHECKPOINTS[parts.CHECKPOINTS.index(stage) - 1]
    nano = parts.load_checkpoint(MODELS, below, **vars(params.frontend))
    if stage == "lora":
        lora = params.train.lora
        size = parts.LoraSize(lora.r, lora.alpha, lora.dropout)
        trained = parts.add_lora(nano, size, params.seed)
    else:
        prefixes = parts.PREFIXES[stage]
        if plan.ctc_weight and nano.has_ctc:
            prefixes += parts.CTC_BRANCH
        trained = parts.choose_trained(nano, prefixes)
    training = Training(plan, params, nano)
    result = training.run(trained)
    facts = {
        "step": result.step,
        "steps": result.steps,
        "valid_cer": round(result.cer, 6),
        "lr": plan.lr,
        "params": dataclasses.asdict(getattr(params.train, stage)),
        "versions": {name: version(name) for name in VERSIONS},
    }
    parts.save_checkpoint(MODELS / stage, stage, nano, result.weights, facts)
    training.finish()
    print(f"{MODELS / stage}: step {result.step} of {result.steps}, CER {result.cer:.4f}")


def stage_plan(
    stage: str,
    params: Params,
    options: EncoderStage | AdapterStage | LoraStage,
    train: tuple[str, ...],
    valid: tuple[str, ...],
    level: str,
    ctc_weight: float = 0.0,
) -> Plan:
    """The plan of a stage of dvc.yaml."""
    return Plan(
        name=stage,
        train=train,
        valid=valid,
        level=level,
        lr=stage_lr(params.train, options),
        epochs=options.epochs,
        max_frames=params.train.max_frames,
        llm_weight=1.0 - ctc_weight,
        ctc_weight=ctc_weight,
        mix=params.train.mix,
    )


class _curves:
    """DVCLive's files of one training: loss, learning rate and CER by step."""

    def __init__(self, directory: Path):
        self._directory = directory

    def __enter__(self):
        from dvclive import Live

        # DVCLive left to itself edits dvc.yaml and starts experiments.
        self._live = Live(
            str(self._directory),
            dvcyaml=None,
            save_dvc_exp=False,
            report=None,
            monitor_system=False,
        )
        return self._log

    def _log(self, row: dict[str, float]) -> None:
        self._live.step = int(row["step"])
        for name in ("loss", "lr", "cer"):
            if name in row:
                self._live.log_metric(name, row[name])
        self._live.sync()

    def __exit__(self, *_):
        self._live.end()
