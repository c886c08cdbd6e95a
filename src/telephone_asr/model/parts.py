"""The parts of Fun-ASR-Nano that the stages train: what trains, what is frozen, checkpoints.

A checkpoint holds the trained part alone, and says in checkpoint.json which base model and which
checkpoints below it belongs to; it loads onto exactly those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephone_asr.errors import InputError
from telephone_asr.model import allowed
from telephone_asr.model.pretrained import CTC_BRANCH, FunASRNano, file_sha256, load
from telephone_asr.names import STACKED, TRAINED

if TYPE_CHECKING:
    import torch

    from telephone_asr.model.frontend import Filters

WEIGHTS: dict[str, str] = {
    "base": "model.pt",
    "encoder": "encoder.safetensors",
    "adaptor": "adaptor.safetensors",
    "lora": "adapter_model.safetensors",  # PEFT's own name
}
ROUNDS = "rounds"  # of self-training, in the directory of all checkpoints
WHOLE_LLM = "llm.safetensors"  # instead of a LoRA's, where stage 3 trains the language model whole
# Of PEFT's adapter_config.json, what it takes to load one: a value of each.
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "target_modules": ["q_proj"]}
PREFIXES: dict[str, tuple[str, ...]] = {
    "encoder": ("audio_encoder.",),
    "adaptor": ("audio_adaptor.",),
    "lora": ("llm.",),
}


@dataclass(frozen=True)
class LoraSize:
    r: int
    alpha: int
    dropout: float
    targets: tuple[str, ...] = ("q_proj", "v_proj")  # of the language model's projections


def choose_trained(nano: FunASRNano, prefixes: tuple[str, ...]) -> dict[str, torch.nn.Parameter]:
    """Lets exactly the parameters with these prefixes train and puts the rest to eval mode.

    Returns them by name. Raises ValueError where a prefix names none.
    """
    model = nano.model
    model.eval()
    trained = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes))
        if parameter.requires_grad:
            trained[name] = parameter
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in trained):
            raise ValueError(f"no parameter of the model starts with {prefix}")
        model.get_submodule(prefix.rstrip(".")).train()
    return trained


def add_lora(nano: FunASRNano, size: LoraSize, seed: int) -> dict[str, torch.nn.Parameter]:
    """Puts LoRA on projections of the language model (in place); only it trains."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = nano.model
    model.eval()
    model.requires_grad_(False)
    config = LoraConfig(
        r=size.r,
        lora_alpha=size.alpha,
        lora_dropout=size.dropout,
        target_modules=list(size.targets),
        task_type="CAUSAL_LM",
    )
    nano.peft = get_peft_model(model.llm, config)  # the layers inside model.llm are replaced
    for module in model.llm.modules():
        if hasattr(module, "lora_dropout"):
            module.train()
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def frozen_sha256(nano: FunASRNano) -> str:
    """Returns a hash of every weight and buffer that does not train."""
    state = nano.model.state_dict(keep_vars=True)
    return weights_sha256({name: t for name, t in state.items() if not t.requires_grad})


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """Returns a hash of tensors and their names."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        bytes_ = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(bytes_.numpy().data)
    return digest.hexdigest()


def weights_path(directory: Path, stage: str) -> Path:
    """Returns the file that holds the weights of a stage's checkpoint."""
    if stage == "lora" and (directory / WHOLE_LLM).is_file():
        return directory / WHOLE_LLM
    return directory / WEIGHTS[stage]


def place(models: Path, stage: str, round_: int = 0) -> Path:
    """Returns the directory of a stage's checkpoint. Rounds of self-training have checkpoints of
    their own, all of which stand on the one base."""
    return models / ROUNDS / str(round_) / stage if round_ and stage in TRAINED else models / stage


def last_round(models: Path) -> int:
    """Returns the number of the last round of self-training that left a checkpoint; 0: none did."""
    rounds = (int(path.name) for path in (models / ROUNDS).glob("[1-9]*"))
    return max(rounds, default=0)


def save_checkpoint(
    directory: Path,
    stage: str,
    nano: FunASRNano,
    weights: Mapping[str, Any],
    facts: dict[str, Any],
    round_: int = 0,
) -> None:
    """Writes the trained part and checkpoint.json with its hash, and those it stands on.

    Args:
        directory: what takes the place of `place`, or that.
        weights: the trained parameters by their names in the model.
        facts: what else to note: step, CER, params, versions.
        round_: of self-training, 0: before it.
    """
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    if nano.peft is not None:
        # PEFT would look for the base model's configuration to see whether embeddings were trained.
        nano.peft.save_pretrained(directory, save_embedding_layers=False)
        (directory / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        _settle_config(directory / "adapter_config.json")
    else:
        path = directory / (WHOLE_LLM if stage == "lora" else WEIGHTS[stage])
        save_file({k: v.contiguous() for k, v in weights.items()}, path)
    models = directory.parents[2 if round_ else 0]
    below = {name: place(models, name, round_) for name in STACKED[: STACKED.index(stage)]}
    content = {
        "stage": stage,
        "sha256": file_sha256(weights_path(directory, stage)),
        "stands_on": {n: file_sha256(lies / WEIGHTS[n]) for n, lies in below.items()},
        "trainable_parameters": sum(w.numel() for w in weights.values()),
        **facts,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (directory / "checkpoint.json").write_text(text + "\n", encoding="utf-8")


def _settle_config(path: Path) -> None:
    """Makes PEFT's configuration the same bytes on every run and machine: it names the base model's
    path, and the adapted modules in the order of a set, which changes from process to process."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = "the language model of models/base"
    content["target_modules"] = sorted(content["target_modules"])
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_checkpoint(
    models: Path,
    name: str,
    fs: int,
    filters: Filters = "native",
    dither: float | None = None,
    round_: int = 0,
) -> FunASRNano:
    """Loads the base model and puts the checkpoints up to `name` (of STACKED) on it.

    The model is in eval mode, behind a front end at `fs` Hz with these filters and this dither
    (None: the base's own). round_: of self-training, whose checkpoints are taken where it has its
    own.

    Raises:
        InputError: a checkpoint is missing, was trained on another one than lies below it here,
            or does not hold exactly the weights of its part.
    """
    nano = load(models / "base", fs, filters, dither)
    hashes = {"base": file_sha256(models / "base" / WEIGHTS["base"])}
    for stage in STACKED[1 : STACKED.index(name) + 1]:
        directory = place(models, stage, round_)
        path = weights_path(directory, stage)
        if not path.is_file() or not (directory / "checkpoint.json").is_file():
            made_by = f"train_{stage}" if directory == models / stage else "self_train"
            raise InputError(f"{directory} holds no checkpoint: run `dvc repro {made_by}`.")
        note = allowed.read_json(directory / "checkpoint.json")
        hashes[stage] = file_sha256(path)
        below = note.get("stands_on")
        below = below if isinstance(below, dict) else {}
        # All below are in it, so that one which is not there is another one.
        for other, expected in {
            **dict.fromkeys(hashes),
            **below,
            stage: note.get("sha256"),
        }.items():
            if hashes.get(other) != expected:
                raise InputError(
                    f"{directory / 'checkpoint.json'}: {stage} was trained on another {other} than "
                    f"{place(models, other, round_) / WEIGHTS[other]}: run `dvc repro` or "
                    "`dvc checkout`."
                )
        load_part(nano, stage, directory)
    return nano


def load_part(nano: FunASRNano, stage: str, directory: Path) -> None:
    """Loads a checkpoint's weights onto the model: exactly those of its part, in their shapes."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = weights_path(directory, stage)
    try:
        weights, is_lora = load_file(path), path.name == WEIGHTS["lora"]
    except SafetensorError as error:
        raise InputError(
            f"{path} cannot be read ({error}): run `dvc checkout` or `dvc repro train_{stage}`."
        ) from None
    if is_lora:
        expected = _with_lora(nano, directory, weights)
    else:
        prefixes = PREFIXES[stage]
        if any(name.startswith(CTC_BRANCH) for name in weights):
            prefixes += CTC_BRANCH
        parameters = dict(nano.model.named_parameters())
        expected = {name: p for name, p in parameters.items() if name.startswith(prefixes)}
    wrong = set(expected) ^ set(weights)
    wrong |= {n for n in set(expected) & set(weights) if expected[n].shape != weights[n].shape}
    if wrong:
        raise InputError(
            f"{path} is not the {stage} of this base model: {len(wrong)} weights missing, "
            f"unexpected or of another shape ({min(wrong)}): run `dvc repro train_{stage}`."
        )
    if not is_lora:
        nano.model.load_state_dict(weights, strict=False)


def _with_lora(
    nano: FunASRNano, directory: Path, weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Puts the LoRA of a directory on the language model.

    PEFT would take adapter_config.json at its word, and import a module that it names
    (`megatron_core`): its size alone is read.
    """
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from peft.utils import set_peft_model_state_dict

    path = directory / "adapter_config.json"
    size = allowed.allow(path, _only(allowed.read_json(path), LORA), LORA)
    if missing := LORA.keys() - size.keys():
        raise InputError(f"{path}: {min(missing)} is missing: run `dvc repro train_lora`.")
    try:
        config = LoraConfig(**size, task_type="CAUSAL_LM", inference_mode=True)
        nano.peft = get_peft_model(nano.model.llm, config)
        set_peft_model_state_dict(nano.peft, dict(weights))
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(
            f"{directory} is not the lora of this base model ({reason}): "
            "run `dvc repro train_lora`."
        ) from None
    nano.peft.eval()
    # Left to itself it looks for the base model's configuration, and warns that there is none.
    return get_peft_model_state_dict(nano.peft, save_embedding_layers=False)


def _only(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key in known}
