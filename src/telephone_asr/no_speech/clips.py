"""Shards of sound in which nobody speaks: which clips there are, and a shard of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, WIDEBAND_RATE_HZ
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import generator, random_numbers
from telephone_asr.no_speech import held_out, kinds
from telephone_asr.no_speech.kinds import make_clip
from telephone_asr.shards import Utterance, write_shard

# Of a clip, as long as turns are and drawn evenly by logarithm: batches hold utterances of similar
# length, and one of clips alone teaches nothing, but moves the weights as far as any other.
TRAIN_S = (0.5, 5.0)
TEST_S = tuple(round(1 + 8 * i / 11, 2) for i in range(12))  # 1 to 9 s: a minute of each kind
KEY = "no-speech"


@dataclass(frozen=True)
class Planned:
    """A clip that is to be made."""

    key: str
    kind: str
    seconds: float
    held_out: bool = False  # made by the generators of the test


def training_clips(minutes: float, seed: int) -> list[Planned]:
    """Returns clips of all kinds by turns, so many minutes of them together."""
    rng, clips, total_s = random_numbers(seed), list[Planned](), 0.0
    while total_s < 60 * minutes:
        i = len(clips)
        kind = list(kinds.KINDS)[i % len(kinds.KINDS)]
        low_s, high_s = TRAIN_S
        seconds = round(low_s * (high_s / low_s) ** float(rng.random()), 2)
        clips.append(Planned(f"{KEY}-{kind}-{i}", kind, seconds))
        total_s += seconds
    return clips


def test_clips(minutes: float) -> list[Planned]:
    """Returns so many minutes of each kind; they are the same in every run and for every model."""
    clips = []
    for kind in held_out.KINDS:
        total_s = 0.0
        for i in count():
            if total_s >= 60 * minutes:
                break
            seconds = TEST_S[i % len(TEST_S)]
            clips.append(Planned(f"{KEY}-test-{kind}-{i}", kind, seconds, held_out=True))
            total_s += seconds
    return clips


def write_clips(
    clips: Sequence[Planned],
    index: int,
    telephone: Path,
    wideband: Path | None,
    line: Line,
    voices: Path,
    seed: int,
) -> int:
    """Writes one shard of clips as the telephone carries them, and one as they were before it.

    Args:
        voices: a file of `BabblePool.save`.
        seed: of the clips that are trained on; those of the test have their own.
    """
    pairs = list(_made(clips, line, _pool(voices), seed))
    if wideband is not None:
        write_shard(wideband, index, (before for before, _ in pairs))
    return write_shard(telephone, index, (after for _, after in pairs))


def _made(
    clips: Sequence[Planned], line: Line, pool: BabblePool, seed: int
) -> Iterator[tuple[Utterance, Utterance]]:
    for one in clips:
        kind = (held_out.KINDS if one.held_out else kinds.KINDS)[one.kind]
        rng = generator(0 if one.held_out else seed, one.key)
        # On a test's clip there is one thing to be heard.
        behind = None if one.held_out else pool
        clip = make_clip(kind, one.seconds, rng, line, pool, behind)
        own = {"kind": one.kind}
        yield (
            utterance(one.key, clip.wideband, WIDEBAND_RATE_HZ, one.kind, own),
            utterance(one.key, clip.telephone, TELEPHONE_RATE_HZ, one.kind, own | clip.done),
        )


def utterance(key: str, samples: np.ndarray, rate_hz: int, kind: str, custom: dict) -> Utterance:
    """Returns sound as shards hold it: without a text, and with nobody for a speaker."""
    return Utterance(key, samples, rate_hz, text="", speaker="", scene=kind, custom=custom)


@lru_cache(maxsize=1)  # once for each worker
def _pool(path: Path) -> BabblePool:
    return BabblePool.load(path)
