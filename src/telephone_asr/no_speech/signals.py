"""What the network itself plays, from its parts: sines, cadences, keys, fax; and shaped noise.

Everything is at 16 kHz, before the line, and float64 on a scale of about 1. Sources:

- tones of exchanges: ITU-T E.180 (03/98) has the limits, its Supplement 2 (01/94) each country's;
- keys: ITU-T Q.23 has the frequencies, Q.24 how long a key is heard at the least;
- fax: ITU-T T.30 (calling tone 1100 Hz, called station 2100 Hz, then V.21 channel 2 with flags).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy  # and a part of it, such as scipy.fft, at its first use: they take a second

from telephone_asr.channel.band import WIDEBAND_RATE_HZ as RATE_HZ
from telephone_asr.channel.portable import rounded

# Hz together, and seconds on and off by turns.
Tone = tuple[tuple[float, ...], tuple[float, ...]]

CHINA: dict[str, Tone] = {
    "dial": ((450,), (1.0, 0.0)),
    "ring_back": ((450,), (1.0, 4.0)),
    "busy": ((450,), (0.35, 0.35)),
    "congestion": ((450,), (0.7, 0.7)),
    "call_waiting": ((450,), (0.4, 4.0)),
    "unobtainable": ((450,), (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4)),
}
ELSEWHERE: dict[str, Tone] = {
    "Europe, ring-back": ((425,), (1.0, 4.0)),
    "Germany, busy": ((425,), (0.48, 0.48)),
    "Hong Kong, ring-back": ((440, 480), (0.4, 0.2, 0.4, 3.0)),
    "Hong Kong, busy": ((480, 620), (0.5, 0.5)),
    "Japan, busy": ((400,), (0.5, 0.5)),
    "Taiwan, ring-back": ((440, 480), (1.0, 2.0)),
    "United Kingdom, ring-back": ((400, 450), (0.4, 0.2, 0.4, 2.0)),
    "United States, ring-back": ((440, 480), (2.0, 4.0)),
    "United States, reorder": ((480, 620), (0.25, 0.25)),
}
KEYS = {
    key: (low_hz, high_hz)
    for low_hz, row in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for high_hz, key in zip((1209, 1336, 1477, 1633), row, strict=True)
}
V21_BITS_A_SECOND = 300
V21_FLAG = (0, 1, 1, 1, 1, 1, 1, 0)  # of HDLC: the preamble repeats it for a second
EDGE_SAMPLES = 48  # 3 ms, in which a tone comes and goes


def sine(frequency_hz: float, n: int, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz / RATE_HZ * np.arange(n) + phase)


def chord(frequencies_hz: Sequence[float], n: int, phase: float = 0.0) -> np.ndarray:
    """Returns sines of equal amplitude together."""
    return sum((sine(hz, n, phase * (i + 1)) for i, hz in enumerate(frequencies_hz)), np.zeros(n))


def cadence(turns_s: Sequence[float], n: int, start_s: float = 0.0) -> np.ndarray:
    """Returns 1 where it is on and 0 where it is off, n samples from `start_s` on: on for the
    first, off for the second of the turns, and so on over and over."""
    ends = np.cumsum(turns_s)
    place = (start_s + np.arange(n) / RATE_HZ) % ends[-1]
    on = np.searchsorted(ends, place, side="right") % 2 == 0
    return scipy.ndimage.uniform_filter1d(on.astype(float), EDGE_SAMPLES, mode="nearest")


def keys(
    pressed: Sequence[str], on_s: Sequence[float], off_s: Sequence[float], twist_db: float, n: int
) -> np.ndarray:
    """Returns keys one after the other, each heard so long and followed by so long a pause.

    twist_db: how much louder the high one of the two frequencies is.
    """
    high = rounded(10 ** (twist_db / 20))
    sound, start = np.zeros(n), 0
    for key, on, off in zip(pressed, on_s, off_s, strict=True):
        size = min(round(on * RATE_HZ), n - start)
        if size <= 0:
            break
        low_hz, high_hz = KEYS[key]
        sound[start : start + size] = sine(low_hz, size) + high * sine(high_hz, size)
        start += size + round(off * RATE_HZ)
    return sound


def v21(bits: Sequence[int], mark_hz: float, space_hz: float, n: int) -> np.ndarray:
    """Returns bits as V.21 sends them, 300 a second and one after the other without a jump of the
    phase; 1 is the mark. They are repeated to n samples."""
    place = np.arange(n) * V21_BITS_A_SECOND // RATE_HZ % len(bits)
    hz = np.where(np.asarray(bits)[place], mark_hz, space_hz)
    return np.sin(np.cumsum(2 * np.pi * hz / RATE_HZ))


def noise(
    rng: np.random.Generator, n: int, at_hz: Sequence[float], level_db: Sequence[float]
) -> np.ndarray:
    """Returns Gaussian noise with a spectrum that goes in straight lines through these points, in
    dB over Hz, and level beyond them; rms 1."""
    size = scipy.fft.next_fast_len(max(n, 256), real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size))
    hz = scipy.fft.rfftfreq(size, 1 / RATE_HZ)
    spectrum *= rounded(10 ** (np.interp(hz, at_hz, level_db) / 20))
    sound = scipy.fft.irfft(spectrum, n=size)
    return sound[:n] / np.sqrt(np.mean(sound**2))


def curve(at_s: Sequence[float], values: Sequence[float], n: int) -> np.ndarray:
    """Returns n samples of what goes in straight lines through these points."""
    return np.interp(np.arange(n) / RATE_HZ, at_s, values)
