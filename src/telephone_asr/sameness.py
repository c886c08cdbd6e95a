"""Which recordings are the same one, also resampled and coded anew.

By sub-fingerprints (J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR
2002): every 12 ms a word of bits, each the sign of how the difference between the powers of two
neighbouring bands has changed. By hand, because the library for it, Chromaprint, is made for music:
it hears nothing of less than three seconds, and has no wheel. Bands up to 1.2 kHz, which every
telephone codec keeps, and of 96 ms, shorter than Haitsma's, since utterances are short.

The words find what may be the same; whether it is, the waveforms decide: a codec leaves them alike,
and nobody says a thing twice with the same waveform.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import soxr

SOUND = "sound_words"  # a cut's custom field that has them
RATE_HZ = 4000
WINDOW, HOP = 384, 48  # samples: 96 and 12 ms
EDGES_HZ = np.round(300 * 4 ** (np.arange(18) / 17), 3)  # of 17 bands up to 1.2 kHz
SMOOTH, LAG = 8, 8  # words: power over 84 ms more, against that of 96 ms before
LOUD = 10**-2.5  # of the loudest: in what is quieter a codec writes its own noise
MAX_WORDS = 5000  # the first minute tells
FEWEST = 25  # loud words; 0.3 s
MAX_DIFFERENT, MIN_OVERLAP = 0.25, 0.7  # share of the bits; of loud words beside each other
BAND_HZ, ALIKE_HZ = (300, 3400), 8000  # in which waveforms are compared, and at which rate
ALIKE = 0.8  # highest correlation, by which docs/data.md has what was found
PIECE, DRIFT = 4000, 5e-4  # 0.5 s; of the time, by how much two clocks move apart at the most
ALIKE_S = 75  # of the beginning are compared
KEY_LAG = 8  # an index's key is two words, 96 ms apart
CROWD = 8  # recordings with one key that are compared each with each
KEYS_AT_ONCE = 1 << 25


def words(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns the words (n,) uint16 of int16 samples (m,); 0 where it is quiet.

    They are taken from power spectra at 4 kHz, by operations that every processor rounds alike.
    """
    wave = samples.astype(np.float32)
    if sample_rate_hz != RATE_HZ:
        wave = soxr.resample(wave, sample_rate_hz, RATE_HZ)
    wave = wave[: (MAX_WORDS + SMOOTH + LAG) * HOP + WINDOW].astype(np.float64)
    if len(wave) < WINDOW:
        return np.zeros(0, dtype=np.uint16)
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    spectra = np.fft.rfft(frames * np.hanning(WINDOW))
    below = np.cumsum(spectra.real**2 + spectra.imag**2, axis=1)
    place = EDGES_HZ * WINDOW / RATE_HZ
    bins = place.astype(int)
    power = np.diff(below[:, bins] + (place - bins) * np.diff(below, axis=1)[:, bins], axis=1)
    power = np.cumsum(np.vstack([np.zeros((1, power.shape[1])), power]), axis=0)
    power = power[SMOOTH:] - power[:-SMOOTH]
    if len(power) <= LAG:
        return np.zeros(0, dtype=np.uint16)
    change = power[LAG:] - power[:-LAG]
    bits = change[:, :-1] > change[:, 1:]
    total = power.sum(axis=1)
    loud = np.minimum(total[LAG:], total[:-LAG]) > LOUD * total.max()
    high, low = np.packbits(bits, axis=1).T.astype(np.uint16)
    return loud * (high << 8 | low)


def as_text(own: np.ndarray) -> str:
    """Returns the words in a form that JSON has."""
    return base64.b64encode(own.astype(">u2").tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), ">u2").astype(np.uint16)


def alike(a: np.ndarray, a_rate_hz: int, b: np.ndarray, b_rate_hz: int) -> float:
    """Returns the correlation of two sounds in the telephone band, shifted and turned over as it
    fits: 1 for one recording, over 0.8 after any codec but the coarsest, less for two.

    Once shifted as a whole, pieces of them are shifted by themselves: the clocks of two recorders
    differ, and in a whole call they move apart.
    """
    waves = []
    for samples, rate_hz in ((a, a_rate_hz), (b, b_rate_hz)):
        wave = samples[: ALIKE_S * rate_hz].astype(np.float32)
        waves.append(wave if rate_hz == ALIKE_HZ else soxr.resample(wave, rate_hz, ALIKE_HZ))
    n = 1 << (sum(map(len, waves)) - 1).bit_length()
    frequency_hz = np.fft.rfftfreq(n, 1 / ALIKE_HZ)
    band = (frequency_hz > BAND_HZ[0]) & (frequency_hz < BAND_HZ[1])
    a, b = (np.fft.irfft(np.fft.rfft(wave, n) * band, n)[: len(wave)] for wave in waves)
    energy = np.sqrt(np.sum(a**2) * np.sum(b**2))
    if not energy > 0:
        return 0.0
    shift = int(np.abs(_across(a, b, n)).argmax())
    shift -= n if shift > len(a) else 0
    a, b = a[max(0, shift) :], b[max(0, -shift) :]
    together = min(len(a), len(b))
    apart = 1 + round(DRIFT * together)  # samples
    highest = 0.0
    for at in range(0, together, PIECE):
        across = np.abs(_across(a[at : at + PIECE], b[at : at + PIECE], 2 * PIECE))
        highest += max(across[: apart + 1].max(), across[-apart:].max())
    return float(highest / energy)


def _across(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Returns the cross-correlation for each shift of b, those to the left from the end on."""
    return np.fft.irfft(np.fft.rfft(a, n) * np.fft.rfft(b, n).conj(), n)


def same_words(
    a: np.ndarray, b: np.ndarray, offset: int, fewest: float = FEWEST
) -> tuple[int, int] | None:
    """Returns first word in `a`, and how many, of what two sounds have in common where b begins
    `offset` words later; None where their words are not nearly the same there, or fewer are loud in
    both."""
    first = max(0, offset)
    a, b = a[first:], b[first - offset :]
    n = min(len(a), len(b))
    both = (a[:n] != 0) & (b[:n] != 0)
    if np.count_nonzero(both) < fewest:
        return None
    different = np.bitwise_count(a[:n][both] ^ b[:n][both]).mean() / 16
    return (first, n) if different <= MAX_DIFFERENT else None


def _may_be_one(a: np.ndarray, b: np.ndarray, offset: int) -> bool:
    """Returns whether most of two recordings is nearly the same where b begins `offset` later."""
    n_loud = max(np.count_nonzero(a), np.count_nonzero(b))
    return same_words(a, b, offset, max(FEWEST, MIN_OVERLAP * n_loud)) is not None


def twins(
    recordings: Sequence[np.ndarray], are_one: Callable[[int, int], bool]
) -> dict[int, list[int]]:
    """Returns for each recording that others are the same as, by number, which; found over keys
    that they share, so that the time grows as their number does.

    recordings: their `words`. are_one: compares the sound of two, asked where words are nearly the
    same.
    """
    found = defaultdict(list)
    compared: dict[tuple[int, int], bool] = {}
    for i, j, offset in _candidates(recordings):
        if (i, j) in compared or not _may_be_one(recordings[i], recordings[j], offset):
            continue
        compared[i, j] = are_one(i, j)
        if compared[i, j]:
            found[i].append(j)
            found[j].append(i)
    return {i: sorted(others) for i, others in found.items()}


def word_keys(own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys that words give, two of them each, and where."""
    first, second = own[:-KEY_LAG].astype(np.uint32), own[KEY_LAG:]
    at = np.flatnonzero((first != 0) & (second != 0))
    return first[at] << 16 | second[at], at.astype(np.int32)


def _candidates(recordings: Sequence[np.ndarray]) -> Iterator[tuple[int, int, int]]:
    """Yields pairs of recordings that share a key, and by how much the second begins later."""
    passes = 1 + sum(map(len, recordings)) // KEYS_AT_ONCE
    for own in range(passes):
        none = np.zeros(0, dtype=np.int64)
        keys, owners, places = [none], [none], [none]
        for number, recording in enumerate(recordings):
            key, at = word_keys(recording)
            now = key % passes == own
            keys.append(key[now])
            owners.append(np.full(np.count_nonzero(now), number, dtype=np.uint32))
            places.append(at[now])
        yield from _pairs(*map(np.concatenate, (keys, owners, places)))


def _pairs(
    keys: np.ndarray, owners: np.ndarray, places: np.ndarray
) -> Iterator[tuple[int, int, int]]:
    order = np.lexsort((places, owners, keys))
    keys, owners, places = keys[order], owners[order], places[order]
    # Where the next few of the same key are; of a crowd each is compared with few of it.
    for step in range(1, CROWD):
        alike = np.flatnonzero((keys[:-step] == keys[step:]) & (owners[:-step] != owners[step:]))
        pairs = np.stack(
            [owners[alike], owners[alike + step], places[alike] - places[alike + step]], axis=1
        ).astype(np.int64)
        yield from map(tuple, np.unique(pairs, axis=0).tolist())
