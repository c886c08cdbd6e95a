"""Noise and hum, measured."""

import itertools
import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from telephone_asr.channel.level import active_level_db, rms
from telephone_asr.channel.noise import (
    TRACK_SAMPLES,
    Track,
    add_at_snr,
    circular,
    hum_track,
    noise_track,
)

RATE_HZ = 16000


@pytest.mark.parametrize("frequency_hz", [50.0, 60.0])
def test_hum_lines(frequency_hz):
    hum, _ = hum_track(frequency_hz, harmonics=5).piece(0.1, RATE_HZ)
    assert rms(hum) == pytest.approx(1.0, abs=1e-3)
    amplitude = 2 * np.abs(np.fft.rfft(hum.astype(np.float64))) / len(hum)  # bins of 1 Hz
    k = np.arange(1, 6)
    first = math.sqrt(2 / np.sum(1 / k**2))
    np.testing.assert_allclose(
        amplitude[(k * frequency_hz).astype(int)], first / k, rtol=0, atol=1e-4
    )
    amplitude[(k * frequency_hz).astype(int)] = 0
    assert amplitude.max() < 1e-4


@pytest.mark.parametrize("frequency_hz", [50.0, 59.94, 440.0])
def test_hum_goes_round_without_a_step(frequency_hz):
    track = hum_track(frequency_hz, 3).samples
    assert len(track) >= 2 * RATE_HZ
    steps = np.abs(np.diff(circular(track, 0, 2 * len(track))))
    assert steps[len(track) - 1] <= steps[: len(track) - 1].max()


def test_white_noise_is_white():
    track = noise_track("white").samples
    assert track.dtype == np.float32
    assert len(track) == TRACK_SAMPLES
    assert rms(track) == pytest.approx(1.0, abs=0.01)
    power = np.abs(np.fft.rfft(track)) ** 2
    bands = [band.mean() for band in np.array_split(power[1:], 8)]
    assert max(bands) / min(bands) < 1.05


def test_pink_noise_falls_by_three_db_an_octave():
    noise = noise_track("pink").samples
    assert noise.dtype == np.float32
    assert rms(noise) == pytest.approx(1.0, abs=1e-5)
    hz, power = scipy.signal.welch(noise, RATE_HZ, nperseg=1 << 14)
    edges_hz = 50 * 2 ** (np.arange(22) / 3)  # third octaves from 50 Hz to 6.4 kHz
    bands = [(hz >= low) & (hz < high) for low, high in itertools.pairwise(edges_hz)]
    density_db = [10 * np.log10(power[band].mean()) for band in bands]
    slope = scipy.stats.linregress(np.arange(21) / 3, density_db)
    assert slope.slope == pytest.approx(-3.0, abs=0.2)
    residuals = np.array(density_db) - slope.intercept - slope.slope * np.arange(21) / 3
    assert np.abs(residuals).max() < 1
    below = power[hz < 50].max()
    assert below < 20 * power[(hz >= 50) & (hz < 60)].mean()


def test_pink_noise_is_gaussian():
    """The middle and the tails, of samples far enough apart to be almost independent."""
    high_pass = scipy.signal.butter(4, 300, "high", fs=RATE_HZ, output="sos")
    noise = scipy.signal.sosfilt(high_pass, noise_track("pink").samples)[::64]
    assert scipy.stats.kstest(noise / noise.std(), "norm").pvalue > 0.01


def test_pink_noise_goes_round_without_a_step():
    noise = noise_track("pink").samples
    assert abs(float(noise[0] - noise[-1])) < 5 * np.diff(noise).std()


def test_tracks_cannot_be_changed_by_their_users():
    for track in (noise_track("white"), noise_track("pink"), hum_track(50.0, 5)):
        with pytest.raises(ValueError, match="read-only"):
            track.samples[0] = 0


@pytest.mark.parametrize("n", [0, 1, 9, 10, 25])
def test_circular_goes_round(n):
    period = np.arange(10.0)
    np.testing.assert_array_equal(circular(period, 7, n), np.arange(7, 7 + n) % 10)


@pytest.mark.parametrize("n", [0, 1, 9, 10, 35])
def test_a_piece_is_as_loud_as_its_samples(n):
    track = Track.of(np.random.default_rng(0).standard_normal(10).astype(np.float32))
    for place in (0.0, 0.45, 0.9999):
        piece, loudness = track.piece(place, n)
        np.testing.assert_array_equal(piece, circular(track.samples, int(10 * place), n))
        assert loudness == pytest.approx(rms(piece))
    pause = Track.of(np.array([0.1, 0.1, 0.1, 0.7] + 6 * [0.0], np.float32))
    assert pause.piece(0.4, 6)[1] == 0


def test_snr_is_against_the_active_level():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    speech = (0.1 * np.sin(2 * np.pi * 500 * t) * (t < 1)).astype(np.float32)
    before = speech.copy()
    level_db = active_level_db(speech, RATE_HZ)
    add_at_snr(speech, *noise_track("white").piece(0.0, len(speech)), level_db, 15.0)
    assert level_db - 20 * math.log10(rms(speech - before)) == pytest.approx(15.0, abs=0.1)


def test_silence_is_not_blown_up_to_noise():
    speech = np.zeros(100, np.float32)
    add_at_snr(speech, np.full(100, 1e-6, np.float32), 1e-6, -20.0, 10.0)
    assert np.abs(speech).max() < 1e-4
    add_at_snr(speech[:0], speech[:0], 0.0, -20.0, 10.0)
