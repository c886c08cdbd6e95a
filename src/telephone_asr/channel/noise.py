"""What is heard beside the speaker: white noise, mains hum, other people talking.

Levels are in dBov (ITU-T G.100.1): 0 dBov is the power of a full-scale square wave, so with
samples in -1..1 a level is 20 log10(rms), and a full-scale sine has -3.01 dBov.
Signal-to-noise ratios are against the active speech level: pauses do not count as speech.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from telephone_asr.channel.band import WIDEBAND_RATE_HZ, to_wideband
from telephone_asr.errors import InputError

FRAME_S = 0.02
ACTIVITY_MARGIN_DB = 15.9  # ITU-T P.56: how far the activity threshold lies below the level
SILENCE_DB = -80.0  # dBov; quieter than this there is no speech to amplify (16-bit dither is -95)
TRACK_RMS = 0.1  # of a babble track; leaves 20 dB for its peaks in int16


def active_level_db(samples: np.ndarray, sample_rate_hz: int) -> float:
    """Active speech level in dBov of samples (n,) on the scale -1..1; -inf for silence.

    The power of the samples less their mean, over the 20 ms frames that are active: those no more
    than 15.9 dB below the level itself. Found by raising the threshold until it agrees with the
    level it gives. This is the definition of ITU-T P.56 on frames instead of on its envelope.
    """
    frame = max(1, min(len(samples), round(FRAME_S * sample_rate_hz)))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    if frames.size == 0:
        return -math.inf
    mean = float(np.mean(samples, dtype=np.float64))
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / frame
    # Leaves rounding errors of a constant signal, which are no speech: see SILENCE_DB.
    power = np.maximum(power + mean * (mean - 2 * frames.mean(axis=1, dtype=np.float64)), 0.0)
    while True:
        level = float(power.mean())
        active = power[power >= level * 10 ** (-ACTIVITY_MARGIN_DB / 10)]
        if len(active) == len(power):
            return 10 * math.log10(level) if level > 0 else -math.inf
        power = active


def white_noise(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Gaussian white noise, float32 (n_samples,), rms 1."""
    return rng.standard_normal(n_samples, dtype=np.float32)


def mains_hum(
    rng: np.random.Generator, n_samples: int, frequency_hz: float, harmonics: int
) -> np.ndarray:
    """Hum at 16 kHz, float32 (n_samples,), rms 1: `harmonics` lines at k * frequency_hz, the k-th
    with amplitude 1 / k of the first, starting anywhere in its period."""
    period = _hum_period(frequency_hz, harmonics)
    return _circular(period, int(rng.integers(len(period))), n_samples)


@lru_cache(maxsize=8)
def _hum_period(frequency_hz: float, harmonics: int) -> np.ndarray:
    """The fewest whole cycles that are a whole number of samples (320 for 50 Hz)."""
    samples_a_cycle = Fraction(WIDEBAND_RATE_HZ / frequency_hz).limit_denominator(100)
    n_samples, n_cycles = samples_a_cycle.numerator, samples_a_cycle.denominator
    k = np.arange(1, harmonics + 1)[:, None]
    phase = 2 * np.pi * n_cycles * np.arange(n_samples) / n_samples
    # The phases k * k spread the peaks of the harmonics over the cycle.
    period = (np.sin(k * phase + k * k) / k).sum(axis=0)
    period = (period / np.sqrt(np.mean(period**2))).astype(np.float32)
    period.flags.writeable = False  # shared by every caller
    return period


def add_at_snr(
    speech: np.ndarray, noise: np.ndarray, noise_rms: float, speech_level_db: float, snr_db: float
) -> None:
    """Add noise to float32 speech in place, `snr_db` below the active speech level in dBov."""
    speech += noise * np.float32(10 ** ((speech_level_db - snr_db) / 20) / noise_rms)


def rms(samples: np.ndarray) -> float:
    """Root mean square of float32 samples; 0 for none."""
    return math.sqrt(float(np.dot(samples, samples)) / len(samples)) if len(samples) else 0.0


@dataclass(frozen=True, eq=False)
class BabblePool:
    """Babble mixed beforehand: drawing from it costs a copy.

    tracks: int16 (n_tracks, n_samples) at 16 kHz, all of one rms. talkers: who speaks in each.
    A plain value of n_tracks * track_s * 32 kB (15 MB by default): it pickles to workers as it is.
    """

    tracks: np.ndarray
    talkers: tuple[tuple[str, ...], ...]

    @classmethod
    def build(
        cls,
        speech: Iterable[tuple[str, np.ndarray]],
        talkers: tuple[int, int] = (4, 8),
        seed: int = 0,
        *,
        sample_rate_hz: int = WIDEBAND_RATE_HZ,
        n_tracks: int = 16,
        track_s: float = 30.0,
    ) -> "BabblePool":
        """Mix `n_tracks` tracks, each of talkers[0] to talkers[1] voices at equal active level.

        speech: (speaker, samples -1..1) pairs; of each speaker the first `track_s` seconds are
        held in memory (2 MB), the rest is skipped: a hundred speakers are plenty.
        The result depends on the speech, its order and the seed alone.
        Tracks leave out one speaker after the other, so that nobody need be mixed with their own
        voice: from 2 to `n_tracks` speakers, each is missing from some track; with more, chance
        sees to it. Where speakers are fewer than talkers, one talks more than once in a track.
        Raises InputError if no pair holds any speech.
        """
        voices = _voices(speech, sample_rate_hz, round(track_s * WIDEBAND_RATE_HZ))
        if not voices:
            raise InputError("no speech to make babble of: every utterance given is silent")
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
        names = sorted(voices)
        tracks, track_talkers = [], []
        for index in range(n_tracks):
            others = [n for n in names if n != names[index % len(names)]] or names
            n_talkers = int(rng.integers(talkers[0], talkers[1], endpoint=True))
            chosen = _choose(rng, others, n_talkers)
            tracks.append(_mix(rng, [voices[name] for name in chosen]))
            track_talkers.append(tuple(chosen))
        return cls(np.stack(tracks), tuple(track_talkers))

    def draw(
        self, rng: np.random.Generator, n_samples: int, not_speaker: str
    ) -> tuple[np.ndarray, int]:
        """Float32 babble (n_samples,) at 16 kHz without `not_speaker`, and how many talk in it.

        A random track from a random point, going round at its end. Where everyone is
        `not_speaker` (a corpus of one speaker) that voice is used nevertheless.
        """
        without = [i for i, names in enumerate(self.talkers) if not_speaker not in names]
        index = int(rng.choice(without or len(self.talkers)))
        track = self.tracks[index]
        piece = _circular(track, int(rng.integers(len(track))), n_samples)
        return piece.astype(np.float32) / np.float32(32768), len(self.talkers[index])


def _voices(
    speech: Iterable[tuple[str, np.ndarray]], sample_rate_hz: int, n_samples: int
) -> dict[str, np.ndarray]:
    """Of each speaker (n_samples,) float32 at 16 kHz: utterances at 0 dBov end to end, repeated
    where they are too few."""
    utterances: dict[str, list[np.ndarray]] = {}
    for speaker, samples in speech:
        kept = utterances.setdefault(speaker, [])
        if sum(map(len, kept)) >= n_samples:
            continue
        wideband = to_wideband(samples, sample_rate_hz)
        level_db = active_level_db(wideband, WIDEBAND_RATE_HZ)
        if level_db > SILENCE_DB:
            kept.append(wideband * np.float32(10 ** (-level_db / 20)))
    return {s: np.resize(np.concatenate(kept), n_samples) for s, kept in utterances.items() if kept}


def _choose(rng: np.random.Generator, names: list[str], n_talkers: int) -> list[str]:
    """n_talkers names, nobody a second time before everybody has been chosen."""
    chosen: list[str] = []
    while len(chosen) < n_talkers:
        chosen += [names[i] for i in rng.permutation(len(names))]
    return chosen[:n_talkers]


def _mix(rng: np.random.Generator, voices: list[np.ndarray]) -> np.ndarray:
    """Voices, each from a random point, summed to one int16 track."""
    track = np.zeros(len(voices[0]), dtype=np.float32)
    for voice in voices:
        track += np.roll(voice, int(rng.integers(len(voice))))
    track *= np.float32(TRACK_RMS * 32768 / rms(track))
    return np.rint(np.clip(track, -32768, 32767)).astype(np.int16)


def _circular(period: np.ndarray, start: int, n_samples: int) -> np.ndarray:
    """n_samples of an endlessly repeated period, from `start` on."""
    head = period[start : start + n_samples]
    if len(head) == n_samples:
        return head
    return np.concatenate([head, np.resize(period, n_samples - len(head))])
