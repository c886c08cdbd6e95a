"""A Fun-ASR-Nano small enough to train on a laptop, in FunASR's own classes and layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telephone_asr.params import TinyModel

LLM_DIRECTORY = "Qwen3-tiny"


def write_tiny(directory: Path, size: TinyModel, tokenizer: Path, fs: int, seed: int) -> None:
    """Writes a model directory with random weights, to be trained.

    Args:
        tokenizer: directory of the tokenizer to copy in (see model/tokenizer.py).
        fs: sample rate of the front end in Hz.
    """
    import torch
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer, Qwen3Config

    from telephone_asr.model.pretrained import import_funasr

    import_funasr()
    llm_directory = directory / LLM_DIRECTORY
    llm_directory.mkdir(parents=True)
    for file in sorted(tokenizer.iterdir()):
        shutil.copyfile(file, llm_directory / file.name)
    vocabulary = AutoTokenizer.from_pretrained(llm_directory)
    Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=size.llm_dim,
        intermediate_size=3 * size.llm_dim,
        num_hidden_layers=size.llm_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=size.llm_dim // 4,
        max_position_embeddings=4096,
        # The default of 0.02 is meant for a width of 1024 and keeps a narrow model from listening.
        initializer_range=size.llm_dim**-0.5,
        tie_word_embeddings=True,
        eos_token_id=vocabulary.eos_token_id,
        pad_token_id=vocabulary.pad_token_id,
        architectures=["Qwen3ForCausalLM"],
    ).save_pretrained(llm_directory)
    config = _config(size, len(vocabulary), fs)
    OmegaConf.save(config, directory / "config.yaml")
    paths = {
        "init_param": "model.pt",
        "config": "config.yaml",
        "llm_conf": {"init_param_path": LLM_DIRECTORY},
        "tokenizer_conf": {"init_param_path": LLM_DIRECTORY},
        "ctc_tokenizer_conf": {"init_param_path": LLM_DIRECTORY},
    }
    description = {"framework": "pytorch", "task": "auto-speech-recognition"}
    (directory / "configuration.json").write_text(
        json.dumps(description | {"file_path_metas": paths}, indent=2) + "\n", encoding="utf-8"
    )
    torch.manual_seed(seed)
    torch.save(_random_state(directory), directory / "model.pt")


def _random_state(directory: Path) -> dict[str, Any]:
    from funasr.register import tables

    from telephone_asr.model.pretrained import _input_size, read_config

    config = read_config(directory)
    model = tables.model_classes[config["model"]](**config, input_size=_input_size(config))
    return model.state_dict()


def _config(size: TinyModel, vocabulary: int, fs: int) -> dict[str, Any]:
    """config.yaml with the keys of Fun-ASR-Nano-2512 and smaller numbers.

    Dropout costs a quarter of a step of so small a model and brings nothing in a few epochs.
    """
    dim, llm_dim = size.encoder_dim, size.llm_dim
    return {
        "model": "FunASRNano",
        "audio_encoder": "SenseVoiceEncoderSmall",
        "audio_encoder_conf": {
            "output_size": dim,
            "attention_heads": 4,
            "linear_units": 4 * dim,
            "num_blocks": size.encoder_blocks,
            "tp_blocks": size.tp_blocks,
            "dropout_rate": 0.0,
            "positional_dropout_rate": 0.0,
            "attention_dropout_rate": 0.0,
            "input_layer": "pe",
            "pos_enc_class": "SinusoidalPositionEncoder",
            "normalize_before": True,
            "kernel_size": 11,
            "sanm_shfit": 0,
            "selfattention_layer_type": "sanm",
            "freeze": False,
        },
        "llm": LLM_DIRECTORY,
        "llm_conf": {"hub": "hf", "freeze": False, "llm_dtype": "fp32"},
        "audio_adaptor": "Transformer",
        "audio_adaptor_conf": {
            # `use_low_frame_rate` gives the language model an eighth of the rows. Stacking eight
            # rows in the adaptor makes each of them hold its own half second; the full-size model
            # stacks none and learns to gather them, which takes more speech than there is here.
            "downsample_rate": 8,
            "use_low_frame_rate": True,
            "ffn_dim": 4 * dim,
            "llm_dim": llm_dim,
            "encoder_dim": dim,
            "attention_heads": 4,
            "n_layer": 2,
            "freeze": False,
        },
        "ctc_decoder": "Transformer",
        "ctc_decoder_conf": {
            "downsample_rate": 1,
            "ffn_dim": 2 * dim,
            "llm_dim": dim,
            "encoder_dim": dim,
            "attention_heads": 4,
            "n_layer": 1,
            "freeze": False,
        },
        "ctc_vocab_size": vocabulary + 1,  # the last one is blank
        "ctc_tokenizer": "HuggingfaceTokenizer",
        "detach_ctc_decoder": True,
        "frontend": "WavFrontend",
        "frontend_conf": {
            "fs": fs,
            "window": "hamming",
            "n_mels": 80,
            "frame_length": 25,
            "frame_shift": 10,
            "lfr_m": 7,
            "lfr_n": 6,
            "cmvn_file": None,
            "dither": 0.0,
        },
        "tokenizer": "HuggingfaceTokenizer",
        # A prompt of few tokens: the less there is between speech and transcript, the sooner a
        # small model learns to listen.
        "dataset_conf": {"sys_prompt": False, "do_think": True},
    }
