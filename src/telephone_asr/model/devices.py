"""What a GPU has to be told, and memory that runs out, on it or off it, as a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError, out_of_memory

if TYPE_CHECKING:
    import torch


def allow_tf32(config: dict[str, Any]) -> None:
    """Has GPUs multiply fp32 matrices in TF32, where config.yaml's enable_tf32 says so.

    As FunASR's own trainer does, with its default; on a CPU it changes nothing.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = bool(config.get("enable_tf32", True))


@contextmanager
def enough_memory(work: str, inputs: torch.Tensor, advice: str) -> Iterator[None]:
    """Turns memory that runs out within into one sentence.

    Args:
        inputs: (B, T, ...), the batch that is being worked on.

    Raises:
        InputError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        size, rows = inputs.shape[0], inputs.shape[0] * inputs.shape[1]
        raise InputError(
            f"{work}: memory ran out at a batch of {size} utterances and {rows} rows: {advice}."
        ) from None
