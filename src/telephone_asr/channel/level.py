"""How loud speech is: the active speech level of ITU-T P.56.

Levels are in dBov (ITU-T G.100.1): 0 dBov is the power of a full-scale square wave, so with
samples in -1..1 a level is 20 log10(rms), and a full-scale sine has -3.01 dBov.
"""

import math

import numpy as np
import scipy  # and a part of it, such as scipy.signal, at its first use: they take a second

from telephone_asr.channel.portable import decibels, energy

FRAME_S = 0.005  # at which the envelope is sampled
TIME_CONSTANT_S = 0.03  # P.56: of each of the two stages that smooth the envelope
HANGOVER_S = 0.2  # P.56: for so long speech goes on after the envelope fell below the threshold
MARGIN_DB = 15.9  # P.56: how far the activity threshold lies below the level
SILENCE_DB = -80.0  # dBov; quieter than this there is no speech to amplify (16-bit dither is -95)


def active_level_db(samples: np.ndarray, sample_rate_hz: int) -> float:
    """Returns the active speech level in dBov of samples (n,) on the scale -1..1; -inf for silence.

    ITU-T P.56 (12/2011), method B: the power of the speech over the time in which it is active.
    Active is where the envelope (rectified, smoothed twice) is above a threshold, and 0.2 s after;
    the threshold is the one that lies 15.9 dB below the level it leads to. Here the envelope is
    sampled every 5 ms, and the threshold is found exactly instead of between steps of 6 dB. The
    mean of the samples counts as no speech.
    """
    frame = max(1, min(len(samples), round(FRAME_S * sample_rate_hz)))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    if frames.size == 0:
        return -math.inf
    mean = float(_row_sums(frames).sum(dtype=np.float64)) / frames.size
    frames = frames - mean
    total = energy(frames)
    if not total > 0:
        return -math.inf
    envelope = _row_sums(np.abs(frames, out=frames)).astype(np.float64) / frame
    held = _hold(_smooth(envelope, frame / sample_rate_hz), frame / sample_rate_hz)
    # With the k loudest frames active, the level is energy / k and the threshold the k-th.
    loudest = np.sort(held)[::-1]
    level = total / (frame * np.arange(1, len(loudest) + 1))
    # The standard comes from below: the lowest threshold within the margin. A click has none.
    within = np.flatnonzero(level <= loudest**2 * 10 ** (MARGIN_DB / 10))
    return decibels(level[within[-1] if len(within) else -1])


def rms(samples: np.ndarray) -> float:
    """Returns the root mean square of float32 samples; 0 for none."""
    return math.sqrt(energy(samples) / len(samples)) if len(samples) else 0.0


def _row_sums(frames: np.ndarray) -> np.ndarray:
    """Returns frames.sum(axis=1), in a third of the time for rows as short as these."""
    return np.einsum("ij->i", frames)


def _smooth(envelope: np.ndarray, frame_s: float) -> np.ndarray:
    """Smooths by P.56's two stages, in one filter."""
    keep = math.exp(-frame_s / TIME_CONSTANT_S)
    return scipy.signal.lfilter([(1 - keep) ** 2], [1, -2 * keep, keep**2], envelope)


def _hold(envelope: np.ndarray, frame_s: float) -> np.ndarray:
    """Returns the highest of the envelope and its values of the last 0.2 s."""
    size = 1 + round(HANGOVER_S / frame_s)
    return scipy.ndimage.maximum_filter1d(
        envelope, size, mode="constant", cval=0.0, origin=(size - 1) // 2
    )
