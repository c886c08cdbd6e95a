"""Corpora that people bring: what is in them, and their sound into shards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from telephone_asr.corpora import values
from telephone_asr.corpora.calls import call_items
from telephone_asr.corpora.items import MAX_HOURS, Item, load_all
from telephone_asr.corpora.kaldi import kaldi_items
from telephone_asr.corpora.lhotse_sets import manifest_items, recipe_items
from telephone_asr.errors import InputError
from telephone_asr.measures import with_measures
from telephone_asr.outs import new_out
from telephone_asr.sameness import SOUND, as_text, words
from telephone_asr.shards import CORPUS, REJECTED, Rejected, Utterance, write_shard
from telephone_asr.textfiles import json_object, read_lines


def list_items(
    kind: str, path: Path, key: str, part: str | None = None, file: str | Path = "params.yaml"
) -> list[Item]:
    """Reads the list of a corpus.

    kind: kaldi, calls, lhotse (manifests), or the name of a recipe of Lhotse's ("aishell").
    part: of a Lhotse corpus, the part to take; None: all.

    Raises:
        InputError: the corpus as a whole cannot be read; `key` is the section, or the entry of a
            list, that named it in `file`.
    """
    if not os.path.exists(path):  # nor where no file can have the name
        raise InputError(f"{file}: {key}.path: {path} does not exist; name a {kind} corpus.")
    if part is not None and kind in ("kaldi", "calls"):
        raise InputError(f"{file}: {key}.part: a {kind} corpus has no parts; set it to null.")
    if kind == "kaldi":
        items = kaldi_items(path)
    elif kind == "calls":
        items = call_items(path)
    elif kind == "lhotse":
        items = manifest_items(path, part)
    else:
        items = recipe_items(kind, path, part)
    if not items:
        raise InputError(f"{file}: {key}.path: {path} holds no utterances.")
    return items


def with_good_ids(items: Sequence[Item], taken: set[str]) -> list[Item]:
    """Gives a problem to the items whose id cannot name a file, or names another one: of several
    with one id the first is kept.

    taken: the ids of other corpora, as `same_id` has them; the items' own are added."""
    checked = []
    for item in items:
        id_, same = item.id, values.same_id(item.id)
        if not item.problem and (why := values.bad_id(id_)):
            detail = f"{id_!r:.80} cannot be the name of a file: {why}"
            item = replace(item, problem=Rejected(id_, "bad_id", detail))
        elif not item.problem and same in taken:
            detail = f"another utterance is called {id_} too, or so but for case and width"
            item = replace(item, problem=Rejected(id_, "duplicate_id", detail))
        taken.add(same)
        checked.append(item)
    return checked


def import_shard(
    items: Sequence[Item],
    directory: Path,
    index: int,
    max_hours: float = MAX_HOURS,
    corpus: str = "",
) -> tuple[int, list[Rejected]]:
    """Writes what can be used of the items into one shard, and beside it what cannot be; returns
    how many items there were, and the latter.

    Args:
        max_hours: of one recording.
        corpus: the name of theirs, where there are several.
    """
    rejected: list[Rejected] = []

    def usable() -> Iterator[Utterance]:
        for entry in load_all(items, max_hours):
            if isinstance(entry, Rejected):
                rejected.append(replace(entry, corpus=corpus))
            else:
                own = as_text(words(entry.samples, entry.sample_rate_hz))
                entry = with_measures(entry)
                entry = replace(entry, custom=entry.custom | {SOUND: own})
                yield of_corpus(entry, corpus)

    write_shard(directory, index, usable())
    _write_rejected(directory, index, rejected)
    return len(items), rejected


def keep_shard(directory: Path, index: int, utterances: Iterable[Utterance], corpus: str) -> None:
    """Writes utterances of which none can be left out into a shard beside those of other corpora,
    as `import_shard` does."""
    write_shard(directory, index, (of_corpus(one, corpus) for one in utterances))
    _write_rejected(directory, index, [])


def of_corpus(utterance: Utterance, corpus: str) -> Utterance:
    """Returns the utterance with the name of its corpus; as it is, where that has none."""
    if not corpus:
        return utterance
    return replace(utterance, custom=utterance.custom | {CORPUS: corpus})


def is_imported(directory: Path, index: int) -> bool:
    """Returns whether `import_shard` has ended: what was rejected is written last."""
    return _rejected_path(directory, index).is_file()


def gather_rejected(
    directory: Path, shards: int, others: Sequence[Rejected] = ()
) -> list[Rejected]:
    """Joins what `import_shard` rejected in all shards, and others, into one file beside theirs;
    returns it."""
    rejected = list(others)
    with open(directory / REJECTED, "w", encoding="utf-8") as joined:
        for entry in others:
            joined.write(json.dumps(entry.fields(), ensure_ascii=False) + "\n")
        for index in range(shards):
            for _, line in read_lines(_rejected_path(directory, index)):
                joined.write(line + "\n")
                rejected.append(Rejected(**json_object(line)))
    return rejected


def forget_progress(directory: Path) -> None:
    """Removes what only tells an interrupted import where to go on."""
    for path in directory.glob("rejected.*.jsonl"):
        path.unlink()


def identity(items: Iterable[Item]) -> Iterator[str]:
    """Yields texts that stay the same as long as items and their files do: each item, and of each
    file its size and time."""
    for audio, group in groupby(items, key=lambda item: item.audio):
        yield from map(repr, group)
        if audio and os.path.isfile(audio):  # False for a name that no file can have
            found = os.stat(audio)
            yield f"{found.st_size} {found.st_mtime_ns}"


def _write_rejected(directory: Path, index: int, rejected: Sequence[Rejected]) -> None:
    lines = [json.dumps(entry.fields(), ensure_ascii=False) + "\n" for entry in rejected]
    with new_out(_rejected_path(directory, index)) as new:
        new.write_bytes("".join(lines).encode(errors="replace"))  # names that are no UTF-8


def _rejected_path(directory: Path, index: int) -> Path:
    return directory / f"rejected.{index:06d}.jsonl"
