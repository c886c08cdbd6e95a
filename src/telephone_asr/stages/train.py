"""train: one of the three stages of the adaptation, its part trained and its checkpoint written.

Run as `python -m telephone_asr.stages.train PART`:

- encoder, the whole audio encoder, on simulated telephone speech and calls;
- adaptor, between encoder and language model, on both too;
- lora, LoRA on the language model (or all of it), on calls.

The stage self_train runs it as `... train PART ROUND WORK`: each anew, on what the model itself
wrote down too. Its scratch directory WORK keeps these trainings, and their costs.
"""

from __future__ import annotations

import dataclasses
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.model import parts
from telephone_asr.model.pretrained import CTC_BRANCH
from telephone_asr.names import STACKED
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Params, load_params, stage_lr, stage_options
from telephone_asr.paths import COST, MODELS, ROUNDS, SHARDS
from telephone_asr.processes import on_processes
from telephone_asr.program import run
from telephone_asr.simulation import FreshLine
from telephone_asr.training.inputs import VERSIONS
from telephone_asr.training.plan import Plan
from telephone_asr.training.trainer import Trainer

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import InputStage
    from telephone_asr.training.loop import Result

# What each is trained on, and how far the frozen parts before it are computed beforehand.
SOURCES: dict[str, tuple[str, ...]] = {
    "encoder": ("simulated", "telecall"),
    "adaptor": ("simulated", "telecall"),
    "lora": ("telecall",),
}
INPUT_STAGES: dict[str, InputStage] = {
    "encoder": "features",
    "adaptor": "encoded",
    "lora": "adapted",
}


def main() -> None:
    if len(sys.argv) not in (2, 4) or sys.argv[1] not in SOURCES:
        raise InputError(f"expected one part of {', '.join(SOURCES)}.")
    part, *again = sys.argv[1:]
    if again:
        train_again(part, load_params(), int(again[0]), Path(again[1]))
    else:
        params = load_params()
        on_processes("telephone_asr.stages.train", params, lambda: train(part, params), [part])


def train_again(part: str, params: Params, round_: int, work: Path) -> None:
    """Trains one part for a round of self-training; see `train`."""
    on_processes(
        "telephone_asr.stages.train",
        params,
        lambda: train(part, params, round_, work),
        [part, str(round_), str(work)],
    )


def train(part: str, params: Params, round_: int = 0, work: Path | None = None) -> None:
    """Trains one part on top of those before it, and writes its checkpoint.

    Args:
        round_: of self-training, whose turns are trained on too; 0: before it.
        work: the scratch directory of a round, which its costs go into.
    """
    below = STACKED[STACKED.index(part) - 1]
    nano = parts.load_checkpoint(MODELS, below, **vars(params.frontend), round_=round_)
    plan = stage_plan(part, params, round_)
    if plan.ctc_weight and not nano.has_ctc:
        print(f"{part}: no CTC branch: trained by the language model's loss alone, no timestamps")
        plan = dataclasses.replace(plan, llm_weight=1.0, ctc_weight=0.0)
    lora = params.train.lora
    if part == "lora" and not lora.whole:
        size = parts.LoraSize(lora.r, lora.alpha, lora.dropout, lora.targets)
        trained = parts.add_lora(nano, size, params.seed)
    else:
        prefixes = parts.PREFIXES[part]
        if plan.ctc_weight:
            prefixes += CTC_BRANCH
        trained = parts.choose_trained(nano, prefixes)
    trainer = Trainer(plan, params, nano, work)
    result = trainer.run(trained)
    if trainer.is_main:
        directory = parts.place(MODELS, part, round_)
        facts = _facts(part, params, result)
        with new_out(directory) as new:
            parts.save_checkpoint(new, part, nano, result.weights, facts, round_)
        cost = {
            "seconds": round(result.seconds, 1),
            "peak_memory_mb": round(result.peak_memory_mb),
            "checkpoint_mb": round(parts.weights_path(directory, part).stat().st_size / 2**20, 2),
        }
        write_json(work / f"{round_}_{part}.json" if work else COST / f"train_{part}.json", cost)
        print(f"{directory}: step {result.step} of {result.steps}, CER {result.cer:.4f}")
    trainer.finish()


def stage_plan(part: str, params: Params, round_: int = 0) -> Plan:
    """Returns the plan of a part's training; round_ as in `train`."""
    options = stage_options(params.train, part)
    ctc_weight = getattr(options, "ctc_weight", 0.0)  # the encoder's alone
    has_scripts = part == "lora" and params.unlabelled.scripts > 0
    return Plan(
        name=part,
        train=SOURCES[part],
        valid=SOURCES[part],
        input_stage=INPUT_STAGES[part],
        lr=stage_lr(params.train, options),
        seed=params.seed,
        epochs=options.epochs,
        max_batch_rows=params.train.max_batch_rows,
        llm_weight=1.0 - ctc_weight,
        ctc_weight=ctc_weight,
        mix=params.train.mix,
        no_speech=params.train.no_speech,
        augment=params.train.augment,
        fresh_line=_fresh_line(params) if "simulated" in SOURCES[part] else None,
        pad=params.train.pad,
        round_=round_,
        pseudo=ROUNDS / str(round_) / "train.jsonl" if round_ else None,
        share=params.unlabelled.share if round_ else 0.0,
        scripts=Path(params.corpus.scripts) if has_scripts else None,
        scripts_share=params.unlabelled.scripts if has_scripts else 0.0,
    )


def _fresh_line(params: Params) -> FreshLine | None:
    if not params.train.fresh_line:
        return None
    return FreshLine(SHARDS["wideband"], params.channel, params.seed)


def _facts(part: str, params: Params, result: Result) -> dict:
    """Returns what checkpoint.json says beside the hashes."""
    options = stage_options(params.train, part)
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


if __name__ == "__main__":
    run(main)
