"""corpus: the two corpora, whatever they come from, into shards of data/raw; and beside them noise
and rooms that a user recorded for the lines."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import telephone_asr
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.channel.line import simulate
from telephone_asr.channel.portable import generator
from telephone_asr.corpora import imported, own_sounds, several, spoken, unwatched, values
from telephone_asr.corpora.forgotten import LEFT_OUT, Forgotten, read_forgotten
from telephone_asr.corpora.items import Item
from telephone_asr.corpora.several import Corpus, OwnTest
from telephone_asr.corpora.spoken import Spoken
from telephone_asr.errors import InputError
from telephone_asr.measures import with_measures
from telephone_asr.names import OWN
from telephone_asr.outs import check_places, new_out
from telephone_asr.params import Params, load_params
from telephone_asr.paths import FORGOTTEN, OWN_SCRATCH, RAW, SCRATCH, TESTS
from telephone_asr.program import run
from telephone_asr.scratch import Scratch, fingerprint
from telephone_asr.shards import (
    REJECTED,
    Rejected,
    Utterance,
    count_shards,
    read_cuts,
    read_shard,
    write_shards,
)
from telephone_asr.simulation import NOISE, ROOMS, with_own_sounds
from telephone_asr.telephone_rate import at_telephone_rate
from telephone_asr.workers import run_jobs

# What the shards depend on.
CODE: tuple[str, ...] = ("channel/level.py", "channel/portable.py", "corpora", "measures.py")
CODE += ("sameness.py", "shards.py")
BABBLE_UTTERANCES = 150  # of the calls, which talk in the background of the others, too


def main() -> None:
    check_places()
    params = load_params()
    sources = {"wideband": params.corpus.wideband, "calls": params.corpus.calls}
    listed = {part: several.corpora(**vars(s), key=f"corpus.{part}") for part, s in sources.items()}
    test_sets = several.test_sets(params.corpus.test_sets)
    for name, path in ((NOISE, params.corpus.noise), (ROOMS, params.corpus.rooms)):
        if path is not None:
            files = own_sounds.import_folder(f"corpus.{name}", Path(path), RAW / name)
            unwatched.note(name, path, unwatched.look("", files), "its name in params.yaml alone")
    forgotten = read_forgotten(FORGOTTEN)
    taken: set[str] = set()
    scratches = []
    for part, source in sources.items():
        corpora = []
        for one in listed[part]:
            place = several.place_of(one, source.path, f"corpus.{part}")
            corpora.append(_listed(params, part, one, *place, taken, forgotten))
        scratches.append((part, *_import_all(params, part, source.path, corpora)))
    tests = [(one, *_import_test_set(params, one, taken, forgotten)) for one in test_sets]
    # Only now: what was interrupted before has all of its scratch to go on from.
    for part, scratch, seen in scratches:
        with new_out(RAW / part) as new:
            shutil.move(scratch.directory / "shards", new)
            imported.forget_progress(new)
        scratch.close(remove=True)
        unwatched.note(part, sources[part].path, seen)
    shutil.rmtree(RAW / TESTS, ignore_errors=True)
    if (path := params.corpus.test_sets) is not None:
        _keep_test_sets(params, tests)
        seen = {file: state for *_, own in tests for file, state in own.items()}
        seen |= unwatched.look("", [path])
        unwatched.note(OWN, path, seen, "its name in params.yaml alone")


def _import_test_set(
    params: Params, one: OwnTest, taken: set[str], forgotten: Forgotten
) -> tuple[Scratch, dict]:
    """Imports a test set of the user's own. Its ids have its name in front: the same calls may be
    in a corpus, and are then left out of training by their sound."""
    path = str(params.corpus.test_sets)
    items = imported.list_items(one.kind, Path(one.path), one.name, one.part, path)
    items = forgotten.without(_sample(items, params))  # by the ids that a corpus may have, too
    items = [replace(item, id=f"{one.name}-{item.id}") for item in items]
    items = forgotten.without(imported.with_good_ids(items, taken))
    own = Listed(Corpus("", one.kind, one.path), f"{path}: {one.name}.path", items)
    return _import_all(params, f"{TESTS}/{one.name}", path, [own])


def _keep_test_sets(params: Params, tests: Sequence[tuple[OwnTest, Scratch, dict]]) -> None:
    """Moves imported test sets to their place, at 8 kHz where they are of telephone speech."""
    for one, scratch, _ in tests:
        shards = scratch.directory / "shards"
        utterances = (
            at_telephone_rate(utterance) if one.telephone else utterance
            for index in range(count_shards(shards))
            for utterance in read_shard(shards, index)
        )
        with new_out(RAW / TESTS / one.name) as new:
            write_shards(new, utterances, params.corpus.shard_size)
            shutil.copyfile(shards / REJECTED, new / REJECTED)
    several.write_account(RAW / TESTS, (one for one, *_ in tests))
    for _, scratch, _ in tests:
        scratch.close(remove=True)


@dataclass(frozen=True)
class Listed:
    """A corpus and what is in it, before its sound is read: items, or embedded speech."""

    corpus: Corpus
    place: str  # which key, or which entry of a list, names it
    items: Sequence[Item] = ()
    embedded: Sequence[Spoken] = ()
    gone: Sequence[Rejected] = ()  # of embedded speech that is to be forgotten

    def __len__(self) -> int:
        return len(self.items) + len(self.embedded)

    def identity(self) -> Iterator[str]:
        """Yields texts that stay the same as long as items and their files do."""
        yield f"{self.corpus.name} {len(self.embedded)}"
        yield from imported.identity(self.items)


def _listed(
    params: Params,
    part: str,
    one: Corpus,
    file: str,
    key: str,
    taken: set[str],
    forgotten: Forgotten,
) -> Listed:
    """Lists a corpus. taken: the ids of those before it; its own are added."""
    place = f"{file}: {key}.path"
    if one.kind != "synthetic":
        items = imported.list_items(one.kind, Path(one.path), key, one.part, file)
        items = imported.with_good_ids(_sample(items, params), taken)
        return Listed(one, place, forgotten.without(items))
    if not Path(one.path).is_dir():
        raise InputError(
            f"{place}: {one.path} is no directory; name that of the embedded corpus's archives "
            f"(git has it), or another kind."
        )
    options = params.corpus.synthetic
    minutes = options.wideband_minutes if part == "wideband" else options.calls_minutes
    embedded = _sample(spoken.first(spoken.read_index(Path(one.path)), minutes), params)
    ids = [values.same_id(utterance.id) for utterance in embedded]
    if twice := next((id_ for id_ in ids if id_ in taken), None):
        raise InputError(f"{place}: a corpus before it has an utterance {twice}: name one of them.")
    taken.update(ids)
    gone = [u for u in embedded if forgotten.holds(u.id, u.speaker)]
    left = [u for u in embedded if not forgotten.holds(u.id, u.speaker)]
    rejected = [replace(forgotten.rejected(u.id), corpus=one.name) for u in gone]
    return Listed(one, place, embedded=left, gone=rejected)


def _import_all(
    params: Params, part: str, path: str, corpora: Sequence[Listed]
) -> tuple[Scratch, dict]:
    """Imports corpora into shards of `shard_size` utterances of one of them each, on all cores.

    Interrupted, it goes on at the first shard that is missing; embedded speech takes seconds and is
    made anew. Returns the scratch directory that holds them, and what is seen of the files that
    DVC does not watch: it watches `path`.
    """
    size, total = params.corpus.shard_size, sum(map(len, corpora))
    seen = _unwatched(path, corpora)
    code = [Path(telephone_asr.__file__).parent / name for name in CODE]
    texts = [str(size), str(params.corpus.max_hours)]
    texts += chain.from_iterable(listed.identity() for listed in corpora)
    name = f"corpus-{part.replace('/', '-')}"
    scratch = Scratch(SCRATCH, name, fingerprint(texts, code), spare=OWN_SCRATCH)
    target = scratch.directory.absolute() / "shards"

    pieces = [
        (own, range(len(own))[i : i + size]) for own in corpora for i in range(0, len(own), size)
    ]
    missing = [
        i
        for i, (own, _) in enumerate(pieces)
        if own.embedded or not imported.is_imported(target, i)
    ]
    bar = tqdm(total=total, desc=f"{part} speech", unit="utterance")
    bar.update(total - sum(len(pieces[i][1]) for i in missing))
    with bar:
        for i, utterances in _unpacked_pieces(params, part, pieces):
            imported.keep_shard(target, i, utterances, pieces[i][0].corpus.name)
            bar.update(len(utterances))
        jobs = [(i, *pieces[i]) for i in missing if not pieces[i][0].embedded]
        _import_items(params, target, corpora, jobs, bar)
    gone = [entry for own in corpora for entry in own.gone]
    rejected = imported.gather_rejected(target, len(pieces), gone)
    kept = sum(1 for _ in read_cuts(target))
    for own in corpora:
        left_out = [entry for entry in rejected if entry.corpus == own.corpus.name]
        if left_out and len(left_out) == len(own) + len(own.gone):
            raise _too_many(own, len(left_out), left_out[-1])
    total += len(gone)
    assert kept + len(rejected) == total, (part, kept, len(rejected), total)
    several.write_account(target, [own.corpus for own in corpora])
    print(f"{RAW / part}: {kept} utterances kept, {len(rejected)} rejected, {total} in all")
    return scratch, seen


def _unwatched(path: str, corpora: Sequence[Listed]) -> dict:
    """Returns what is seen of the files that DVC does not watch: of all sound elsewhere, and of
    what a list of corpora names."""
    named = several.files_of(own.corpus.path for own in corpora if own.corpus.path != path)
    sounds = (str(item.audio) for own in corpora for item in own.items)
    return unwatched.look(path, chain(named, sounds))


def _import_items(
    params: Params,
    target: Path,
    corpora: Sequence[Listed],
    pieces: Sequence[tuple[int, Listed, range]],
    bar: tqdm,
) -> None:
    """Imports pieces of corpora into the shards of these numbers.

    Raises InputError where too much of a corpus cannot be used.
    """
    jobs = (
        (own.items[places.start : places.stop], target, i, params.corpus.max_hours, own.corpus.name)
        for i, own, places in pieces
    )
    by_name, n_rejected = {own.corpus.name: own for own in corpora}, Counter[str]()
    with closing(run_jobs(imported.import_shard, jobs)) as results:
        for done, rejected in results:
            bar.update(done)
            unusable = [entry for entry in rejected if entry.reason != LEFT_OUT]
            n_rejected.update(entry.corpus for entry in unusable)
            for name in {entry.corpus for entry in unusable}:
                own = by_name[name]
                if n_rejected[name] > params.corpus.max_rejected_share * len(own):
                    raise _too_many(own, n_rejected[name], unusable[-1])


def _too_many(own: Listed, rejected: int, one: Rejected) -> InputError:
    return InputError(
        f"{own.place}: {rejected} of {len(own)} utterances cannot be used, more than "
        f"corpus.max_rejected_share allows; one of them: {one.reason}, {one.detail.rstrip('.')}."
    )


def _unpacked_pieces(
    params: Params, part: str, pieces: Sequence[tuple[Listed, range]]
) -> Iterator[tuple[int, list[Utterance]]]:
    """Yields the embedded speech with the number of its shard; calls go over a telephone line
    each."""
    sound: Iterator[Utterance] = iter(())
    for i, (own, places) in enumerate(pieces):
        if own.embedded and not places.start:
            unpacked = _unpacked(params, part, Path(own.corpus.path), own.embedded)
            sound = map(with_measures, unpacked)
        if own.embedded:
            yield i, list(islice(sound, len(places)))


def _unpacked(
    params: Params, part: str, path: Path, utterances: Sequence[Spoken]
) -> Iterator[Utterance]:
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
