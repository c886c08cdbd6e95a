"""Repositories with corpora that have faults, before and after stages."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from speech_fixtures import TEXTS, write_wav


def smaller(params, **changes):
    """A frozen dataclass with nested changes: smaller(params, train={"clip": 1.0}, seed=3)."""
    fields = {
        name: smaller(getattr(params, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(params, **fields)


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
        section[name] = copy.deepcopy(value)  # the next change is not to be one of `changes` too
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def import_corpora(directory: Path, speech) -> dict[str, dict[str, int]]:
    """A Kaldi directory and a calls.jsonl with faults; how many of what there is."""
    wideband, calls = directory / "import" / "wideband", directory / "import" / "calls"
    wideband.mkdir(parents=True)
    calls.mkdir()
    tables = {"wav.scp": "", "text": "", "utt2spk": ""}
    for i in range(24):
        write_wav(wideband / f"w{i}.wav", speech(0.6 + 0.05 * i, seed=400 + i), 16000)
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
    "corpus.no_speech": {"minutes": 1.0, "test_minutes": 0.1, "path": None},
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
    "decode.branch": None,  # so raw a model believes nothing that it writes
}


def stage_command(name: str, *arguments: str) -> list[str]:
    """The module of one of dvc.yaml's stages, and its arguments: train_lora is `train lora`."""
    module, *part = name.split("_") if name.startswith("train_") else [name]
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
def data_repository(made_once, speech) -> SimpleNamespace:
    """A repository after its data stages, not to be changed: `path` and the `counts` imported."""

    def make(directory: Path) -> None:
        path = directory / "repository"
        counts = import_corpora(path, speech)
        (directory / "counts.json").write_text(json.dumps(counts))
        write_params(path, SMALL)
        for name in ("corpus", "simulate", "telecall", "no_speech", "tokenizer", "manifests"):
            run_stage(path, name)

    made = made_once("data", make)
    counts = json.loads((made / "counts.json").read_text())
    return SimpleNamespace(path=made / "repository", counts=counts)


@pytest.fixture
def repository(data_repository, tmp_path, monkeypatch) -> Path:
    """A copy of it, and the working directory."""
    path = tmp_path / "repository"
    shutil.copytree(data_repository.path, path)
    monkeypatch.chdir(path)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return path


@pytest.fixture(scope="session")
def trained_repository(made_once, data_repository) -> Path:
    """A repository after all stages, not to be changed."""

    def make(directory: Path) -> None:
        path = shutil.copytree(data_repository.path, directory / "repository")
        for name in ("base", "train_encoder", "train_adaptor", "train_lora", "export"):
            run_stage(path, name)
        for checkpoint in ("base", "lora", "final"):
            run_stage(path, "evaluate", checkpoint)

    return made_once("trained", make) / "repository"


@pytest.fixture
def trained(trained_repository, tmp_path, monkeypatch) -> Path:
    """A copy of it, to be changed, as the working directory."""
    path = tmp_path / "trained"
    shutil.copytree(trained_repository, path)
    monkeypatch.chdir(path)
    return path
