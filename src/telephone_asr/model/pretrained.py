"""Fun-ASR-Nano model directories: loading them whole and strictly, or saying what is wrong.

The layout is FunASR's own: config.yaml, configuration.json, model.pt, and the language model's
config and tokenizer in a directory of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import logging
import pkgutil
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError

if TYPE_CHECKING:
    import torch

    from telephone_asr.model.frontend import Filters

CTC_BRANCH = ("ctc_decoder.", "ctc.")
FUNASR_MODULES = (
    "funasr.models.fun_asr_nano.model",
    "funasr.models.sense_voice.model",  # the encoder
    "funasr.models.llm_asr.adaptor",  # the adaptor, and the CTC branch's decoder
    "funasr.tokenizer.hf_tokenizer",
    "funasr.frontends.wav_frontend",
)


@dataclass
class FunASRNano:
    """A loaded model with what belongs to it."""

    model: torch.nn.Module  # funasr.models.fun_asr_nano.model.FunASRNano, in eval mode
    tokenizer: Any  # transformers tokenizer of the language model
    config: dict[str, Any]  # config.yaml with the paths of configuration.json filled in
    directory: Path
    peft: Any = None  # the PeftModel around the language model, where LoRA is on it

    @property
    def has_ctc(self) -> bool:
        return self.model.ctc_decoder is not None


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_directory(directory: Path, key: str = "params.yaml: base.path") -> None:
    """Raises InputError where a Fun-ASR-Nano directory lacks a file it must have."""
    if not directory.is_dir():
        raise InputError(
            f"{key}: {directory.absolute()} is no directory; "
            "expected a Fun-ASR-Nano model directory."
        )
    for name in ("config.yaml", "configuration.json", "model.pt"):
        if not (directory / name).is_file():
            raise InputError(
                f"{key}: {directory.absolute()} has no {name}; "
                "expected config.yaml, configuration.json and model.pt as FunASR ships them."
            )


def read_config(directory: Path) -> dict[str, Any]:
    """config.yaml, with the relative paths of configuration.json made into real ones."""
    # FunASR's own merging, so that we and funasr.AutoModel see the same configuration.
    from funasr.download.download_model_from_hub import add_file_root_path
    from omegaconf import OmegaConf

    paths: dict[str, Any] = {}
    with _usable(directory / "configuration.json"):
        metas = json.loads((directory / "configuration.json").read_text(encoding="utf-8"))
        add_file_root_path(str(directory), metas.get("file_path_metas", {}), paths)
    with _usable(directory / "config.yaml"):
        merged = OmegaConf.merge(OmegaConf.load(directory / "config.yaml"), paths)
        return OmegaConf.to_container(merged, resolve=True)


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """One sentence for what libraries raise, and that is anything, at a file they cannot use."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"{path} cannot be used ({reason}): expected a Fun-ASR-Nano model as FunASR ships it; "
            "fetch it anew."
        ) from None


def load(directory: Path, fs: int | None = None, filters: Filters = "native") -> FunASRNano:
    """Builds the model of a directory and loads every weight of it.

    Args:
        fs: sample rate in Hz the front end is to work at; None keeps the directory's own.
        filters: of the front end, where it works at 8 kHz.

    Raises:
        InputError: a file is missing, the front end does not fit the encoder, or model.pt and
            config.yaml do not describe the same model.
    """
    check_directory(directory)
    import_funasr()
    import torch
    from funasr.register import tables
    from transformers import AutoTokenizer

    config = read_config(directory)
    if config.get("model") != "FunASRNano" or "frontend_conf" not in config:
        raise InputError(
            f"{directory / 'config.yaml'}: expected model: FunASRNano and a frontend_conf, got "
            f"model: {config.get('model')}."
        )
    config["frontend_conf"]["dither"] = 0.0  # FunASR's default of 1.0 makes features random
    if fs is not None:
        config["frontend_conf"] |= {"fs": fs, "filters": filters}
    llm_directory = Path(config.get("llm_conf", {}).get("init_param_path", ""))
    if not (llm_directory / "config.json").is_file():
        raise InputError(
            f"{directory / 'configuration.json'}: file_path_metas.llm_conf.init_param_path: "
            "expected the language model's directory (config.json, tokenizer) in the model's."
        )
    with _usable(llm_directory):
        tokenizer = AutoTokenizer.from_pretrained(config["tokenizer_conf"]["init_param_path"])
    if not tokenizer.encode("<|im_end|>"):  # Transformers makes an empty one where there is none
        raise InputError(f"{llm_directory} holds no tokenizer: fetch the model anew.")
    with _usable(directory / "model.pt"):
        # Mapped, where the file's format allows it: gigabytes of weights are in memory once.
        path = directory / "model.pt"
        mapped = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        state = state.get("state_dict", state)
    if not any(key.startswith(CTC_BRANCH) for key in state):
        # Hugging Face's copy of the weights comes without the CTC branch that config.yaml names.
        config.pop("ctc_decoder", None)
    _check_input_size(directory, config, state)
    arguments = dict(config, input_size=_input_size(config))
    with _usable(directory / "config.yaml"):
        model = tables.model_classes[config["model"]](**arguments)
    own = model.state_dict()
    reshaped = [key for key in state if key in own and state[key].shape != own[key].shape]
    if reshaped:
        key = reshaped[0]
        shapes = f"{list(state[key].shape)}, not {list(own[key].shape)}"
        raise InputError(
            f"{directory / 'model.pt'} is not the model of its config.yaml: {len(reshaped)} "
            f"weights of another shape ({key}: {shapes})."
        )
    missing, unexpected = model.load_state_dict(state, strict=False)
    # Tied embeddings may be stored once; everything else must be there, and nothing more.
    missing = [key for key in missing if not (key == "llm.lm_head.weight" and _tied(model))]
    if missing or unexpected:
        raise InputError(
            f"{directory / 'model.pt'} is not the model of its config.yaml: "
            f"{len(missing)} weights missing ({', '.join(missing[:3])}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:3])})."
        )
    model.eval()
    return FunASRNano(model, tokenizer, config, directory)


def import_funasr() -> None:
    """Imports what Fun-ASR-Nano is made of from FunASR (and so registers it), quietly.

    `import funasr` imports every model that FunASR has, which takes longer than a short stage; it
    finds them with pkgutil, which is told here that there are none.
    """
    from unittest import mock  # brings asyncio, which a short command has no use for

    with mock.patch.object(pkgutil, "walk_packages", return_value=()):
        importlib.import_module("funasr")
    with contextlib.redirect_stdout(io.StringIO()):  # it says so where ffmpeg is missing
        for name in FUNASR_MODULES:
            importlib.import_module(name)
    logging.getLogger().setLevel(logging.WARNING)
    # PEFT calls what Transformers has deprecated.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _tied(model: torch.nn.Module) -> bool:
    return bool(model.llm.config.tie_word_embeddings)


def _input_size(config: dict[str, Any]) -> int:
    return config["frontend_conf"]["n_mels"] * config["frontend_conf"]["lfr_m"]


def _check_input_size(directory: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
    first_norm = state.get("audio_encoder.encoders0.0.norm1.weight")
    expected = _input_size(config)
    if first_norm is not None and len(first_norm) != expected:
        frontend = config["frontend_conf"]
        raise InputError(
            f"{directory / 'config.yaml'}: frontend_conf gives n_mels × lfr_m = "
            f"{frontend['n_mels']} × {frontend['lfr_m']} = {expected} values a frame, but the "
            f"encoder in model.pt takes {len(first_norm)}."
        )
