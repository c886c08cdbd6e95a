"""The curves of a training where a team looks at them: TensorBoard, MLflow or Weights & Biases.

Each is written by its own library, and nothing reaches a network by itself: all of it lies in
`runs/`, beside `.scratch/`, unless the environment names a server of yours (MLFLOW_TRACKING_URI,
WANDB_MODE=online). After an interruption all rows come again, and none is written twice.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from telephone_asr.errors import InputError
from telephone_asr.paths import SCRATCH

RUNS = SCRATCH.with_name("runs")
PROJECT = "telephone-asr"
# TensorBoard's files are written by tensorboardX, which FunASR brings.
MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}

Tell = Callable[[int, Mapping[str, float]], None]  # a step's values


def require(names: Sequence[str]) -> None:
    """Raises InputError where the library of one is not installed."""
    for name in names:
        if find_spec(MODULES[name]) is None:
            raise InputError(
                f"params.yaml: train.track: {name} is not installed: "
                "`pip install -c constraints.txt -e '.[track]'`, or take it off the list."
            )


@contextmanager
def tracking(names: Sequence[str], run: str, settings: Mapping[str, Any]) -> Iterator[Tell]:
    """Gives a function that tells each of them a step's values.

    One that fails is left out from then on, and that is said: a server that is away ends no
    training.

    Args:
        run: what the run is called there, the same after an interruption.
        settings: what it is compared with others by.
    """
    with ExitStack() as stack:
        told = {name: stack.enter_context(OPEN[name](run, settings)) for name in names}

        def tell(step: int, values: Mapping[str, float]) -> None:
            for name in list(told):
                try:
                    told[name](step, values)
                except Exception as error:  # whatever its transport raises
                    del told[name]
                    print(f"train.track: {name} is left out from step {step} on: {error}")

        yield tell


@contextmanager
def _tensorboard(run: str, settings: Mapping[str, Any]) -> Iterator[Tell]:
    from tensorboardX import SummaryWriter

    directory = RUNS / "tensorboard" / run
    shutil.rmtree(directory, ignore_errors=True)  # of the attempt before: its rows come again
    # A TensorBoard that has it open drops from this step on what it had read.
    with SummaryWriter(str(directory), purge_step=0) as writer:

        def tell(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        yield tell


@contextmanager
def _mlflow(run: str, settings: Mapping[str, Any]) -> Iterator[Tell]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        uri = (RUNS / "mlflow").absolute().as_uri()
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny has no database
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(tracking_uri=uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    experiment = client.get_experiment_by_name(name)
    place = experiment.experiment_id if experiment else client.create_experiment(name)
    earlier = client.search_runs([place], f"attributes.run_name = '{run}'", max_results=1)
    run_id = (earlier[0] if earlier else client.create_run(place, run_name=run)).info.run_id
    client.update_run(run_id, status="RUNNING")
    for key, value in settings.items():
        client.log_param(run_id, key, value)
    there: dict[str, set[int]] = {}  # steps by name, of earlier attempts

    def tell(step: int, values: Mapping[str, float]) -> None:
        for key in values.keys() - there.keys():
            there[key] = {one.step for one in client.get_metric_history(run_id, key)}
        now = int(1000 * time.time())
        new = [Metric(k, v, now, step) for k, v in values.items() if step not in there[k]]
        client.log_batch(run_id, metrics=new)

    status = "FAILED"
    try:
        yield tell
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


@contextmanager
def _wandb(run: str, settings: Mapping[str, Any]) -> Iterator[Tell]:
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    online = os.environ["WANDB_MODE"] == "online"
    import wandb

    RUNS.mkdir(parents=True, exist_ok=True)
    if not online:  # of the attempt before: its rows come again
        for earlier in RUNS.glob(f"wandb/offline-run-*-{run}"):
            shutil.rmtree(earlier)
    with wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=run,
        name=run,
        dir=str(RUNS),
        config=dict(settings),
        resume="allow" if online else None,
        settings=wandb.Settings(console="off", silent=True),
    ) as live:
        first = live.step  # what the server has of earlier attempts comes before it

        def tell(step: int, values: Mapping[str, float]) -> None:
            if step >= first:
                live.log(dict(values), step=step)

        yield tell


OPEN: Mapping[str, Callable[[str, Mapping[str, Any]], AbstractContextManager[Tell]]]
OPEN = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
