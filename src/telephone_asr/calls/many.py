"""Many recordings, by one process or by several, one a GPU."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telephone_asr.calls.outputs import Job, write
from telephone_asr.calls.recording import Choice
from telephone_asr.errors import InputError

CHUNK_BYTES = 20_000_000  # of recordings that a process is given at a time


@dataclass(frozen=True)
class Work:
    """The work that all processes share."""

    model: Path
    choice: Choice
    batch_size: int
    render: str | None  # a format; None: a line of text
    hotwords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a recording."""

    job: Job
    duration_s: float = 0.0
    printed: str = ""  # of a job without a file
    problem: str = ""


def transcribe_jobs(
    work: Work, jobs: Sequence[Job], processes: int, on_sound: Callable[[float], None]
) -> Iterator[Outcome]:
    """Yields what became of each recording, in their order.

    on_sound: told how many seconds of sound were read, as it goes.
    """
    if processes == 1:
        from telephone_asr.calls.api import load_model

        yield from _transcribe(load_model(work.model), work, jobs, on_sound)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    ranks = context.Queue()
    for rank in range(processes):
        ranks.put(rank)
    # Threads of each would wait for a core that another has.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    with ProcessPoolExecutor(processes, context, _begin, (work, ranks)) as pool:
        try:
            for coming in [pool.submit(_chunk, chunk) for chunk in _chunks(jobs)]:
                for outcome in coming.result():
                    on_sound(outcome.duration_s)
                    yield outcome
        except BrokenProcessPool:
            raise InputError(
                "--processes: one of them was ended from outside, most often because memory did "
                "not suffice: lower their number, or --batch-size."
            ) from None
        except BaseException:  # interrupted: what they have begun is not waited for
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Yields some jobs at a time: short recordings share their batches."""
    chunk: list[Job] = []
    size = 0
    for job in jobs:
        chunk.append(job)
        size += os.path.getsize(job.path) if job.path.is_file() else 0
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


_own: dict[str, Any] = {}  # of a process that was started: the model, and the work


def _begin(work: Work, ranks: Any) -> None:
    """Makes a started process ready."""
    import multiprocessing

    import torch

    from telephone_asr.calls.api import load_model

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started it is told, and ends it
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    gpus = torch.cuda.device_count()
    device = f"cuda:{ranks.get() % gpus}" if gpus else "cpu"
    _own.update(nano=load_model(work.model, device), work=work)


def _chunk(jobs: list[Job]) -> list[Outcome]:
    return list(_transcribe(_own["nano"], _own["work"], jobs, lambda seconds: None))


def _transcribe(
    nano: Any, work: Work, jobs: Sequence[Job], on_sound: Callable[[float], None]
) -> Iterator[Outcome]:
    from telephone_asr.calls.transcriber import transcribe_calls
    from telephone_asr.shards import Rejected

    paths = [job.path for job in jobs]
    calls = transcribe_calls(nano, paths, work.choice, work.batch_size, on_sound, work.hotwords)
    for job, call in zip(jobs, calls, strict=True):
        if isinstance(call, Rejected):
            yield Outcome(job, problem=call.detail)
        else:
            yield _outcome(job, call, work)


def _outcome(job: Job, call: Any, work: Work) -> Outcome:
    from telephone_asr.calls.formats import FORMATS
    from telephone_asr.corpora.sound import SoundError

    printed, problem = "", None
    try:
        if job.target and work.render:
            problem = write(call, job.target, work.render)
        elif work.render:
            printed = FORMATS[work.render](call, str(call.path))
        else:
            printed = f"{call.path}\t{call.text}\n"
    except SoundError as error:  # a page has the sound in it, which is read again
        problem = f"{call.path}: {error}"
    if cut_off := sum(turn.cut_off for turn in call.turns):
        problem = problem or (
            f"{call.path}: the text of {cut_off} of its {len(call.turns)} turns is cut off at the "
            "limit of tokens"
        )
    return Outcome(job, call.duration_s, printed, problem or "")
