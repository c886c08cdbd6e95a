"""The training loop: on accelerate, and the same to the bit after an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from telephone_asr.errors import InputError
from telephone_asr.processes import of_main
from telephone_asr.training.steps import (
    StepMetrics,
    Stepper,
    mean_row,
    peak_memory_mb,
    prefetch,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.params import Train
    from telephone_asr.scratch import Scratch
    from telephone_asr.training.plan import Plan

SAVE_EVERY_S = 30.0  # a kill loses at most so much work,
SAVE_SHARE = 0.02  # or more, where saving would take more than this share of the time


@dataclass
class Result:
    """Holds the best of the validated checkpoints, or the mean of several.

    Step 0 is before training.
    """

    weights: dict[str, torch.Tensor]
    step: int  # of the best
    averaged: int  # checkpoints, 1: the best alone
    steps: int
    skipped: int  # steps whose gradient was not finite
    cer: float
    seconds: float  # all attempts together
    peak_memory_mb: float
    history: list[dict[str, float]]  # step, loss, lr, ...; cer where it was validated


def train(
    loss_of: Any,
    trained: Mapping[str, torch.nn.Parameter],
    batch_at: Callable[[int], Batch],
    n_batches: int,
    largest: Sequence[int],
    validate: Callable[[], float],
    plan: Plan,
    options: Train,
    scratch: Scratch,
    on_row: Callable[[dict[str, float]], None],
    accelerator: Accelerator,
) -> Result:
    """Trains the parameters `trained` and returns the best of them by validation CER.

    Args:
        loss_of: a module that maps a Batch to its loss and counts its tokens: an `Objective`.
        batch_at: maps a number below `n_batches` to its batch, always the same.
        largest: the numbers of the batches that take most memory; they are tried first.
        validate: returns the CER of the model as it is now, the same on every process.
        on_row: is told each row of the history, the earlier ones too after an interruption.

    Raises:
        InputError: memory runs out, or step after step has no finite gradient.
    """
    # 1. Everything that steps change.
    started = time.monotonic()
    steps = n_batches // options.batches_per_step
    if n_batches and not steps:
        raise InputError(
            f"{plan.name} has {n_batches} batches, fewer than train.batches_per_step "
            f"({options.batches_per_step}) in params.yaml: lower it, or train.max_batch_rows."
        )
    evaluate_after = {
        round(steps * (i + 1) / options.evaluations) for i in range(options.evaluations)
    }
    optimizer = torch.optim.AdamW(
        trained.values(), lr=plan.lr, weight_decay=options.weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, _warm_up_then_cosine(options.warmup_share, steps)
    )
    wrapped, optimizer = accelerator.prepare(loss_of, optimizer)
    stepper = Stepper(accelerator, wrapped, loss_of.tokens, trained, optimizer, plan, options)

    # 2. Where an interrupted run stopped, or the state before training.
    state = of_main(lambda: scratch.load("state.pt"), accelerator)
    if state is not None:
        _restore(trained, state.pop("weights"))
        optimizer.load_state_dict(state.pop("optimizer"))
        scheduler.load_state_dict(state.pop("scheduler"))
        accelerator.print(f"{plan.name}: goes on at step {state['step']} of {steps}")
    if (state["step"] if state else 0) < steps:
        stepper.try_out(map(batch_at, largest))
    if state is None:
        cer = validate()
        state = {"step": 0, "best": [[cer, 0]], "history": [{"step": 0, "cer": cer}]}
        state |= {"running": [], "skipped": 0, "consecutive_skips": 0, "seconds": 0.0}
        scratch.save("best.0.pt", _weights(trained))
    for row in state["history"]:
        on_row(row)

    # 3. The steps.
    seconds_before = state["seconds"]
    save_next, running = started + SAVE_EVERY_S, [StepMetrics(*f) for f in state["running"]]
    stepper.skipped, stepper.consecutive_skips = state["skipped"], state["consecutive_skips"]
    todo = range(state["step"], steps)
    bar = tqdm(
        *(todo, plan.name, steps),
        initial=state["step"],
        unit="step",
        disable=not accelerator.is_main_process,
    )
    batches = prefetch(batch_at, stepper.numbers(todo), options.workers)
    for step in bar:
        running.append(stepper.take(step, batches))
        scheduler.step()
        done = step + 1
        if done in evaluate_after or done % 10 == 0:
            row = {"step": done, **mean_row(running), "lr": scheduler.get_last_lr()[0]}
            running.clear()
            if accelerator.device.type == "cuda":
                row["gpu_memory_mb"] = peak_memory_mb(accelerator.device)
            if done in evaluate_after:
                row["cer"] = validate()
                _keep_if_best(state, row["cer"], done, trained, options.average, scratch)
            state["history"].append(row)
            on_row(row)
            bar.set_postfix_str(_progress(row, state["best"][0][0], stepper), refresh=False)
        if done in evaluate_after or time.monotonic() > save_next:
            saving = time.monotonic()
            state |= {"step": done, "running": list(map(list, running))}
            state |= {"skipped": stepper.skipped, "consecutive_skips": stepper.consecutive_skips}
            state["seconds"] = seconds_before + time.monotonic() - started
            tensors = {"weights": _weights(trained), "optimizer": optimizer.state_dict()}
            scratch.save("state.pt", state | tensors | {"scheduler": scheduler.state_dict()})
            scratch.remove("best.*.pt", {f"best.{step}.pt" for _, step in state["best"]})
            now = time.monotonic()
            save_next = now + max(SAVE_EVERY_S, (now - saving) / SAVE_SHARE)

    # 4. The best checkpoint, or the mean of the best, into the model and to the caller.
    accelerator.wait_for_everyone()
    weights, cer, averaged = _best(state["best"], trained, validate, scratch, accelerator)
    _restore(trained, weights)
    return Result(
        weights=weights,
        step=state["best"][0][1],
        averaged=averaged,
        steps=steps,
        skipped=stepper.skipped,
        cer=cer,
        seconds=seconds_before + time.monotonic() - started,
        peak_memory_mb=peak_memory_mb(accelerator.device),
        history=state["history"],
    )


def _keep_if_best(
    state: dict[str, Any],
    cer: float,
    step: int,
    trained: Mapping[str, torch.nn.Parameter],
    average: int,
    scratch: Scratch,
) -> None:
    """Saves the weights where they are among the best; the earlier of two equals is better."""
    state["best"] = sorted([*state["best"], [cer, step]])[:average]
    if [cer, step] in state["best"]:
        scratch.save(f"best.{step}.pt", _weights(trained))


def _best(
    best: list[list[float]],
    trained: Mapping[str, torch.nn.Parameter],
    validate: Callable[[], float],
    scratch: Scratch,
    accelerator: Accelerator,
) -> tuple[dict[str, torch.Tensor], float, int]:
    """Returns weights, their CER and how many checkpoints they are the mean of: several, where that
    is no worse than the best alone."""
    weights: list[dict[str, torch.Tensor]]
    weights = of_main(lambda: [scratch.load(f"best.{step}.pt") for _, step in best], accelerator)
    if len(best) > 1:
        mean = {name: torch.stack([w[name] for w in weights]).mean(0) for name in weights[0]}
        _restore(trained, mean)
        cer = validate()
        if cer <= best[0][0]:
            return mean, cer, len(best)
    return weights[0], best[0][0], 1


def _progress(row: dict[str, float], best_cer: float, stepper: Stepper) -> str:
    parts = [f"loss={row['loss']:.3f}", f"lr={row['lr']:.1e}", f"cer={best_cer:.3f}"]
    parts.append(f"{stepper.times_real_time():.0f}x real time")
    parts.append(f"{peak_memory_mb(stepper.device) / 1024:.1f} GB")
    return ", ".join(parts)


def _warm_up_then_cosine(warmup_share: float, steps: int) -> Callable[[int], float]:
    warmup = max(1, round(steps * warmup_share))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor


def _weights(trained: Mapping[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Returns the weights on the CPU; where they are there already, it is no copy."""
    return {name: p.detach().cpu() for name, p in trained.items()}


def _restore(trained: Mapping[str, torch.nn.Parameter], weights: Mapping[str, Any]) -> None:
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])
