"""Memory that runs out is known by what is said of it, and is one sentence wherever it happens."""

import pytest
import torch

from telephone_asr.decoding.alignment import character_borders
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.errors import InputError
from telephone_asr.model import parts
from telephone_asr.model.devices import allow_tf32, enough_memory, frozen_llm_in_bf16

SAID = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total ..."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("NCCL Error 1: unhandled cuda error: Cuda failure 2 'out of memory'"),
    RuntimeError("could not create a primitive"),
    MemoryError("Unable to allocate 4.00 EiB for an array"),
]


@pytest.mark.parametrize("error", SAID, ids=lambda error: str(error)[:40])
def test_whoever_runs_out_of_memory_it_is_one_sentence(error):
    said = "decoding: memory ran out at a batch of 4 utterances and 28 rows: lower it."
    with pytest.raises(InputError) as caught, enough_memory("decoding", rows(), "lower it"):
        raise error
    assert str(caught.value) == said


def test_the_machines_own_memory_runs_out():
    with pytest.raises(InputError, match="memory ran out"), enough_memory("a", rows(), "b"):
        torch.empty(2**55)


def test_other_errors_are_what_they_were():
    with (
        pytest.raises(RuntimeError, match="CUBLAS_STATUS_EXECUTION_FAILED"),
        enough_memory("decoding", rows(), "lower it"),
    ):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED")


def rows() -> torch.Tensor:
    return torch.zeros(4, 7, 2)


@pytest.fixture
def full(nano, monkeypatch):
    """A model whose encoder runs out of memory."""

    def forward(*_):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")

    monkeypatch.setattr(nano.model.audio_encoder, "forward", forward)
    return nano


def test_decoding_frozen_parts_and_borders_say_what_to_lower(full, make_inputs, tmp_path):
    inputs = make_inputs(full)
    with pytest.raises(InputError, match=r"decoding: .* 5 utterances .*lower decode\.batch_size"):
        transcribe(full, inputs, batch_size=5, max_tokens=3)
    with pytest.raises(InputError, match=r"frozen parts' outputs: .*lower train\.max_batch_rows"):
        inputs.precompute(full, "encoded", 120, tmp_path)
    with pytest.raises(InputError, match=r"borders .*lower train\.max_batch_rows"):
        character_borders(full, make_inputs(full), 120)


def test_frozen_weights_that_are_bf16_numbers_are_kept_as_such_and_come_back_the_same(nano):
    trained = parts.add_lora(nano, parts.LoraSize(r=4, alpha=8, dropout=0.0), seed=0)
    before = parts.frozen_sha256(nano)
    with frozen_llm_in_bf16(nano, "bf16"):
        own = [(n, p.dtype) for n, p in nano.model.llm.named_parameters() if "lora_" not in n]
        assert {dtype for _, dtype in own} == {torch.bfloat16}
        assert {p.dtype for p in trained.values()} == {torch.float32}
        assert {p.dtype for p in nano.model.audio_encoder.parameters()} == {torch.float32}
    assert {p.dtype for p in nano.model.parameters()} == {torch.float32}
    assert parts.frozen_sha256(nano) == before


@pytest.mark.parametrize("why", ["fp32", "trains whole", "other numbers"])
def test_other_weights_stay_in_fp32(nano, why):
    parts.choose_trained(nano, ("llm.",) if why == "trains whole" else ("audio_adaptor.",))
    if why == "other numbers":
        next(nano.model.llm.parameters()).data[0] = 1 + 2**-12
    with frozen_llm_in_bf16(nano, "fp32" if why == "fp32" else "bf16"):
        assert {p.dtype for p in nano.model.parameters()} == {torch.float32}


def test_after_an_error_nothing_asks_for_memory_again(nano):
    """On a GPU, what ran out at a batch ran out again, and that was what was said."""
    parts.choose_trained(nano, ("audio_adaptor.",))
    with pytest.raises(InputError, match="a batch"), frozen_llm_in_bf16(nano, "bf16"):
        raise InputError("memory ran out at a batch")
    assert {p.dtype for p in nano.model.llm.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(("config", "allowed"), [({}, True), ({"enable_tf32": False}, False)])
def test_tf32_is_as_config_yaml_has_it(config, allowed):
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        allow_tf32(config)
        assert torch.backends.cuda.matmul.allow_tf32 is allowed
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"  # the CPU's stay as they are
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
