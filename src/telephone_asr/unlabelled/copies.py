"""Recordings that are there twice, by their sound: under another name, or coded anew."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.sameness import ALIKE, alike, from_text, twins
from telephone_asr.shards import read_shard
from telephone_asr.unlabelled.account import Account

COMPARED_S = 3  # of a turn


def copies(accounts: Iterable[tuple[int, Account]], shards: Path) -> dict[str, str]:
    """Returns of each recording that is a copy of an earlier one, which; by ids.

    At least half of its longest turns must have the sound of one of the other's longest: one turn
    that calls have in common, such as a greeting that is played, makes none. In memory are about
    2 kB a recording.

    Args:
        accounts: with the number of the shard that has a recording's turns.
        shards: where they lie.
    """
    turns: list[tuple[str, int, str]] = []  # recording, shard, turn
    sounds: list[np.ndarray] = []
    for shard, account in accounts:
        for turn, text in account.probes:
            turns.append((account.id, shard, turn))
            sounds.append(from_text(text))

    @lru_cache(maxsize=64)
    def beginning(number: int) -> np.ndarray:
        _, shard, turn = turns[number]
        [own] = read_shard(shards, shard, only={turn})
        return own.samples[: COMPARED_S * TELEPHONE_RATE_HZ]

    def are_one(a: int, b: int) -> bool:
        if turns[a][0] == turns[b][0]:
            return False
        rate_hz = TELEPHONE_RATE_HZ
        return alike(beginning(a), rate_hz, beginning(b), rate_hz) > ALIKE

    shared: dict[str, Counter[str]] = defaultdict(Counter)
    for number, others in twins(sounds, are_one).items():
        shared[turns[number][0]].update({turns[other][0] for other in others})
    probes = Counter(recording for recording, _, _ in turns)
    originals: dict[str, str] = {}
    earlier: set[str] = set()
    for recording, n in probes.items():
        for other, n_shared in sorted(shared[recording].items()):
            if other in earlier and other not in originals and 2 * n_shared >= n:
                originals[recording] = other
                break
        earlier.add(recording)
    return originals
