"""Calls with two channels, made of the embedded speech, whose turns are known."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repository_fixtures import ROOT

sys.path.append(str(ROOT / "bench"))
from calls import RATE_HZ, Said, make_call, trimmed

SPEECH = ROOT / "src" / "telephone_asr" / "corpora" / "speech" / "calls"


@pytest.fixture(scope="session")
def spoken_utterances() -> list[tuple[np.ndarray, str]]:
    """Embedded utterances at 8 kHz, without the silence around them."""
    import soxr

    from telephone_asr.corpora import spoken

    index = [one for one in spoken.read_index(SPEECH) if one.seconds > 1][:40]
    return [
        (trimmed(soxr.resample(samples / np.float32(32768), 16000, RATE_HZ)), one.text)
        for one, samples in spoken.read(SPEECH, index)
    ]


@pytest.fixture(scope="session")
def made_call(
    tmp_path_factory, spoken_utterances
) -> Callable[[float, int], tuple[Path, list[Said]]]:
    """made_call(minutes, seed=0): a stereo file and what is said in it."""
    folder = tmp_path_factory.mktemp("calls")

    def make(minutes: float, seed: int = 0) -> tuple[Path, list[Said]]:
        path = folder / f"call-{minutes}-{seed}.wav"
        return path, make_call(path, spoken_utterances, minutes, seed)

    return make
