"""DVCLive's files of one training: loss, learning rate, CER and more by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.outs import new_out

if TYPE_CHECKING:
    from dvclive import Live

# What a run on another machine gives again. Speed and memory are in metrics/cost/.
SERIES = ("loss", "lr", "cer", "gradient_norm", "padding_share", "gpu_memory_mb")


@contextmanager
def curves(directory: Path, writes: bool) -> Iterator[Callable[[dict[str, float]], None]]:
    """Gives a function that is told each row of the history; it writes nothing unless `writes`."""
    if not writes:
        yield lambda row: None
        return
    from dvclive import Live

    # DVCLive left to itself edits dvc.yaml and starts experiments.
    with new_out(directory) as new:
        live = Live(str(new), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False)
        try:
            yield partial(_log, live)
        finally:
            live.end()


def _log(live: Live, row: dict[str, float]) -> None:
    live.step = int(row["step"])
    for name in SERIES:
        if name in row:
            live.log_metric(name, row[name])
    live.sync()
