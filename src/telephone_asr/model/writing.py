"""The directory of a Fun-ASR-Nano, written in the published layout, or copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.model import allowed
from telephone_asr.model.layout import CTC_VOCABULARY, LLM_FILES, resolve, value_at

if TYPE_CHECKING:
    import torch


def write_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Writes config.yaml and configuration.json, without a path of this machine."""
    from omegaconf import OmegaConf

    llm = Path(config["llm_conf"]["init_param_path"]).name
    published = deepcopy(dict(config))
    for section in ("llm_conf", "tokenizer_conf"):
        published[section]["init_param_path"] = llm
    published["init_param"] = None
    published.pop("config", None)  # configuration.json's, of where config.yaml itself is
    if published["dataset_conf"].get("ctc_tokenizer_conf"):
        published["dataset_conf"]["ctc_tokenizer_conf"]["vocab_path"] = None
    OmegaConf.save(OmegaConf.create(published), directory / "config.yaml")
    paths: dict[str, Any] = {
        "init_param": "model.pt",
        "config": "config.yaml",
        "llm_conf": {"init_param_path": llm},
        "tokenizer_conf": {"init_param_path": llm},
    }
    if config.get("ctc_decoder"):
        vocabulary = {"vocab_path": CTC_VOCABULARY}
        paths["dataset_conf"] = {"ctc_tokenizer_conf": vocabulary}
    content = {"framework": "pytorch", "task": "auto-speech-recognition", "file_path_metas": paths}
    text = json.dumps(content, indent=2) + "\n"
    (directory / "configuration.json").write_text(text, encoding="utf-8")


def copy_configurations(source: Path, config: Mapping[str, Any], directory: Path) -> None:
    """Copies the two configurations of a model; one that says more than it may is written
    anew from `config`, as `read_config` gave it."""
    write_config(directory, config)
    for name, read in (
        ("config.yaml", allowed.read_yaml),
        ("configuration.json", allowed.read_json),
    ):
        given, may = read(source / name), read(directory / name)
        resolve(given)
        resolve(may)
        if given == may:
            shutil.copyfile(source / name, directory / name)


def save_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes model.pt as it is published: the weights under `state_dict`.

    Tensors that share their memory (tied embeddings) are written once, and none with more than its
    own values.
    """
    import torch

    copies: dict[tuple, torch.Tensor] = {}
    for tensor in weights.values():
        copies.setdefault(_place(tensor), tensor.detach().cpu().clone())
    state = {name: copies[_place(tensor)] for name, tensor in weights.items()}
    torch.save({"state_dict": state}, path)


def _place(tensor: torch.Tensor) -> tuple:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def files_beside(config: Mapping[str, Any]) -> dict[str, Path]:
    """Returns what a model has beside its weights and configurations, by its name in a directory:
    the language model's config and tokenizer, and the CTC vocabulary."""
    llm = Path(config["llm_conf"]["init_param_path"])
    files = {f"{llm.name}/{name}": llm / name for name in LLM_FILES}
    files[CTC_VOCABULARY] = Path(
        value_at(config, "dataset_conf.ctc_tokenizer_conf.vocab_path") or ""
    )
    return {name: path for name, path in files.items() if path.is_file()}


def copy_beside(config: Mapping[str, Any], directory: Path) -> None:
    """Copies a model's `files_beside` to another directory."""
    for name, path in files_beside(config).items():
        allowed.copy_file(path, directory / name)
