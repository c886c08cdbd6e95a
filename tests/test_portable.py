"""Arithmetic that is alike on every processor, against NumPy's own."""

import doctest

import numpy as np
import pytest

from telephone_asr.channel import portable


def test_doctests():
    assert doctest.testmod(portable).failed == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_is_numpys_within_3e_7(dtype):
    x = np.concatenate([np.linspace(-12, 12, 100_001), np.logspace(-30, 0, 1001)]).astype(dtype)
    found = portable.tanh(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.tanh(x.astype(np.float64)), rtol=3e-7)
    assert np.abs(found).max() <= 1


def test_energy_of_rows_and_of_one_row(speech):
    samples = speech(1.0)[:16000] / np.float32(32768)
    expected = pytest.approx(float(np.sum(samples.astype(np.float64) ** 2)), rel=1e-6)
    assert portable.energy(samples) == expected
    assert portable.energy(samples.reshape(-1, 80)) == expected
    assert portable.energy(samples[:0]) == 0


def test_levels_and_their_factors():
    for level_db in (-80.0, -6.0206, 0.0, 12.5):
        factor = portable.amplitude(level_db)
        assert factor.dtype == np.float32
        assert portable.decibels(float(factor) ** 2) == pytest.approx(level_db, abs=1e-4)


def test_what_rounds_otherwise_by_its_last_bit_is_one_number_afterwards():
    values = np.random.default_rng(0).random(1000)
    either = np.nextafter(values, 2)
    assert np.any(values != either)
    np.testing.assert_array_equal(portable.rounded(values), portable.rounded(either))
    assert portable.rounded(0.1 + 0.2) == 0.3
