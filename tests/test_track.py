"""Curves where a team looks: read back by each one's own reader, with every step once."""

import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.training import track
from telephone_asr.training.curves import curves

RUN = "encoder-0123456789abcdef"
SETTINGS = {"name": "encoder", "lr": 1.5e-3, "epochs": 4}
# The second attempt is told what was saved (to step 10) again, and then what comes after it; the
# first had got to 20.
FIRST = [{"step": 0, "cer": 0.9}, {"step": 10, "loss": 2.0, "lr": 1e-3}, {"step": 20, "loss": 1.5}]
WHOLE = [*FIRST[:2], {"step": 20, "loss": 1.5, "cer": 0.4}, {"step": 30, "loss": 1.0, "cer": 0.3}]
EXPECTED = {
    "cer": [(0, 0.9), (20, 0.4), (30, 0.3)],
    "loss": [(10, 2.0), (20, 1.5), (30, 1.0)],
    "lr": [(10, 1e-3)],
}


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Where it is written; the environment is as it was afterwards."""
    monkeypatch.setattr(track, "RUNS", tmp_path / "runs")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield tmp_path / "runs"
    for name in os.environ.keys() - before.keys():
        monkeypatch.delenv(name)


def attempt(directory: Path, name: str, rows: list[dict], killed: bool = False) -> None:
    """Tells it rows; what a training draws from afterwards is as it was, and so are its weights."""
    before = random_states()
    try:
        with curves(directory / "curves", True, (name,), RUN, SETTINGS) as on_row:
            for row in rows:
                on_row(row)
            if killed:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert random_states() == before


def random_states() -> tuple[str, ...]:
    draws = random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()
    return tuple(map(repr, draws))


def rounded(series: dict) -> dict:
    return {k: [(step, pytest.approx(value)) for step, value in one] for k, one in series.items()}


def test_tensorboard_has_every_step_once(runs, tmp_path):
    attempt(tmp_path, "tensorboard", FIRST, killed=True)
    attempt(tmp_path, "tensorboard", WHOLE)
    assert read_events(runs / "tensorboard" / RUN) == rounded(EXPECTED)


def read_events(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Reads event files: by TensorBoard where it is installed, else records by their own lengths
    and tensorboardX's messages."""
    series: dict[str, list[tuple[int, float]]] = {}
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        from tensorboardX.proto.event_pb2 import Event

        [path] = directory.glob("events.*")
        content = path.read_bytes()
        while content:  # length, its checksum, message, its checksum
            end = 12 + int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12:end])
            for one in event.summary.value:
                series.setdefault(one.tag, []).append((event.step, one.simple_value))
            content = content[end + 4 :]
        return series
    events = EventAccumulator(str(directory))
    events.Reload()
    for tag in events.Tags()["scalars"]:
        series[tag] = [(one.step, one.value) for one in events.Scalars(tag)]
    return series


def test_mlflow_has_every_step_once(runs, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    attempt(tmp_path, "mlflow", FIRST, killed=True)
    attempt(tmp_path, "mlflow", WHOLE)
    client = mlflow.MlflowClient(tracking_uri=(runs / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("telephone-asr")
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (RUN, "FINISHED")
    assert run.data.params == {"name": "encoder", "lr": "0.0015", "epochs": "4"}
    series = {
        key: sorted(
            (one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)
        )
        for key in EXPECTED
    }
    assert series == rounded(EXPECTED)


def test_wandb_has_every_step_once_offline(runs, tmp_path):
    pytest.importorskip("wandb")
    attempt(tmp_path, "wandb", FIRST, killed=True)
    attempt(tmp_path, "wandb", WHOLE)
    [path] = runs.glob(f"wandb/offline-run-*-{RUN}/run-{RUN}.wandb")
    series = read_wandb(path)
    assert Counter(step for one in series.values() for step, _ in one) == {
        0: 1,
        10: 2,
        20: 2,
        30: 2,
    }
    assert series == rounded(EXPECTED)


def read_wandb(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Reads a log of one block: LevelDB's records (checksum, length, kind) of W&B's messages; its
    own reader is no Python any more."""
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    series: dict[str, list[tuple[int, float]]] = {}
    content = path.read_bytes()[7:]
    assert len(content) < 2**15
    while content:
        end = 7 + int.from_bytes(content[4:6], "little")
        history = Record.FromString(content[7:end]).history
        for one in history.item:
            name = one.key or one.nested_key[0]
            if name in EXPECTED:
                series.setdefault(name, []).append((history.step.num, json.loads(one.value_json)))
        content = content[end:]
    return series


def test_one_that_fails_ends_no_training(runs, tmp_path, capsys):
    with curves(tmp_path / "curves", True, ("tensorboard",), RUN, SETTINGS) as on_row:
        on_row(WHOLE[0])
        on_row({"step": 10, "loss": "no number"})  # it raises, as one whose server is away
        on_row(WHOLE[2])
    assert "train.track: tensorboard is left out from step 10 on" in capsys.readouterr().out


def test_nothing_is_tracked_unless_it_is_asked_for(runs, tmp_path):
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    assert params.train.track == ()
    with curves(tmp_path / "curves", True, params.train.track, RUN, SETTINGS) as on_row:
        on_row(WHOLE[1])
    assert not runs.exists()


def test_what_is_not_installed_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(track.MODULES, "wandb", "no_such_module")
    track.require(("tensorboard",))
    with pytest.raises(InputError, match=r"train\.track: wandb is not installed: `pip install"):
        track.require(("tensorboard", "wandb"))
