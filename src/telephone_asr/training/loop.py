"""The training loop: short, on accelerate, and the same to the bit after an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

if TYPE_CHECKING:
    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.training.resume import Scratch

SAVE_EVERY_S = 30.0  # a kill loses at most so much work


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    lr: float
    warmup_share: float
    clip: float
    evaluations: int
    seed: int
    name: str  # for the progress bar


@dataclass
class Result:
    """The best of the validated checkpoints; `step` 0 is the state before training."""

    weights: dict[str, torch.Tensor]
    step: int
    steps: int
    cer: float
    history: list[dict[str, float]]  # step, loss, lr; cer where it was validated


def train(
    loss_of: torch.nn.Module,
    trained: Mapping[str, torch.nn.Parameter],
    batch_at: Callable[[int], Batch],
    n_batches: int,
    validate: Callable[[], float],
    recipe: Recipe,
    scratch: Scratch,
    on_row: Callable[[dict[str, float]], None],
) -> Result:
    """Trains the parameters `trained` and returns the best of them by validation CER.

    Args:
        loss_of: a module that maps a Batch to its loss.
        batch_at: the batch of a number below `n_batches`, always the same.
        validate: the CER of the model as it is now, on decoded text.
        on_row: told each row of the history, the earlier ones too after an interruption.
    """
    from accelerate import Accelerator

    # 1. Everything that steps change.
    accelerator = Accelerator()
    world = accelerator.num_processes
    steps = n_batches // world
    evaluate_after = {
        round(steps * (i + 1) / recipe.evaluations) for i in range(recipe.evaluations)
    }
    optimizer = torch.optim.AdamW(trained.values(), lr=recipe.lr, weight_decay=0.01, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_then_cosine(recipe, steps))
    loss_of, optimizer = accelerator.prepare(loss_of, optimizer)

    # 2. Where an interrupted run stopped, or the state before training.
    state = scratch.load("state.pt")
    if state is None:
        cer = validate()
        state = {"step": 0, "best_step": 0, "best_cer": cer, "history": [{"step": 0, "cer": cer}]}
        scratch.save("best.pt", _copy(trained))
    else:
        _restore(trained, state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        print(f"{recipe.name}: goes on at step {state['step']} of {steps}")
    for row in state["history"]:
        on_row(row)

    # 3. The steps.
    saved_at, running = time.monotonic(), state.get("running", [])
    bar = tqdm(range(state["step"], steps), recipe.name, steps, initial=state["step"], unit="step")
    for step in bar:
        torch.manual_seed(_step_seed(recipe.seed, step))  # dropout: the same after an interruption
        batch = batch_at(step * world + accelerator.process_index)
        loss = loss_of(batch)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained.values(), recipe.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        running.append(loss.item())
        done = step + 1
        if done in evaluate_after or done % 10 == 0:
            row = {"step": done, "loss": sum(running) / len(running)}
            row["lr"] = scheduler.get_last_lr()[0]
            running.clear()
            if done in evaluate_after:
                row["cer"] = validate()
                if row["cer"] < state["best_cer"]:
                    state |= {"best_step": done, "best_cer": row["cer"]}
                    scratch.save("best.pt", _copy(trained))
            state["history"].append(row)
            on_row(row)
            bar.set_postfix(loss=f"{row['loss']:.3f}", cer=f"{state['best_cer']:.3f}")
        if done in evaluate_after or time.monotonic() - saved_at > SAVE_EVERY_S:
            state |= {"step": done, "weights": _copy(trained), "running": list(running)}
            state |= {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
            scratch.save("state.pt", state)
            saved_at = time.monotonic()

    # 4. The best checkpoint, into the model and to the caller.
    best = scratch.load("best.pt")
    _restore(trained, best)
    return Result(best, state["best_step"], steps, state["best_cer"], state["history"])


def _warm_up_then_cosine(recipe: Recipe, steps: int) -> Callable[[int], float]:
    warmup = max(1, round(steps * recipe.warmup_share))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor


def _step_seed(seed: int, step: int) -> int:
    return (seed * 1_000_003 + step) % 2**63


def _copy(trained: Mapping[str, torch.nn.Parameter]) -> dict[str, Any]:
    return {name: p.detach().cpu().clone() for name, p in trained.items()}


def _restore(trained: Mapping[str, torch.nn.Parameter], weights: Mapping[str, Any]) -> None:
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])
