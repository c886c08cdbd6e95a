"""Recordings, a few at a time, into a shard of turns with their accounts beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile

from telephone_asr.calls.inputs import Source
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.channel.options import Line
from telephone_asr.corpora import conversations
from telephone_asr.corpora.conversations import Conversation
from telephone_asr.corpora.values import bad_id, same_id, shown
from telephone_asr.shards import Utterance, write_shard
from telephone_asr.textfiles import json_lines
from telephone_asr.unlabelled.account import Account, write_accounts
from telephone_asr.unlabelled.known import KnownSounds
from telephone_asr.unlabelled.turns import Rules, turns

MOST_BYTES, MOST_FILES = 20_000_000, 100  # of recordings that a job is given
ID_BYTES = 150  # of a recording's id: its turns' have more


@dataclass(frozen=True)
class Recorded:
    """A recording under its id: a file, or a call of the embedded corpus, still to be made."""

    id: str
    what: Path | Conversation


@dataclass(frozen=True)
class Embedded:
    """What the embedded calls are made of. pool: a file of `BabblePool.save`."""

    archives: Path
    line: Line
    pool: Path
    seed: int


@dataclass(frozen=True)
class HeldOut:
    """Labelled utterances whose sound must not be trained on: manifests name them, by the shards
    that hold them."""

    sets: tuple[tuple[Path, tuple[Path, ...]], ...]


def with_ids(sources: Sequence[Source]) -> list[Recorded]:
    """Gives each file an id: its path below the folder that was named, as a file's name can be."""
    taken: set[str] = set()
    recorded = []
    for source in sources:
        for parts in ((*source.below.parts[:-1], source.below.stem), source.below.parts):
            id_ = _usable("-".join(shown(part) for part in parts))
            if same_id(id_) not in taken:
                break
        number = 2
        while same_id(id_) in taken:
            id_, number = f"{id_.rpartition('~')[0] or id_}~{number}", number + 1
        taken.add(same_id(id_))
        recorded.append(Recorded(id_, source.path))
    return recorded


def _usable(name: str) -> str:
    name = unicodedata.normalize("NFKC", name)
    name = "".join("_" if bad_id(f"a{c}a") else c for c in name).strip(" .")
    return name.encode()[-ID_BYTES:].decode(errors="ignore").lstrip(" .") or "recording"


def batches(recorded: Sequence[Recorded]) -> list[list[Recorded]]:
    """Returns the recordings in groups of about MOST_BYTES, each a job and a shard."""
    groups: list[list[Recorded]] = []
    size = MOST_BYTES
    for one in recorded:
        if size >= MOST_BYTES or len(groups[-1]) >= MOST_FILES:
            groups.append([])
            size = 0
        groups[-1].append(one)
        size += _bytes(one)
    return groups


def _bytes(one: Recorded) -> int:
    if isinstance(one.what, Conversation):
        return round(one.what.duration_s * TELEPHONE_RATE_HZ * 4)
    return one.what.stat().st_size if one.what.is_file() else 0


def import_batch(
    batch: Sequence[Recorded],
    target: Path,
    index: int,
    rules: Rules,
    held_out: HeldOut,
    embedded: Embedded | None,
) -> list[Account]:
    """Writes the turns of some recordings into a shard, and last their accounts; returns these."""
    accounts: list[Account] = []

    def all_turns() -> Iterator[Utterance]:
        for one in batch:
            with _file(one, target, embedded) as path:
                accounts.append(Account(one.id, shown(path)))
                yield from turns(accounts[-1], path, rules, _known(held_out))

    write_shard(target, index, all_turns())
    write_accounts(accounts_path(target, index), accounts)
    return accounts


def accounts_path(target: Path, index: int) -> Path:
    """Returns where the accounts of a shard's recordings are: where they are, it is whole."""
    return target / f"accounts.{index:06d}.jsonl"


@contextmanager
def _file(one: Recorded, target: Path, embedded: Embedded | None) -> Iterator[Path]:
    if isinstance(one.what, Path):
        yield one.what
        return
    assert embedded is not None
    path = target / f"{one.id}.wav"
    pool = _pool(embedded.pool)
    samples = conversations.sound(one.what, embedded.archives, embedded.line, pool, embedded.seed)
    soundfile.write(path, samples, TELEPHONE_RATE_HZ)
    try:
        yield path
    finally:
        path.unlink()


@lru_cache(maxsize=1)  # once for each worker
def _known(held_out: HeldOut) -> KnownSounds:
    return KnownSounds(
        (shards, [line["key"] for path in own for line in json_lines(path, "run `dvc repro`")])
        for shards, own in held_out.sets
    )


@lru_cache(maxsize=1)
def _pool(path: Path) -> BabblePool:
    return BabblePool.load(path)
