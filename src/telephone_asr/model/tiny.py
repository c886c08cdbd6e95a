"""A Fun-ASR-Nano small enough to train on a laptop, in FunASR's own classes.

It is written in the published layout, so that what runs on it runs on the real one. Where it has to
differ, a comment says why.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.model import layout, writing

if TYPE_CHECKING:
    import torch

    from telephone_asr.params import TinyModel


def write_tiny(
    directory: Path, size: TinyModel, tokenizer: Path, fs: int, seed: int, dither: float = 0.0
) -> None:
    """Writes a model directory with random weights, to be trained.

    Args:
        tokenizer: directory of the tokenizer and the CTC vocabulary (see model/tokenizer.py).
        fs: sample rate of the front end in Hz.
        dither: of the front end, in steps of 16 bits.
    """
    vocabulary = layout.read_tokenizer(tokenizer)
    with open(tokenizer / layout.CTC_VOCABULARY, encoding="ascii") as file:
        ranks = sum(1 for _ in file)
    llm = {
        "vocab_size": len(vocabulary),
        "hidden_size": size.llm_dim,
        "intermediate_size": 3 * size.llm_dim,
        "num_hidden_layers": size.llm_layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": size.llm_dim // 4,
        "max_position_embeddings": 4096,
        # The default of 0.02 is meant for a width of 1024 and keeps a narrow model from listening.
        "initializer_range": size.llm_dim**-0.5,
        "eos_token_id": vocabulary.eos_token_id,
        "pad_token_id": vocabulary.pad_token_id,
    }
    write_model(directory, _config(size, ranks, fs, dither), llm, tokenizer, seed)


def write_model(
    directory: Path, config: Mapping[str, Any], llm: Mapping[str, Any], tokenizer: Path, seed: int
) -> None:
    """Writes a model directory in the published layout, with random weights.

    Args:
        config: the published config.yaml with what differs.
        llm: of the language model's config.json, which is a Qwen3's.
        tokenizer: directory of the language model's tokenizer and of the CTC vocabulary.
    """
    import torch

    write_beside(directory, config, llm, tokenizer)
    torch.manual_seed(seed)
    model = layout.build(layout.read_config(directory))
    writing.save_weights(as_published(model), directory / "model.pt")


def write_beside(
    directory: Path, config: Mapping[str, Any], llm: Mapping[str, Any], tokenizer: Path
) -> None:
    """Writes all of such a directory but the weights."""
    from transformers import Qwen3Config

    llm_directory = directory / config["llm_conf"]["init_param_path"]
    llm_directory.mkdir(parents=True)
    for file in sorted(tokenizer.iterdir()):
        beside = file.name == layout.CTC_VOCABULARY
        shutil.copyfile(file, (directory if beside else llm_directory) / file.name)
    Qwen3Config(
        architectures=["Qwen3ForCausalLM"], tie_word_embeddings=True, **llm
    ).save_pretrained(llm_directory)
    writing.write_config(directory, config)


def as_published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns a model's weights in the published dtypes: bf16, the CTC branch in fp32."""
    import torch

    halved: dict[int, torch.Tensor] = {}  # tied embeddings stay one tensor
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(("ctc_decoder.", "ctc.")):
            state[name] = tensor
        else:
            state[name] = halved.setdefault(tensor.data_ptr(), tensor.to(torch.bfloat16))
    return state


def _config(size: TinyModel, ranks: int, fs: int, dither: float) -> dict[str, Any]:
    """The published config.yaml with smaller numbers.

    Dropout costs a quarter of a step of so small a model and brings nothing in a few epochs.
    """
    config = layout.published()
    dim = size.encoder_dim
    # Where there is no dither, as published, FunASR's is 1.
    config["frontend_conf"] |= {"fs": fs, "dither": dither}
    config["audio_encoder_conf"] |= {
        "output_size": dim,
        "linear_units": 4 * dim,
        "num_blocks": size.encoder_blocks,
        "tp_blocks": size.tp_blocks,
        **dict.fromkeys(("dropout_rate", "positional_dropout_rate", "attention_dropout_rate"), 0.0),
    }
    config["audio_adaptor_conf"] |= {
        # `use_low_frame_rate` gives the language model an eighth of the rows. Stacking eight rows
        # in the adaptor makes each of them hold its own half second; the full-size model stacks
        # none and learns to gather them, which takes more speech than there is here.
        "downsample_rate": 8,
        "ffn_dim": 4 * dim,
        "llm_dim": size.llm_dim,
        "encoder_dim": dim,
        "attention_heads": 4,
    }
    config["ctc_decoder_conf"] |= {
        "ffn_dim": 2 * dim,
        "llm_dim": dim,
        "encoder_dim": dim,
        "attention_heads": 4,
        "n_layer": 1,
    }
    # The published number, FunASR's default, is that of the published vocabulary. The last is
    # blank; SenseVoice's 1,700 special tokens behind the ranks are never written, and have no
    # class here.
    config["ctc_vocab_size"] = ranks + 1
    # A prompt of few tokens: the less there is between speech and transcript, the sooner a small
    # model learns to listen.
    config["dataset_conf"]["sys_prompt"] = False
    return config
