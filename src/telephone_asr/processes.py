"""A stage on as many processes as params.yaml asks for, one a GPU."""

from __future__ import annotations

import logging
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from telephone_asr.errors import InputError
from telephone_asr.params import Params, Train

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
# For the others while one saves, or is later done with its share: accelerate's ten minutes on GPUs
# are soon over on a slow disk.
PATIENCE = timedelta(hours=2)


def on_processes(
    module: str, params: Params, main: Callable[[], None], arguments: Sequence[str] = ()
) -> None:
    """Runs a stage: here, or in `train.processes` new processes, or as `train.accelerate` says.

    Args:
        module: the stage's, which the new processes run; they come here again and run `main`.
        arguments: of its command line.

    Raises:
        InputError: there are GPUs, but fewer than processes.
    """
    train = params.train
    launched = "LOCAL_RANK" in os.environ
    if launched:
        _among_others(main)
    elif train.processes == 1 and train.accelerate is None:
        main()
    elif train.accelerate is not None:
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
        options = ["--config_file", train.accelerate, "--num_processes", str(train.processes)]
        done = subprocess.run([*launcher, *options, "-m", module, *arguments], check=False)
        if done.returncode:
            sys.exit(done.returncode)
    else:
        import torch

        check_processes(train, torch.cuda.device_count())
        _on_this_machine(["-m", module, *arguments], train.processes)


def check_processes(train: Train, gpus: int) -> None:
    """Raises InputError where GPUs are fewer than processes; without any, the CPU is shared."""
    if train.accelerate is None and 0 < gpus < train.processes:
        raise InputError(
            f"params.yaml: train.processes: expected at most {gpus}, one for each GPU of this "
            f"machine, got {train.processes}; lower it, or name a file of `accelerate config` in "
            "train.accelerate for several machines."
        )


def check_shared_out(train: Train, started: int) -> None:
    """Raises InputError where a step's batches cannot be shared out over the processes that a
    launcher has started."""
    if train.batches_per_step % started:
        raise InputError(
            f"params.yaml: train.batches_per_step: expected a multiple of {started}, the processes "
            f"that were started, got {train.batches_per_step}; set train.processes, too."
        )


def accelerator(precision: str) -> Accelerator:
    """Returns accelerate's view of this process: its device, and its place among the stage's.

    Args:
        precision: fp32 or bf16, in which what runs under its autocast computes.
    """
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs

    mixed = {"fp32": "no", "bf16": "bf16"}[precision]
    # Several processes without a GPU: accelerate has to be told.
    cpu = "LOCAL_RANK" in os.environ and not torch.cuda.is_available()
    patience = InitProcessGroupKwargs(timeout=PATIENCE)
    return Accelerator(mixed_precision=mixed, cpu=cpu, kwargs_handlers=[patience])


def of_main(make: Callable[[], T], accelerator: Accelerator) -> T:
    """Returns what the main process makes, on each of them: another machine has not its files."""
    from accelerate.utils import broadcast_object_list

    made: list[Any] = [make() if accelerator.is_main_process else None]
    return broadcast_object_list(made)[0]


def shares(accelerator: Accelerator) -> list[tuple[int, int]]:
    """Returns the shares of work on files that a process does one after the other: first its own of
    all machines' (rank, of how many processes), then of what its machine's disks still lack."""
    own = accelerator.process_index, accelerator.num_processes
    local = accelerator.local_process_index, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return [own] if local == own else [own, local]


def check_same(depends_on: Mapping[str, str], accelerator: Accelerator) -> None:
    """Compares what a result depends on, by name, with what the other processes have.

    Raises:
        InputError: on each process, where the machines have not the same.
    """
    if accelerator.num_processes == 1:
        return
    from accelerate.utils import gather_object

    (first, expected), *others = gather_object([(platform.node(), dict(depends_on))])
    for machine, has in others:
        if differs := [name for name in expected if has.get(name) != expected[name]]:
            raise InputError(
                f"{machine} is not to train with {first}, since {', '.join(differs)} there "
                f"{'is' if len(differs) == 1 else 'are'} not the same: bring both to one commit "
                "(`git pull`, `dvc pull`) and one environment (constraints.txt)."
            )


def _among_others(main: Callable[[], None]) -> None:
    """Runs it where other processes do too; raises InputError when one of them is gone."""
    import torch

    try:
        main()
    except (RuntimeError, torch.distributed.DistError) as error:
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise
        # Without gloo's place in its own code, and its advice.
        cause = re.sub(r"^\[\S+\] ", "", str(error)).partition(". ")[0]
        raise InputError(
            f"on {platform.node()}: another process of this work has ended or cannot be reached "
            f"({cause}): see what it said, and start all of them again; they go on from the last "
            "state that was saved."
        ) from None


def put_together(texts: list[str]) -> list[str]:
    """Returns all texts, on each process, from each one's share with '' for those of others."""
    from accelerate.utils import gather_object

    return merged(gather_object([texts]))


def gathered(own: dict[str, T], share: tuple[int, int]) -> dict[str, T]:
    """Returns what all processes have by their keys, on each of them."""
    if share == (0, 1):
        return own
    from accelerate.utils import gather_object

    return {key: value for one in gather_object([own]) for key, value in one.items()}


def merged(shares: Sequence[Sequence[str]]) -> list[str]:
    """Returns each text as the process has it that decoded it; the others have ''.

    A text that was cut off is no plain one, even where nothing of it can be shown.
    """

    def is_own(text: str) -> tuple[int, bool]:
        return len(text), type(text) is not str

    return [max(one, key=is_own) for one in zip(*shares, strict=True)]


def _on_this_machine(command: Sequence[str], processes: int) -> None:
    """Starts processes as torchrun does, without its traceback when one has said what is wrong."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # Threads of each would wait for a core that another has; torchrun gives each process one alone.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError:
        sys.exit(1)
    except SignalException:
        raise KeyboardInterrupt from None
