"""telecall: the calls as the models will hear them, mono at 8 kHz, into shards of data/telecall."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm

from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.corpora import unwatched
from telephone_asr.outs import new_out
from telephone_asr.params import load_params
from telephone_asr.paths import RAW, TELECALL
from telephone_asr.program import run
from telephone_asr.shards import Utterance, read_shard, require_shards, write_shards
from telephone_asr.telephone_rate import at_telephone_rate


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


if __name__ == "__main__":
    run(main)
