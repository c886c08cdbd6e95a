"""ONNX for sherpa-onnx, `OfflineRecognizer.from_funasr_nano`: phones, servers, without PyTorch."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from telephone_asr.exports.byte_pairs import read_byte_pairs
from telephone_asr.exports.calls import Call, Recognise
from telephone_asr.manifests.messages import PROMPT
from telephone_asr.model.pretrained import FunASRNano

CACHE = 1024  # prompt, speech and text, in tokens: a minute of speech is 125 of them
LEAD_S = 0.0025  # of silence before the sound: its frames then begin where FunASR's do
LARGE = 1 << 30  # bytes; a file of ONNX holds no more than twice as many
# sherpa-onnx always writes a system prompt. For a model without one, what stands around an empty
# one is the token that the user's turn begins with.
EMPTY_SYSTEM, START = "<|im_start|>system\n<|im_end|>\n<|im_start|>", "<|im_start|>"


def write(nano: FunASRNano, directory: Path) -> None:
    """Writes encoder_adaptor.onnx, llm.onnx and embedding.onnx in fp32, and tokenizer/."""
    import torch

    from telephone_asr.exports.onnx_graphs import Embedding, EncoderAdaptor, LanguageModel

    directory.mkdir(parents=True)
    llm = nano.model.llm
    size, n_mels = llm.config.hidden_size, nano.config["frontend_conf"]["n_mels"]
    frames = torch.export.Dim("frames", min=8, max=100_000)
    steps, length = (torch.export.Dim(name, min=1, max=CACHE) for name in ("steps", "length"))
    _save(
        EncoderAdaptor(nano),
        (torch.zeros(1, 173, n_mels),),
        ({1: frames},),
        directory / "encoder_adaptor.onnx",
        {"lfr_window_size": 1, "lfr_window_shift": 1, "llm_dim": size},
    )
    tokens = torch.zeros(1, 7, dtype=torch.long)
    _save(
        *(Embedding(llm), (tokens,), ({1: steps},)),
        directory / "embedding.onnx",
        {"hidden_size": size},
    )
    layers = llm.config.num_hidden_layers
    shape = 1, CACHE, llm.config.num_key_value_heads, llm.config.head_dim
    cache = [torch.zeros(shape) for _ in range(2 * layers)]
    mask = torch.ones(1, 12, dtype=torch.long)
    _save(
        LanguageModel(llm),
        (torch.zeros(1, 5, size), mask, torch.arange(7, 12), *cache),
        ({1: steps}, {1: length}, {0: steps}, tuple({} for _ in cache)),
        directory / "llm.onnx",
        {
            "model_type": "qwen3_kv_delta",
            "vocab_size": llm.config.vocab_size,
            "hidden_size": size,
            "num_layers": layers,
            "max_total_len": CACHE,
        },
    )
    _write_tokenizer(nano, directory / "tokenizer")


def _save(module: Any, inputs: tuple, shapes: tuple, path: Path, metadata: dict[str, Any]) -> None:
    import onnx
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of its own names and versions
        program = torch.onnx.export(
            module.eval(), inputs, dynamic_shapes=shapes, dynamo=True, verbose=False
        )
    assert program is not None  # without `f`, which writes to a file at once
    program.model.metadata_props.update({key: str(value) for key, value in metadata.items()})
    program.save(path)  # beside it path.data, where it is large
    outside = path.with_name(f"{path.name}.data")
    if outside.exists() and outside.stat().st_size < LARGE:
        content = onnx.load(path)
        onnx.save(content, path)
        outside.unlink()
    elif outside.exists():  # sherpa-onnx looks for llm.data beside llm.onnx
        content = onnx.load(path)
        path.unlink()
        outside.unlink()
        onnx.save(
            content, path, save_as_external_data=True, location=path.with_suffix(".data").name
        )


def _write_tokenizer(nano: FunASRNano, directory: Path) -> None:
    directory.mkdir()
    pairs = read_byte_pairs(Path(nano.config["tokenizer_conf"]["init_param_path"]))
    merges = "".join(f"{left} {right}\n" for left, right in pairs.merges)
    content = pairs.content
    if not nano.config["dataset_conf"].get("sys_prompt", True):
        start = next(token for token in content["added_tokens"] if token["content"] == START)
        content["added_tokens"].append({**start, "content": EMPTY_SYSTEM})
    for name, text in {
        "vocab.json": json.dumps(pairs.vocabulary, ensure_ascii=False),
        "merges.txt": f"#version: 0.2\n{merges}",
        "tokenizer.json": json.dumps(content, ensure_ascii=False),
    }.items():
        (directory / name).write_text(text, encoding="utf-8")


def write_int8(nano: FunASRNano, directory: Path) -> None:
    """Writes the same with the weights of encoder, adaptor and language model in 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    write(nano, directory)
    logging.getLogger().setLevel(logging.ERROR)  # it advises preprocessing, which changes nothing
    for name in ("encoder_adaptor", "llm"):
        whole, small = directory / f"{name}.onnx", directory / f"{name}.int8.onnx"
        quantize_dynamic(whole, small, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
        whole.with_suffix(".data").unlink(missing_ok=True)
        small.replace(whole)


def load(directory: Path, nano: FunASRNano, max_tokens: int) -> Recognise:
    """Returns sherpa-onnx itself with what was written, on one thread."""
    import sherpa_onnx

    system = {} if nano.config["dataset_conf"].get("sys_prompt", True) else {"system_prompt": ""}
    recogniser = sherpa_onnx.OfflineRecognizer.from_funasr_nano(
        encoder_adaptor=str(directory / "encoder_adaptor.onnx"),
        llm=str(directory / "llm.onnx"),
        embedding=str(directory / "embedding.onnx"),
        tokenizer=str(directory / "tokenizer"),
        sample_rate=nano.config["frontend_conf"]["fs"],
        max_new_tokens=max_tokens,
        user_prompt=PROMPT,  # its own ends in another colon
        **system,
    )

    def recognise(call: Call) -> str:
        stream = recogniser.create_stream()
        stream.set_option("itn", "0" if call.verbatim else "1")
        lead = np.zeros(round(LEAD_S * call.rate_hz), np.float32)
        samples = call.samples.astype(np.float32) / 32768
        stream.accept_waveform(call.rate_hz, np.concatenate([lead, samples]))
        recogniser.decode_stream(stream)
        return stream.result.text.strip()

    return recognise
