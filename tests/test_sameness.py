"""One recording twice is found, however it was stored; two recordings are never taken for one."""

import numpy as np
import pytest
import soxr

from telephone_asr import sameness
from telephone_asr.channel import g711
from telephone_asr.channel.codecs import through_codec


@pytest.fixture(scope="module")
def recordings(speech) -> list[tuple[np.ndarray, int]]:
    """At 16 kHz, each with breath of its own."""
    made = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        breath = 200 * rng.standard_normal(32000 + 800 * seed)
        made.append((speech(len(breath) / 16000, seed=seed) + breath, 16000))
    return [(np.rint(samples).astype(np.int16), rate_hz) for samples, rate_hz in made]


def resampled(samples: np.ndarray, rate_hz: int, to_hz: int) -> np.ndarray:
    changed = soxr.resample(samples.astype(float), rate_hz, to_hz)
    return np.clip(np.rint(changed), -32768, 32767).astype(np.int16)


CHANGES = {
    "nothing": lambda x: (x, 16000),
    "8 kHz": lambda x: (resampled(x, 16000, 8000), 8000),
    "44.1 kHz and half as loud": lambda x: (resampled(x // 2, 16000, 44100), 44100),
    "A-law": lambda x: (g711.through(resampled(x, 16000, 8000), "alaw"), 8000),
    "GSM": lambda x: (through_codec(resampled(x, 16000, 8000), "gsm"), 8000),
    "turned round": lambda x: (-(x // 2), 16000),
    "by a clock that is 0.04 % faster": lambda x: (resampled(x, 16000 * 2500, 16000 * 2501), 16000),
    "0.1 s less in front": lambda x: (x[1600:], 16000),
}


def twins(sounds: list[tuple[np.ndarray, int]]) -> dict[int, list[int]]:
    words = [sameness.words(*sound) for sound in sounds]
    # As they are kept between import and manifests.
    words = [sameness.from_text(sameness.as_text(own)) for own in words]
    return sameness.twins(
        words, lambda i, j: sameness.alike(*sounds[i], *sounds[j]) > sameness.ALIKE
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_recording_that_was_stored_anew(change, recordings):
    changed = [CHANGES[change](samples) for samples, _ in recordings[::3]]
    expected = {3 * i: [30 + i] for i in range(10)} | {30 + i: [3 * i] for i in range(10)}
    assert twins([*recordings, *changed]) == expected


def test_recordings_of_one_rhythm_are_not_one(recordings, speech):
    """The same syllables and pitch, at other moments of the voice's swing."""
    again = [(np.roll(samples, 40 + i), 16000) for i, (samples, _) in enumerate(recordings)]
    noisy = [
        (np.rint(speech(2.0, seed=seed) * 1.0).astype(np.int16), 16000) for seed in range(100, 130)
    ]
    assert twins(noisy) == {}
    assert twins(recordings) == {}
    assert len(twins([*recordings, *again])) == 60  # a few samples' delay is no other recording


def test_what_has_no_sound_has_no_twin():
    silent = [(np.zeros(n, dtype=np.int16), 8000) for n in (0, 1, 100, 8000, 8000)]
    assert twins(silent) == {}
    assert sameness.alike(*silent[3], *silent[4]) == 0.0
