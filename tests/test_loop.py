"""The training loop: what it does to the weights, and that an interruption leaves no trace."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from model_fixtures import LORA, PLAN, options
from telephone_asr.dataset import batching
from telephone_asr.dataset.speech import SpeechDataset
from telephone_asr.errors import InputError
from telephone_asr.model import parts
from telephone_asr.model.pretrained import load
from telephone_asr.scratch import Scratch
from telephone_asr.training import loop
from telephone_asr.training.objective import Objective
from telephone_asr.training.steps import prefetch

OPTIONS = options()


@dataclass
class Push:
    """A batch that pushes the weight so hard."""

    by: float = 1.0
    tokens: int = 1
    rows: int = 1
    keys: tuple = ("u1",)
    texts: tuple = ("",)

    @property
    def lengths(self) -> torch.Tensor:
        return torch.tensor([self.rows])

    @property
    def inputs(self) -> torch.Tensor:
        return torch.zeros(1, self.rows, 1)


class Slope(torch.nn.Module):
    """A loss whose gradient is the batch: Adam then changes the weight by the learning rate."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def tokens(self, batch: Push) -> list[int]:
        return [batch.tokens]

    def forward(self, batch: Push, totals: list[float]) -> torch.Tensor:
        return -batch.by * self.weight.sum() * batch.tokens / totals[0]


@pytest.fixture
def scratch(tmp_path):
    opened = Scratch(tmp_path / ".scratch", "test", "0" * 64)
    yield opened
    opened.close(remove=False)


def train_slope(scratch, options=OPTIONS, steps=40, plan=PLAN, cers=None, batch=lambda _: Push()):
    """Trains the slope; also the weight before each step, the numbers asked for, and the rows."""
    model, seen = Slope(), SimpleNamespace(weights=[], numbers=[], rows=[], tried=[])
    cers = iter(cers) if cers else iter(lambda: -model.weight.item(), None)

    def batch_at(number):
        if len(seen.tried) < 2:  # the largest come before the first step, to see whether they fit
            seen.tried.append(number)
        else:
            seen.numbers.append(number)
            seen.weights.append(model.weight.item())
        return batch(number)

    trained = {"weight": model.weight}
    result = loop.train(
        *(model, trained, batch_at, steps, [0, 1], lambda: next(cers), plan, options, scratch),
        *(seen.rows.append, Accelerator(cpu=True)),
    )
    seen.weights.append(model.weight.item())
    return result, seen


def planned_lr(step: int, steps: int) -> float:
    warmup = steps * OPTIONS.warmup_share
    if step < warmup:
        return PLAN.lr * (step + 1) / warmup
    return PLAN.lr * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def test_the_learning_rate_warms_up_and_goes_down_as_a_cosine(scratch):
    _, seen = train_slope(scratch)
    moved = [b - a for a, b in pairwise(seen.weights)]
    expected = [planned_lr(step, 40) * (1 - 0.01 * seen.weights[step]) for step in range(40)]
    assert moved == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert max(moved) == pytest.approx(PLAN.lr, rel=0.01)
    assert 0 < moved[0] == pytest.approx(PLAN.lr / 10, rel=0.01)
    assert moved[-1] < PLAN.lr / 100
    lrs = [row["lr"] for row in seen.rows if "lr" in row]
    assert lrs == pytest.approx([planned_lr(step, 40) for step in (10, 20, 30)] + [0.0])


def test_a_large_gradient_is_clipped(scratch):
    clipping = options(warmup_share=0.0, clip=1.0, evaluations=1)
    _, seen = train_slope(scratch, clipping, batch=lambda n: Push(1000.0 if n == 0 else 1.0))
    moved = [b - a for a, b in pairwise(seen.weights)]
    assert moved[1] == pytest.approx(moved[0], rel=0.01)


def test_every_batch_comes_once_in_order(scratch):
    _, seen = train_slope(scratch)
    assert seen.numbers == list(range(40))


def test_batches_of_a_step_count_by_their_tokens(scratch):
    """Two batches of one and three tokens: as one batch of all four."""
    adding = options(batches_per_step=2, clip=1e9)
    batch = lambda n: Push(by=1.0, tokens=1) if n % 2 == 0 else Push(by=5.0, tokens=3)  # noqa: E731
    result, seen = train_slope(scratch, adding, steps=40, batch=batch)
    assert result.steps == 20
    assert seen.numbers == list(range(40))
    row = next(row for row in seen.rows if row["step"] == 10)
    assert row["gradient_norm"] == pytest.approx((1 * 1 + 3 * 5) / 4)


def test_more_batches_a_step_than_there_are_is_refused(scratch):
    with pytest.raises(InputError, match=r"train\.batches_per_step"):
        train_slope(scratch, options(batches_per_step=9), steps=8)


def test_a_step_without_a_finite_gradient_is_left_out_and_counted(scratch, capfd):
    bad = {4: float("nan"), 13: float("inf")}
    result, seen = train_slope(scratch, batch=lambda n: Push(bad.get(n, 1.0)))
    assert result.skipped == 2
    weights = seen.weights
    assert all(math.isfinite(w) for w in weights)
    assert weights[5] == weights[4]
    assert weights[14] == weights[13]
    assert weights[6] != weights[5]
    assert all(math.isfinite(row["loss"]) for row in seen.rows if "loss" in row)
    assert "step 5 left out" in capfd.readouterr().out


def test_gradients_that_stay_infinite_end_the_training(scratch):
    with pytest.raises(InputError, match=r"10 steps in a row, up to step 25 \(u1\).*train\.lr"):
        train_slope(scratch, batch=lambda n: Push(1.0 if n < 15 else float("nan")))


class Full(Slope):
    """Memory runs out where there are so many rows, with the message of whoever asked for it."""

    message = "CUDA out of memory."

    def forward(self, batch, totals):
        if batch.rows > 100:
            raise RuntimeError(self.message)
        return super().forward(batch, totals)


def test_memory_that_runs_out_is_said_with_what_to_change_before_anything_else(scratch):
    model, done = Full(), []
    with pytest.raises(InputError, match=r"memory ran out.* 200 rows: .*train\.max_batch_rows"):
        loop.train(
            *(model, {"weight": model.weight}, lambda n: Push(rows=100 * n), 4, [1, 2]),
            *(lambda: done.append("validated"), PLAN, OPTIONS, scratch, done.append),
            Accelerator(cpu=True),
        )
    assert done == []


def test_another_error_is_not_taken_for_memory_that_runs_out(scratch):
    model = Full()
    model.message = "mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match="mat1"):
        loop.train(
            *(model, {"weight": model.weight}, lambda _: Push(rows=200), 4, [0], lambda: 0.0),
            *(PLAN, OPTIONS, scratch, lambda row: None, Accelerator(cpu=True)),
        )


@pytest.mark.parametrize("batches_per_step", [1, 2])
def test_what_is_tried_out_has_what_a_step_has(scratch, batches_per_step):
    """AdamW's two moments, and the gradients of a step's earlier batches."""
    model, gradients = Slope(), []

    def batch_at(number):
        gradients.append(model.weight.grad is not None)
        return Push()

    adding = options(batches_per_step=batches_per_step)
    loop.train(
        *(model, {"weight": model.weight}, batch_at, 4, [3, 2], lambda: 0.0, PLAN, adding),
        *(scratch, lambda row: None, Accelerator(cpu=True)),
    )
    assert gradients[:3] == [False, batches_per_step == 2, False]


@pytest.mark.parametrize(
    ("cers", "averaged"),
    [
        ([0.9, 0.5, 0.3, 0.4, 0.6, 0.3], 2),  # the last is that of the mean
        ([0.9, 0.5, 0.3, 0.4, 0.6, 0.31], 1),
    ],
)
def test_the_best_are_averaged_where_their_mean_is_no_worse(scratch, cers, averaged):
    result, seen = train_slope(scratch, options(average=2), cers=cers)
    assert (result.step, result.cer, result.averaged) == (20, 0.3, averaged)
    mean = (seen.weights[20] + seen.weights[30]) / 2 if averaged == 2 else seen.weights[20]
    assert result.weights["weight"].item() == pytest.approx(mean, abs=1e-7)
    assert seen.weights[-1] == result.weights["weight"].item()


def test_only_the_best_are_kept_on_disk(scratch):
    train_slope(scratch, options(average=2), cers=[0.9, 0.5, 0.3, 0.4, 0.6, 0.3])
    names = {path.name for path in scratch.directory.glob("best.*")}
    assert names == {"best.20.pt", "best.30.pt"}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_from_any_number_of_workers(workers):
    assert list(prefetch(lambda n: n * n, [5, 3, 4], workers)) == [25, 9, 16]


def test_rows_come_every_ten_steps_and_at_each_validation_with_the_mean_loss(scratch):
    plan, rare = replace(PLAN, lr=1e-9), options(warmup_share=0.1, evaluations=3)
    result, seen = train_slope(scratch, rare, steps=36, plan=plan)
    assert [row["step"] for row in seen.rows] == [0, 10, 12, 20, 24, 30, 36]
    assert [row["step"] for row in seen.rows if "cer" in row] == [0, 12, 24, 36]
    assert result.history == seen.rows
    assert result.steps == 36
    for before, row in pairwise(seen.rows):
        own = [-w for w in seen.weights[before["step"] : row["step"]]]
        assert row["loss"] == pytest.approx(sum(own) / len(own), abs=1e-8)


@pytest.mark.parametrize(
    ("cers", "step"),
    [
        ([0.9, 0.5, 0.3, 0.4, 0.6], 20),
        ([0.9, 0.5, 0.3, 0.2, 0.1], 40),
        ([0.9, 0.5, 0.3, 0.3, 0.3], 20),  # the first of equals
        ([0.2, 0.5, 0.3, 0.3, 0.2], 0),  # better left as it was
    ],
)
def test_the_best_validated_weights_are_returned_and_left_in_the_model(scratch, cers, step):
    result, seen = train_slope(scratch, cers=cers)
    assert (result.step, result.cer) == (step, min(cers))
    if step < 40:
        assert result.weights["weight"].item() == seen.weights[step]
    assert result.weights["weight"].item() == seen.weights[-1]  # of the model afterwards
    assert not result.weights["weight"].requires_grad


def test_fewer_steps_than_validations(scratch):
    result, seen = train_slope(scratch, steps=2)
    assert result.steps == 2
    assert seen.numbers == [0, 1]


# --- Interruptions, with the real model: LoRA, whose dropout draws random numbers at each step


class Interrupted(Exception):
    pass


class Run:
    """One process's attempt at a training; `fail` says where it is interrupted."""

    def __init__(self, directory, root, make_inputs, fail=("nowhere", 0)):
        self.nano = load(directory)
        self.rows, self.calls, self.fail = [], {}, fail
        self.trained = parts.add_lora(self.nano, LORA, seed=5)
        inputs = make_inputs(self.nano)
        inputs.precompute(self.nano, "adapted", 100, root / "frozen")
        schedule = batching.schedule(inputs.lengths, 60, 4, seed=0)
        self.n_batches = len(schedule)
        objective = Objective(self.nano, "adapted", llm_weight=1.0, ctc_weight=0.0)
        scratch = Scratch(root, "lora", "1" * 64)
        save = scratch.save
        scratch.save = lambda name, state: (self._at(name.split(".")[0]), save(name, state))[1]

        def batch_at(number):
            self._at("batch", number)
            return inputs.batch(schedule[number])

        def on_row(row):
            self._at("row")
            self.rows.append(row)

        def validate():
            self._at("validate")
            self.nano.model.eval()
            with torch.inference_mode():
                loss = objective(inputs.batch(range(len(inputs)))).item()
            self.nano.peft.train()
            return loss

        plan = replace(PLAN, name="lora", lr=1e-3, seed=3)
        own = options(warmup_share=0.1, evaluations=5, average=2)
        try:
            self.result = loop.train(
                *(objective, self.trained, batch_at, len(schedule), [0], validate, plan, own),
                *(scratch, on_row, Accelerator(cpu=True)),
            )
        finally:
            scratch.close(remove=False)

    def _at(self, place, number=None):
        count = self.calls[place] = self.calls.get(place, -1) + 1
        if self.fail == (place, count if number is None else number):
            raise Interrupted(place)

    def outcome(self) -> tuple:
        result = self.result
        return (
            parts.weights_sha256(result.weights),
            parts.weights_sha256(self.trained),
            parts.frozen_sha256(self.nano),
            result.history,
            self.rows,
            (result.step, result.steps, result.cer),
        )


@pytest.fixture(scope="module")
def uninterrupted(fitted_directory, tmp_path_factory, corpus):
    from telephone_asr.model.frontend import Frontend

    def make_inputs(nano):
        frontend = Frontend(nano.config["frontend_conf"])
        return SpeechDataset(corpus.examples, {"telecall": corpus.sounds}, frontend, 100)

    run = Run(fitted_directory, tmp_path_factory.mktemp("whole"), make_inputs)
    assert run.n_batches >= 14
    assert run.result.step > 0
    return run


PLACES = [
    *[("batch", 0), ("batch", 1), ("batch", 5), ("batch", 11)],
    *[("validate", 0), ("validate", 1), ("validate", 3)],
    *[("row", 0), ("row", 1), ("row", 3)],
    *[("best", 0), ("best", 1), ("best", 2)],
    *[("state", 0), ("state", 1), ("state", 2)],  # the best is there, the state is not
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_an_interrupted_training_ends_as_one_that_was_not(
    uninterrupted, fitted_directory, make_inputs, tmp_path, monkeypatch, place
):
    # Saved at validations alone, or after each step.
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 1e9 if place[1] % 2 else -1.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", 1e9)
    with pytest.raises(Interrupted):
        Run(fitted_directory, tmp_path, make_inputs, fail=place)
    run = Run(fitted_directory, tmp_path, make_inputs)
    assert run.outcome() == uninterrupted.outcome()


def test_a_training_that_is_interrupted_again_and_again_gets_there(
    uninterrupted, fitted_directory, make_inputs, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", 1e9)
    for place in [("validate", 1), ("batch", 6), ("state", 3), ("best", 0), ("batch", 12)]:
        with pytest.raises(Interrupted):
            Run(fitted_directory, tmp_path, make_inputs, fail=place)
    run = Run(fitted_directory, tmp_path, make_inputs)
    assert run.calls["batch"] < uninterrupted.n_batches / 2  # it did go on
    assert run.outcome() == uninterrupted.outcome()


def test_a_training_that_was_done_already_takes_no_step(
    uninterrupted, fitted_directory, make_inputs, tmp_path
):
    Run(fitted_directory, tmp_path, make_inputs)
    again = Run(fitted_directory, tmp_path, make_inputs, fail=("batch", 0))
    assert "batch" not in again.calls
    assert again.outcome() == uninterrupted.outcome()
