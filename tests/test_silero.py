"""Speech is heard where the detector's own package hears it, however the sound comes in."""

import numpy as np
import pytest
import soxr
import torch

from call_fixtures import RATE_HZ
from telephone_asr.calls.silero import FRAME, Activity, Listener
from telephone_asr.calls.silero import RATE_HZ as HEARD_HZ


def hear(samples: np.ndarray, rate_hz: int, size: int) -> list[Activity]:
    listener = Listener(rate_hz, samples.shape[1])
    for first in range(0, len(samples), size):
        listener.add(samples[first : first + size])
    return listener.heard()


@pytest.fixture(scope="module")
def sound(spoken_utterances) -> np.ndarray:
    """(n, 2): two minutes of speech, and speech after silence."""
    left = np.concatenate([samples for samples, _ in spoken_utterances])
    right = np.concatenate([np.zeros(9 * RATE_HZ, dtype=np.float32), left])[: len(left)]
    return np.column_stack([left, right])


def test_the_probabilities_are_the_packages_own(sound):
    from silero_vad import load_silero_vad

    theirs = load_silero_vad()
    for channel, ours in enumerate(hear(sound, RATE_HZ, 50_000)):
        theirs.reset_states()
        with torch.inference_mode():
            expected = [
                theirs(torch.from_numpy(frame), HEARD_HZ).item()
                for frame in sound[: len(sound) // FRAME * FRAME, channel].reshape(-1, FRAME)
            ]
        assert np.abs(ours.speech[: len(expected)] - expected).max() < 1e-3
        assert len(ours.speech) == len(ours.level_db) == -(-len(sound) // FRAME)


def test_blocks_of_any_size_are_heard_alike(sound):
    for ours, other in zip(hear(sound, RATE_HZ, 7001), hear(sound, RATE_HZ, 10**7), strict=True):
        assert np.allclose(ours.speech, other.speech, atol=1e-4)
        assert np.allclose(ours.level_db, other.level_db)


def test_another_rate_is_heard_nearly_alike(sound):
    wide = soxr.resample(sound, RATE_HZ, 44_100)
    for ours, other in zip(hear(sound, RATE_HZ, 10**6), hear(wide, 44_100, 99_999), strict=True):
        n = min(len(ours.speech), len(other.speech))
        assert abs(len(ours.speech) - len(other.speech)) <= 1
        assert np.mean((ours.speech[:n] > 0.5) == (other.speech[:n] > 0.5)) > 0.99


def test_threads_stay_as_they_are(sound):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        hear(sound[:FRAME], RATE_HZ, FRAME)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_of_no_sound_nothing_is_heard():
    (one,) = hear(np.zeros((0, 1), dtype=np.float32), 16_000, 100)
    assert len(one.speech) == len(one.level_db) == 0
