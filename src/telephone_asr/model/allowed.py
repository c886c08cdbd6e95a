"""What a model directory may say. Nothing else of it reaches FunASR or Transformers.

Anybody may have made a directory. FunASR and Transformers take much of what its files say at its
word: code to import and packages to install (`trust_remote_code`, `auto_map`), models to fetch
(`hub`, `vad_model`), files anywhere (`init_param_path`). So each file is read here as plain data
and held against what the published model has: a key that it has not is left out, and said.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from telephone_asr.errors import InputError

SMALL_BYTES = 5_000_000  # of a configuration; the published ones are below 20 kB
LARGE_BYTES = 200_000_000  # of a tokenizer; the published one has 11 MB
LONGEST = 100_000  # characters of a text, such as a chat template

# A value of the right type can still be absurd: lowest and highest, by a key's last part.
BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("num_blocks", "tp_blocks", "n_layer", "num_hidden_layers"), (0, 256)),
    **dict.fromkeys(("attention_heads", "num_attention_heads", "num_key_value_heads"), (1, 1024)),
    **dict.fromkeys(("frame_length", "frame_shift"), (1, 1000)),  # ms
    **dict.fromkeys(("lfr_m", "lfr_n", "downsample_rate", "kernel_size"), (1, 100)),
    "sanm_shfit": (0, 100),
    "n_mels": (1, 1000),
    "fs": (8000, 48000),
    "dither": (0, 100),
    "rope_theta": (1, 1e12),
    "model_max_length": (1, 1e40),  # Transformers writes 1e30 for no limit
}
OTHER_BOUNDS = (-1e9, 1e9)

_TOKEN = {
    **{"content": "", "lstrip": False, "normalized": False, "rstrip": False, "special": False},
    **{"single_word": False, "id": 0, "__type": "AddedToken"},
}
_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
# Of the language model's directory, by file: the keys of a Qwen3's, and a value of each.
LLM_JSON: dict[str, dict[str, Any]] = {
    "config.json": {
        **{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu"},
        **{"attention_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02},
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
        **dict.fromkeys(("hidden_size", "intermediate_size", "head_dim", "vocab_size"), 1),
        **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "num_hidden_layers"), 1),
        **{"max_position_embeddings": 40960, "max_window_layers": 28, "rms_norm_eps": 1e-6},
        **{"rope_scaling": None, "rope_theta": 1e6, "layer_types": ["full_attention"]},
        "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"},
        **{"sliding_window": 4096, "use_sliding_window": False, "tie_word_embeddings": True},
        **{"torch_dtype": "bfloat16", "dtype": "bfloat16", "use_cache": True},
        "transformers_version": "4.51.0",
    },
    "generation_config.json": {
        **{"_from_model_config": True, "do_sample": True, "transformers_version": "4.51.0"},
        **dict.fromkeys(("bos_token_id", "pad_token_id", "top_k"), 0),
        **{"eos_token_id": [0], "temperature": 0.6, "top_p": 0.95},
    },
    "tokenizer_config.json": {
        **{"tokenizer_class": "Qwen2Tokenizer", "backend": "tokenizers", "errors": "replace"},
        **dict.fromkeys(("add_bos_token", "add_eos_token", "add_prefix_space"), False),
        **dict.fromkeys(("clean_up_tokenization_spaces", "split_special_tokens"), False),
        **{"is_local": False, "model_max_length": 131072, "chat_template": ""},
        **{"additional_special_tokens": [""], "extra_special_tokens": [""]},
        **dict.fromkeys(_NAMES, _TOKEN),
        "added_tokens_decoder": {},
    },
    "special_tokens_map.json": {
        **dict.fromkeys(_NAMES, _TOKEN),
        "additional_special_tokens": [""],
    },
}
NULLABLE: tuple[str, ...] = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sliding_window",
    "chat_template",
)
NULLABLE += (*_NAMES, "layer_types", "ctc_decoder", "ctc_tokenizer", "model_max_length")
ONE_OF = {
    "window": ("hamming", "hanning", "povey", "rectangular", "blackman"),
    "input_layer": ("pe",),
    "selfattention_layer_type": ("sanm",),
    "pos_enc_class": ("SinusoidalPositionEncoder",),
    "model_type": ("qwen3",),
    "hidden_act": ("silu",),
    "rope_type": ("default",),
    "torch_dtype": ("bfloat16", "float16", "float32"),
    "dtype": ("bfloat16", "float16", "float32"),
    "backend": ("tokenizers",),
    "tokenizer_class": (
        *("Qwen2Tokenizer", "Qwen2TokenizerFast"),
        *("PreTrainedTokenizerFast", "TokenizersBackend"),
    ),
}


# --- Reading


def read_text(path: Path, limit_bytes: int = SMALL_BYTES) -> str:
    """Reads a file as UTF-8. Raises InputError where it is none, or too large a one."""
    if not path.is_file():
        raise InputError(f"{path} is no file: fetch the model anew.")
    if (size := path.stat().st_size) > limit_bytes:
        raise InputError(
            f"{path} has {size:,} bytes, and no such file of a Fun-ASR-Nano has more than "
            f"{limit_bytes:,}: fetch the model anew."
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise unreadable(path, "UTF-8", error) from None


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object. Raises InputError where it is none."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, "JSON", error) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object: fetch the model anew.")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a mapping of plain data from YAML. Raises InputError where it is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    expected = "the YAML of a Fun-ASR-Nano"
    try:
        content = YAML(typ="safe", pure=True).load(read_text(path))
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise unreadable(path, expected, error) from None
    if not isinstance(content, dict):
        raise unreadable(path, expected, ValueError("it holds no keys"))
    return content


def unreadable(path: Path, expected: str, error: Exception) -> InputError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return InputError(f"{path} cannot be read ({reason}): expected {expected}; fetch it anew.")


def own_name(path: Path, key: str, value: Any) -> str:
    """Returns the name of a file or directory in the model's own. Raises InputError where a
    configuration at `path` names one elsewhere."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]{1,100}", value) or value[0] == ".":
        raise InputError(
            f"{path}: {key}: expected the name of something in the model's directory, got "
            f"{reprlib.repr(value)}."
        )
    return value


def refuse_links(files: Mapping[str, Path], directory: Path) -> None:
    """Raises InputError where a file to be copied is a link to somewhere else: what it leads to may
    be anybody's. The cache of Hugging Face, whose snapshots are links to its blobs, is that hub's.
    """
    root = Path(os.path.realpath(directory))
    roots = [root]
    if root.parent.name == "snapshots":
        roots.append(root.parents[1] / "blobs")
    for path in files.values():
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(one) for one in roots):
            raise InputError(
                f"{path} is a link to {real}, outside of {root}: put the file itself there."
            )


# --- What may be said


def allow(
    path: Path,
    given: Mapping[str, Any],
    known: Mapping[str, Any],
    where: str = "",
    strict: tuple[str, ...] = ("",),
) -> dict[str, Any]:
    """Returns what is given, without the keys that are not known, which are said.

    Args:
        known: a value of each key; None: there is none but null.
        where: the section, with a dot behind it.
        strict: how the names begin whose values must be right; of the others, which are only
            passed on, a wrong one becomes the known one.

    Raises:
        InputError: a value cannot be one of its key.
    """
    kept = {}
    for key, value in given.items():
        name = f"{where}{key}"
        if key not in known:
            _say(f"{path}: {_short(name)} is no key of Fun-ASR-Nano's: not used")
        elif isinstance(known[key], Mapping) and isinstance(value, dict):
            kept[key] = allow(path, value, known[key], f"{name}.", strict)
        elif (why := _refusal(key, value, known[key])) is None:
            kept[key] = value
        elif name.startswith(strict):
            raise InputError(f"{path}: {name}: {why}, got {_short(reprlib.repr(value))}.")
        else:
            _say(f"{path}: {name}: {why}: not used")
            kept[key] = known[key]
    return kept


def _refusal(key: str, value: Any, known: Any) -> str | None:
    """Returns why a value cannot be one of its key, or None where it can."""
    if value is None and (isinstance(known, Mapping) or key in NULLABLE):
        return None
    if key in ONE_OF:
        fits = isinstance(value, str) and value in ONE_OF[key]
        return None if fits else f"expected {' or '.join(ONE_OF[key])}"
    if known is None:
        return None if value is None else "expected null"
    if isinstance(known, Mapping):
        tokens = known is _TOKEN and isinstance(value, str)  # one may be written as its text alone
        return None if tokens and len(value) < LONGEST else "expected a section with keys"
    if isinstance(known, list):
        # A list of plain texts or numbers; what may be one value may be a list of such, and back.
        ones = value if isinstance(value, list) else [value]
        fits = len(ones) < 10_000 and all(_refusal("", one, known[0]) is None for one in ones)
        return None if fits else f"expected a list such as {known!r}"
    kind = type(known)
    if type(value) is not kind and not (kind is float and type(value) is int):
        return f"expected a value such as {known!r}"
    if isinstance(value, str):
        return None if len(value) < LONGEST and "${" not in value else "expected a short plain text"
    low, high = BOUNDS.get(key, OTHER_BOUNDS)
    if isinstance(value, bool) or (low <= value <= high and math.isfinite(value)):
        return None
    return f"expected {low:g} to {high:g}"


@cache
def _say(sentence: str) -> None:
    """Prints a sentence once, though a file may be read several times."""
    print(sentence)


def _short(text: str) -> str:
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= 80 else f"{text[:79]}…"


# --- The language model's directory


def llm_json(path: Path) -> tuple[dict[str, Any], bool]:
    """Returns a configuration of the language model, and whether that is all that the file says."""
    given = read_json(path)
    if path.name == "added_tokens.json":
        known: dict[str, Any] = dict.fromkeys(given, 0)
    else:
        known = dict(LLM_JSON[path.name])
    decoder = given.get("added_tokens_decoder")
    if isinstance(decoder, dict) and len(decoder) < 10_000:
        known["added_tokens_decoder"] = dict.fromkeys(decoder, _TOKEN)
    found = allow(path, given, known)
    return found, found == given


def copy_file(path: Path, target: Path) -> None:
    """Copies a file of the language model's directory, of a configuration what it may say."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.name not in LLM_JSON and path.name != "added_tokens.json":
        if path.stat().st_size > LARGE_BYTES:
            raise InputError(f"{path} has more than {LARGE_BYTES:,} bytes: fetch the model anew.")
        shutil.copyfile(path, target)
        return
    content, is_all = llm_json(path)
    if is_all:
        shutil.copyfile(path, target)
    else:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target.write_text(text, encoding="utf-8")
