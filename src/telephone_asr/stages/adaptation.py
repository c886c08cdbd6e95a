"""What the three stages of the adaptation share: a part trained, its checkpoint written."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import TYPE_CHECKING

from telephone_asr.model import parts
from telephone_asr.names import STACKED
from telephone_asr.params import AdapterStage, EncoderStage, LoraStage, Params, stage_lr
from telephone_asr.stages import COST, MODELS, new_out, write_json
from telephone_asr.stages.training import VERSIONS, Plan, Training

if TYPE_CHECKING:
    from telephone_asr.training.loop import Result


def train_stage(stage: str, params: Params, plan: Plan) -> None:
    """A stage of dvc.yaml: trains one part on top of those before it, writes its checkpoint."""
    below = STACKED[STACKED.index(stage) - 1]
    nano = parts.load_checkpoint(MODELS, below, **vars(params.frontend))
    if plan.ctc_weight and not nano.has_ctc:
        print(f"{stage}: no CTC branch: trained by the language model's loss alone, no timestamps")
        plan = dataclasses.replace(plan, llm_weight=1.0, ctc_weight=0.0)
    lora = params.train.lora
    if stage == "lora" and not lora.whole:
        size = parts.LoraSize(lora.r, lora.alpha, lora.dropout, lora.targets)
        trained = parts.add_lora(nano, size, params.seed)
    else:
        prefixes = parts.PREFIXES[stage]
        if plan.ctc_weight:
            prefixes += parts.CTC_BRANCH
        trained = parts.choose_trained(nano, prefixes)
    training = Training(plan, params, nano)
    result = training.run(trained)
    if training.is_main:
        directory = MODELS / stage
        with new_out(directory) as new:
            parts.save_checkpoint(new, stage, nano, result.weights, _facts(stage, params, result))
        cost = {
            "seconds": round(result.seconds, 1),
            "peak_memory_mb": round(result.peak_memory_mb),
            "checkpoint_mb": round(parts.weights_path(directory, stage).stat().st_size / 2**20, 2),
        }
        write_json(COST / f"train_{stage}.json", cost)
        print(f"{directory}: step {result.step} of {result.steps}, CER {result.cer:.4f}")
    training.finish()


def _facts(stage: str, params: Params, result: Result) -> dict:
    """Of checkpoint.json, beside the hashes."""
    options = getattr(params.train, stage)
    return {
        "step": result.step,
        "steps": result.steps,
        "averaged": result.averaged,
        "skipped": result.skipped,
        "valid_cer": round(result.cer, 6),
        "lr": stage_lr(params.train, options),
        "params": dataclasses.asdict(options),
        "versions": {name: version(name) for name in VERSIONS},
    }


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
