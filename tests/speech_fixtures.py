"""A dozen utterances, and what a model is given of them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from telephone_asr.manifests.messages import PROMPT_VERBATIM, Example, manifest_line, read_manifest
from telephone_asr.model.frontend import fbank_frames
from telephone_asr.shards import Utterance, sound_index, write_shards

FS = 16000

CALL_RATE_HZ = 8000

TEXTS = (
    *("您好", "再见", "请问您是谁", "好的好的", "我是张三", "明天还款"),
    *("不需要", "您好请问", "谢谢再见", "三三二", "请稍等一下", "是"),
)


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


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    import soundfile

    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    return path
