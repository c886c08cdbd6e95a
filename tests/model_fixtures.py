"""A tiny Fun-ASR-Nano with random weights and a dozen utterances, for the tests of what uses it."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from telephone_asr.manifests.messages import PROMPT_VERBATIM, Example, manifest_line, read_manifest
from telephone_asr.model.frontend import fbank_frames
from telephone_asr.model.parts import LoraSize
from telephone_asr.names import STACKED
from telephone_asr.params import TinyModel, TinyTraining, Train, load_params
from telephone_asr.shards import Utterance, sound_index, write_shards
from telephone_asr.training.plan import Plan

FS = 16000
LORA = LoraSize(r=4, alpha=8, dropout=0.1)
PREFIXES = {"encoder": ("audio_encoder.",), "adapter": ("audio_adaptor.",)}
CALL_RATE_HZ = 8000
TEXTS = (
    *("您好", "再见", "请问您是谁", "好的好的", "我是张三", "明天还款"),
    *("不需要", "您好请问", "谢谢再见", "三三二", "请稍等一下", "是"),
)
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
        from telephone_asr.dataset.speech import SpeechDataset
        from telephone_asr.model.frontend import Frontend

        frontend = Frontend(nano.config["frontend_conf"])
        return SpeechDataset(
            examples or corpus.examples, {"telecall": corpus.sounds}, frontend, cache_mb
        )

    return make


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
def fitted_directory(tmp_path_factory, tiny_directory, corpus) -> Path:
    """The model after a few dozen steps on its dozen utterances: its texts differ."""
    import torch

    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import load
    from telephone_asr.model.writing import save_weights
    from telephone_asr.training.objective import Objective

    directory = tmp_path_factory.mktemp("fitted") / "base"
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

    below = STACKED[STACKED.index(stage) - 1]
    nano = parts.load_checkpoint(models, below, FS)
    if stage == "lora":
        trained = parts.add_lora(nano, LORA, seed=3)
    else:
        trained = parts.choose_trained(nano, prefixes or PREFIXES[stage])
    perturb(trained, len(stage), size)
    parts.save_checkpoint(models / stage, stage, nano, trained, {"step": 7, "valid_cer": 0.5})
    return {name: tensor.clone() for name, tensor in nano.model.state_dict().items()}


# --- A small repository, with what the data stages make in it

ROOT = Path(__file__).parents[1]
SPEAKERS = 8


def write_params(directory: Path, changes: dict) -> None:
    """The repository's params.yaml with these keys changed ("corpus.calls.path": value)."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    path = directory / "params.yaml"
    tree = yaml.load((path if path.exists() else ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = tree
        for part in sections:
            section = section[part]
        section[name] = value
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def import_corpora(directory: Path, speech) -> dict[str, dict[str, int]]:
    """A Kaldi directory and a calls.jsonl with faults; how many of what there is."""
    import json

    wideband, calls = directory / "import" / "wideband", directory / "import" / "calls"
    wideband.mkdir(parents=True)
    calls.mkdir()
    tables = {"wav.scp": "", "text": "", "utt2spk": ""}
    for i in range(24):
        write_wav(wideband / f"w{i}.wav", speech(0.6 + 0.05 * i, seed=100 + i), 16000)
        tables["wav.scp"] += f"w{i} w{i}.wav\n"
        tables["text"] += f"w{i} {TEXTS[i % len(TEXTS)]}\n"
        tables["utt2spk"] += f"w{i} wide-{i % SPEAKERS}\n"
    (wideband / "corrupt.wav").write_bytes(b"RIFF, or so it says")
    (wideband / "zero.wav").write_bytes(b"")
    write_wav(wideband / "empty.wav", np.zeros(0, dtype=np.int16), 16000)
    write_wav(wideband / "mute.wav", speech(0.5), 16000)
    for name in ("corrupt", "zero", "empty", "mute"):
        tables["wav.scp"] += f"{name} {name}.wav\n"
        tables["text"] += f"{name} 您好\n" if name != "mute" else ""
    for name, table in tables.items():
        (wideband / name).write_text(table, encoding="utf-8")

    lines = []
    for i in range(24):
        rate_hz = 44100 if i == 3 else 8000
        sound = speech(0.6 + 0.05 * i, seed=200 + i, rate_hz=rate_hz)
        fields = {"id": f"c{i}", "audio": f"c{i}.wav", "text": TEXTS[i % len(TEXTS)]}
        fields |= {"speaker": f"call-{i % SPEAKERS}", "scene": ("telesales", "collections")[i % 2]}
        if i == 4:  # the customer on the second channel
            sound, fields["channel"] = np.stack([0 * sound, sound], axis=1), 1
        if i == 5:
            fields["annotation_error"] = True
        if i == 6:
            fields["text"] = "  "
        if i == 7:
            sound = sound[:300]  # 37 ms: below filter.min_frames
        write_wav(calls / f"c{i}.wav", sound, rate_hz)
        lines.append(json.dumps(fields, ensure_ascii=False).encode())
    lines.insert(9, b'{"id": "broken", "audio": "c1.wav", "text": "\xff\xfe"}')
    lines.insert(15, b'{"id": "c99", "audio": "c1.w')
    lines.append(json.dumps({"id": "c8", "audio": "c9.wav", "text": "再见"}).encode())
    lines.append(json.dumps({"id": "lost", "audio": "lost.wav", "text": "再见"}).encode())
    (calls / "calls.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return {
        "wideband": {"in": 28, "unreadable_audio": 2, "empty_audio": 1, "no_transcript": 1},
        "calls": {
            **{"in": 28, "unreadable_line": 2, "duplicate_id": 1, "unreadable_audio": 1},
            **{"annotation_error": 1, "empty_text": 1, "too_short": 1},
        },
    }


SMALL = {
    "corpus.wideband": {"kind": "kaldi", "path": "import/wideband", "part": None},
    "corpus.calls": {"kind": "calls", "path": "import/calls/calls.jsonl", "part": None},
    "corpus.shard_size": 7,
    "filter.characters_per_s": [0.1, 50],
    "filter.pace": 20.0,
    "split.seed": 2,
    "split.short": 100,  # the few texts are in all sets
    "frontend.dither": 0.0,  # FunASR draws its own, and so raw a model then writes another text
    "base.tiny.encoder_blocks": 2,
    "base.tiny.tp_blocks": 1,
    "base.tiny.encoder_dim": 32,
    "base.tiny.llm_layers": 1,
    "base.tiny.llm_dim": 32,
    "base.tiny.ctc": {"lr": 1e-3, "epochs": 1, "max_batch_rows": 100},
    "base.tiny.llm": {"lr": 3e-3, "epochs": 1, "max_batch_rows": 100},
    "train.max_batch_rows": 100,
    "train.evaluations": 2,
    "train.valid_utterances": 2,
    "train.encoder.epochs": 1,
    "train.adaptor.epochs": 1,
    "train.lora.epochs": 2,
    "train.lora.r": 4,
    "decode.max_tokens": 6,
}


def stage_command(name: str, *arguments: str) -> list[str]:
    """The module of one of dvc.yaml's stages, and its arguments: train_lora is `train lora`."""
    module, *part = name.split("_")
    return [f"telephone_asr.stages.{module}", *part, *arguments]


def run_stage(directory: Path, name: str, *arguments: str) -> None:
    """Runs a stage in this process, from the directory."""
    import importlib

    import torch

    # FunASR's AutoModel sets the number of threads, and sums of another number of threads differ.
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        module, *rest = stage_command(name, *arguments)
        patch.setattr("sys.argv", [module, *rest])
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        importlib.import_module(module).main()


@pytest.fixture(scope="session")
def data_repository(tmp_path_factory, speech) -> SimpleNamespace:
    """A repository after its data stages, not to be changed: `path` and the `counts` imported."""
    path = tmp_path_factory.mktemp("repository")
    counts = import_corpora(path, speech)
    write_params(path, SMALL)
    for name in ("corpus", "simulate", "telecall", "tokenizer", "manifests"):
        run_stage(path, name)
    return SimpleNamespace(path=path, counts=counts)


@pytest.fixture
def repository(data_repository, tmp_path, monkeypatch) -> Path:
    """A copy of it, and the working directory."""
    path = tmp_path / "repository"
    shutil.copytree(data_repository.path, path)
    monkeypatch.chdir(path)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return path


@pytest.fixture(scope="session")
def trained_repository(tmp_path_factory, data_repository) -> Path:
    """A repository after all stages, not to be changed."""
    path = tmp_path_factory.mktemp("trained") / "repository"
    shutil.copytree(data_repository.path, path)
    for name in ("base", "train_encoder", "train_adapter", "train_lora"):
        run_stage(path, name)
    run_stage(path, "export")
    for checkpoint in ("base", "lora", "final"):
        run_stage(path, "evaluate", checkpoint)
    return path
