"""Babble: who talks in it, how loud, and that it is the same again."""

import numpy as np
import pytest

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.level import rms
from telephone_asr.errors import InputError

RATE_HZ = 16000


def tone(frequency_hz: float, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.1 * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def four_tones() -> list[tuple[str, np.ndarray]]:
    """Four speakers told apart by their pitch, at four levels."""
    pitches = {"a": 300, "b": 500, "c": 700, "d": 900}
    return [(s, tone(f) * 0.5**i) for i, (s, f) in enumerate(pitches.items())]


def heard(track: np.ndarray) -> dict[str, float]:
    spectrum = np.abs(np.fft.rfft(track.astype(np.float64)))
    hz = len(track) / RATE_HZ
    at = {"a": 300, "b": 500, "c": 700, "d": 900}
    return {s: spectrum[int(f * hz) - 3 : int(f * hz) + 4].max() for s, f in at.items()}


def test_babble_has_its_talkers_at_equal_level():
    pool = BabblePool.build(four_tones(), talkers=(2, 3), n_tracks=8, track_s=4.0)
    assert {len(names) for names in pool.talkers} == {2, 3}
    for track, names in zip(pool.tracks, pool.talkers, strict=True):
        assert len(set(names)) == len(names)
        assert rms(track) == pytest.approx(0.1, abs=1e-3)
        level = heard(track)
        loud = [level[s] for s in names]
        assert min(loud) > 0.95 * max(loud)
        assert all(level[s] < 0.05 * max(loud) for s in level if s not in names)


def test_the_speaker_is_not_in_the_babble():
    pool = BabblePool.build(four_tones(), talkers=(2, 3), n_tracks=4, track_s=4.0)
    for speaker in "abcd":
        rng = np.random.default_rng(1)
        for _ in range(10):
            babble, _ = pool.draw(rng, 2 * RATE_HZ, speaker)
            level = heard(babble)
            assert level[speaker] < 0.05 * max(level.values())


def test_fewer_speakers_than_talkers():
    two = BabblePool.build(four_tones()[:2], talkers=(4, 4), n_tracks=2, track_s=1.0)
    assert two.talkers == (("b",) * 4, ("a",) * 4)
    one = BabblePool.build(four_tones()[:1], talkers=(4, 8), n_tracks=3, track_s=1.0)
    babble, n_talkers = one.draw(np.random.default_rng(0), 100, "a")
    assert len(babble) == 100
    assert 4 <= n_talkers <= 8


def test_draw_goes_round_at_the_end():
    pool = BabblePool.build(four_tones(), n_tracks=1, track_s=0.5)
    n = len(pool.tracks[0])
    for length in (0, 1, n - 1, n, 2 * n + 5):
        babble, _ = pool.draw(np.random.default_rng(7), length, "z")
        assert babble.dtype == np.float32
        assert babble.shape == (length,)
        np.testing.assert_array_equal(babble[n:], babble[:-n][: len(babble[n:])])


def test_pool_is_the_same_for_the_same_seed_and_from_its_file(tmp_path):
    first = BabblePool.build(four_tones(), seed=5, n_tracks=3, track_s=1.0)
    second = BabblePool.build(iter(four_tones()), seed=5, n_tracks=3, track_s=1.0)
    other = BabblePool.build(four_tones(), seed=6, n_tracks=3, track_s=1.0)
    np.testing.assert_array_equal(first.tracks, second.tracks)
    assert not np.array_equal(first.tracks, other.tracks)
    first.save(tmp_path / "pool.npz")
    copy = BabblePool.load(tmp_path / "pool.npz")
    assert copy.talkers == first.talkers
    a, b = (p.draw(np.random.default_rng(0), 500, "a")[0] for p in (first, copy))
    np.testing.assert_array_equal(a, b)


def test_babble_of_silence_is_an_error():
    with pytest.raises(InputError, match="no speech"):
        BabblePool.build([("a", np.zeros(RATE_HZ, np.float32))])
    with pytest.raises(InputError, match="no speech"):
        BabblePool.build([])
