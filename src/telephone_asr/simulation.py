"""A corpus of shards over the simulated line: a shard at a time, on any machine, or an utterance at
a time, over another line for each of its copies."""

from __future__ import annotations

import platform
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, to_wideband
from telephone_asr.channel.line import simulate
from telephone_asr.channel.noise import noise_of
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import generator
from telephone_asr.channel.room import room_response
from telephone_asr.errors import InputError
from telephone_asr.shards import (
    SoundIndex,
    Utterance,
    count_shards,
    read_shard,
    recorded_id,
    require_shards,
    simulated_id,
    sound_index,
    write_shard,
)

NOISE, ROOMS = "noise", "rooms"  # a user's, in data/raw beside the corpora
BABBLE_UTTERANCES = 400  # enough for 8 talkers at a time and many voices


def babble_pool(source: Path, line: Line, seed: int) -> BabblePool:
    """Mixes babble of a corpus's own talkers, from its first utterances; a user's noise and rooms
    come with it, from beside the corpus."""
    shards = range(count_shards(source))
    utterances = (utterance for index in shards for utterance in read_shard(source, index))
    speech = (
        (u.speaker, to_wideband(u.samples / np.float32(32768), u.sample_rate_hz))
        for u in islice(utterances, BABBLE_UTTERANCES)
    )
    pool = BabblePool.build(speech, line.babble.talkers, seed)
    return with_own_sounds(pool, line, source.parent)


def with_own_sounds(pool: BabblePool, line: Line, raw: Path) -> BabblePool:
    """Returns the pool with the user's noise and rooms, where the line has some. raw: data/raw."""
    noises = _own_sounds(raw / NOISE) if line.noise.share else iter(())
    rooms = _own_sounds(raw / ROOMS) if line.room else iter(())
    return replace(
        pool,
        noises=tuple(noise_of(u.samples, u.sample_rate_hz) for u in noises),
        rooms=tuple(room_response(u.samples, u.sample_rate_hz) for u in rooms),
    )


def _own_sounds(directory: Path) -> Iterator[Utterance]:
    for index in range(require_shards(directory)):
        yield from read_shard(directory, index)


def recorded_in(source: Path, line: Line) -> list[Path]:
    """Returns the directories of all recordings that are heard over a line: the corpus's, and the
    user's noise and rooms, where the line has some."""
    own = {NOISE: line.noise.share, ROOMS: line.room}
    return [source, *(source.parent / name for name, share in own.items() if share)]


def simulate_shard(
    source: Path,
    target: Path,
    index: int,
    line: Line,
    pool: Path,
    seed: int,
    only: Container[str] | None = None,
) -> None:
    """Sends one shard of `source`, or these ids of it, over the line into `target`, under the ids
    of `simulated_id`.

    pool: a file of `BabblePool.save`. The bytes are the same wherever and whenever it is done.

    Raises:
        InputError: it is done on a machine that does not see `pool`.
    """
    if not pool.exists():
        raise InputError(
            f"{platform.node()}: {pool} is not there: all machines of a Ray cluster must see the "
            "repository's directory, at the same path."
        )
    write_shard(target, index, _simulated(read_shard(source, index, only), line, pool, seed))


def _simulated(
    utterances: Iterable[Utterance], line: Line, pool: Path, seed: int
) -> Iterator[Utterance]:
    for utterance in utterances:
        id_ = simulated_id(utterance.id)
        samples, done = simulate(
            utterance.samples,
            utterance.sample_rate_hz,
            line,
            _load_pool(pool),
            generator(seed, id_),
            utterance.speaker,
        )
        yield replace(
            utterance,
            id=id_,
            samples=samples,
            sample_rate_hz=TELEPHONE_RATE_HZ,
            custom=utterance.custom | done,
        )


@lru_cache(maxsize=1)  # once for each worker
def _load_pool(path: Path) -> BabblePool:
    return BabblePool.load(path)


@dataclass(frozen=True)
class FreshLine:
    """A line that is drawn anew for each copy of an utterance of a corpus of shards.

    What it gives is a function of these, of the utterance's id and of the copy's number: copy 0 is
    what `simulate_shard` writes.
    """

    source: Path
    line: Line
    seed: int

    @property
    def recorded(self) -> list[Path]:
        """Returns the directories of all that it is made of."""
        return recorded_in(self.source, self.line)

    def save_babble(self, pool: Path) -> None:
        """Mixes the babble that is heard on it, and writes it to a file."""
        babble_pool(self.source, self.line, self.seed).save(pool)

    def sounds(self, pool: Path) -> FreshSounds:
        """Returns the corpus's sound as it comes out of it. pool: what `save_babble` wrote."""
        return FreshSounds(self, sound_index(self.source), pool)


@dataclass(frozen=True)
class FreshSounds:
    """The sound of simulated utterances, made when it is read."""

    fresh: FreshLine
    recorded: SoundIndex
    pool: Path

    def __contains__(self, key: str) -> bool:
        return recorded_id(key) in self.recorded

    def read(self, key: str, speaker: str, copy: int) -> tuple[np.ndarray, int]:
        """Returns samples (int16, mono) of one copy, and the sample rate in Hz."""
        samples, _ = simulate(
            *self.recorded.read(recorded_id(key)),
            self.fresh.line,
            _load_pool(self.pool),
            generator(self.fresh.seed, key, copy),
            speaker,
        )
        return samples, TELEPHONE_RATE_HZ
