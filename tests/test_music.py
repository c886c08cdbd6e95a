"""Music on hold: a tune by measurement."""

import numpy as np
import pytest
import scipy.signal

from telephone_asr.channel.music import hold_music

RATE_HZ = 16000
SEEDS = range(6)
MAJOR = {0, 2, 4, 5, 7, 9, 11}


def spectrum(tune: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return scipy.signal.welch(tune, RATE_HZ, nperseg=1 << 14)


def strongest_lines_hz(tune: np.ndarray, count: int) -> np.ndarray:
    """Peaks of the spectrum, each refined by a parabola through its three bins in dB."""
    hz, power = spectrum(tune)
    peaks, _ = scipy.signal.find_peaks(power, distance=8)
    peaks = peaks[np.argsort(power[peaks])[::-1][:count]]
    before, at, after = (np.log(power[peaks + step]) for step in (-1, 0, 1))
    return (peaks + (before - after) / (before - 2 * at + after) / 2) * hz[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_notes_are_equal_tempered_and_in_a_major_key(seed):
    midi = 69 + 12 * np.log2(strongest_lines_hz(hold_music(seed, 30.0), 12) / 440)
    cents = 100 * np.abs(midi - np.round(midi))
    assert cents.max() < 100 * 12 * np.log2(1.01) / 2  # half a per cent
    classes = {int(note) % 12 for note in np.round(midi)}
    assert len(classes) >= 4
    assert any(classes <= {(key + step) % 12 for step in MAJOR} for key in range(12))


@pytest.mark.parametrize("seed", SEEDS)
def test_eighths_come_at_80_to_120_beats_a_minute(seed):
    """The rises of the envelope have their strongest line above 2.5 Hz at two or one a beat, and
    a whole number of bars of four beats fills the tune."""
    envelope = np.sqrt(np.mean(hold_music(seed, 30.0).reshape(-1, 160) ** 2, axis=1))
    line = np.abs(np.fft.rfft(np.maximum(np.diff(envelope, append=envelope[0]), 0)))
    hz = np.arange(len(line)) / 30
    eighth = np.argmax(np.where((hz > 2.5) & (hz < 4.1), line, 0))
    assert 2 * 80 / 60 <= hz[eighth] <= 2 * 120 / 60
    assert line[eighth] > 5 * np.median(line[hz < 10])
    assert eighth % 8 == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_level_peaks_and_band(seed):
    tune = hold_music(seed, 20.0)
    assert np.sqrt(np.mean(tune.astype(np.float64) ** 2)) == pytest.approx(1.0, abs=1e-5)
    assert 20 * np.log10(np.abs(tune).max()) < 13
    hz, power = spectrum(tune)
    assert power[(hz > 200) & (hz < 3400)].sum() > 0.98 * power.sum()
    second = np.sqrt(np.mean(tune.reshape(20, -1) ** 2, axis=1))
    assert second.min() > 0.4  # it plays all the time


@pytest.mark.parametrize("seed", SEEDS)
def test_no_click_where_the_loop_ends(seed):
    """Above 5 kHz, where no note reaches, the seam is no louder than the tune is elsewhere."""
    twice = np.tile(hold_music(seed, 10.0), 2)
    high = scipy.signal.butter(8, 5000, "high", fs=RATE_HZ, output="sos")
    hiss = np.abs(scipy.signal.sosfiltfilt(high, twice))
    seam = np.abs(np.arange(len(twice)) - len(twice) // 2) < 80
    inside = slice(RATE_HZ, -RATE_HZ)
    assert hiss[seam].max() <= hiss[inside][~seam[inside]].max()


def test_every_seed_has_its_own_tune():
    tunes = [hold_music(seed, 10.0) for seed in SEEDS]
    np.testing.assert_array_equal(tunes[2], hold_music(2, 10.0))
    for index, tune in enumerate(tunes):
        for other in tunes[:index]:
            assert abs(np.corrcoef(tune, other)[0, 1]) < 0.5


@pytest.mark.parametrize("duration_s", [0.0, 1 / RATE_HZ, 0.01, 0.5, 1.00003, 7.3])
def test_any_length(duration_s):
    tune = hold_music(0, duration_s)
    assert tune.dtype == np.float32
    assert tune.shape == (round(duration_s * RATE_HZ),)
    if len(tune):
        assert np.sqrt(np.mean(tune.astype(np.float64) ** 2)) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_harmonic_is_folded_back_at_a_low_rate(seed):
    """Played at 4 kHz a tune has no line that it does not have at 16 kHz, brought to 4 kHz."""
    expected = scipy.signal.resample_poly(hold_music(seed, 20.0), 1, 4)
    tunes = np.stack([hold_music(seed, 20.0, 4000), expected])
    hz, power = scipy.signal.welch(tunes, 4000, nperseg=4096)
    heard = (hz > 200) & (hz < 1600)
    assert 10 * np.log10(np.max(power[0, heard] / power[1, heard])) < 15  # folded: above 25
