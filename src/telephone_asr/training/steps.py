"""One step of a training: batches in, weights changed, and what there is to say of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch

from telephone_asr.dataset.batching import LOWER_BATCH_ROWS
from telephone_asr.errors import InputError
from telephone_asr.model.devices import enough_memory

if TYPE_CHECKING:
    from accelerate import Accelerator

    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.params import Train
    from telephone_asr.training.plan import Plan

ROW_S = 0.06  # of the encoder's input
MOST_SKIPPED = 10  # steps in a row without a finite gradient: it will not come back


class StepMetrics(NamedTuple):
    """Holds one step's numbers, over all processes; both are NaN where it was skipped."""

    loss: float
    gradient_norm: float  # before clipping
    rows: float  # of the batches' inputs, without padding
    padded_rows: float  # with it


class Stepper:
    """Takes steps. A step is of `batches_per_step` batches, shared out over the processes, so that
    their number does not change what is learnt.

    Args:
        loss_of: maps a batch, and the tokens of all batches of the step, to its share of the loss.
        tokens_of: counts the tokens of a batch that each part of the loss is the mean over.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        loss_of: torch.nn.Module,
        tokens_of: Callable[[Batch], Sequence[int]],
        trained: Mapping[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        options: Train,
    ):
        self._accelerator, self._plan, self._options = accelerator, plan, options
        self._loss_of, self._tokens_of = loss_of, tokens_of
        self._trained, self._optimizer = list(trained.values()), optimizer
        self.device = accelerator.device
        self.skipped = self.consecutive_skips = 0
        self._rows, self._seconds = 0.0, 0.0

    def numbers(self, steps: Iterable[int]) -> list[int]:
        """Returns the numbers of these steps' batches that are this process's."""
        size, world = self._options.batches_per_step, self._accelerator.num_processes
        first = self._accelerator.process_index
        return [n for step in steps for n in range(step * size + first, (step + 1) * size, world)]

    def try_out(self, batches: Iterable[Batch]) -> None:
        """Runs forward and backward without a step: if memory is to run out, it does so now."""
        adds = self._options.batches_per_step > self._accelerator.num_processes
        moments: list[torch.Tensor] = []
        for batch in batches:
            with self._enough_memory(batch):
                if not moments and not self._optimizer.state:  # AdamW makes them in its first step
                    moments = [torch.empty_like(p) for p in 2 * self._trained]
            self._backward(batch, self._tokens_of(batch))
            if not adds:  # a step of several batches has gradients from the second on
                self._optimizer.zero_grad(set_to_none=True)
        self._optimizer.zero_grad(set_to_none=True)

    def take(self, step: int, batches: Iterator[Batch]) -> StepMetrics:
        """Takes a step with the next batches; leaves it out where the gradient is not finite."""
        started = time.monotonic()
        numbers = self.numbers([step])
        own = [next(batches) for _ in numbers]
        # Each part of the loss is the mean over its tokens of the whole step, as of one batch.
        tokens = self._sum(list(zip(*map(self._tokens_of, own), strict=True)))
        loss = 0.0
        for number, batch in zip(numbers, own, strict=True):
            # Dropout: the same after an interruption, and on any number of processes.
            _seed(self.device, (self._plan.seed * 1_000_003 + number) % 2**63)
            last = number == numbers[-1]
            with nullcontext() if last else self._accelerator.no_sync(self._loss_of):
                loss += self._backward(batch, tokens)
        norm = self._accelerator.clip_grad_norm_(self._trained, self._options.clip).item()
        loss, rows, padded = self._sum(
            [[loss], [float(b.lengths.sum()) for b in own], [float(b.rows) for b in own]]
        )
        if torch.isfinite(torch.tensor(norm)):
            self._optimizer.step()
            self.consecutive_skips = 0
        else:
            loss = norm = float("nan")
            self._skip(step, own)
        self._optimizer.zero_grad(set_to_none=True)
        self._rows += rows
        self._seconds += time.monotonic() - started
        return StepMetrics(loss, norm, rows, padded)

    def times_real_time(self) -> float:
        """Returns how many seconds of speech were trained on in a second of steps."""
        return self._rows * ROW_S / max(self._seconds, 1e-9)

    def _backward(self, batch: Batch, tokens: Sequence[float]) -> float:
        """Adds the batch's gradient; returns its loss. Both are a share, by a step's tokens."""
        with self._enough_memory(batch):
            loss = self._loss_of(batch, tokens)
            # Gradients are averaged over the processes, but a step's batches are to be added.
            self._accelerator.backward(loss * self._accelerator.num_processes)
        return loss.item()

    def _enough_memory(self, batch: Batch) -> AbstractContextManager[None]:
        advice = (
            f"{LOWER_BATCH_ROWS} (and raise train.batches_per_step), or set "
            "train.gradient_checkpointing"
        )
        return enough_memory(self._plan.name, batch.inputs, advice)

    def _skip(self, step: int, batches: Sequence[Batch]) -> None:
        self.skipped += 1
        self.consecutive_skips += 1
        keys = [key for batch in batches for key in batch.keys]
        named = f"{', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        self._accelerator.print(
            f"{self._plan.name}: step {step + 1} left out, its gradient is not finite ({named})"
        )
        if self.consecutive_skips >= MOST_SKIPPED:
            raise InputError(
                f"{self._plan.name}: no finite gradient in {MOST_SKIPPED} steps in a row, up to "
                f"step {step + 1} ({named}): lower train.lr in params.yaml, or look at that speech."
            )

    def _sum(self, values: Sequence[Sequence[float]]) -> list[float]:
        """Returns each list's sum over all processes."""
        totals = torch.tensor([sum(column) for column in values], dtype=torch.float64)
        if self._accelerator.num_processes > 1:
            totals = self._accelerator.reduce(totals.to(self.device), "sum")
        return totals.tolist()


class _Numbered(torch.utils.data.Dataset):
    def __init__(self, batch_at: Callable[[int], Batch]):
        self._batch_at = batch_at

    def __getitem__(self, number: int) -> Batch:
        return self._batch_at(number)


def prefetch(
    batch_at: Callable[[int], Batch], numbers: Sequence[int], workers: int
) -> Iterator[Batch]:
    """Yields the batches of these numbers in order, made ahead by so many worker processes."""
    if not workers:
        return map(batch_at, numbers)
    loader = torch.utils.data.DataLoader(
        _Numbered(batch_at), batch_size=None, sampler=numbers, num_workers=workers
    )
    return iter(loader)


def mean_row(metrics: Sequence[StepMetrics]) -> dict[str, float]:
    """Returns the means of loss and gradient over the steps taken, and the share of padding."""
    taken = [f for f in metrics if f.loss == f.loss] or list(metrics)
    rows, padded = sum(f.rows for f in metrics), sum(f.padded_rows for f in metrics)
    return {
        "loss": sum(f.loss for f in taken) / len(taken),
        "gradient_norm": sum(f.gradient_norm for f in taken) / len(taken),
        "padding_share": 1 - rows / padded,
    }


def peak_memory_mb(device: torch.device) -> float:
    """Returns the peak memory in MB: of the GPU if one is used, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seed(device: torch.device, seed: int) -> None:
    """Seeds dropout.

    torch.manual_seed takes a twentieth of a small model's step on a CPU: it keeps the call, with
    its traceback, for every kind of device that may still be initialised.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
