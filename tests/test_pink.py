"""Pink noise, measured."""

import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from telephone_asr.channel.noise import pink_noise

RATE_HZ = 16000


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


@pytest.mark.parametrize("seed", range(3))
def test_three_db_an_octave(seed):
    noise = pink_noise(generator(seed), 1 << 19)
    hz, power = scipy.signal.welch(noise, RATE_HZ, nperseg=1 << 14)
    edges_hz = 50 * 2 ** (np.arange(22) / 3)  # third octaves from 50 Hz to 6.4 kHz
    bands = [(hz >= low) & (hz < high) for low, high in itertools.pairwise(edges_hz)]
    density_db = [10 * np.log10(power[band].mean()) for band in bands]
    slope = scipy.stats.linregress(np.arange(21) / 3, density_db)
    assert slope.slope == pytest.approx(-3.0, abs=0.2)
    residuals = np.array(density_db) - slope.intercept - slope.slope * np.arange(21) / 3
    assert np.abs(residuals).max() < 1


def test_every_octave_from_50_hz_to_8_khz_has_the_same_power():
    power = np.abs(np.fft.rfft(pink_noise(generator(), 1 << 19))) ** 2
    hz = np.fft.rfftfreq(1 << 19, 1 / RATE_HZ)
    octaves = [power[(hz >= 8000 / 2**k) & (hz < 8000 / 2 ** (k - 1))].sum() for k in range(1, 8)]
    assert max(octaves) / min(octaves) < 1.15
    assert power[hz < 50].max() < 20 * power[(hz >= 50) & (hz < 60)].mean()


@pytest.mark.parametrize("n", [1, 2, 3, 160, 8009, 40_000])
def test_length_type_and_rms(n):
    noise = pink_noise(generator(), n)
    assert noise.dtype == np.float32
    assert noise.shape == (n,)
    assert np.sqrt(np.mean(noise.astype(np.float64) ** 2)) == pytest.approx(1.0, abs=1e-5)


def test_none():
    assert pink_noise(generator(), 0).shape == (0,)


def test_depends_on_the_generator_alone():
    np.testing.assert_array_equal(pink_noise(generator(), 999), pink_noise(generator(), 999))
    one, other = pink_noise(generator(1), 1 << 17), pink_noise(generator(2), 1 << 17)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_gaussian():
    """The middle and the tails, of samples far enough apart to be almost independent."""
    noise = scipy.signal.sosfilt(
        scipy.signal.butter(4, 300, "high", fs=RATE_HZ, output="sos"),
        pink_noise(generator(), 1 << 19),
    )[::64]
    assert scipy.stats.kstest(noise / noise.std(), "norm").pvalue > 0.01


def test_the_end_goes_on_into_the_beginning():
    for seed in range(20):
        noise = pink_noise(generator(seed), 4001)
        seam = abs(float(noise[0] - noise[-1]))
        assert seam < 5 * np.diff(noise).std()
