"""Sound that no recording without transcripts may have in it: of test and validation calls, and of
test sets of the user's own.

By the words of `sameness`, as for utterances that are in a corpus twice; but a turn of a whole call
need not begin and end where the labelled utterance does, so that what both have is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from telephone_asr.sameness import ALIKE, HOP, RATE_HZ, alike, same_words, word_keys, words
from telephone_asr.shards import SoundIndex, sound_index

PIECE_S = 50  # of an utterance whose words are taken at a time: they tell of no more than a minute
WORD_S = HOP / RATE_HZ
OFFSETS = 3  # that most keys of two sounds agree on are tried


@dataclass(frozen=True)
class _Piece:
    """A part of an utterance."""

    id: str
    sounds: SoundIndex  # has the utterance's
    start_s: float
    words: np.ndarray


class KnownSounds:
    """Labelled utterances, looked for in others by their sound.

    It takes 12 bytes of memory a word of 12 ms: 4 MB an hour of them.

    Args:
        held: directories of shards, and the ids of those in each that are looked for; at least one
            in all.
    """

    def __init__(self, held: Iterable[tuple[Path, Sequence[str]]]):
        self._pieces: list[_Piece] = []
        for shards, ids in held:
            sounds = sound_index(shards)
            for key in ids:
                samples, rate_hz = sounds.read(key)
                for first in range(0, len(samples), PIECE_S * rate_hz):
                    own = words(samples[first : first + PIECE_S * rate_hz], rate_hz)
                    self._pieces.append(_Piece(key, sounds, first / rate_hz, own))
        keys, places = zip(*(word_keys(piece.words) for piece in self._pieces), strict=True)
        owners = [np.full(len(at), number) for number, at in enumerate(places)]
        self._keys = np.concatenate(keys)
        order = np.argsort(self._keys, kind="stable")
        self._keys, self._places = self._keys[order], np.concatenate(places)[order]
        self._owners = np.concatenate(owners).astype(np.int32)[order]

    def same_as(self, samples: np.ndarray, rate_hz: int, own: np.ndarray) -> str | None:
        """Returns the id of an utterance that int16 samples have the sound of, or of a part; None
        where they have none's. own: their words."""
        for number, offset in self._candidates(own):
            piece = self._pieces[number]
            span = same_words(own, piece.words, offset)
            if span is None:
                continue
            known, known_hz = piece.sounds.read(piece.id)
            a = _cut(samples, rate_hz, span[0] * WORD_S, span[1])
            b = _cut(known, known_hz, piece.start_s + (span[0] - offset) * WORD_S, span[1])
            if alike(a, rate_hz, b, known_hz) > ALIKE:
                return piece.id
        return None

    def _candidates(self, own: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yields pieces that share keys with the words, and by how much they begin later."""
        keys, at = word_keys(own)
        first = np.searchsorted(self._keys, keys, side="left")
        counts = np.searchsorted(self._keys, keys, side="right") - first
        rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        offsets = np.repeat(at, counts) - self._places[rows].astype(np.int64)
        pairs = np.stack([self._owners[rows].astype(np.int64), offsets], axis=1)
        pairs, votes = np.unique(pairs, axis=0, return_counts=True)
        tried: dict[int, int] = {}
        for number, offset in pairs[np.argsort(-votes, kind="stable")].tolist():
            tried[number] = tried.get(number, 0) + 1
            if tried[number] <= OFFSETS:
                yield number, offset


def _cut(samples: np.ndarray, rate_hz: int, start_s: float, n_words: int) -> np.ndarray:
    first = round(start_s * rate_hz)
    return samples[first : first + round(n_words * WORD_S * rate_hz)]
