"""Pink noise: the same power in every octave, like much of what surrounds a telephone."""

import numpy as np
import scipy  # and a part of it, such as scipy.signal, at its first use: they take a second

from telephone_asr.channel.band import WIDEBAND_RATE_HZ

LOWEST_HZ = 50.0  # below it the spectrum is flat; no telephone carries it


def pink_noise(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Returns Gaussian noise at 16 kHz, float32 (n_samples,), rms 1, whose power falls by 3.01 dB
    an octave from 50 Hz to 8 kHz.

    White noise shaped in one FFT of its own length, so its end goes on into its beginning.
    """
    if n_samples == 0:
        return np.zeros(0, dtype=np.float32)
    spectrum = scipy.fft.rfft(rng.standard_normal(n_samples).astype(np.float32))
    frequency_hz = scipy.fft.rfftfreq(n_samples, 1 / WIDEBAND_RATE_HZ)
    spectrum *= (1 / np.sqrt(np.maximum(frequency_hz, LOWEST_HZ))).astype(np.float32)
    noise = scipy.fft.irfft(spectrum, n=n_samples, overwrite_x=True)
    noise *= np.float32(1 / np.sqrt(np.mean(noise**2, dtype=np.float64)))
    return noise
