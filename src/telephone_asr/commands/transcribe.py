"""`telephone-asr transcribe`: recordings of any length in, turns with their times out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.calls.formats import FORMATS
from telephone_asr.calls.turns import CHANNELS, NAMES
from telephone_asr.commands.arguments import (
    add_hotwords,
    add_model,
    check_model,
    count,
    max_hours,
    read_hotwords,
)
from telephone_asr.errors import InputError
from telephone_asr.textfiles import one_line

if TYPE_CHECKING:
    from telephone_asr.calls.many import Outcome, Work
    from telephone_asr.calls.outputs import Job

ALONE = ("txt", "srt", "textgrid", "html")  # of which two after one another are none


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "transcribe",
        help="write the turns of calls, or print the text of sound files",
        description="Without --format and --out, a line is printed for each recording: its path "
        "and its text. What is written already is not done again. docs/transcribe.md",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="a recording, a folder of them, or a list (.txt) with a path in each line",
    )
    add_model(parser)
    parser.add_argument("--format", choices=FORMATS, help="of a file beside each recording")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write the files there instead; -: print them"
    )
    parser.add_argument(
        "--channels",
        choices=CHANNELS,
        default=CHANNELS[0],
        help="of a stereo recording: each by itself, one, or their mean",
    )
    parser.add_argument(
        "--names",
        nargs=2,
        metavar=("LEFT", "RIGHT"),
        default=NAMES,
        help=f"who speaks on them, such as agent customer (default: {' '.join(NAMES)})",
    )
    parser.add_argument(
        "--whole", action="store_true", help="each recording is one utterance: cut out nothing"
    )
    add_hotwords(parser)
    parser.add_argument("--batch-size", type=count, metavar="N", help="segments in a batch")
    parser.add_argument(
        "--processes", type=count, metavar="N", help="instead of one for each GPU, or one"
    )
    parser.add_argument("--force", action="store_true", help="write again what is there")
    parser.set_defaults(run=_run)


def _run(a: argparse.Namespace) -> None:
    from telephone_asr.calls.many import Work
    from telephone_asr.calls.recording import Choice
    from telephone_asr.calls.transcriber import BATCH_SIZE

    choice = Choice(a.channels, a.names, a.whole, max_hours())
    printed = a.out == Path("-") or not (a.out or a.format)
    render = a.format or (None if a.out is None else "txt")
    words = tuple(read_hotwords(a.hotwords)) if a.hotwords else ()
    work = Work(a.model, choice, a.batch_size or BATCH_SIZE, render, words)
    out = None if printed else a.out
    transcribe_paths(a.paths, work, printed, out, a.force, a.processes)


def transcribe_paths(
    paths: Sequence[Path],
    work: Work,
    printed: bool = True,
    out: Path | None = None,
    force: bool = False,
    processes: int | None = None,
) -> None:
    """Transcribes recordings; exits with 1 where one could not be used, or a text is cut off.

    Args:
        printed: to stdout; else a file of each is written.
        out: the folder for the files; None: beside the recordings.
    """
    from telephone_asr.calls.inputs import Source, sources
    from telephone_asr.calls.outputs import Job, check_folder, plan

    check_model(work.model)
    # What is not there is said now: until the model is loaded, seconds pass.
    found = [
        f"{one.path}: No such file or directory"
        if isinstance(one, Source) and not one.path.exists()
        else one
        for one in sources(paths)
    ]
    if printed:
        jobs = [Job(one.path) for one in found if isinstance(one, Source)]
        problems, done = [one for one in found if isinstance(one, str)], 0
        if work.render in ALONE and len(jobs) > 1:
            raise InputError(
                f"--out -: {len(jobs)} recordings as {work.render} would run into each other: "
                "name one, or take --format json or csv."
            )
    else:
        if out:
            check_folder(out)
        jobs, problems, done = plan(found, work.render or "txt", out, force)
    for problem in problems:
        _complain(problem)
    if done:
        print(f"{done} are written already (--force writes them again)", file=sys.stderr)
    failed, first = bool(problems), True
    for outcome in _progress(work, jobs, processes or _gpus()):
        if outcome.problem:
            failed = True
            _complain(outcome.problem)
        if outcome.printed:
            _print(outcome.printed, headed=first or work.render != "csv")
            first = False
    if failed:
        sys.exit(1)


def _gpus() -> int:
    import torch

    return max(1, torch.cuda.device_count())


def _complain(problem: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"error: {one_line(problem)}", file=sys.stderr)


def _print(text: str, headed: bool) -> None:
    """Prints a call; of several tables, the columns' names once."""
    sys.stdout.write(text if headed else text.partition("\n")[2])
    sys.stdout.flush()


def _progress(work: Work, jobs: Sequence[Job], processes: int) -> Iterator[Outcome]:
    """Yields outcomes, and shows beside the bar how much sound was heard and how fast."""
    from tqdm import tqdm

    from telephone_asr.calls.many import transcribe_jobs

    if not jobs:
        return
    started, heard_s = time.perf_counter(), 0.0
    # miniters: seconds alone say when the bar is written anew, however much is heard in between.
    with tqdm(total=len(jobs), desc=work.model.name, unit=" recordings", miniters=0) as bar:

        def on_sound(seconds: float) -> None:
            nonlocal heard_s
            heard_s += seconds
            factor = (time.perf_counter() - started) / max(heard_s, 1e-3)
            said = f"{heard_s / 3600:.2f} h, real-time factor {factor:.3f}"
            bar.set_postfix_str(said, refresh=False)
            bar.update(0)

        for outcome in transcribe_jobs(work, jobs, min(processes, len(jobs)), on_sound):
            yield outcome
            bar.update()
