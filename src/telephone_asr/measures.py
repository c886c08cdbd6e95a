"""A few numbers that say what the sound of an utterance is like.

They are taken once, when a corpus is decoded, and kept in each cut (custom: measures), so that
limits can be changed without touching the sound again: `manifests.quality` judges by them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from telephone_asr.channel.level import active_level_db
from telephone_asr.channel.portable import decibels
from telephone_asr.shards import Utterance

FLOOR_DB = -120.0  # stands for the level of digital silence
QUIET_PEAK = 100  # of int16: below this, samples are too coarse to tell a flat top
SPECTRUM_SAMPLES = 512
LOW_BAND_HZ, HIGH_BAND_HZ = (300.0, 3700.0), (4300.0, 8000.0)
PITCH_FRAME_S, PITCH_FRAMES = 0.04, 20  # so many loud ones tell it
PITCH_RATE_HZ = 8000  # or a little more
PITCH_HZ = (45.0, 600.0)  # wider than voices, to see those that are played too fast or too slow
VOICED = 0.5  # normalised autocorrelation


def measure(samples: np.ndarray, sample_rate_hz: int) -> dict:
    """Returns the measures of int16 samples (n,), n > 0, as a JSON-able dict.

    - sha: 64 bits of a hash of the samples, in hex: equal for equal sound.
    - level_db: active speech level (ITU-T P.56) in dBov, FLOOR_DB for silence.
    - activity: share of the time in which speech is active, by the same standard.
    - snr_db: how far that level lies above the quietest tenth of the 20 ms frames. An estimate: of
      speech without a pause it is too low.
    - clipped: share of samples that lie, with both their neighbours, at the highest or the lowest
      value of all: flat tops, at whatever level they were cut.
    - dc: mean, as a share of full scale.
    - high_band_db: power at 4.3-8 kHz over that at 0.3-3.7 kHz. None below 11 kHz of sample rate.
      16 kHz speech that was once sampled at 8 kHz has next to nothing there.
    - pitch_hz: median over the loud voiced frames, None where there are none.
    """
    wave, dc, level_db = _levelled(samples, sample_rate_hz)
    power_db = _db(float(np.mean(wave**2)))
    high_db, pitch_hz = None, None
    if level_db > FLOOR_DB:
        high_db = _high_band_db(wave, sample_rate_hz)
        pitch_hz = _pitch_hz(wave, sample_rate_hz, level_db)
    return {
        "sha": hashlib.blake2b(samples.tobytes(), digest_size=8).hexdigest(),
        "level_db": round(level_db, 1),
        "activity": round(min(1.0, 10 ** ((power_db - level_db) / 10)), 3),
        "snr_db": _snr_db(wave, sample_rate_hz, level_db),
        "clipped": round(_clipped_share(samples), 4),
        "dc": round(dc, 4),
        "high_band_db": None if high_db is None else round(high_db, 1),
        "pitch_hz": None if pitch_hz is None else round(pitch_hz, 1),
    }


def snr_db(samples: np.ndarray, sample_rate_hz: int) -> float:
    """Returns that one measure, in a tenth of the time of all."""
    wave, _, level_db = _levelled(samples, sample_rate_hz)
    return _snr_db(wave, sample_rate_hz, level_db)


def with_measures(utterance: Utterance) -> Utterance:
    """Returns the utterance with `measure`'s numbers in its custom fields."""
    measures = measure(utterance.samples, utterance.sample_rate_hz)
    return replace(utterance, custom=utterance.custom | {"measures": measures})


def _levelled(samples: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, float, float]:
    """Returns samples on the scale -1..1 without their mean, the mean, and their active level."""
    wave = samples * np.float32(1 / 32768)
    dc = float(wave.mean())
    wave -= np.float32(dc)
    return wave, dc, max(FLOOR_DB, active_level_db(wave, sample_rate_hz))


def _snr_db(wave: np.ndarray, sample_rate_hz: int, level_db: float) -> float:
    return round(level_db - _quiet_db(wave, sample_rate_hz), 1)


def _db(power: float) -> float:
    return max(FLOOR_DB, decibels(power))


def _frames(wave: np.ndarray, frame: int) -> np.ndarray:
    """Returns (n_frames, frame) without the rest; one short frame where there is no whole one."""
    frame = max(1, min(frame, len(wave)))
    return wave[: len(wave) // frame * frame].reshape(-1, frame)


def _quiet_db(wave: np.ndarray, sample_rate_hz: int) -> float:
    frames = _frames(wave, sample_rate_hz // 50)
    power = np.einsum("ij,ij->i", frames, frames) / frames.shape[1]
    return _db(float(np.percentile(power, 10)))


def _clipped_share(samples: np.ndarray) -> float:
    highest, lowest = int(samples.max()), int(samples.min())
    if max(highest, -lowest) < QUIET_PEAK or len(samples) < 3:
        return 0.0
    extreme = (samples == highest) | (samples == lowest)
    return float(np.mean(extreme[:-2] & extreme[1:-1] & extreme[2:]))


def _high_band_db(wave: np.ndarray, sample_rate_hz: int) -> float | None:
    if sample_rate_hz < 11000:
        return None
    frames = _frames(wave, SPECTRUM_SAMPLES)
    window = np.hanning(frames.shape[1]).astype(np.float32)
    power = _power(np.fft.rfft(frames * window)).sum(axis=0)
    frequency_hz = np.fft.rfftfreq(frames.shape[1], 1 / sample_rate_hz)
    low, high = (
        float(power[(frequency_hz >= band[0]) & (frequency_hz <= band[1])].sum())
        for band in (LOW_BAND_HZ, HIGH_BAND_HZ)
    )
    return _db(high / low) if low > 0 else None


def _pitch_hz(wave: np.ndarray, sample_rate_hz: int, level_db: float) -> float | None:
    """Measures by autocorrelation, corrected for the window (P. Boersma, "Accurate short-term
    analysis of the fundamental frequency", 1993); of each frame the shortest lag of nearly the
    highest peak."""
    step = max(1, sample_rate_hz // PITCH_RATE_HZ)
    wave, rate_hz = np.einsum("ij->i", _frames(wave, step)), sample_rate_hz / step
    frames = _frames(wave, round(PITCH_FRAME_S * rate_hz))
    power = np.einsum("ij,ij->i", frames, frames) / frames.shape[1]
    frames = frames[power > step**2 * 10 ** ((level_db - 6) / 10)]
    frames = frames[:: max(1, len(frames) // PITCH_FRAMES)]
    n = frames.shape[1]
    first = round(rate_hz / PITCH_HZ[1])
    last = min(round(rate_hz / PITCH_HZ[0]), n * 3 // 4)
    if len(frames) == 0 or last - first < 3:
        return None
    window = np.hanning(n).astype(np.float32)
    of_window = _autocorrelation(window[None])[0]
    likeness = _autocorrelation(frames * window)
    likeness = likeness / likeness[:, :1] / (of_window / of_window[0])
    likeness = likeness[:, first - 1 : last + 1]
    middle = likeness[:, 1:-1]
    highest = middle.max(axis=1, keepdims=True)
    peak = (middle >= likeness[:, :-2]) & (middle >= likeness[:, 2:]) & (middle >= 0.9 * highest)
    voiced = peak.any(axis=1) & (highest[:, 0] > VOICED)
    if not voiced.any():
        return None
    lags = first + peak[voiced].argmax(axis=1)
    return float(rate_hz / np.median(lags))


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    n = frames.shape[1]
    spectrum = np.fft.rfft(frames, 1 << (2 * n - 1).bit_length())
    return np.fft.irfft(_power(spectrum))[:, :n]


def _power(spectrum: np.ndarray) -> np.ndarray:
    """Returns the power without the magnitude, which processors round otherwise."""
    return spectrum.real**2 + spectrum.imag**2
