"""A tiny Fun-ASR-Nano with random weights and a dozen utterances, for the tests of what uses it."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from telephone_asr.manifests.messages import PROMPT_VERBATIM, Example, manifest_line, read_manifest
from telephone_asr.model.frontend import fbank_frames
from telephone_asr.model.parts import LoraSize
from telephone_asr.params import TinyModel, TinyTraining
from telephone_asr.shards import Utterance, sound_index, write_shards

FS = 16000
LORA = LoraSize(r=4, alpha=8, dropout=0.1)
PREFIXES = {"encoder": ("audio_encoder.",), "adapter": ("audio_adaptor.",)}
CALL_RATE_HZ = 8000
TEXTS = (
    *("您好", "再见", "请问您是谁", "好的好的", "我是张三", "明天还款"),
    *("不需要", "您好请问", "谢谢再见", "三三二", "请稍等一下", "是"),
)
TINY = TinyModel(
    encoder_blocks=2,
    tp_blocks=1,
    encoder_dim=32,
    llm_layers=2,
    llm_dim=32,
    ctc=TinyTraining(lr=1e-3, epochs=1, max_frames=100),
    llm=TinyTraining(lr=3e-3, epochs=1, max_frames=100),
)


@pytest.fixture(scope="session")
def tokenizer_directory(tmp_path_factory) -> Path:
    from telephone_asr.model.tokenizer import build_tokenizer

    directory = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    build_tokenizer(TEXTS, directory)
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


@pytest.fixture(scope="session")
def utterances(speech) -> list[Utterance]:
    """0.5 to 1.5 s of telephone sound."""
    return [
        Utterance(
            id=f"call-{i}",
            samples=speech(0.5 + i / (len(TEXTS) - 1), seed=i, rate_hz=CALL_RATE_HZ),
            sample_rate_hz=CALL_RATE_HZ,
            text=text,
            speaker=f"speaker-{i % 4}",
            scene="telesales",
        )
        for i, text in enumerate(TEXTS)
    ]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory, utterances) -> SimpleNamespace:
    """The utterances in shards, with their manifest: `examples`, `shards`, `sounds`."""
    directory = tmp_path_factory.mktemp("corpus")
    shards = directory / "telecall"
    write_shards(shards, utterances, shard_size=5)
    lines = [manifest_line(example_of(u), f"data/unpacked/telecall/{u.id}") for u in utterances]
    (directory / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    examples = read_manifest(directory / "train.jsonl")
    return SimpleNamespace(shards=shards, sounds=sound_index(shards), examples=examples)


def example_of(utterance: Utterance) -> Example:
    n = len(utterance.samples)
    return Example(
        key=utterance.id,
        text=utterance.text,
        prompt=PROMPT_VERBATIM,
        speech_length=fbank_frames(n, utterance.sample_rate_hz, FS),
        text_length=len(utterance.text),
        duration_s=n / utterance.sample_rate_hz,
        speaker=utterance.speaker,
        scene=utterance.scene,
        source="telecall",
    )


@pytest.fixture
def make_inputs(corpus) -> Callable:
    """make_inputs(nano, cache_mb=100, examples=None): the utterances as a training reads them."""

    def make(nano, cache_mb: int = 100, examples=None):
        from telephone_asr.model.frontend import Frontend
        from telephone_asr.training.batches import Inputs

        frontend = Frontend(nano.config["frontend_conf"])
        return Inputs(examples or corpus.examples, [corpus.sounds], frontend, cache_mb)

    return make


def write_variant(source: Path, directory: Path, change: Callable[[dict], None]) -> Path:
    """A model directory whose config.yaml is changed, with the random weights of that config."""
    import torch
    from funasr.register import tables
    from omegaconf import OmegaConf

    from telephone_asr.model.pretrained import read_config

    shutil.copytree(source, directory)
    config = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"))
    change(config)
    OmegaConf.save(config, directory / "config.yaml")
    torch.manual_seed(2)
    read = read_config(directory)
    model = tables.model_classes[read["model"]](**read, input_size=560)
    torch.save(model.state_dict(), directory / "model.pt")
    return directory


@pytest.fixture(scope="session")
def fitted_directory(tmp_path_factory, tiny_directory, corpus) -> Path:
    """The model after a few dozen steps on its dozen utterances: its texts differ."""
    import torch

    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import load
    from telephone_asr.training.batches import Inputs
    from telephone_asr.training.objective import Objective

    directory = tmp_path_factory.mktemp("fitted") / "base"
    shutil.copytree(tiny_directory, directory)
    nano = load(directory)
    frontend = Frontend(nano.config["frontend_conf"])
    inputs = Inputs(corpus.examples, [corpus.sounds], frontend, cache_mb=100)
    objective = Objective(nano, "features", llm_weight=1.0, ctc_weight=1.0)
    optimizer = torch.optim.AdamW(nano.model.parameters(), lr=3e-3)
    batch = inputs.batch(range(len(inputs)))
    for _ in range(80):
        objective(batch).backward()
        torch.nn.utils.clip_grad_norm_(nano.model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.save(nano.model.state_dict(), directory / "model.pt")
    return directory


@pytest.fixture
def fitted(fitted_directory):
    from telephone_asr.model.pretrained import load

    return load(fitted_directory)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    import soundfile

    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    return path


def smaller(params, **changes):
    """A frozen dataclass with nested changes: smaller(params, train={"clip": 1.0}, seed=3)."""
    fields = {
        name: smaller(getattr(params, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(params, **fields)


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

    below = parts.CHECKPOINTS[parts.CHECKPOINTS.index(stage) - 1]
    nano = parts.load_checkpoint(models, below, FS)
    if stage == "lora":
        trained = parts.add_lora(nano, LORA, seed=3)
    else:
        trained = parts.choose_trained(nano, prefixes or PREFIXES[stage])
    perturb(trained, len(stage), size)
    parts.save_checkpoint(models / stage, stage, nano, trained, {"step": 7, "valid_cer": 0.5})
    return {name: tensor.clone() for name, tensor in nano.model.state_dict().items()}
