"""A tiny Fun-ASR-Nano with random weights, and what a short training needs."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repository_fixtures import ROOT
from speech_fixtures import FS, TEXTS
from telephone_asr.model.parts import LoraSize
from telephone_asr.names import STACKED
from telephone_asr.params import TinyModel, TinyTraining, Train, load_params
from telephone_asr.training.plan import Plan

LORA = LoraSize(r=4, alpha=8, dropout=0.1)

PREFIXES = {"encoder": ("audio_encoder.",), "adaptor": ("audio_adaptor.",)}

# Of a training; `plan` and `options` change some of it.
PLAN = Plan("test", (), (), "features", 0.01, 0, 1, 100, 1.0, 0.0)

OPTIONS = {"warmup_share": 0.25, "clip": 5.0, "evaluations": 4, "weight_decay": 0.01}

OPTIONS |= {"batches_per_step": 1, "average": 1, "workers": 0}


def options(**changes: Any) -> Train:
    """The train section with what a short training needs, and these changes."""
    return dataclasses.replace(load_params(ROOT / "params.yaml").train, **OPTIONS | changes)


TINY = TinyModel(
    encoder_blocks=2,
    tp_blocks=1,
    encoder_dim=32,
    llm_layers=2,
    llm_dim=32,
    no_speech=0.0,
    ctc=TinyTraining(lr=1e-3, epochs=1, max_batch_rows=100),
    llm=TinyTraining(lr=3e-3, epochs=1, max_batch_rows=100),
)


@pytest.fixture(scope="session")
def tokenizer_directory(tmp_path_factory) -> Path:
    from telephone_asr.model.tokenizer import build_tokenizers

    directory = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    build_tokenizers(TEXTS, directory)
    return directory


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory, tokenizer_directory) -> Path:
    """A model directory, to be read only."""
    from telephone_asr.model.tiny import write_tiny

    directory = tmp_path_factory.mktemp("tiny") / "base"
    write_tiny(directory, TINY, tokenizer_directory, FS, seed=1)
    return directory


@pytest.fixture
def own_directory(tiny_directory, tmp_path) -> Path:
    """A copy of the model directory, to be broken."""
    directory = tmp_path / "own" / "base"
    shutil.copytree(tiny_directory, directory)
    return directory


@pytest.fixture
def nano(tiny_directory):
    """A model of its own for each test."""
    from telephone_asr.model.pretrained import load

    return load(tiny_directory)


def write_variant(source: Path, directory: Path, change: Callable[[dict], None]) -> Path:
    """A model directory whose config.yaml is changed, with the random weights of that config."""
    import torch
    from omegaconf import OmegaConf

    from telephone_asr.model import layout, writing

    shutil.copytree(source, directory)
    config = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"))
    change(config)
    OmegaConf.save(config, directory / "config.yaml")
    torch.manual_seed(2)
    model = layout.build(layout.read_config(directory))
    writing.save_weights(model.state_dict(), directory / "model.pt")
    return directory


@pytest.fixture(scope="session")
def fitted_directory(made_once, tiny_directory, corpus) -> Path:
    """The model after a few dozen steps on its dozen utterances: its texts differ."""
    made = made_once("fitted", lambda directory: fit(tiny_directory, corpus, directory / "base"))
    return made / "base"


def fit(tiny_directory: Path, corpus, directory: Path) -> None:
    import torch

    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import load
    from telephone_asr.model.writing import save_weights
    from telephone_asr.training.objective import Objective

    shutil.copytree(tiny_directory, directory)
    nano = load(directory)
    nano.model.requires_grad_(True)  # the published config has FunASR freeze all of it
    frontend = Frontend(nano.config["frontend_conf"])
    inputs = SpeechDataset(corpus.examples, {"telecall": corpus.sounds}, frontend, cache_mb=100)
    objective = Objective(nano, "features", llm_weight=1.0, ctc_weight=1.0)
    optimizer = torch.optim.AdamW(nano.model.parameters(), lr=3e-3)
    batch = inputs.batch(range(len(inputs)))
    for _ in range(80):
        objective(batch).backward()
        torch.nn.utils.clip_grad_norm_(nano.model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
    save_weights(nano.model.state_dict(), directory / "model.pt")


@pytest.fixture
def fitted(fitted_directory):
    from telephone_asr.model.pretrained import load

    return load(fitted_directory)


def perturb(trained: dict, seed: int, size: float = 0.1) -> None:
    """As if trained."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(size * torch.randn(parameter.shape, generator=rng))


def make_checkpoint(
    models: Path, stage: str, prefixes: tuple[str, ...] | None = None, size: float = 0.1
) -> dict:
    """Writes a checkpoint of a stage on top of those below it; the weights of the whole model."""
    from telephone_asr.model import parts

    below = STACKED[STACKED.index(stage) - 1]
    nano = parts.load_checkpoint(models, below, FS)
    if stage == "lora":
        trained = parts.add_lora(nano, LORA, seed=3)
    else:
        trained = parts.choose_trained(nano, prefixes or PREFIXES[stage])
    perturb(trained, len(stage), size)
    parts.save_checkpoint(models / stage, stage, nano, trained, {"step": 7, "valid_cer": 0.5})
    return {name: tensor.clone() for name, tensor in nano.model.state_dict().items()}
