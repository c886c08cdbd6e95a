"""Quiet line around utterances: as much as drawn, of the line's own noise, the same again."""

import numpy as np
import pytest
import torch

from telephone_asr.dataset.pad import Padding, quiet_line
from telephone_asr.dataset.speech import SpeechDataset
from telephone_asr.manifests.messages import Example
from telephone_asr.model.frontend import Frontend, fbank_frames
from test_augment import CONFIG, PROMPT, Sound

RATE_HZ = 8000


def call(noise: float) -> np.ndarray:
    """A loud second between 0.2 s of a line's noise, int16."""
    rng = np.random.default_rng(1)
    samples = noise * rng.standard_normal(RATE_HZ * 7 // 5)
    samples[RATE_HZ // 5 : RATE_HZ * 6 // 5] += 8000 * np.sin(np.arange(RATE_HZ) * 0.3)
    return samples.astype(np.int16)


def level_db(samples: np.ndarray) -> float:
    return 20 * np.log10(samples.astype(float).std())


@pytest.mark.parametrize("noise", [10, 300])
def test_quiet_line_is_as_loud_as_the_line_and_does_not_repeat(noise):
    line = quiet_line(call(noise), RATE_HZ, 2 * RATE_HZ, np.random.default_rng(0))
    assert line.dtype == np.int16
    assert len(line) == 2 * RATE_HZ
    assert level_db(line) == pytest.approx(20 * np.log10(noise), abs=1.5)
    halves = line[:RATE_HZ].astype(float), line[RATE_HZ:].astype(float)
    assert abs(np.corrcoef(*halves)[0, 1]) < 0.1


def test_digital_silence_stays_silent_and_the_shortest_sound_has_a_line():
    assert not quiet_line(call(0), RATE_HZ, 100, np.random.default_rng(0)).any()
    assert len(quiet_line(np.array([5], np.int16), RATE_HZ, 80, np.random.default_rng(0))) == 80
    assert not len(quiet_line(call(9), RATE_HZ, 0, np.random.default_rng(0)))


def test_a_share_of_the_copies_is_padded_by_up_to_so_much():
    pad = Padding(0.3, 1.5, seed=0)
    quiet_s = np.array([pad.seconds(f"u{i}", copy) for i in range(200) for copy in range(5)])
    padded = quiet_s.any(axis=1)
    assert padded.mean() == pytest.approx(0.3, abs=0.05)
    assert quiet_s.max() < 1.5
    assert quiet_s[padded].mean(axis=0) == pytest.approx([0.75, 0.75], abs=0.1)
    assert not any(any(Padding(0.0, 1.5, 0).seconds(f"u{i}", 0)) for i in range(100))


def test_the_speech_is_in_the_middle_and_the_same_bytes_come_again():
    pad, samples = Padding(1.0, 2.0, seed=3), call(50)
    padded = pad.padded(samples, RATE_HZ, "a", 1)
    before, after = (round(s * RATE_HZ) for s in pad.seconds("a", 1))
    assert len(padded) == before + len(samples) + after
    assert np.array_equal(padded[before : before + len(samples)], samples)
    assert np.array_equal(padded, Padding(1.0, 2.0, seed=3).padded(samples, RATE_HZ, "a", 1))
    assert not np.array_equal(padded, pad.padded(samples, RATE_HZ, "a", 2))
    assert not np.array_equal(padded, pad.padded(samples, RATE_HZ, "b", 1))


def test_batches_are_cut_by_the_lengths_that_padded_copies_have(speech):
    sound = Sound(speech(0.5, seed=6, rate_hz=16000).astype(np.int16))
    frames = fbank_frames(8000, 16000, 16000)
    said, clip = (
        Example(key, text, PROMPT, frames, 1, 0.5, "", "", "wideband")
        for key, text in (("a", "喂"), ("quiet", ""))
    )
    frontend, sounds = Frontend(CONFIG), {"wideband": sound}
    pad = Padding(0.5, 2.0, seed=0)
    dataset = SpeechDataset([said], sounds, frontend, 10, 20, None, [clip], pad)
    rows = [len(dataset[i]) for i in range(21)]
    assert all(0 <= planned - n <= 1 for planned, n in zip(dataset.lengths, rows, strict=True))
    plain = frontend(*sound.read("a"))
    assert torch.equal(dataset[20], plain)  # a clip is heard as it is
    padded = [n > len(plain) for n in rows[:20]]
    assert 4 < sum(padded) < 16
    assert torch.equal(dataset[padded.index(False)], plain)
    assert torch.equal(dataset[padded.index(True)], dataset[padded.index(True)])
