"""A corpus of shards over the simulated line, a shard at a time, on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, to_wideband
from telephone_asr.channel.line import generator, simulate
from telephone_asr.channel.options import Line
from telephone_asr.shards import Utterance, count_shards, read_shard, simulated_id, write_shard

BABBLE_UTTERANCES = 400  # enough for 8 talkers at a time and many voices


def babble_pool(source: Path, line: Line, seed: int) -> BabblePool:
    """Mixes babble of a corpus's own talkers, from its first utterances."""
    shards = range(count_shards(source))
    utterances = (utterance for index in shards for utterance in read_shard(source, index))
    speech = (
        (u.speaker, to_wideband(u.samples / np.float32(32768), u.sample_rate_hz))
        for u in islice(utterances, BABBLE_UTTERANCES)
    )
    return BabblePool.build(speech, line.babble.talkers, seed)


def simulate_shard(
    source: Path, target: Path, index: int, line: Line, pool: Path, seed: int
) -> None:
    """Sends one shard of `source` over the line into `target`, under the ids of `simulated_id`.

    pool: a file of `BabblePool.save`. The bytes are the same wherever and whenever it is done.
    """
    write_shard(target, index, _simulated(read_shard(source, index), line, pool, seed))


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
