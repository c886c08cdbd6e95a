"""simulate: the wideband speech as a telephone would carry it, into shards of data/simulated.

Shards are written in the scratch directory and moved when all are there: an interrupted run goes
on at the first shard that is missing. With `train.fresh_line` the training set's speech is left
out: it is made in the training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tqdm import tqdm

import telephone_asr
from telephone_asr.channel.options import Line
from telephone_asr.corpora import unwatched
from telephone_asr.errors import InputError
from telephone_asr.manifests import fresh_line
from telephone_asr.manifests.split import Sets
from telephone_asr.outs import new_out
from telephone_asr.params import load_params
from telephone_asr.paths import FROZEN_SPLITS, OWN_SCRATCH, RAW, SCRATCH, SIMULATED
from telephone_asr.program import run
from telephone_asr.scratch import Scratch, files_identity, fingerprint
from telephone_asr.shards import has_shard, require_shards, shard_cuts
from telephone_asr.simulation import babble_pool, recorded_in, simulate_shard
from telephone_asr.workers import run_jobs


def main() -> None:
    params = load_params()
    corpus = params.corpus
    sounds = {"noise": corpus.noise, "rooms": corpus.rooms}
    unwatched.warn(corpus.wideband.path, corpus.calls.path, **sounds)
    source = (RAW / "wideband").absolute()
    shards = require_shards(source)
    sets = None
    if params.train.fresh_line:
        frozen = FROZEN_SPLITS / "wideband.txt"
        sets = fresh_line.recorded_sets(source, params.split, frozen)
    scratch = _open_scratch(source, params.channel, params.seed, sets)
    target = scratch.directory.absolute() / "shards"
    pool = target.with_name("babble.npz")
    if not pool.exists():
        babble_pool(source, params.channel, params.seed).save(pool)

    missing = [index for index in range(shards) if not has_shard(target, index)]
    jobs = (
        (source, target, index, params.channel, pool, params.seed, _only(source, index, sets))
        for index in missing
    )
    bar = tqdm(total=shards, initial=shards - len(missing), desc="simulated", unit="shard")
    with bar:
        for _ in run_jobs(simulate_shard, jobs):
            bar.update()
    if elsewhere := [index for index in missing if not has_shard(target, index)]:
        raise InputError(
            f"{target}: {len(elsewhere)} of {shards} shards were written elsewhere: all machines "
            "of a Ray cluster must see the repository's directory, at the same path."
        )
    with new_out(SIMULATED) as new:
        shutil.move(target, new)
    scratch.close(remove=True)
    what = "validation and test speech" if sets else "speech"
    print(f"{SIMULATED}: {shards} shards of {what} as a telephone carries it")


def _only(source: Path, index: int, sets: Sets | None) -> list[str] | None:
    """Returns the ids that are simulated of a shard; None: all of them."""
    if sets is None:
        return None
    return [cut["id"] for cut in shard_cuts(source, index) if fresh_line.is_held_out(cut, sets)]


def _open_scratch(source: Path, line: Line, seed: int, sets: Sets | None = None) -> Scratch:
    """Opens the directory named by everything that the shards depend on."""
    package = Path(telephone_asr.__file__).parent
    code = [package / name for name in ("channel", "shards.py", "simulation.py")]
    texts = [repr(line), str(seed), *map(files_identity, recorded_in(source, line))]
    if sets is not None:
        texts += [repr(sets.split), *sorted(sets.frozen or ())]
    return Scratch(SCRATCH, "simulate", fingerprint(texts, code), spare=OWN_SCRATCH)


if __name__ == "__main__":
    run(main)
