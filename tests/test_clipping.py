"""Clipping against numpy and Fourier series."""

import math

import numpy as np
import pytest
import scipy.integrate

from telephone_asr.channel.clipping import CLIPPING_KINDS, clip
from telephone_asr.errors import InputError

LEVEL = 0.25
RAMP = np.linspace(-4, 4, 8001, dtype=np.float32)


def hard_series(amplitude: float, n: int) -> float:
    """n-th sine coefficient, n odd, of a sine cut off at LEVEL: integrated by parts, the slope is
    amplitude * cos below the angle at which it is cut, and 0 above."""
    angle = math.asin(min(1, LEVEL / amplitude))
    below = angle if n == 1 else math.sin((n - 1) * angle) / (n - 1)
    return 2 * amplitude / (math.pi * n) * (math.sin((n + 1) * angle) / (n + 1) + below)


def soft_series(amplitude: float, n: int) -> float:
    """The same of a sine through LEVEL * tanh(x / LEVEL), by quadrature."""

    def integrand(x: float) -> float:
        return LEVEL * math.tanh(amplitude * math.sin(x) / LEVEL) * math.sin(n * x)

    return 4 / math.pi * scipy.integrate.quad(integrand, 0, math.pi / 2, epsabs=1e-10)[0]


@pytest.mark.parametrize(("kind", "series"), [("hard", hard_series), ("soft", soft_series)])
@pytest.mark.parametrize("amplitude", [0.2, 0.3, 0.5, 2.0])
def test_harmonics_of_a_sine(kind, series, amplitude):
    n_samples = 1 << 14  # of one cycle, so that what folds back is nothing
    sine = amplitude * np.sin(2 * np.pi * np.arange(n_samples) / n_samples)
    lines = np.fft.rfft(clip(sine, LEVEL, kind)) / (n_samples / 2)
    odd = np.arange(1, 40, 2)
    expected = [series(amplitude, int(n)) for n in odd]
    np.testing.assert_allclose(-lines[odd].imag, expected, atol=1e-6)
    np.testing.assert_allclose(lines[odd].real, 0, atol=1e-9)
    np.testing.assert_allclose(lines[0:40:2], 0, atol=1e-9)


def test_far_too_loud_is_a_square_wave():
    """Whose n-th line is 4 / (pi n) of its height, whatever the kind of clipping."""
    sine = 1000 * np.sin(2 * np.pi * (np.arange(4096) + 0.5) / 4096)
    for kind in CLIPPING_KINDS:
        lines = np.abs(np.fft.rfft(clip(sine, LEVEL, kind))) / 2048
        n = np.arange(1, 10, 2)
        np.testing.assert_allclose(lines[n], LEVEL * 4 / (np.pi * n), rtol=1e-3)


def test_hard_is_a_limit_and_nothing_else():
    np.testing.assert_array_equal(clip(RAMP, LEVEL, "hard"), np.clip(RAMP, -LEVEL, LEVEL))


def test_soft_is_odd_rises_and_stays_below_the_level():
    out = clip(RAMP, LEVEL, "soft")
    np.testing.assert_array_equal(out, -clip(-RAMP, LEVEL, "soft"))
    assert np.all(np.diff(out) >= -3e-7 * LEVEL)  # the last bits of what is flat
    assert np.all(np.diff(out[np.abs(RAMP) < 4 * LEVEL]) > 0)
    assert np.abs(out).max() <= LEVEL
    assert np.all(np.abs(out) <= np.abs(RAMP))
    assert clip(np.array([LEVEL]), LEVEL, "soft")[0] == pytest.approx(LEVEL * math.tanh(1))


def test_soft_leaves_quiet_samples_alone():
    quiet = np.linspace(-1e-3, 1e-3, 1001, dtype=np.float32)
    np.testing.assert_allclose(clip(quiet, LEVEL, "soft"), quiet, rtol=1e-5)


@pytest.mark.parametrize("kind", CLIPPING_KINDS)
def test_a_copy_of_the_same_kind(kind):
    samples = RAMP.copy()
    out = clip(samples, LEVEL, kind)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(samples, RAMP)
    assert not np.shares_memory(out, samples)


@pytest.mark.parametrize("kind", CLIPPING_KINDS)
def test_silence_nothing_and_the_loudest(kind):
    assert not clip(np.zeros(100, np.float32), LEVEL, kind).any()
    assert clip(np.zeros(0, np.float32), LEVEL, kind).shape == (0,)
    loudest = np.array([-1e30, 1e30], dtype=np.float32)
    np.testing.assert_allclose(clip(loudest, LEVEL, kind), [-LEVEL, LEVEL])


def test_wrong_arguments():
    with pytest.raises(InputError, match="clipping: expected hard or soft, got 'firm'"):
        clip(RAMP, LEVEL, "firm")
    for level in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="clipping level: expected above 0"):
            clip(RAMP, level, "soft")
