"""Music on hold and the network's tones, told from speech by what stays where it is.

A note and a tone hold their frequency, noise is at no time what it was before, and of speech the
harmonics glide and the syllables end.
"""

from __future__ import annotations

import numpy as np
import scipy  # and a part of it, such as scipy.ndimage, at its first use: they take a second

RATE_HZ = 8000
WINDOW, HOP = 512, 128  # samples: 64 and 16 ms
BAND_HZ = (200.0, 3400.0)
# Share of the power that stays in its place for so many windows. Measured on human and synthetic
# calls, single words too, and on music and tones over lines: docs/unlabelled.md.
STEADY = {"speech": (32, 0.3), "other": (16, 0.25)}
SHORTEST_S = 0.9  # a vowel alone is steady too


def is_music(samples: np.ndarray, heard_as: str) -> bool:
    """Returns whether int16 samples at 8 kHz are music or tones. heard_as: what the voice activity
    detector takes them for, "speech" or "other"; of speech more is asked."""
    windows, least = STEADY[heard_as]
    if len(samples) < SHORTEST_S * RATE_HZ:
        return False
    return steady_share(samples, windows) >= least


def steady_share(samples: np.ndarray, windows: int) -> float:
    """Returns the share of the power, 0 to 1, that is in its place for that many windows; 0 of
    sound that is shorter."""
    if len(samples) < WINDOW + windows * HOP:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), WINDOW)[::HOP]
    spectra = np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32))
    frequency_hz = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)
    inside = (frequency_hz >= BAND_HZ[0]) & (frequency_hz <= BAND_HZ[1])
    power = (spectra.real**2 + spectra.imag**2)[:, inside]
    # What is there throughout some stretch of so many windows, for each of its windows.
    stays = scipy.ndimage.minimum_filter1d(power, windows, axis=0, mode="nearest")
    stays = scipy.ndimage.maximum_filter1d(stays, windows, axis=0, mode="nearest", origin=-1)
    total = float(power.sum())
    return float(np.minimum(stays, power).sum()) / total if total > 0 else 0.0
