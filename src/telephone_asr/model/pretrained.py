"""Fun-ASR-Nano as it is loaded: whole and strictly, or not at all and saying what is wrong."""

from __future__ import annotations

import hashlib
import importlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError
from telephone_asr.model import layout
from telephone_asr.model.frontend import FUNASR_DITHER

if TYPE_CHECKING:
    import torch

    from telephone_asr.model.frontend import Filters

CTC_BRANCH = ("ctc_decoder.", "ctc.")
LFS_POINTER = b"version https://git-lfs"


@dataclass
class FunASRNano:
    """Holds a loaded model with what belongs to it."""

    model: (
        Any  # funasr.models.fun_asr_nano.model.FunASRNano, which has no types; in fp32, eval mode
    )
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


def load(
    directory: Path,
    fs: int | None = None,
    filters: Filters = "native",
    dither: float | None = None,
) -> FunASRNano:
    """Builds the model of a directory and loads every weight of it, into fp32.

    Args:
        fs: sample rate in Hz the front end is to work at; None keeps the directory's own.
        filters: of the front end, where it works at 8 kHz.
        dither: of the front end; None keeps the directory's own, or FunASR's default of 1.

    Raises:
        InputError: a file is missing, the front end does not fit the encoder, or model.pt and
            config.yaml do not describe the same model.
    """
    layout.check_directory(directory)
    config = layout.read_config(directory)
    config["frontend_conf"].setdefault("dither", FUNASR_DITHER)
    if dither is not None:
        config["frontend_conf"]["dither"] = dither
    if fs is not None:
        config["frontend_conf"] |= {"fs": fs, "filters": filters}
    tokenizer = layout.read_tokenizer(Path(config["tokenizer_conf"]["init_param_path"]))
    state = read_weights(directory / "model.pt")
    if not any(name.startswith(CTC_BRANCH) for name in state):
        # Hugging Face's copy of the weights comes without the CTC branch that config.yaml names.
        config = layout.without_ctc(config)
    elif config.get("ctc_decoder"):
        layout.check_vocabulary(config)
    _check_input_size(directory, config, state)
    _check_weights(state, _outline(directory, config), directory / "model.pt")
    model = layout.build(config)
    model.load_state_dict(state, strict=False)
    model.eval()
    return FunASRNano(model, tokenizer, config, directory)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a model.pt by their names. No code that a file may hold is run.

    Raises InputError where it holds no weights, or not all of its bytes are there.
    """
    import torch

    # Mapped, where the file's format allows it: gigabytes of weights are in memory once.
    mapped = zipfile.is_zipfile(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except MemoryError:
        raise
    except Exception as error:  # what a damaged pickle raises is anything
        with open(path, "rb") as file:
            pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = (
            "it is Git LFS's pointer to them; run `git lfs pull` there"
            if pointer
            else f"{reason}; fetch the model anew if the download stopped half way"
        )
        raise InputError(f"{path} does not hold the weights of a model: {advice}.") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise InputError(
            f"{path} does not hold the weights of a model: expected tensors by their names, as "
            "FunASR saves them."
        )
    return state


def _outline(directory: Path, config: dict[str, Any]) -> Any:
    """Builds the model that the configurations describe, without memory for its weights: what is
    absurd is told before gigabytes are asked for."""
    import torch

    # What is imported while tensors have no memory would keep such ones for its constants.
    layout.import_funasr()
    importlib.import_module("transformers.models.qwen3.modeling_qwen3")
    try:
        with torch.device("meta"):
            return layout.build(config)
    except (RuntimeError, ValueError, AssertionError, ArithmeticError, LookupError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{directory / 'config.yaml'} and the language model's config.json describe no model "
            f"({reason}): fetch the model anew."
        ) from None


def _check_weights(state: dict[str, torch.Tensor], outline: Any, path: Path) -> None:
    """Raises InputError unless every weight of the model is there, no other is, and all are
    numbers."""
    import torch

    own = outline.state_dict()
    reshaped = [key for key in state if key in own and state[key].shape != own[key].shape]
    if reshaped:
        key = reshaped[0]
        shapes = f"{list(state[key].shape)}, not {list(own[key].shape)}"
        raise InputError(
            f"{path} is not the model of its config.yaml: {len(reshaped)} weights of another "
            f"shape ({key}: {shapes})."
        )
    # Tied embeddings may be stored once; everything else must be there, and nothing more.
    tied = {"llm.lm_head.weight"} if outline.llm.config.tie_word_embeddings else set()
    missing = [key for key in own if key not in state and key not in tied]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        raise InputError(
            f"{path} is not the model of its config.yaml: {len(missing)} weights missing "
            f"({', '.join(missing[:3])}), {len(unexpected)} unexpected "
            f"({', '.join(unexpected[:3])})."
        )
    for key, tensor in state.items():
        plain = tensor.layout is torch.strided and not tensor.is_meta
        if not plain or not tensor.is_floating_point():
            raise InputError(f"{path}: {key} is {tensor.dtype}, {tensor.layout}: expected floats.")
        if tensor.numel() and not torch.isfinite(torch.stack(tensor.aminmax())).all():
            raise InputError(
                f"{path}: {key} has values that are no finite numbers: the training that made it "
                "failed, or the file is damaged; take another."
            )


def _check_input_size(directory: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
    first_norm = state.get("audio_encoder.encoders0.0.norm1.weight")
    expected = layout.input_size(config)
    if first_norm is not None and len(first_norm) != expected:
        frontend = config["frontend_conf"]
        raise InputError(
            f"{directory / 'config.yaml'}: frontend_conf gives n_mels × lfr_m = "
            f"{frontend['n_mels']} × {frontend['lfr_m']} = {expected} values a frame, but the "
            f"encoder in model.pt takes {len(first_norm)}."
        )
