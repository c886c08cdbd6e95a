"""Which recordings are the same one, also resampled and coded anew.

By sub-fingerprints (J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR
2002): every 12 ms a word of bits, each the sign of how the difference between the powers of two
neighbouring bands has changed. By hand, because the library for it, Chromaprint, is made for music:
it hears nothing of less than three seconds, and has no wheel. Bands up to 1.2 kHz, which every
telephone codec keeps, and of 96 ms, shorter than Haitsma's, since utterances are short.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import soxr

RATE_HZ = 4000
WINDOW, HOP = 384, 48  # samples: 96 and 12 ms
EDGES_HZ = np.round(300 * 4 ** (np.arange(18) / 17), 3)  # of 17 bands up to 1.2 kHz
SMOOTH, LAG = 8, 8  # words: power over 84 ms more, against that of 96 ms before
LOUD = 10**-2.5  # of the loudest: in what is quieter a codec writes its own noise
MAX_WORDS = 5000  # the first minute tells
FEWEST = 25  # loud words; 0.3 s
# Share of different bits, less where one word is all that is said (of 78 loud words and fewer in
# proportion), and of loud words beside each other. docs/data.md says what they lead to.
MAX_DIFFERENT, MAX_DIFFERENT_PER_WORD, MIN_OVERLAP = 0.125, 0.0016, 0.7
KEY_LAG = 8  # an index's key is two words, 96 ms apart
CROWD = 8  # recordings with one key that are compared each with each
KEYS_AT_ONCE = 1 << 25


def words(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The words (n,) uint16 of int16 samples (m,); 0 where it is quiet.

    Of power spectra at 4 kHz, by operations that every processor rounds alike.
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
    """The words in a form that JSON has."""
    return base64.b64encode(own.astype(">u2").tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), ">u2").astype(np.uint16)


def same(a: np.ndarray, b: np.ndarray, offset: int) -> bool:
    """Whether two recordings are one; b begins `offset` words after a. The rates at which a sound
    was stored shift it a little: one word more or less is tried."""
    n_loud = max(np.count_nonzero(a), np.count_nonzero(b))
    return any(_alike(a, b, offset + more, n_loud) for more in (0, -1, 1))


def _alike(a: np.ndarray, b: np.ndarray, offset: int, n_loud: int) -> bool:
    a, b = a[max(0, offset) :], b[max(0, -offset) :]
    n = min(len(a), len(b))
    both = (a[:n] != 0) & (b[:n] != 0)
    n_both = np.count_nonzero(both)
    if n_both < max(FEWEST, MIN_OVERLAP * n_loud):
        return False
    different = np.bitwise_count(a[:n][both] ^ b[:n][both]).mean() / 16
    return different <= min(MAX_DIFFERENT, MAX_DIFFERENT_PER_WORD * n_both)


def twins(recordings: Sequence[np.ndarray]) -> dict[int, list[int]]:
    """Returns for each recording that others are the same as, by number, which; found over keys
    that they share, so that the time grows as their number does.

    recordings: their `words`.
    """
    found = defaultdict(list)
    tried: set[tuple[int, int, int]] = set()
    for i, j, offset in _candidates(recordings):
        if (i, j, offset) in tried or j in found[i]:
            continue
        tried.add((i, j, offset))
        if same(recordings[i], recordings[j], offset):
            found[i].append(j)
            found[j].append(i)
    return {i: sorted(others) for i, others in found.items() if others}


def _candidates(recordings: Sequence[np.ndarray]) -> Iterator[tuple[int, int, int]]:
    """Yields pairs of recordings that share a key, and by how much the second begins later."""
    passes = 1 + sum(map(len, recordings)) // KEYS_AT_ONCE
    for own in range(passes):
        none = np.zeros(0, dtype=np.int64)
        keys, owners, places = [none], [none], [none]
        for number, recording in enumerate(recordings):
            first, second = recording[:-KEY_LAG].astype(np.uint32), recording[KEY_LAG:]
            key = first << 16 | second
            at = np.flatnonzero((first != 0) & (second != 0) & (key % passes == own))
            keys.append(key[at])
            owners.append(np.full(len(at), number, dtype=np.uint32))
            places.append(at.astype(np.int32))
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


def texts_twins(texts: Iterable[str]) -> dict[int, list[int]]:
    """`twins` of words as `as_text` wrote them; "" where there are none."""
    return twins([from_text(text) for text in texts])
