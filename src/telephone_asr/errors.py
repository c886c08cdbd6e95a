"""The one exception a user's mistake raises, and what the machine can lack."""

from __future__ import annotations

import errno
from collections.abc import Iterator


class InputError(Exception):
    """An error in what the user gave.

    The message is one sentence that names the file, line or key, what was expected and what to do.
    Stages and the command line print it without a traceback and exit with status 1.
    """


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}
# Libraries that write through code of their own say it in words of their own: safetensors and
# tokenizers in Rust's, PyTorch's writer of archives, and allocators.
ROOM_WORDS = (
    *("No space left on device", "os error 28", "os error 27", "os error 122"),
    *("PytorchStreamWriter failed writing", "unexpected pos"),
)
RIGHT_WORDS = ("os error 13", "os error 1)", "os error 30", "Permission denied")
# Of the allocators of PyTorch and CUDA, of cuBLAS, cuDNN, oneDNN and their like, of joblib, and of
# the machine itself.
MEMORY_WORDS = (
    *("out of memory", "not enough memory", "bad_alloc", "alloc_failed", "allocation_failed"),
    *("can't allocate memory", "cannot allocate memory", "could not create a primitive"),
    *("failed to map segment", "terminatedworkererror"),
)


def out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says so: only one of the many that do has a class of its own."""
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or any(words in text for words in MEMORY_WORDS)


def shortage(error: BaseException) -> str | None:
    """Returns what the machine lacks, in a sentence, where that is what an error or one behind it
    says; None where it is another one."""
    for one in _behind(error):
        code, text = getattr(one, "errno", None), str(one)
        text = f"{type(one).__name__}: {text}" if not isinstance(one, OSError) else text
        name = getattr(one, "filename", None)
        place = f"{name}: " if isinstance(name, str) else ""
        if code in NO_ROOM or any(word in text for word in ROOM_WORDS):
            return (
                f"{place}there is no room left to write: free some (old states lie in .scratch, "
                "`dvc gc` clears the cache) and run the same command again."
            )
        if code in NO_RIGHT or any(word in text for word in RIGHT_WORDS):
            return (
                f"{place}no permission ({getattr(one, 'strerror', None) or text.splitlines()[0]}): "
                "give yourself the right to it, and run the same command again."
            )
        if code in (errno.EMFILE, errno.ENFILE):
            return f"{place}too many files are open: raise the limit (`ulimit -n 4096`)."
        if out_of_memory(one):
            where = "the GPU's memory" if "CUDA" in text else "memory"
            return (
                f"{where} does not suffice: lower decode.batch_size, train.max_batch_rows or "
                "train.cache_mb in params.yaml, or the number of processes (LOKY_MAX_CPU_COUNT)."
            )
    return None


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those that it was raised from, the last first."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__
