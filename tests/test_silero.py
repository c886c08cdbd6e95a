"""Speech is heard where the detector's own package hears it, however the sound comes in."""

import numpy as np
import pytest
import soxr
import torch

from call_fixtures import RATE_HZ
from telephone_asr.silero import FRAME, Activity, Listener, speech_likely
from telephone_asr.silero import RATE_HZ as HEARD_HZ


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


def test_sounds_side_by_side_are_heard_as_one_by_one(sound):
    def alone(samples: np.ndarray, rate_hz: int) -> float:
        [activity] = hear(samples.astype(np.float32)[:, None] / 2**15, rate_hz, 10**7)
        return float(activity.speech.max(initial=0.0))

    speech = (sound[:, 0] * 2**15).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 500, 5 * RATE_HZ).astype(np.int16)
    wide = (soxr.resample(speech[: 20 * RATE_HZ] / 2**15, RATE_HZ, 16_000) * 2**15).astype(np.int16)
    sounds = [
        *((speech[first : first + size], RATE_HZ) for first, size in ((0, 9001), (20_000, 300))),
        *((noise, RATE_HZ), (wide, 16_000), (speech[:0], RATE_HZ)),
    ]
    found = speech_likely(sounds)
    assert found == pytest.approx([alone(*one) for one in sounds], abs=1e-4)
    assert found[0] > 0.9 > 0.5 > found[2] > found[4] == 0.0
    assert found[3] > 0.9


def test_silence_after_a_sound_is_not_heard_with_it(sound):
    """A short one beside a long one is padded, and a frame of that is none of it."""
    speech = (sound[:, 0] * 2**15).astype(np.int16)
    quiet = np.zeros(2000, dtype=np.int16)
    alone = speech_likely([(quiet, RATE_HZ)])
    assert speech_likely([(quiet, RATE_HZ), (speech, RATE_HZ)])[:1] == pytest.approx(alone)
    assert speech_likely([]) == []
