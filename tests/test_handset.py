"""The handset against ITU-T P.48: its table, and the limits it sets a real one."""

import numpy as np
import pytest
import scipy.signal

from telephone_asr.channel.handset import (
    HANDSET_TABLE,
    MARGIN_S,
    handset_filter,
    handset_response,
)

RATE_HZ = 16000
# P.48, table 1, row by row: Hz, dB.
TABLE = """
100 -45.8   125 -36.1   160 -25.6   200 -19.2   250 -14.3   300 -11.3   315 -10.8   400  -8.4
500  -6.9   600  -6.3   630  -6.1   800  -4.9  1000  -3.7  1250  -2.3  1600  -0.6  2000   0.3
2500  1.8  3000   1.5  3150   1.8  3500  -7.3  4000 -37.2  5000 -52.2  6300 -73.6  8000 -90.0
"""
LEVEL_AT_1_KHZ_DB = -3.7  # of the table; the filter has 0 dB there
# P.48, the corners of the limits, in dB; between them they are straight over log frequency.
UPPER = [(100, -41), (200, -16), (400, -6), (3400, 6), (3600, 4), (6000, -60)]
LOWER = [(200, -21), (400, -11), (3000, -1), (3400, -4)]


def sensitivity_db(frequency_hz) -> np.ndarray:
    gain = np.abs(handset_response(np.asarray(frequency_hz, dtype=float)))
    return 20 * np.log10(gain) + LEVEL_AT_1_KHZ_DB


def test_table():
    hz, expected_db = np.array(TABLE.split(), dtype=float).reshape(-1, 2).T
    np.testing.assert_array_equal(HANDSET_TABLE, np.stack([hz, expected_db], axis=1))
    tolerance_db = np.where((hz >= 200) & (hz <= 3500), 0.1, 0.5)
    assert np.all(np.abs(sensitivity_db(hz) - expected_db) < tolerance_db)


@pytest.mark.parametrize(("corners", "sign"), [(UPPER, 1), (LOWER, -1)])
def test_within_the_limits_at_the_corners_and_between(corners, sign):
    hz, limit_db = np.array(corners, dtype=float).T
    between_hz = np.unique(np.concatenate([hz, np.geomspace(hz[0], hz[-1], 2000)]))
    limits_db = np.interp(np.log(between_hz), np.log(hz), limit_db)
    assert np.all(sign * (limits_db - sensitivity_db(between_hz)) > 0)


def test_nothing_comes_back_beyond_the_table():
    assert sensitivity_db(np.arange(0, 100)).max() < -45
    assert sensitivity_db(np.arange(6000, 8001)).max() < -60


@pytest.mark.parametrize("frequency_hz", [150, 200, 315, 440, 1000, 2345, 3150, 3400, 3700, 4000])
def test_the_filter_has_the_same_gain_for_a_tone(frequency_hz):
    t = np.arange(RATE_HZ) / RATE_HZ
    out = scipy.signal.lfilter(handset_filter(), 1, np.sin(2 * np.pi * frequency_hz * t))
    steady = out[-RATE_HZ // 2 :]  # half a second: whole cycles of each
    gain = np.sqrt(2 * np.mean(steady**2))
    assert gain == pytest.approx(abs(handset_response(np.array([float(frequency_hz)]))[0]), 1e-6)


def test_zero_phase():
    """The filter's own response, its delay taken away, is real and the response."""
    hz, expected = scipy.signal.freqz(handset_filter(), worN=500, fs=RATE_HZ)
    expected = expected * np.exp(2j * np.pi * hz * MARGIN_S)
    np.testing.assert_allclose(handset_response(hz), expected, atol=1e-12)
    assert handset_response(np.array([1000.0]))[0] == pytest.approx(1.0, abs=1e-12)


def test_short_enough_for_a_block_fft():
    assert len(handset_filter()) == 2 * MARGIN_S * RATE_HZ + 1
    assert MARGIN_S * 8000 < 150


def test_the_filter_cannot_be_changed_by_its_users():
    with pytest.raises(ValueError, match="read-only"):
        handset_filter()[0] = 0
