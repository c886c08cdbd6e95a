"""What is heard beside the speaker: white and pink noise, mains hum.

Signal-to-noise ratios are against the active speech level (see `level`): pauses do not count as
speech, silence is no reason for silence around it.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import scipy  # and a part of it, such as scipy.fft, at its first use: they take a second

from telephone_asr.channel.band import WIDEBAND_RATE_HZ, to_wideband
from telephone_asr.channel.portable import amplitude, random_numbers

TRACK_SAMPLES = 1 << 19  # 33 s at 16 kHz
LOWEST_RMS = 1e-3
LOWEST_PINK_HZ = 50.0  # below it the spectrum is flat; no telephone carries it


@dataclass(frozen=True, eq=False)
class Track:
    """A sound without end at 16 kHz: float32 (n,), after which it begins again.

    energy: float64 (n + 1,), the sum of the squares of all samples before each. How loud a piece is
    is read off it: to sum the squares of every piece takes as long as to add the piece.
    """

    samples: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray) -> "Track":
        energy = np.cumsum(np.square(samples, dtype=np.float64))
        samples.flags.writeable = False  # shared by every caller
        return cls(samples, np.concatenate([[0.0], energy]))

    def piece(self, place: float, n_samples: int) -> tuple[np.ndarray, float]:
        """Returns n_samples from `place` on, a share of the track from 0 to 1, and their rms."""
        n = len(self.samples)
        start = int(place * n)
        rounds, end = divmod(start + n_samples, n)
        total = max(0.0, rounds * self.energy[-1] + self.energy[end] - self.energy[start])
        return circular(self.samples, start, n_samples), math.sqrt(total / max(n_samples, 1))


def noise_of(samples: np.ndarray, sample_rate_hz: int) -> Track:
    """Returns recorded noise, int16 of any rate, as a track of rms 1; digital silence stays it."""
    noise = to_wideband(samples, sample_rate_hz)
    level = math.sqrt(np.mean(np.square(noise, dtype=np.float64)))
    return Track.of(noise / np.float32(max(level, 1.0)))


@lru_cache(maxsize=2)
def noise_track(colour: str) -> Track:
    """Returns "white" or "pink" noise, TRACK_SAMPLES, rms 1, always the same.

    An utterance takes its noise from a random point of it: fresh Gaussian numbers would cost two
    fifths of the whole line.
    """
    white = random_numbers(len(colour)).standard_normal(TRACK_SAMPLES).astype(np.float32)
    return Track.of(_pink(white) if colour == "pink" else white)


def _pink(white: np.ndarray) -> np.ndarray:
    """Shapes white noise at 16 kHz to a power that falls by 3.01 dB an octave from 50 Hz on, rms 1:
    in one FFT of its own length, so its end goes on into its beginning."""
    spectrum = scipy.fft.rfft(white)
    frequency_hz = scipy.fft.rfftfreq(len(white), 1 / WIDEBAND_RATE_HZ)
    spectrum *= (1 / np.sqrt(np.maximum(frequency_hz, LOWEST_PINK_HZ))).astype(np.float32)
    noise = scipy.fft.irfft(spectrum, n=len(white), overwrite_x=True)
    return noise * np.float32(1 / np.sqrt(np.mean(noise**2, dtype=np.float64)))


@lru_cache(maxsize=8)
def hum_track(frequency_hz: float, harmonics: int) -> Track:
    """Returns mains hum, rms 1: `harmonics` lines at k * frequency_hz, the k-th with amplitude
    1 / k of the first. The fewest whole cycles that are a whole number of samples (320 for 50 Hz),
    repeated to at least eight seconds: see `circular`."""
    samples_a_cycle = Fraction(WIDEBAND_RATE_HZ / frequency_hz).limit_denominator(100)
    n_samples, n_cycles = samples_a_cycle.numerator, samples_a_cycle.denominator
    k = np.arange(1, harmonics + 1)[:, None]
    phase = 2 * np.pi * n_cycles * np.arange(n_samples) / n_samples
    # The phases k * k spread the peaks of the harmonics over the cycle.
    period = (np.sin(k * phase + k * k) / k).sum(axis=0)
    period = (period / np.sqrt(np.mean(period**2))).astype(np.float32)
    return Track.of(np.tile(period, -(-8 * WIDEBAND_RATE_HZ // n_samples)))


def add_at_snr(
    speech: np.ndarray, noise: np.ndarray, noise_rms: float, speech_level_db: float, snr_db: float
) -> None:
    """Adds noise to float32 speech in place, its power `snr_db` below the active speech level in
    dBov. Noise that is all but silent, a pause in babble or music, is not blown up to that."""
    gain = amplitude(speech_level_db - snr_db) / np.float32(max(noise_rms, LOWEST_RMS))
    speech += noise * gain


def circular(period: np.ndarray, start: int, n_samples: int) -> np.ndarray:
    """Returns n_samples of an endlessly repeated period, from `start` on."""
    head = period[start : start + n_samples]
    missing = n_samples - len(head)
    if missing == 0:
        return head
    whole, rest = divmod(missing, len(period))
    return np.concatenate([head, *[period] * whole, period[:rest]])
