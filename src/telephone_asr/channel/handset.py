"""What the microphone of a telephone handset does to speech: little bass, a rise towards 3 kHz.

The curve is the sending part of the Intermediate Reference System, ITU-T P.48 (1988), which stands
for the telephones of the wired network. Subjective tests shape their speech with it (ITU-T P.830).
"""

from functools import lru_cache

import numpy as np
import scipy  # and a part of it, such as scipy.signal, at its first use: they take a second

# ITU-T P.48, table 1: nominal sending sensitivity (dB V/Pa) at each frequency (Hz).
HANDSET_TABLE = (
    *((100.0, -45.8), (125.0, -36.1), (160.0, -25.6), (200.0, -19.2), (250.0, -14.3)),
    *((300.0, -11.3), (315.0, -10.8), (400.0, -8.4), (500.0, -6.9), (600.0, -6.3)),
    *((630.0, -6.1), (800.0, -4.9), (1000.0, -3.7), (1250.0, -2.3), (1600.0, -0.6)),
    *((2000.0, 0.3), (2500.0, 1.8), (3000.0, 1.5), (3150.0, 1.8), (3500.0, -7.3)),
    *((4000.0, -37.2), (5000.0, -52.2), (6300.0, -73.6), (8000.0, -90.0)),
)
# The table ends at 100 Hz; down to here the curve falls on as it does there, 30 dB an octave.
LOW_END = (25.0, -105.8)
REFERENCE_HZ = 1000.0  # where the gain is 1

RATE_HZ = 16000
HALF_LENGTH = 180  # taps on either side of the middle one; from here on more do not come closer
MARGIN_S = HALF_LENGTH / RATE_HZ  # how far the impulse response reaches to each side


def handset_response(frequency_hz: np.ndarray) -> np.ndarray:
    """Returns the amplitude of `handset_filter` at frequencies (n,) from 0 to 8000 Hz: float64
    (n,), 1 at 1 kHz. The phase is zero (that of the filter less its delay of MARGIN_S), so to
    multiply a spectrum with this is to filter and delays nothing."""
    return _amplitude(handset_filter(), frequency_hz)


@lru_cache(maxsize=1)
def handset_filter() -> np.ndarray:
    """Returns an FIR at 16 kHz, float64 (2 * HALF_LENGTH + 1,), symmetrical: linear phase.

    Within 0.1 dB of the table from 200 to 5000 Hz and 0.4 dB elsewhere.
    """
    table_hz, table_db = np.array([LOW_END, *HANDSET_TABLE]).T
    # Monotone between the points, and smooth: then a short filter needs no window.
    curve_db = scipy.interpolate.PchipInterpolator(np.log(table_hz), table_db)
    frequency_hz = np.linspace(0.0, RATE_HZ / 2, 8193)
    gain = 10 ** (curve_db(np.log(np.maximum(frequency_hz, LOW_END[0]))) / 20)
    taps = scipy.signal.firwin2(
        2 * HALF_LENGTH + 1, frequency_hz, gain, nfreqs=len(gain), window=None, fs=RATE_HZ
    )
    taps /= _amplitude(taps, np.array([REFERENCE_HZ]))
    taps.flags.writeable = False  # shared by every caller
    return taps


def _amplitude(taps: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Returns the amplitude of a symmetrical filter: a sum of cosines, which is a Chebyshev series
    in the first."""
    middle = len(taps) // 2
    series = np.concatenate([taps[middle : middle + 1], 2 * taps[middle + 1 :]])
    return np.polynomial.chebyshev.chebval(np.cos(2 * np.pi * frequency_hz / RATE_HZ), series)
