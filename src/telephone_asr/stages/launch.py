"""A training stage on as many processes as params.yaml asks for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable

from telephone_asr.params import Params


def on_processes(module: str, params: Params, main: Callable[[], None]) -> None:
    """Runs a stage: here, or in `train.processes` new processes, or as `train.accelerate` says.

    Args:
        module: the stage's, which the new processes run; they come here again and run `main`.
    """
    train = params.train
    launched = "LOCAL_RANK" in os.environ
    if launched or (train.processes == 1 and train.accelerate is None):
        main()
    elif train.accelerate is not None:
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
        options = ["--config_file", train.accelerate, "--num_processes", str(train.processes)]
        done = subprocess.run([*launcher, *options, "-m", module], check=False)
        sys.exit(done.returncode)
    else:
        _on_this_machine(module, train.processes)


def _on_this_machine(module: str, processes: int) -> None:
    """As torchrun does it, without its traceback when a process has said what is wrong."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module)
    except ChildFailedError:
        sys.exit(1)
    except SignalException:
        raise KeyboardInterrupt from None
