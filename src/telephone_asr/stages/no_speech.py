"""no_speech: sound in which nobody speaks, to train on and to test with, into data/no_speech.

- train: clips of `no_speech/kinds.py` over the line of `channel`;
- wideband: the same before the line, which the base is trained on: a change of the line leaves it;
- test: clips of `no_speech/held_out.py`, over a line of their own.

To them come recordings that a user has: `corpus.no_speech.path`, and what a corpus marks as
`no_speech`. Of these, a share by the hash of `split` goes to the test.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, to_wideband
from telephone_asr.channel.line import simulate
from telephone_asr.channel.portable import generator
from telephone_asr.corpora import imported, unwatched
from telephone_asr.corpora.forgotten import read_forgotten
from telephone_asr.corpora.items import load_all
from telephone_asr.errors import InputError
from telephone_asr.manifests.split import Split, assign_split
from telephone_asr.no_speech import clips, held_out
from telephone_asr.outs import check_places, new_out
from telephone_asr.params import Params, load_params
from telephone_asr.paths import FORGOTTEN, NO_SPEECH, RAW
from telephone_asr.program import run
from telephone_asr.shards import (
    REJECTED,
    Rejected,
    Utterance,
    count_shards,
    is_without_speech,
    read_cuts,
    read_shard,
    write_shard,
)
from telephone_asr.simulation import with_own_sounds
from telephone_asr.tags import without_tags
from telephone_asr.telephone_rate import at_telephone_rate
from telephone_asr.workers import run_jobs

VOICES = 150  # utterances that babble is mixed of
PIECE_S = 10.0  # a recording is cut into pieces of at most so long
OWN = "own"  # the kind of what a user recorded


def main() -> None:
    check_places()
    params = load_params()
    unwatched.warn(params.corpus.wideband.path, params.corpus.calls.path)
    with new_out(NO_SPEECH) as new:
        for name in ("train", "wideband", "test"):
            (new / name).mkdir(parents=True)
        _make_clips(new.absolute(), params)
        kept, rejected = _take_own(new, params)
        lines = [json.dumps(entry.fields(), ensure_ascii=False) + "\n" for entry in rejected]
        (new / REJECTED).write_bytes("".join(lines).encode(errors="replace"))
    own = f"; {dict(kept)} pieces of own recordings, {len(rejected)} rejected" if kept else ""
    print(f"{NO_SPEECH}: clips of {len(held_out.KINDS)} kinds in the test{own}")


def _make_clips(new: Path, params: Params) -> None:
    """Makes all clips, a shard a job, on all cores."""
    options, size, seed = params.corpus.no_speech, params.corpus.shard_size, params.seed
    sets = {
        "train": (clips.training_clips(options.minutes, seed), params.channel),
        "test": (clips.test_clips(options.test_minutes), held_out.LINE),
    }
    pools = {}
    for name, speech in babble_voices(RAW / "wideband", params.split).items():
        pools[name] = new / f"{name}.npz"
        babble = BabblePool.build(speech, params.channel.babble.talkers, seed)
        with_own_sounds(babble, params.channel, RAW).save(pools[name])
    jobs = [
        (
            planned[i : i + size],
            i // size,
            new / name,
            new / "wideband" if name == "train" else None,
            line,
            pools[name],
            seed,
        )
        for name, (planned, line) in sets.items()
        for i in range(0, len(planned), size)
    ]
    for _ in tqdm(run_jobs(clips.write_clips, jobs), "no speech", len(jobs), unit="shard"):
        pass
    for pool in pools.values():
        pool.unlink()


def babble_voices(source: Path, split: Split) -> dict[str, list]:
    """Reads the voices that babble is mixed of, speaker and samples: nobody of the training's
    speakers is heard in the test, unless there are too few."""
    chosen: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for cut in read_cuts(source):
        if not is_without_speech(cut):
            own = chosen[_set_of(cut["supervisions"][0]["speaker"], split)]
            if len(own) < VOICES:
                own[cut["id"]] = cut["custom"]["stored"]["shard"]
        if all(len(own) == VOICES for own in chosen.values()):
            break
    everybody = chosen["train"] | chosen["test"]
    found: dict[str, list] = {}
    for name, own in chosen.items():
        own = own or everybody
        found[name] = [
            (u.speaker, to_wideband(u.samples / 32768, u.sample_rate_hz))
            for index in sorted(set(own.values()))
            for u in read_shard(source, index, own)
        ]
    return found


def _set_of(speaker: str, split: Split) -> str:
    return "test" if assign_split(speaker, split) == "test" else "train"


def _take_own(new: Path, params: Params) -> tuple[Counter, list[Rejected]]:
    """Adds what the user recorded to the shards; returns how many pieces came to which of them, and
    what could not be used."""
    waiting: dict[str, list[Utterance]] = defaultdict(list)
    kept, rejected = Counter[str](), list[Rejected]()

    def put_away(at_least: int) -> None:
        for name, own in waiting.items():
            if len(own) >= at_least:
                kept[name] += write_shard(new / name, count_shards(new / name), own)
                own.clear()

    telephone = ((entry, False) for entry in chain(_listed(params), _marked("calls")))
    wideband = ((entry, True) for entry in _marked("wideband"))
    for entry, is_wideband in chain(telephone, wideband):
        if isinstance(entry, Rejected):
            rejected.append(entry)
            continue
        for name, piece in _pieces(entry, is_wideband, params):
            waiting[name].append(piece)
            put_away(params.corpus.shard_size)
    put_away(1)
    return kept, rejected


def _listed(params: Params) -> Iterator[Utterance | Rejected]:
    """Yields the recordings of `corpus.no_speech.path`.

    Raises InputError where one of them has a transcript.
    """
    path, key = params.corpus.no_speech.path, "corpus.no_speech"
    if path is None:
        return
    items = imported.list_items("kaldi" if Path(path).is_dir() else "calls", Path(path), key)
    for item in items:
        if without_tags(item.text).strip():
            raise InputError(
                f"params.yaml: {key}.path: {item.id} of {path} has the transcript '{item.text}': "
                "name only recordings in which nobody speaks, with an empty transcript."
            )
    print(
        f"{key}.path: DVC does not watch {path}: where it changes, `dvc repro --force no_speech` "
        "imports it anew"
    )
    items = read_forgotten(FORGOTTEN).without(imported.with_good_ids(items, set()))
    yield from load_all(items, params.corpus.max_hours)


def _marked(part: str) -> Iterator[Utterance]:
    """Yields what a corpus marks as without speech."""
    source = RAW / part
    ids: dict[int, set[str]] = defaultdict(set)
    for cut in read_cuts(source):
        if is_without_speech(cut):
            ids[cut["custom"]["stored"]["shard"]].add(cut["id"])
    for index, own in ids.items():
        yield from (one for one in read_shard(source, index) if one.id in own)


def _pieces(
    recording: Utterance, is_wideband: bool, params: Params
) -> Iterator[tuple[str, Utterance]]:
    """Yields the pieces of a recording, each with where it belongs. What belongs to the wideband
    corpus is sent over the line, as its speech is."""
    set_ = _set_of(recording.speaker, params.split)
    size, rate_hz = round(PIECE_S * recording.sample_rate_hz), recording.sample_rate_hz
    for i, start in enumerate(range(0, len(recording.samples), size)):
        key = f"{clips.KEY}-{OWN}-{recording.id}-{i}"
        samples, own = recording.samples[start : start + size], {"kind": OWN}
        piece = clips.utterance(key, samples, rate_hz, OWN, own)
        if not is_wideband:
            yield set_, at_telephone_rate(piece)
            continue
        if set_ == "train":
            yield "wideband", piece
        rng = generator(params.seed, key)
        sent, done = simulate(samples, rate_hz, params.channel, None, rng, "")
        yield set_, clips.utterance(key, sent, TELEPHONE_RATE_HZ, OWN, own | done)


if __name__ == "__main__":
    run(main)
