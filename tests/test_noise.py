"""Levels, hum and babble, measured."""

import math
import pickle

import numpy as np
import pytest

from telephone_asr.channel.noise import (
    BabblePool,
    active_level_db,
    add_at_snr,
    mains_hum,
    rms,
    white_noise,
)
from telephone_asr.errors import InputError

RATE_HZ = 16000


def sine(amplitude: float, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 500 * t)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


def tone(frequency_hz: float, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.1 * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def test_level_of_known_signals():
    square = np.where(np.arange(16000) // 40 % 2, 1, -1).astype(np.float32)
    assert active_level_db(square, RATE_HZ) == pytest.approx(0.0, abs=0.01)
    assert active_level_db(sine(1.0), RATE_HZ) == pytest.approx(-3.01, abs=0.01)
    assert active_level_db(sine(0.1), RATE_HZ) == pytest.approx(-23.01, abs=0.01)


def test_pauses_do_not_count():
    speech = np.concatenate([silence(1.0), sine(0.1), silence(3.0), sine(0.1)])
    assert active_level_db(speech, RATE_HZ) == pytest.approx(-23.01, abs=0.02)
    noise = 0.001 * white_noise(np.random.default_rng(0), len(speech))
    assert active_level_db(speech + noise, RATE_HZ) == pytest.approx(-23.01, abs=0.02)


def test_frames_within_the_margin_count():
    """Half at 0 dB, half 10 dB lower: all active, so the mean power of both."""
    speech = np.concatenate([sine(0.1), sine(0.1 * 10**-0.5)])
    expected = -23.01 + 10 * math.log10((1 + 0.1) / 2)
    assert active_level_db(speech, RATE_HZ) == pytest.approx(expected, abs=0.01)


def test_silence_and_constants_have_no_level():
    for nothing in (silence(0), silence(0.01), silence(1)):
        assert active_level_db(nothing, RATE_HZ) == -math.inf
    assert active_level_db(silence(1) + np.float32(0.3), RATE_HZ) < -120
    assert active_level_db(sine(0.1) + np.float32(0.3), RATE_HZ) == pytest.approx(-23.01, abs=0.01)


@pytest.mark.parametrize("frequency_hz", [50.0, 60.0])
def test_hum_lines(frequency_hz):
    hum = mains_hum(np.random.default_rng(3), RATE_HZ, frequency_hz, harmonics=5)
    assert rms(hum) == pytest.approx(1.0, abs=1e-3)
    amplitude = 2 * np.abs(np.fft.rfft(hum.astype(np.float64))) / len(hum)  # bins of 1 Hz
    k = np.arange(1, 6)
    first = math.sqrt(2 / np.sum(1 / k**2))
    np.testing.assert_allclose(
        amplitude[(k * frequency_hz).astype(int)], first / k, rtol=0, atol=1e-4
    )
    amplitude[(k * frequency_hz).astype(int)] = 0
    assert amplitude.max() < 1e-4


def test_hum_starts_anywhere():
    rng = np.random.default_rng(0)
    starts = {round(float(mains_hum(rng, 1, 50.0, 5)[0]), 4) for _ in range(50)}
    assert len(starts) > 20


def test_white_noise_is_white():
    noise = white_noise(np.random.default_rng(0), 160_000)
    assert noise.dtype == np.float32
    assert rms(noise) == pytest.approx(1.0, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    bands = [band.mean() for band in np.array_split(power[1:], 8)]
    assert max(bands) / min(bands) < 1.1


def test_snr_is_against_the_active_level():
    speech = np.concatenate([sine(0.1), silence(1.0)])
    before = speech.copy()
    noise = white_noise(np.random.default_rng(0), len(speech))
    add_at_snr(speech, noise, 1.0, active_level_db(speech, RATE_HZ), 15.0)
    noise_db = 20 * math.log10(rms(speech - before))
    assert -23.01 - noise_db == pytest.approx(15.0, abs=0.1)


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
        assert rms(track.astype(np.float32) / 32768) == pytest.approx(0.1, abs=1e-3)
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


def test_pool_is_the_same_for_the_same_seed_and_survives_pickling():
    first = BabblePool.build(four_tones(), seed=5, n_tracks=3, track_s=1.0)
    second = BabblePool.build(iter(four_tones()), seed=5, n_tracks=3, track_s=1.0)
    other = BabblePool.build(four_tones(), seed=6, n_tracks=3, track_s=1.0)
    np.testing.assert_array_equal(first.tracks, second.tracks)
    assert not np.array_equal(first.tracks, other.tracks)
    packed = pickle.dumps(first)
    assert len(packed) < first.tracks.nbytes + 2000
    copy = pickle.loads(packed)
    a, b = (p.draw(np.random.default_rng(0), 500, "a")[0] for p in (first, copy))
    np.testing.assert_array_equal(a, b)


def test_babble_of_silence_is_an_error():
    with pytest.raises(InputError, match="no speech"):
        BabblePool.build([("a", silence(1.0))])
    with pytest.raises(InputError, match="no speech"):
        BabblePool.build([])
