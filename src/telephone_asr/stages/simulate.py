"""simulate: the wideband speech as a telephone would carry it, into shards of data/simulated."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
from tqdm import tqdm

from telephone_asr.channel import line as channel
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, to_wideband
from telephone_asr.channel.noise import BabblePool
from telephone_asr.params import load_params
from telephone_asr.shards import count_shards, read_shard, write_shard
from telephone_asr.stages import RAW, SIMULATED, run

BABBLE_UTTERANCES = 400  # enough for 8 talkers at a time and many voices


def main() -> None:
    from joblib import Parallel, delayed

    params = load_params()
    shards = count_shards(RAW / "wideband")
    pool = _babble_pool(shards, params.channel, params.seed)
    jobs = (
        delayed(simulate_shard)(index, params.channel, pool, params.seed) for index in range(shards)
    )
    done = Parallel(n_jobs=-1, return_as="generator")(jobs)
    total = sum(tqdm(done, "simulated shards", shards, unit="shard"))
    print(f"{SIMULATED}: {total} utterances as a telephone carries them")


def simulate_shard(index: int, line: channel.Line, pool: BabblePool, seed: int) -> int:
    """Simulates one shard; returns its number of utterances."""
    simulated = []
    for utterance in read_shard(RAW / "wideband", index):
        id_ = f"sim-{utterance.id}"
        rng = channel.generator(seed, id_)
        samples, done = channel.simulate(
            utterance.samples, utterance.sample_rate_hz, line, pool, rng, utterance.speaker
        )
        simulated.append(
            replace(
                utterance,
                id=id_,
                samples=samples,
                sample_rate_hz=TELEPHONE_RATE_HZ,
                custom=done,
            )
        )
    write_shard(SIMULATED, index, simulated)
    return len(simulated)


def _babble_pool(shards: int, line: channel.Line, seed: int) -> BabblePool:
    """Babble of the corpus's own talkers, from its first utterances."""
    utterances = (utterance for i in range(shards) for utterance in read_shard(RAW / "wideband", i))
    speech = [
        (u.speaker, to_wideband(u.samples / np.float32(32768), u.sample_rate_hz))
        for u in islice(utterances, BABBLE_UTTERANCES)
    ]
    return BabblePool.build(speech, line.babble.talkers, seed)


if __name__ == "__main__":
    run(main)
