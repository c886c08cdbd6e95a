"""DVCLive's files of one training: loss, learning rate, CER and more by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.outs import new_out
from telephone_asr.training.track import tracking

if TYPE_CHECKING:
    from dvclive import Live

# What a run on another machine gives again. Speed and memory are in metrics/cost/.
SERIES = ("loss", "lr", "cer", "gradient_norm", "padding_share", "gpu_memory_mb")


@contextmanager
def curves(
    directory: Path, writes: bool, track: Sequence[str], run: str, settings: Mapping[str, Any]
) -> Iterator[Callable[[dict[str, float]], None]]:
    """Gives a function that is told each row of the history; it writes nothing unless `writes`.

    Args:
        track, run, settings: where the rows go beside it, as `track.tracking` has it.
    """
    if not writes:
        yield lambda row: None
        return
    from dvclive import Live

    # DVCLive left to itself edits dvc.yaml and starts experiments.
    with new_out(directory) as new, tracking(track, run, settings) as tell:
        live = Live(str(new), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False)

        def on_row(row: dict[str, float]) -> None:
            values = {name: row[name] for name in SERIES if name in row}
            _log(live, int(row["step"]), values)
            tell(int(row["step"]), values)

        try:
            yield on_row
        finally:
            live.end()


def _log(live: Live, step: int, values: Mapping[str, float]) -> None:
    live.step = step
    for name, value in values.items():
        live.log_metric(name, value)
    live.sync()
