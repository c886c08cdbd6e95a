"""What a GPU has to be told, and memory that runs out, on it or off it, as a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError, out_of_memory

if TYPE_CHECKING:
    import torch

    from telephone_asr.model.pretrained import FunASRNano

LORA = "lora_"  # in the names of PEFT's weights


def allow_tf32(config: dict[str, Any]) -> None:
    """Has GPUs multiply fp32 matrices in TF32, where config.yaml's enable_tf32 says so.

    As FunASR's own trainer does, with its default; on a CPU it changes nothing.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = bool(config.get("enable_tf32", True))


@contextmanager
def frozen_llm_in_bf16(nano: FunASRNano, precision: str) -> Iterator[None]:
    """Keeps a frozen language model's weights in bf16 within, where all of them are bf16 numbers.

    As the published ones are, and as FunASR's trainer has them. Autocast converts each weight and
    each layer's input anew in every step: a thousand kernels that a GPU waits for, and the weights
    take twice the room. Not where the model trains whole, or its weights are other numbers: they
    come out of here as they went in.
    """
    import torch

    weights = [(n, p) for n, p in nano.model.llm.named_parameters() if LORA not in n]
    exact = precision == "bf16" and not any(p.requires_grad for _, p in weights)
    half = {n: p.data.bfloat16() for n, p in weights} if exact else {}
    exact = exact and all(torch.equal(half[n].float(), p.data) for n, p in weights)
    if exact:
        for name, parameter in weights:
            parameter.data = half[name]
    del half
    yield
    # Not after an error: where memory ran out, what it holds leaves no room for them.
    for _, parameter in weights if exact else []:
        parameter.data = parameter.data.float()


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
