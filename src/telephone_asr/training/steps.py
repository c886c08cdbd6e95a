"""One step of a training: batches in, weights changed, and what there is to say of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch

from telephone_asr.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.training.loop import Recipe

ROW_S = 0.06  # of the encoder's input
MOST_SKIPPED = 10  # steps in a row without a finite gradient: it will not come back


class Figures(NamedTuple):
    """Of one step, over all processes. Loss and gradient are NaN where the step was skipped."""

    loss: float
    gradient_norm: float  # before clipping
    rows: float  # of the batches' inputs, without padding
    padded_rows: float  # with it


class Stepper:
    """Takes steps. A step is of `batches_per_step` batches, shared out over the processes, so that
    their number does not change what is learnt."""

    def __init__(
        self,
        accelerator: Accelerator,
        loss_of: torch.nn.Module,
        trained: Mapping[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
    ):
        self._accelerator, self._loss_of, self._recipe = accelerator, loss_of, recipe
        self._trained, self._optimizer = list(trained.values()), optimizer
        self.device = accelerator.device
        self.skipped = self.in_a_row = 0
        self._rows, self._seconds = 0.0, 0.0

    def numbers(self, steps: Iterable[int]) -> list[int]:
        """The batches of these steps that are this process's."""
        size, world = self._recipe.batches_per_step, self._accelerator.num_processes
        first = self._accelerator.process_index
        return [n for step in steps for n in range(step * size + first, (step + 1) * size, world)]

    def try_out(self, batch: Batch) -> None:
        """Forward and backward without a step: if memory is to run out, it does so now."""
        self._backward(batch, 1.0)
        self._optimizer.zero_grad(set_to_none=True)

    def take(self, step: int, batches: Iterator[Batch]) -> Figures:
        """One step with the next batches. It is left out where the gradient is not finite."""
        started = time.monotonic()
        numbers = self.numbers([step])
        own = [next(batches) for _ in numbers]
        total = self._sum([[float(batch.weight) for batch in own]])[0]
        loss = 0.0
        for number, batch in zip(numbers, own, strict=True):
            # Dropout: the same after an interruption, and on any number of processes.
            _seed(self.device, (self._recipe.seed * 1_000_003 + number) % 2**63)
            last = number == numbers[-1]
            with nullcontext() if last else self._accelerator.no_sync(self._loss_of):
                loss += self._backward(batch, batch.weight / total)
        norm = self._accelerator.clip_grad_norm_(self._trained, self._recipe.clip).item()
        loss, rows, padded = self._sum(
            [[loss], [float(b.lengths.sum()) for b in own], [float(b.rows) for b in own]]
        )
        if torch.isfinite(torch.tensor(norm)):
            self._optimizer.step()
            self.in_a_row = 0
        else:
            loss = norm = float("nan")
            self._skip(step, own)
        self._optimizer.zero_grad(set_to_none=True)
        self._rows += rows
        self._seconds += time.monotonic() - started
        return Figures(loss, norm, rows, padded)

    def times_real_time(self) -> float:
        """Speech per time, while steps were taken."""
        return self._rows * ROW_S / max(self._seconds, 1e-9)

    def _backward(self, batch: Batch, share: float) -> float:
        """Adds this share of the batch's gradient; returns that share of its loss."""
        try:
            loss = self._loss_of(batch) * share
            # Gradients are averaged over the processes, but a step's batches are to be added.
            self._accelerator.backward(loss * self._accelerator.num_processes)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            raise InputError(
                f"{self._recipe.name}: memory ran out at a batch of {len(batch.texts)} utterances "
                f"and {batch.rows} rows: lower train.max_frames in params.yaml (and raise "
                "train.batches_per_step), or set train.gradient_checkpointing."
            ) from None
        return loss.item()

    def _skip(self, step: int, batches: Sequence[Batch]) -> None:
        self.skipped += 1
        self.in_a_row += 1
        keys = [key for batch in batches for key in batch.keys]
        named = f"{', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        self._accelerator.print(
            f"{self._recipe.name}: step {step + 1} left out, its gradient is not finite ({named})"
        )
        if self.in_a_row >= MOST_SKIPPED:
            raise InputError(
                f"{self._recipe.name}: no finite gradient in {MOST_SKIPPED} steps in a row, up to "
                f"step {step + 1} ({named}): lower train.lr in params.yaml, or look at that speech."
            )

    def _sum(self, values: list[list[float]]) -> list[float]:
        """Each list's sum over all processes."""
        totals = torch.tensor([sum(column) for column in values], dtype=torch.float64)
        if self._accelerator.num_processes > 1:
            totals = self._accelerator.reduce(totals.to(self.device), "sum")
        return totals.tolist()


class _Numbered(torch.utils.data.Dataset):
    def __init__(self, batch_at: Callable[[int], Batch]):
        self._batch_at = batch_at

    def __getitem__(self, number: int) -> Batch:
        return self._batch_at(number)


def fetch(
    batch_at: Callable[[int], Batch], numbers: Sequence[int], workers: int
) -> Iterator[Batch]:
    """The batches of these numbers in order, made ahead by so many processes, or when asked for."""
    if not workers:
        return map(batch_at, numbers)
    loader = torch.utils.data.DataLoader(
        _Numbered(batch_at), batch_size=None, sampler=numbers, num_workers=workers
    )
    return iter(loader)


def mean_row(figures: Sequence[Figures]) -> dict[str, float]:
    """Loss and gradient averaged over the steps that were taken, and the share of padding."""
    taken = [f for f in figures if f.loss == f.loss] or list(figures)
    rows, padded = sum(f.rows for f in figures), sum(f.padded_rows for f in figures)
    return {
        "loss": sum(f.loss for f in taken) / len(taken),
        "gradient_norm": sum(f.gradient_norm for f in taken) / len(taken),
        "padding_share": 1 - rows / padded,
    }


def peak_memory_mb(device: torch.device) -> float:
    """Of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seed(device: torch.device, seed: int) -> None:
    """torch.manual_seed, which without a GPU takes a twentieth of a small model's step: it keeps
    the call, with its traceback, for every kind of device that may still be initialised."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
