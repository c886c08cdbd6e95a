"""Sound to test with, made on the spot."""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator

# Tests run beside each other, one a core: threads of one would wait for those of another. This is
# read when the libraries are imported.
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import numpy as np
import pytest

# No example fails for taking long on a busy machine. The same ones each time, so that a test that
# passes passes again; `--hypothesis-profile other` tries others, once a week.
SLOW_TOO = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("same", derandomize=True, **SLOW_TOO)
hypothesis.settings.register_profile("other", **SLOW_TOO)
hypothesis.settings.load_profile("same")

pytest_plugins = [
    # Each stands on those before it.
    *("shared_fixtures", "speech_fixtures", "repository_fixtures", "model_fixtures"),
    *("corpus_fixtures", "published_fixtures", "review_fixtures", "call_fixtures"),
    "storage_fixtures",
]


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left() -> Iterator[None]:
    """What the tests of a file leave open, running or changed is told there, not in another file
    where the collector happens to run, or where something is added up in another order."""
    before = set(threading.enumerate())
    yield
    gc.collect()  # what was left open warns, and pyproject.toml makes that an error
    started = set(threading.enumerate()) - before
    assert not [thread for thread in started if not thread.daemon]
    if torch := sys.modules.get("torch"):
        assert torch.get_num_threads() == 1


def _speech(seconds: float, seed: int = 0, rate_hz: int = 16000) -> np.ndarray:
    """Int16 that has the pitch, spectrum, syllables and pauses of speech, and breath."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    t = np.arange(n) / rate_hz
    pitch_hz = 100 + 80 * rng.random() + 20 * np.sin(2 * np.pi * 3 * t)
    source = np.cumsum(pitch_hz) / rate_hz % 1 - 0.5 + 0.1 * rng.standard_normal(n)
    hz = np.fft.rfftfreq(n, 1 / rate_hz)
    voice = np.fft.irfft(np.fft.rfft(source) / (1 + (hz / 500) ** 2), n)
    syllables = np.clip(np.sin(2 * np.pi * 4 * t + 6 * rng.random()), 0, 1) * (t % 1.7 < 1.4)
    return np.rint(20000 * voice * syllables + 3 * rng.standard_normal(n)).astype(np.int16)


@pytest.fixture(scope="session")
def speech() -> Callable[..., np.ndarray]:
    """speech(seconds, seed=0, rate_hz=16000): int16, like speech."""
    return _speech
