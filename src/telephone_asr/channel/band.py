"""The telephone band: 300-3400 Hz at 8 kHz, band-pass and decimation in one FFT.

Each edge is a step smoothed by a Gaussian, placed so that the edge itself is the -3 dB point. A
Gaussian skirt has the shortest impulse response for its steepness, so short overlapping blocks do
(overlap-save): no transient wraps around and the response is computed once for all lengths. The
phase is zero: nothing is delayed.
"""

from functools import lru_cache

import numpy as np
import scipy  # and a part of it, such as scipy.signal, at its first use: they take a second
import soxr

from telephone_asr.channel.handset import MARGIN_S, handset_response
from telephone_asr.channel.portable import rounded
from telephone_asr.errors import InputError

TELEPHONE_RATE_HZ = 8000
WIDEBAND_RATE_HZ = 16000
NYQUIST_HZ = TELEPHONE_RATE_HZ / 2


def telephone_band(
    samples: np.ndarray,
    sample_rate_hz: int,
    band_hz: tuple[float, float] = (300.0, 3400.0),
    handset: bool = False,
) -> np.ndarray:
    """Limits speech to `band_hz` and brings it to 8 kHz, with `handset` as a handset sends it.

    samples: (n,), any scale. Returns float32 (ceil(n * 8000 / sample_rate_hz),), time-aligned with
    the input and on its scale. -3 dB at both edges; with the default band at least 60 dB down at
    100 Hz and 3.9 kHz. A lower edge of 0 means no lower edge. `handset` multiplies in the response
    of `handset.handset_response`, which costs nothing here.

    Multiples of 8 kHz are decimated by the FFT itself, other rates go through soxr to 16 kHz.
    """
    if sample_rate_hz % TELEPHONE_RATE_HZ or sample_rate_hz <= 0:
        samples, sample_rate_hz = to_wideband(samples, sample_rate_hz), WIDEBAND_RATE_HZ
    samples = np.asarray(samples, dtype=np.float32)
    ratio = int(sample_rate_hz) // TELEPHONE_RATE_HZ
    n_out = -(-len(samples) // ratio)
    if n_out == 0:
        return np.zeros(0, dtype=np.float32)
    response, margin = _response(float(band_hz[0]), float(band_hz[1]), handset, ratio)
    block = 2 * (len(response) - 1)
    hop = block - 2 * margin
    n_blocks = -(-n_out // hop)

    padded = np.zeros((n_blocks * hop + 2 * margin) * ratio, dtype=np.float32)
    padded[margin * ratio : margin * ratio + len(samples)] = samples
    blocks = np.lib.stride_tricks.sliding_window_view(padded, block * ratio)[:: hop * ratio]
    # Dropping the bins above 4 kHz is the decimation.
    spectra = scipy.fft.rfft(blocks)[:, : len(response)] * response
    filtered = scipy.fft.irfft(spectra, n=block, overwrite_x=True)
    return filtered[:, margin : margin + hop].reshape(-1)[:n_out]


def to_wideband(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns speech of any rate as float32 at 16 kHz, ceil(n * 16000 / sample_rate_hz) samples."""
    if sample_rate_hz <= 0:
        raise InputError(f"expected a sample rate above 0 Hz, got {sample_rate_hz}")
    samples = np.asarray(samples, dtype=np.float32)
    if sample_rate_hz == WIDEBAND_RATE_HZ or len(samples) == 0:
        return samples
    n_out = -(-len(samples) * WIDEBAND_RATE_HZ // int(sample_rate_hz))
    resampled = soxr.resample(samples, sample_rate_hz, WIDEBAND_RATE_HZ)[:n_out]
    return np.pad(resampled, (0, n_out - len(resampled)))  # soxr rounds the length


@lru_cache(maxsize=8)
def _response(low_hz: float, high_hz: float, handset: bool, ratio: int) -> tuple[np.ndarray, int]:
    """Returns the amplitude at the bins of one block, 0 to 4 kHz, and how many samples at 8 kHz its
    impulse response reaches to each side. Divided by `ratio`, which a decimation by it multiplies
    by, and complex, as the spectra are."""
    # The skirts end where the band does: a sixth of the way to 0 Hz, a fifth of that to 4 kHz
    # (standard deviations), but never steeper than a response of 0.1 s can be.
    low_width_hz = max(low_hz / 6, 10.0)
    high_width_hz = max((NYQUIST_HZ - high_hz) / 5, 10.0)
    # A Gaussian of deviation s in frequency is one of 1 / (2 pi s) in time: 1 / s is 6 of those.
    margin = int(np.ceil(TELEPHONE_RATE_HZ / min(low_width_hz, high_width_hz)))
    if handset:
        margin += int(np.ceil(TELEPHONE_RATE_HZ * MARGIN_S))
    block = 3 << (4 * margin).bit_length()  # of which the margins are a sixth at most

    frequency_hz = np.linspace(0.0, NYQUIST_HZ, block // 2 + 1)
    half_power = scipy.special.ndtri(np.sqrt(0.5))
    response = scipy.special.ndtr((high_hz - frequency_hz) / high_width_hz + half_power)
    if low_hz > 0:
        response *= scipy.special.ndtr((frequency_hz - low_hz) / low_width_hz + half_power)
    if handset:
        response *= handset_response(frequency_hz)
    response[-1] = 0.0  # the decimated signal cannot hold a phase at its Nyquist frequency
    return (rounded(response, 7) / ratio).astype(np.complex64), margin
