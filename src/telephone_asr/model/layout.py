"""The directory of a Fun-ASR-Nano, as it is published: read, checked and built.

It holds config.yaml, configuration.json (which of the directory's files config.yaml's paths are),
model.pt, the vocabulary of the CTC branch, and the language model's config and tokenizer in a
directory of their own. `published.yaml` has the keys and values of Fun-ASR-Nano-2512; Hugging
Face's copy of it and MLT-Nano come without the weights of the CTC branch.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import logging
import pkgutil
import re
import reprlib
import tempfile
import warnings
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError
from telephone_asr.model import allowed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PUBLISHED = Path(__file__).with_name("published.yaml")
CTC_VOCABULARY = "multilingual.tiktoken"
# What config.yaml names, and the module of FunASR that registers it. Nothing else is looked up.
PARTS = {
    "audio_encoder": {"SenseVoiceEncoderSmall": "funasr.models.sense_voice.model"},
    "audio_adaptor": {"Transformer": "funasr.models.llm_asr.adaptor"},
    "ctc_decoder": {"Transformer": "funasr.models.llm_asr.adaptor"},
    "frontend": {"WavFrontend": "funasr.frontends.wav_frontend"},
    "tokenizer": {"HuggingfaceTokenizer": "funasr.tokenizer.hf_tokenizer"},
    "dataset_conf.ctc_tokenizer": {"SenseVoiceTokenizer": "funasr.tokenizer.whisper_tokenizer"},
}
CTC_PARTS = ("ctc_decoder", "dataset_conf.ctc_tokenizer")
# Of the sections that FunASR's classes are given whole, what must be there, since FunASR's own
# default would silently be another model.
NEEDED = {
    "frontend_conf": ("fs", "window", "n_mels", "frame_length", "frame_shift", "lfr_m", "lfr_n"),
    "audio_encoder_conf": (
        *("output_size", "attention_heads", "linear_units", "num_blocks", "tp_blocks"),
        *("input_layer", "normalize_before", "kernel_size", "sanm_shfit"),
        "selfattention_layer_type",
    ),
    "audio_adaptor_conf": ("downsample_rate", "ffn_dim", "llm_dim", "encoder_dim", "n_layer"),
    "llm_conf": (),
    "tokenizer_conf": (),
}
CTC_NEEDED = {
    "ctc_decoder_conf": ("downsample_rate", "ffn_dim", "llm_dim", "encoder_dim", "n_layer"),
    "ctc_conf": (),
    "dataset_conf.ctc_tokenizer_conf": (),
}
# What FunASR's classes know beside the published keys, with its defaults.
MORE = {
    "ctc_vocab_size": 60515,
    "itn": True,  # asks for digits and punctuation
    # What decode.branch of params.yaml comes to: `export` writes it, FunASR does not read it.
    "branch_conf": {
        "doubt": 0.47,
        "short": {"characters": 3, "ctc": 0.7},
    },
    "frontend_conf.dither": 1.0,
    "audio_adaptor_conf.attention_heads": 8,
    "ctc_decoder_conf.attention_heads": 8,
    "dataset_conf.sys_prompt": True,
}
# Everything in config.yaml that is about the CTC branch.
CTC_KEYS = (
    *("ctc_decoder", "ctc_decoder_conf", "ctc_conf", "ctc_weight", "ctc_vocab_size"),
    *("detach_ctc_decoder", "ctc_tokenizer", "ctc_tokenizer_conf"),
)
# Of the language model's directory: its config and tokenizer, and no code.
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
LLM_FILES = ("config.json", "generation_config.json", *TOKENIZER_FILES)


@cache
def _published() -> dict[str, Any]:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(PUBLISHED))


def published() -> dict[str, Any]:
    """Returns the published config.yaml; what names other keys (`${...}`) stays as it is."""
    return deepcopy(_published())


def import_funasr() -> None:
    """Imports what Fun-ASR-Nano is made of from FunASR (and so registers it), quietly.

    `import funasr` imports every model that FunASR has, which takes longer than a short stage; it
    finds them with pkgutil, which is told here that there are none.
    """
    from unittest import mock  # brings asyncio, which a short command has no use for

    with mock.patch.object(pkgutil, "walk_packages", return_value=()):
        importlib.import_module("funasr")
    modules = {module for names in PARTS.values() for module in names.values()}
    with contextlib.redirect_stdout(io.StringIO()):  # it says so where ffmpeg is missing
        for name in ("funasr.models.fun_asr_nano.model", *sorted(modules)):
            importlib.import_module(name)
    logging.getLogger().setLevel(logging.WARNING)
    # PEFT calls what Transformers has deprecated.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


# --- Reading


def check_directory(directory: Path, key: str = "params.yaml: base.path") -> None:
    """Raises InputError where a directory is none of Fun-ASR-Nano, or lacks a file of it."""
    place = directory.absolute()
    if not directory.is_dir():
        raise InputError(
            f"{key}: {place} is no directory; expected a Fun-ASR-Nano model directory."
        )
    names = ("config.yaml", "configuration.json", "model.pt")
    missing = [name for name in names if not (directory / name).is_file()]
    if missing and (directory / "config.json").is_file():
        raise InputError(
            f"{key}: {place} holds {_transformers_model(directory / 'config.json')} in the format "
            "of Transformers (config.json), which FunASR does not read; expected config.yaml, "
            "configuration.json and model.pt, as FunAudioLLM/Fun-ASR-Nano-2512 (not its -hf copy) "
            "has them."
        )
    if missing:
        raise InputError(
            f"{key}: {place} has no {' and no '.join(missing)}; expected config.yaml, "
            "configuration.json and model.pt as FunASR ships them: fetch the model anew if the "
            "download stopped half way."
        )


def _transformers_model(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str((content.get("architectures") or [content["model_type"]])[0])
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return "a model"


def read_config(directory: Path) -> dict[str, Any]:
    """Reads config.yaml, with the paths that configuration.json names made into real ones.

    The CTC branch's tokenizer is under `dataset_conf`, where it is published, wherever it stood.

    Raises:
        InputError: it is not Fun-ASR-Nano's: another model's, with a part that no published one
            has, or without a key or a file that it needs.
    """
    path = directory / "config.yaml"
    given = allowed.read_yaml(path)
    if given.get("model") != "FunASRNano":
        raise InputError(
            f"{path} is that of another model: expected model: FunASRNano, got model: "
            f"{reprlib.repr(given.get('model')).strip(chr(39))}."
        )
    paths = _paths(directory, given)
    config = _allow(path, given)
    optional = () if config.get("ctc_decoder") else CTC_PARTS
    for name, known in PARTS.items():
        found = value_at(config, name)
        if found not in known and not (found is None and name in optional):
            raise InputError(
                f"{path}: {name}: expected {' or '.join(known)}, as in the published models, got "
                f"{found}."
            )
    config["llm_conf"]["init_param_path"] = paths["llm"]
    config["tokenizer_conf"]["init_param_path"] = paths["llm"]
    if config["dataset_conf"]["ctc_tokenizer"] == "SenseVoiceTokenizer":
        # FunASR would look for it among its own files, where it is not.
        options = config["dataset_conf"]["ctc_tokenizer_conf"] or {}
        config["dataset_conf"]["ctc_tokenizer_conf"] = {**options, "vocab_path": paths["vocab"]}
    return config


def _paths(directory: Path, given: dict[str, Any]) -> dict[str, str]:
    """Returns where the language model and the CTC vocabulary lie: as configuration.json says, else
    config.yaml (where these keys are settled, in place), always in the directory itself."""
    path = directory / "configuration.json"
    metas = allowed.read_json(path).get("file_path_metas", {})
    if not isinstance(metas, dict):
        raise InputError(f"{path}: file_path_metas: expected a section with keys.")
    config_file = directory / "config.yaml"

    def named(*keys: str) -> str | None:
        """Returns the name in one of the two, by dotted keys in the order in which they count."""
        found = None
        for source, tree in ((path, metas), (config_file, given)):
            prefix = "file_path_metas." if tree is metas else ""
            for key in keys:
                value = value_at(tree, key)
                if found is None and isinstance(value, str) and "${" not in value:
                    found = allowed.own_name(source, prefix + key, value)
        return found

    llm = named("llm_conf.init_param_path", "tokenizer_conf.init_param_path")
    other = named("tokenizer_conf.init_param_path", "llm_conf.init_param_path")
    if llm is None or llm != other or not (directory / llm / "config.json").is_file():
        raise InputError(
            f"{path}: file_path_metas.llm_conf.init_param_path: expected the language model's "
            "directory (config.json, tokenizer) in the model's, the same as that of "
            f"tokenizer_conf, got {llm} and {other}."
        )
    vocabulary = named(
        "dataset_conf.ctc_tokenizer_conf.vocab_path", "ctc_tokenizer_conf.vocab_path"
    )
    for tree in (given, given.get("dataset_conf")):
        for section in ("llm_conf", "tokenizer_conf", "ctc_tokenizer_conf"):
            part = value_at(tree, section) if isinstance(tree, dict) else None
            if isinstance(part, dict):
                part |= {"init_param_path": llm} if "init_param_path" in part else {}
                part |= {"vocab_path": None} if "vocab_path" in part else {}
    return {"llm": str(directory / llm), "vocab": str(directory / (vocabulary or CTC_VOCABULARY))}


def _allow(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Returns what config.yaml says of the published keys, the CTC branch's tokenizer under
    `dataset_conf`, wherever it stood."""
    known = _known()
    dataset = given.get("dataset_conf") or {}
    if not isinstance(dataset, dict):
        raise InputError(
            f"{path}: dataset_conf: expected a section with keys, got {reprlib.repr(dataset)}."
        )
    given = {**given, "dataset_conf": dataset}
    for key in ("ctc_tokenizer", "ctc_tokenizer_conf"):
        dataset[key] = given.pop(key, None) or dataset.get(key)
    resolve(given)
    sections = NEEDED | (CTC_NEEDED if given.get("ctc_decoder") else {})
    config = allowed.allow(path, given, known, strict=(*sections, *PARTS, "ctc_vocab_size"))
    for name, needed in sections.items():
        section = value_at(config, name) or {}
        missing = [key for key in needed if key not in section]
        if missing:
            key, value = f".{missing[0]}" if section else "", value_at(known, name)[missing[0]]
            raise InputError(
                f"{path}: {name}{key} is missing: expected a value, as the published {value!r}."
            )
    return {**config, **{name: config.get(name) or {} for name in NEEDED}}


@cache
def _known() -> dict[str, Any]:
    """Returns the published values, those that name others resolved, and those of MORE."""
    from omegaconf import OmegaConf

    known = OmegaConf.to_container(OmegaConf.load(PUBLISHED), resolve=True)
    for name, value in MORE.items():
        section, _, key = name.rpartition(".")
        (known[section] if section else known)[key] = value
    return known


def resolve(given: dict[str, Any]) -> None:
    """Puts values where config.yaml names other keys for them, `${a.b}`, in place and one deep.

    OmegaConf would also look into the environment (`${oc.env:AWS_SECRET_ACCESS_KEY}`), and what it
    finds there would be written to models/final.
    """
    for section in given.values():
        if not isinstance(section, dict):
            continue
        for key, value in section.items():
            if isinstance(value, str) and (one := re.fullmatch(r"\$\{([\w.]+)\}", value)):
                section[key] = value_at(given, one[1])


def value_at(config: Mapping[str, Any], name: str) -> Any:
    """Returns the value of a dotted name, or None."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def check_vocabulary(config: Mapping[str, Any]) -> None:
    """Raises InputError where the CTC vocabulary is missing, or is not what tiktoken reads: a token
    in base64 and its rank a line."""
    path = Path(config["dataset_conf"]["ctc_tokenizer_conf"]["vocab_path"])
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: expected the vocabulary of the CTC branch, {CTC_VOCABULARY} "
            "in the published model: fetch it anew."
        )
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                token, rank = line.split()
                base64.b64decode(token, validate=True), int(rank)
            except ValueError:
                raise InputError(
                    f"{path} line {number}: expected a token in base64 and its rank: fetch the "
                    "model anew."
                ) from None


def plain_tokenizer(directory: Path) -> Tokenizer:
    """Reads a language model's tokenizer, without Transformers: that takes PyTorch's seconds."""
    from tokenizers import Tokenizer

    if not (directory / "tokenizer_config.json").is_file():
        raise InputError(f"{directory} holds no tokenizer: run `dvc repro tokenizer`.")
    if (directory / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(directory / "tokenizer.json"))
    return read_tokenizer(directory).backend_tokenizer  # makes one of vocab.json and merges.txt


def read_tokenizer(directory: Path) -> Any:
    """Returns Transformers' tokenizer of a language model's directory.

    Raises InputError where it holds none that can be read.
    """
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        for name in ("config.json", *TOKENIZER_FILES):
            if (directory / name).is_file():
                allowed.copy_file(directory / name, Path(folder) / name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # what it is made of, in Rust, panics with one of its own
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(
                f"{directory} holds no tokenizer that can be read ({reason}): expected the "
                "language model's tokenizer.json; fetch the model anew."
            ) from None
    if not tokenizer.encode("<|im_end|>"):  # Transformers makes an empty one where there is none
        raise InputError(f"{directory} holds no tokenizer: fetch the model anew.")
    return tokenizer


# --- Building


def input_size(config: Mapping[str, Any]) -> int:
    """Returns the values a row of features has: 560 in the published models."""
    return config["frontend_conf"]["n_mels"] * config["frontend_conf"]["lfr_m"]


def build(config: Mapping[str, Any]) -> Any:
    """Builds FunASR's model of a configuration that `read_config` gave, with random weights.

    The language model is built in fp32, in which FunASR computes with it, whatever the file holds.
    """
    import_funasr()
    from funasr.register import tables

    arguments = deepcopy(dict(config))
    arguments["llm_conf"]["llm_dtype"] = "fp32"
    llm = Path(config["llm_conf"]["init_param_path"])
    with tempfile.TemporaryDirectory() as folder:
        allowed.copy_file(llm / "config.json", Path(folder) / "config.json")
        arguments["llm_conf"]["init_param_path"] = folder
        return tables.model_classes["FunASRNano"](**arguments, input_size=input_size(config))


def without_ctc(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without the CTC branch."""
    rest = {key: value for key, value in config.items() if key not in CTC_KEYS}
    dataset = dict(rest.get("dataset_conf") or {})
    return rest | {"dataset_conf": {k: v for k, v in dataset.items() if k not in CTC_KEYS}}
