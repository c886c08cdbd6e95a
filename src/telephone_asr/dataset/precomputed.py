"""Frozen parts' outputs, computed once and kept on disk: for all epochs and for later trainings.

They lie in a directory named by a hash of everything they depend on, in parts of some hundred
utterances. A part is written whole or not at all, so an interruption loses one at most.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from tqdm import tqdm

from telephone_asr.scratch import write_durably

PART = 500  # utterances
ADVICE = "free some space, or lower train.cache_frozen_gb in params.yaml, and run again."


class PrecomputedOutputs:
    """Reads rows of one utterance at a time from disk (and from the system's own cache of it).

    Args:
        directory: of these outputs alone.
        order: the indices of all utterances, in the order in which they are computed.
    """

    def __init__(self, directory: Path, order: Sequence[int]):
        self._directory = directory
        self._order = list(order)
        self._place = {index: place for place, index in enumerate(self._order)}
        self._open: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def parts(self) -> list[list[int]]:
        return [self._order[i : i + PART] for i in range(0, len(self._order), PART)]

    def fill(
        self, compute: Callable[[list[int]], list[torch.Tensor]], share: tuple[int, int]
    ) -> None:
        """Computes the parts that are not there yet: every n-th, beginning with rank.

        Args:
            compute: maps utterances to their outputs, (T, D) each.
            share: rank, of how many processes.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        weakref.finalize(self, os.close, _lock(self._directory, fcntl.LOCK_SH))
        rank, world = share
        missing = [n for n in range(len(self.parts())) if not self._paths(n)[1].exists()]
        mine = [n for n in missing if n % world == rank]
        for n in tqdm(mine, "frozen parts' outputs", unit="part", disable=not mine or rank > 0):
            rows = [row.float().cpu().numpy() for row in compute(self.parts()[n])]
            ends = np.cumsum([len(row) for row in rows])
            self._write(n, np.concatenate(rows), ends)
        os.utime(self._directory)  # the least recently used goes first

    def __getitem__(self, index: int) -> torch.Tensor:
        """Returns (T, D) float32."""
        n, i = divmod(self._place[index], PART)
        if n not in self._open:
            rows, ends = (np.load(path, mmap_mode="r") for path in self._paths(n))
            self._open[n] = (rows, np.concatenate([[0], ends]))
        rows, borders = self._open[n]
        return torch.from_numpy(np.array(rows[borders[i] : borders[i + 1]]))

    def _paths(self, n: int) -> tuple[Path, Path]:
        """Returns the files of the rows and of each utterance's end, written in this order."""
        return self._directory / f"{n:06d}.npy", self._directory / f"{n:06d}.ends.npy"

    def _write(self, n: int, rows: np.ndarray, ends: np.ndarray) -> None:
        for path, array in zip(self._paths(n), (rows, ends), strict=True):
            # Another training may be computing the same.
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            write_durably(path, temporary, partial(_save, array), ADVICE)


def _save(array: np.ndarray, file: IO[bytes]) -> None:
    np.save(file, array)


def make_room(directory: Path, needed_bytes: int, limit_bytes: int) -> bool:
    """Returns whether so much may be kept in `directory`; deletes what was used longest ago beside
    it, but for what this training or another reads now.

    An interrupted computation's directory is there already, and stays.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    sizes = {d: _size(d) for d in directory.parent.iterdir() if d != directory}
    with ExitStack() as locks:
        unused = sorted((d for d in sizes if _is_unused(d, locks)), key=_last_used)
        in_use_bytes = sum(sizes[d] for d in sizes if d not in unused)
        if in_use_bytes + needed_bytes > limit_bytes:
            return False
        for other in unused:
            if sum(sizes.values()) + needed_bytes <= limit_bytes:
                break
            shutil.rmtree(other, ignore_errors=True)
            del sizes[other]
        directory.mkdir(exist_ok=True)
    return True


def _is_unused(directory: Path, locks: ExitStack) -> bool:
    """Returns whether nobody reads it; then nobody can begin to before `locks` are given back."""
    try:
        locks.callback(os.close, _lock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock(directory: Path, kind: int) -> int:
    """Locks a directory as long as the file descriptor that is returned is open."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def _last_used(directory: Path) -> int:
    return directory.stat().st_mtime_ns
