"""The band-pass measured from outside: with sines, an impulse, and what lies around it."""

import numpy as np
import pytest

from telephone_asr.channel.band import telephone_band, to_wideband
from telephone_asr.errors import InputError

RATES_HZ = (8000, 16000, 22050, 44100, 48000)


def gain_db(frequency_hz: float, sample_rate_hz: int, band_hz=(300.0, 3400.0)) -> float:
    """Gain of a sine of one second, its ends left out."""
    t = np.arange(sample_rate_hz) / sample_rate_hz
    out = telephone_band(np.sin(2 * np.pi * frequency_hz * t), sample_rate_hz, band_hz)
    return 10 * np.log10(2 * np.mean(out[2000:-2000].astype(np.float64) ** 2) + 1e-20)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_half_power_at_the_edges_and_flat_between(rate_hz):
    for edge_hz in (300, 3400):
        assert gain_db(edge_hz, rate_hz) == pytest.approx(-3.01, abs=0.1)
    for inside_hz in (450, 1000, 2000, 3000):
        assert gain_db(inside_hz, rate_hz) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_stop_band(rate_hz):
    for outside_hz in (50, 100, 3900, 3990):
        assert gain_db(outside_hz, rate_hz) < -60


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_nothing_above_4_khz_is_folded_back(rate_hz):
    for outside_hz in (4050, 5000, 6500, 7500):
        assert gain_db(outside_hz, rate_hz) < -80


@pytest.mark.parametrize("band_hz", [(200.0, 3700.0), (50.0, 3900.0), (500.0, 2500.0)])
def test_other_bands(band_hz):
    for edge_hz in band_hz:
        assert gain_db(edge_hz, 16000, band_hz) == pytest.approx(-3.01, abs=0.15)
    assert gain_db(1000, 16000, band_hz) == pytest.approx(0.0, abs=0.05)


def test_no_lower_edge():
    constant = np.ones(16000, dtype=np.float32)
    np.testing.assert_allclose(telephone_band(constant, 16000, (0.0, 3400.0))[2000:-2000], 1, 1e-4)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 159, 4001, 20000])
def test_length(rate_hz, n):
    out = telephone_band(np.ones(n, dtype=np.float32), rate_hz)
    assert out.dtype == np.float32
    assert len(out) == -(-n * 8000 // rate_hz)
    assert np.all(np.isfinite(out))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_an_impulse_stays_where_it_is_and_rings_evenly(rate_hz):
    ratio = rate_hz // 8000
    for at in (0, 1234, 1727, 1728, 4999):  # both ends and a seam between blocks
        impulse = np.zeros(5000 * ratio, dtype=np.float32)
        impulse[at * ratio] = ratio
        out = telephone_band(impulse, rate_hz)
        assert np.argmax(np.abs(out)) == at
        reach = min(at, 4999 - at, 400)
        np.testing.assert_allclose(
            out[at - reach : at][::-1], out[at + 1 : at + 1 + reach], atol=1e-6
        )
        far = np.abs(np.arange(5000) - at) > 200  # 25 ms on either side, and nothing wraps
        assert np.abs(out[far]).max() < 1e-5


def test_blocks_do_not_show():
    """The same as one FFT over everything, by the measured impulse response."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(9000).astype(np.float32)
    impulse = np.zeros(801, dtype=np.float32)
    impulse[400] = 1
    kernel = telephone_band(impulse, 8000).astype(np.float64)
    expected = np.convolve(samples, kernel)[400:-400]
    np.testing.assert_allclose(telephone_band(samples, 8000), expected, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [44100, 22050])
def test_resampled_rates_are_time_aligned(rate_hz):
    def burst(rate):
        t = np.arange(rate) / rate
        return np.exp(-(((t - 0.5) / 0.01) ** 2)) * np.sin(2 * np.pi * 1000 * t)

    expected = telephone_band(burst(16000), 16000)
    np.testing.assert_allclose(telephone_band(burst(rate_hz), rate_hz), expected, atol=2e-3)


def test_to_wideband():
    samples = np.ones(441, dtype=np.float32)
    assert to_wideband(samples, 16000) is samples
    assert to_wideband(samples, 44100).shape == (160,)
    assert to_wideband(samples, 8000).shape == (882,)
    with pytest.raises(InputError, match="sample rate"):
        to_wideband(samples, 0)
