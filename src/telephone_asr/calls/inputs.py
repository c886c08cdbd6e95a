"""Which recordings are meant: files, folders and lists, and what is written of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from telephone_asr.corpora.containers import UnknownSound
from telephone_asr.corpora.recognise import recognise
from telephone_asr.errors import InputError
from telephone_asr.textfiles import read_lines

LISTS = (".txt", ".lst", ".list")
# A file of a folder that has one of these names is meant, even where it is no sound any more.
SOUNDS = (
    *(".wav", ".mp3", ".flac", ".m4a", ".mp4", ".aac", ".ogg", ".opus", ".amr", ".awb", ".aif"),
    *(".aiff", ".au", ".caf", ".gsm", ".sph", ".voc", ".w64", ".webm", ".mka", ".mkv", ".wma"),
)


@dataclass(frozen=True)
class Source:
    """A recording, and its path below the folder that was named, or its name."""

    path: Path
    below: Path


def sources(given: Sequence[Path]) -> Iterator[Source | str]:
    """Yields the recordings that files, folders and lists (.txt, a path a line) name, each once;
    and a sentence for each of those that names none."""
    seen: set[Path] = set()
    for path in given:
        for source in _named(path):
            if isinstance(source, str):
                yield source
            elif (real := source.path.resolve()) not in seen:
                seen.add(real)
                yield source


def _named(path: Path) -> Iterator[Source | str]:
    if path.suffix.lower() in LISTS and path.is_file():
        yield from _listed(path)
    elif path.is_dir():
        yield from _inside(path)
    else:  # if it is not there, whoever opens it says so
        yield Source(path, Path(path.name))


def _listed(path: Path) -> Iterator[Source | str]:
    """Yields what a list names; its paths are relative to where it lies."""
    try:
        lines = read_lines(path)
    except InputError as error:
        yield str(error)
        return
    if not lines:
        yield f"{path} names no recording: write a path in each line."
    for number, line in lines:
        named = path.parent / line.strip()
        if not named.exists():
            yield f"{path}:{number}: {named} does not exist."
        elif named.is_dir():
            yield from _inside(named)
        else:
            yield Source(named, Path(named.name))


def _inside(folder: Path) -> Iterator[Source | str]:
    """Yields the recordings in a folder and those below it, in the order of their names."""
    none = True
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and _is_meant(path):
                none = False
                yield Source(path, path.relative_to(folder))
    if none:
        yield f"{folder} holds no sound of a kind that is read here."


def _is_meant(path: Path) -> bool:
    if not path.is_file():  # opened, a pipe waits for who writes into it
        return False
    if path.suffix.lower() in SOUNDS:
        return True
    try:
        with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            recognise(content)
    except (UnknownSound, OSError, ValueError):
        return False
    return True
