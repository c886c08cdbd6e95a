"""Corpora of all kinds, made for the tests of their readers."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from telephone_asr.corpora.imported import list_items
from telephone_asr.corpora.items import load
from telephone_asr.shards import Rejected, Utterance

KEY = "corpus.calls"
RATE_HZ = 8000


@pytest.fixture
def pcm(speech) -> np.ndarray:
    return speech(1.0, rate_hz=RATE_HZ)


@pytest.fixture
def stereo(speech) -> np.ndarray:
    """The agent on channel 0, the customer on channel 1."""
    return np.stack([speech(1.0, seed=s, rate_hz=RATE_HZ) for s in (1, 2)], axis=1)


def read(kind: str, path: Path) -> dict[str, Utterance | Rejected]:
    """Everything in a corpus by id, nothing lost on the way."""
    items = list_items(kind, path, KEY)
    entries = {item.id: load(item) for item in items}
    assert len(entries) == len(items)
    assert all(id_ == entry.id for id_, entry in entries.items())
    return entries


def reasons(entries: dict[str, Utterance | Rejected]) -> dict[str, str | None]:
    return {id_: getattr(entry, "reason", None) for id_, entry in entries.items()}


def assert_sound(entry: Utterance | Rejected, samples: np.ndarray, rate_hz: int = RATE_HZ):
    assert isinstance(entry, Utterance), entry
    assert entry.samples.dtype == np.int16
    assert entry.sample_rate_hz == rate_hz
    np.testing.assert_array_equal(entry.samples, samples)


def kaldi(directory: Path, **tables: str) -> Path:
    """A Kaldi directory; `wav_scp` stands for wav.scp."""
    directory.mkdir(exist_ok=True)
    for name, table in tables.items():
        path = directory / name.replace("_", ".")
        path.write_text(table, encoding="utf-8")
    return directory


def calls(directory: Path, *lines: dict | bytes) -> Path:
    path = directory / "calls.jsonl"
    packed = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(packed) + b"\n")
    return path


def call(**fields) -> dict:
    return {"id": "c1", "audio": "c1.wav", "text": "您好"} | fields


def broken_files(directory: Path, pcm: np.ndarray) -> dict[str, str]:
    """Name and expected reason of each file that cannot be used."""
    soundfile.write(directory / "whole.flac", pcm, RATE_HZ)
    soundfile.write(directory / "whole.wav", pcm, RATE_HZ)
    flac, wav = ((directory / f"whole.{s}").read_bytes() for s in ("flac", "wav"))
    contents = {
        "nothing.wav": b"",
        "text.wav": b"RIFF this is no sound at all" * 40,
        "header_only.wav": wav[:44],
        "no_format.wav": wav[:12] + bytes(24) + wav[36:],
        "half.flac": flac[: len(flac) // 2],
        "damaged.flac": flac[: len(flac) // 2] + bytes(100) + flac[len(flac) // 2 + 100 :],
        "text.mp3": b"<html>404</html>" * 40,
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    samples = np.array([0.1, np.nan, 0.1])
    soundfile.write(directory / "nan.wav", samples, RATE_HZ, subtype="FLOAT")
    (directory / "folder.wav").mkdir()
    reasons = dict.fromkeys([*contents, "folder.wav", "missing.wav"], "unreadable_audio")
    truncated = dict.fromkeys(["header_only.wav", "half.flac"], "truncated")
    return reasons | truncated | {"nan.wav": "not_finite"}
