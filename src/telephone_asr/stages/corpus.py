"""corpus: the two corpora, whatever they come from, into shards of data/raw; and beside them noise
and rooms that a user recorded for the lines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import telephone_asr
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.channel.line import simulate
from telephone_asr.channel.portable import generator
from telephone_asr.corpora import imported, own_sounds, spoken, unwatched
from telephone_asr.corpora.forgotten import LEFT_OUT, Forgotten, read_forgotten
from telephone_asr.errors import InputError
from telephone_asr.measures import with_measures
from telephone_asr.outs import check_places, new_out
from telephone_asr.params import Params, Source, load_params
from telephone_asr.paths import FORGOTTEN, OWN_SCRATCH, RAW, SCRATCH
from telephone_asr.program import run
from telephone_asr.scratch import Scratch, fingerprint
from telephone_asr.shards import REJECTED, Rejected, Utterance, read_cuts, write_shards
from telephone_asr.simulation import NOISE, ROOMS, with_own_sounds
from telephone_asr.workers import run_jobs

# What the shards depend on.
CODE: tuple[str, ...] = ("channel/level.py", "channel/portable.py", "corpora", "measures.py")
CODE += ("sameness.py", "shards.py")
BABBLE_UTTERANCES = 150  # of the calls, which talk in the background of the others, too


def main() -> None:
    check_places()
    params = load_params()
    for name, path in ((NOISE, params.corpus.noise), (ROOMS, params.corpus.rooms)):
        if path is not None:
            files = own_sounds.import_folder(f"corpus.{name}", Path(path), RAW / name)
            unwatched.note(name, path, unwatched.look("", files), "its name in params.yaml alone")
    forgotten = read_forgotten(FORGOTTEN)
    taken: set[str] = set()
    scratches = []
    for part, source in (("wideband", params.corpus.wideband), ("calls", params.corpus.calls)):
        if source.kind == "synthetic":
            _unpack_all(params, part, Path(source.path), forgotten)
        else:
            scratches.append((part, *_import_all(params, part, source, taken, forgotten)))
    # Only now: what was interrupted before has all of its scratch to go on from.
    for part, scratch, seen in scratches:
        with new_out(RAW / part) as new:
            shutil.move(scratch.directory / "shards", new)
            imported.forget_progress(new)
        scratch.close(remove=True)
        unwatched.note(part, getattr(params.corpus, part).path, seen)


def _import_all(
    params: Params, part: str, source: Source, taken: set[str], forgotten: Forgotten
) -> tuple[Scratch, dict]:
    """Imports a corpus of the user's into shards of `shard_size` items, on all cores.

    Interrupted, it goes on at the first shard that is missing. Returns the scratch directory that
    holds them, and what is seen of the sound that DVC does not watch.
    """
    key, size = f"corpus.{part}", params.corpus.shard_size
    items = imported.list_items(source.kind, Path(source.path), key, source.part)
    items = forgotten.without(imported.with_good_ids(_sample(items, params), taken))
    total = len(items)
    seen = unwatched.look(source.path, (str(item.audio) for item in items))
    code = [Path(telephone_asr.__file__).parent / name for name in CODE]
    settings = [str(size), str(params.corpus.max_hours)]
    identity = fingerprint([*settings, *imported.identity(items)], code)
    scratch = Scratch(SCRATCH, f"corpus-{part}", identity, spare=OWN_SCRATCH)
    target = scratch.directory.absolute() / "shards"

    pieces = [items[i : i + size] for i in range(0, total, size)]
    missing = [i for i in range(len(pieces)) if not imported.is_imported(target, i)]
    before = total - sum(len(pieces[i]) for i in missing)
    jobs = ((pieces[i], target, i, params.corpus.max_hours) for i in missing)
    n_rejected = 0
    bar = tqdm(total=total, initial=before, desc=f"{part} speech", unit="utterance")
    with bar, closing(run_jobs(imported.import_shard, jobs)) as results:
        for done, rejected in results:
            bar.update(done)
            unusable = [one for one in rejected if one.reason != LEFT_OUT]
            n_rejected += len(unusable)
            if unusable and n_rejected > params.corpus.max_rejected_share * total:
                raise _too_many(key, n_rejected, total, unusable[-1])
    rejected = imported.gather_rejected(target, len(pieces))
    kept = sum(1 for _ in read_cuts(target))
    if not kept:
        raise _too_many(key, len(rejected), total, rejected[-1])
    assert kept + len(rejected) == total, (part, kept, len(rejected), total)
    print(f"{RAW / part}: {kept} utterances kept, {len(rejected)} rejected, {total} in all")
    return scratch, seen


def _too_many(key: str, rejected: int, total: int, one: Rejected) -> InputError:
    return InputError(
        f"params.yaml: {key}.path: {rejected} of {total} utterances cannot be used, more than "
        f"corpus.max_rejected_share allows; one of them: {one.reason}, {one.detail.rstrip('.')}."
    )


def _unpack_all(params: Params, part: str, path: Path, forgotten: Forgotten) -> None:
    """Takes the embedded corpus out of its archives; calls go over a telephone line each."""
    if not path.is_dir():
        raise InputError(
            f"params.yaml: corpus.{part}.path: {path} is no directory; name that of the embedded "
            f"corpus's archives (git has it), or set corpus.{part}.kind."
        )
    options = params.corpus.synthetic
    minutes = options.wideband_minutes if part == "wideband" else options.calls_minutes
    listed = _sample(spoken.first(spoken.read_index(path), minutes), params)
    utterances = [one for one in listed if not forgotten.holds(one.id, one.speaker)]
    gone = [forgotten.rejected(one.id) for one in listed if forgotten.holds(one.id, one.speaker)]
    sound = _unpacked(params, part, path, utterances)
    bar = tqdm(sound, f"{part} speech", len(utterances), unit="utterance")
    with new_out(RAW / part) as new:
        write_shards(new, map(with_measures, bar), params.corpus.shard_size)
        lines = [json.dumps(vars(one)) + "\n" for one in gone]
        (new / REJECTED).write_text("".join(lines), encoding="utf-8")
    left_out = f", {len(gone)} forgotten" if gone else ""
    print(f"{RAW / part}: {len(utterances)} utterances of {path}{left_out}")


def _unpacked(params: Params, part: str, path: Path, utterances: list) -> Iterator[Utterance]:
    line, seed = params.corpus.synthetic.line, params.seed
    pool, first = None, []
    if part == "calls":
        first = list(spoken.read(path, utterances[:BABBLE_UTTERANCES]))
        voices = ((one.speaker, samples / np.float32(32768)) for one, samples in first)
        pool = BabblePool.build(voices, line.babble.talkers, seed)
        pool = with_own_sounds(pool, line, RAW)
    for one, samples in chain(first, spoken.read(path, utterances[len(first) :])):
        rate_hz, custom = spoken.SAMPLE_RATE_HZ, dict[str, Any]()
        if part == "calls":
            rng = generator(seed, f"{one.id}/line")
            samples, custom = simulate(samples, rate_hz, line, pool, rng, one.speaker)
            rate_hz = TELEPHONE_RATE_HZ
        yield Utterance(
            id=one.id,
            samples=samples,
            sample_rate_hz=rate_hz,
            text=one.text,
            speaker=one.speaker,
            scene=one.scene,
            annotation_error=one.annotation_error,
            custom=custom,
        )


def _sample(items: list, params: Params) -> list:
    """Returns `sample_size` of the items, spread evenly; all of them where it is null."""
    size = params.corpus.sample_size
    if size is None or size >= len(items):
        return items
    return [items[i * len(items) // size] for i in range(size)]


if __name__ == "__main__":
    run(main)
