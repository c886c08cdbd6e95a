"""telecall: the calls as the models will hear them, mono at 8 kHz, into shards of data/telecall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.channel.portable import to_int16
from telephone_asr.corpora import unwatched
from telephone_asr.outs import new_out
from telephone_asr.params import load_params
from telephone_asr.paths import RAW, TELECALL
from telephone_asr.program import run
from telephone_asr.shards import Utterance, read_shard, require_shards, write_shards


def main() -> None:
    params = load_params()
    unwatched.warn(params.corpus.wideband.path, params.corpus.calls.path)
    with new_out(TELECALL) as new:
        total = write_shards(new, _calls(), params.corpus.shard_size)
    print(f"{TELECALL}: {total} calls at {TELEPHONE_RATE_HZ} Hz")


def _calls() -> Iterator[Utterance]:
    for index in tqdm(range(require_shards(RAW / "calls")), "calls", unit="shard"):
        for utterance in read_shard(RAW / "calls", index):
            yield at_telephone_rate(utterance)


def at_telephone_rate(utterance: Utterance) -> Utterance:
    """Returns the utterance at 8 kHz; one that is so already keeps its samples to the bit."""
    import soxr

    if utterance.sample_rate_hz == TELEPHONE_RATE_HZ:
        return utterance
    # In double precision, so that the last bits, which processors have their own of, are far below
    # what is rounded here.
    samples = soxr.resample(
        *(utterance.samples.astype(np.float64), utterance.sample_rate_hz, TELEPHONE_RATE_HZ),
        quality="VHQ",
    )
    samples = to_int16(samples)
    return replace(utterance, samples=samples, sample_rate_hz=TELEPHONE_RATE_HZ)


if __name__ == "__main__":
    run(main)
