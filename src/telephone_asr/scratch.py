"""Where long work keeps its state, so that it goes on after a kill as if nothing had happened.

DVC deletes a stage's outs before it runs, so the state lies outside of them: in `.scratch/` at the
repository's root, in a directory named by a hash of everything the result depends on.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import weakref
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import IO, Any

from telephone_asr.errors import InputError


def fingerprint(texts: Iterable[str], paths: Iterable[Path]) -> str:
    """Returns a hash of texts (params, versions) and of the bytes of files and directories."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" in file.parts:
                continue
            digest.update(str(file.relative_to(path.parent)).encode() + b"\0")
            with open(file, "rb") as opened:
                while block := opened.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def files_identity(directory: Path) -> str:
    """Returns names, sizes and times of a directory's files: tells an unchanged corpus at any size.

    A file that was written anew counts as changed, which costs work and never gives a wrong result.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    stats = ((path.relative_to(directory), path.stat()) for path in files)
    return "".join(f"{path} {stat.st_size} {stat.st_mtime_ns}\n" for path, stat in stats)


def write_durably(
    path: Path, temporary: Path, write: Callable[[IO[bytes]], None], advice: str
) -> None:
    """Writes a file that is there whole, also after a power cut, or not at all.

    Raises:
        InputError: there is no room for it, or no right to write it; with this advice.
    """
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save raises the latter
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path.absolute()}: cannot be saved ({error}); {advice}") from None


class Scratch:
    """Holds the directory of one piece of work, for one process at a time.

    Args:
        main: False in the other processes of the same training, which only read.
        spare: where it lies while another experiment does the same work in `root`.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        fingerprint_: str,
        main: bool = True,
        spare: Path | None = None,
    ):
        self._main = main
        self._lock: IO[str] | None = None
        for place in filter(None, (root, spare)):
            self.directory = place / f"{name}-{fingerprint_[:16]}"
            holder = self._hold() if main else None
            if holder is None:
                return
        raise InputError(
            f"{name} is running already, as process {holder} ({self.directory}): wait for it or "
            "stop it."
        )

    def _hold(self) -> str | None:
        """Takes the lock, or returns the number of the process that has it."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = lock = open(self.directory / "lock", "a+")  # noqa: SIM115 (held until close)
            weakref.finalize(self, lock.close)  # where an error ends the work, too
        except OSError as error:
            raise InputError(
                f"{self.directory.absolute()}: cannot keep its state there ({error}); "
                "make it writable."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with lock:
                lock.seek(0)
                return lock.read().strip()
        if not os.fstat(lock.fileno()).st_nlink:  # cleared away by who held it until now
            lock.close()
            return self._hold()
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return None

    def load(self, name: str) -> Any:
        """Returns what was saved under a name, or None."""
        import torch

        path = self.directory / name
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def save(self, name: str, state: Any) -> None:
        """Saves tensors and plain values: whole, or the earlier ones stay."""
        import torch

        if not self._main:
            return

        write_durably(
            self.directory / name,
            self.directory / f"{name}.tmp",
            lambda file: torch.save(state, file),
            "free some space and run again: it goes on from the last state saved.",
        )

    def remove(self, pattern: str, but: Container[str]) -> None:
        """Deletes what was saved under names like this."""
        for path in self.directory.glob(pattern) if self._main else ():
            if path.name not in but:
                path.unlink()

    def close(self, remove: bool) -> None:
        """Gives the lock back; with `remove`, once the result is written, clears everything."""
        if remove:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
