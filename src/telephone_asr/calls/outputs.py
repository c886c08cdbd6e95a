"""What is written of each recording, and where; what is written already is not written again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from telephone_asr.calls.formats import FORMATS, SUFFIXES
from telephone_asr.calls.inputs import Source
from telephone_asr.calls.turns import Call
from telephone_asr.errors import NO_RIGHT, InputError
from telephone_asr.outs import new_out


@dataclass(frozen=True)
class Job:
    """A recording, and the file to be written of it; None: it is printed."""

    path: Path
    target: Path | None = None


def plan(
    found: Iterable[Source | str], format_: str, out: Path | None, force: bool
) -> tuple[list[Job], list[str], int]:
    """Returns what is to be done, a sentence for each recording that cannot be, and how many are
    done already.

    Args:
        out: the folder for the files; None: beside the recordings.
        force: what is there is written again.
    """
    jobs, problems, done = [], [], 0
    taken: dict[Path, Path] = {}
    for source in found:
        if isinstance(source, str):
            problems.append(source)
            continue
        target = (out / source.below if out else source.path).with_suffix(SUFFIXES[format_])
        if (other := taken.setdefault(target.absolute(), source.path)) != source.path:
            problems.append(f"{source.path}: {target} is what is written of {other}: rename one.")
        elif target.exists() and target.samefile(source.path):
            problems.append(f"{source.path}: {target} would take its place: rename it.")
        elif target.exists() and not force:
            done += 1
        elif not out and source.path.exists() and not os.access(target.parent, os.W_OK):
            problems.append(
                f"{source.path}: nothing can be written into {target.parent}: name a folder with "
                "--out."
            )
        else:
            jobs.append(Job(source.path, target))
    return jobs, problems, done


def check_folder(out: Path) -> None:
    """Makes the folder for outputs. Raises InputError where nothing can be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        writable = os.access(out, os.W_OK)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be made ({error.strerror}).") from None
    if not writable:
        raise InputError(f"--out: nothing can be written into {out}: name another folder.")


def write(call: Call, target: Path, format_: str) -> str | None:
    """Writes a call's file, whole or not at all; returns why not, where there is no right to.

    Raises OSError where there is no room: there is none for the next one either.
    """
    audio = os.path.relpath(call.path, target.parent)
    text = FORMATS[format_](call, audio)
    # Excel takes a table for one of the machine's old encoding where no mark says otherwise.
    encoding = "utf-8-sig" if format_ == "csv" else "utf-8"
    try:
        with new_out(target) as new:
            new.write_text(text, encoding=encoding, errors="replace", newline="")
    except OSError as error:
        if error.errno in NO_RIGHT or isinstance(error, FileExistsError | NotADirectoryError):
            return f"{target} cannot be written ({error.strerror})"
        raise
    return None
