"""`telephone-asr data forget`: takes utterances out of everything that this project made of them.

forgotten.txt is what does it: with their hashes in it, `dvc repro` makes all data, checkpoints and
metrics anew without them. What lies elsewhere is shown, edited with --yes, or left to commands that
are printed, since they take other things with them: old versions of everything.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.names import BASE, FINAL, TRAINED
from telephone_asr.paths import (
    FORGOTTEN,
    FROZEN_SPLITS,
    IMPORTED,
    MANIFESTS,
    MODELS,
    RAW,
    SCRATCH,
    SHARDS,
    UNPACKED,
)
from telephone_asr.textfiles import byte_lines, json_lines, json_object, printable

if TYPE_CHECKING:
    from telephone_asr.corpora.items import Item
    from telephone_asr.corpora.lists import Edit
    from telephone_asr.params import Params, Source

MANIFEST_ADVICE = "run `dvc repro manifests`"
# The corpora that a checkpoint hears in training; wideband speech where it is mixed in.
HEARD = {BASE: (), "encoder": ("simulated", "telecall"), "adaptor": ("simulated", "telecall")}
HEARD |= {"lora": ("telecall",)}
IDS_AT_ONCE = 100  # in one search of git's history
NOTHING_CHANGED = "Nothing is changed yet: the same command with --yes does it"


def add(tasks: argparse._SubParsersAction) -> None:
    task = tasks.add_parser(
        "forget",
        help="take utterances, or all of a speaker, out of everything made of them",
        description="Shows what goes; --yes does it. docs/privacy.md",
    )
    task.add_argument("ids", nargs="*", metavar="ID")
    task.add_argument("--speaker", action="append", default=[], metavar="NAME")
    task.add_argument(
        "--yes", action="store_true", help="change forgotten.txt, your lists, splits/"
    )
    task.set_defaults(run=lambda a: _print(forget(a.ids, a.speaker, a.yes)))


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(printable(line))


@dataclass
class Traces:
    """The places that name what is to be forgotten."""

    ids: set[str] = field(default_factory=set)
    listed: list[tuple[str, str, str]] = field(default_factory=list)  # where, id, speaker
    edits: list[Edit] = field(default_factory=list)  # of the user's lists, and splits/
    sounds: dict[str, bool] = field(default_factory=dict)  # file: whether others lie in it too
    unread: list[str] = field(default_factory=list)  # corpora whose lists are not here


def forget(ids: Sequence[str], speakers: Sequence[str], yes: bool) -> Iterator[str]:
    """Forgets utterances and speakers; yields what goes, and what is left to do, line by line.

    Raises InputError, and changes nothing, where one of them is named nowhere.
    """
    from telephone_asr.corpora import forgotten
    from telephone_asr.params import load_params

    if not ids and not speakers:
        raise InputError("name an ID of an utterance, or a --speaker.")
    params = load_params()
    traces = find(params, frozenset(ids), frozenset(speakers))
    lines = {forgotten.line_of("id", id_): id_ for id_ in ids}
    lines |= {forgotten.line_of("speaker", name): name for name in speakers}
    known = traces.ids | {speaker for _, _, speaker in traces.listed}
    known |= {lines[line] for line in forgotten.read_forgotten(FORGOTTEN).lines & lines.keys()}
    if missing := [name for name in (*ids, *speakers) if name not in known]:
        raise InputError(
            f"{missing[0]}: no list, shard or forgotten.txt names it; nothing was changed. Names "
            "are those of the corpus: `telephone-asr data why ID` looks one up."
        )
    # Of a speaker's utterances each by itself too: the next list may name the speaker otherwise.
    lines |= {forgotten.line_of("id", id_): id_ for id_ in traces.ids}
    if yes:  # before anything is said: whoever reads it may close the pipe
        try:
            forgotten.add_forgotten(FORGOTTEN, lines)
            for edit in traces.edits:
                edit.write()
        except OSError as error:
            raise InputError(
                f"{error.filename} cannot be written ({error.strerror}): make it writable and run "
                "the command again."
            ) from None
    yield from _shown(traces, yes)
    hashes = "1 hash" if len(lines) == 1 else f"{len(lines)} hashes"
    yield f"{FORGOTTEN}: {hashes}{'' if yes else ' to be added'}"
    yield from _same_sounds(traces.ids)
    yield from trained_on(params, traces.ids)
    yield from _in_history(traces.ids)
    yield from commands(traces) if yes else [NOTHING_CHANGED]


def find(params: Params, ids: frozenset[str], speakers: frozenset[str]) -> Traces:
    """Looks through the corpora's lists, the shards and splits/."""
    from telephone_asr.corpora import lists
    from telephone_asr.manifests.split import hashed

    traces = Traces()
    for part in ("wideband", "calls"):
        source = getattr(params.corpus, part)
        try:
            items = _items(source, f"corpus.{part}")
        except InputError as error:
            traces.unread.append(str(error))
            items = []
        own = _note(f"corpus.{part}", items, ids, speakers, traces)
        traces.edits += lists.edits(source.kind, Path(source.path), own, speakers)
        if (RAW / part).is_dir():
            _note_shards(RAW / part, ids, speakers, traces)
    named = traces.ids | {hashed(id_) for id_ in traces.ids}
    for path in sorted(FROZEN_SPLITS.glob("*.txt")):
        content = path.read_bytes().splitlines(keepends=True)
        gone = [line for line in content if line.decode().strip() in named]
        if gone:
            left = b"".join(line for line in content if line not in gone)
            traces.edits.append(lists.Edit(path, gone, left))
    return traces


def _items(source: Source, key: str) -> list[Item]:
    """Reads a corpus's list; the embedded one's sound lies in archives in git."""
    from telephone_asr.corpora import imported, spoken
    from telephone_asr.corpora.items import Item

    if source.kind == "synthetic":
        every = spoken.read_index(Path(source.path))
        return [Item(one.id, speaker=one.speaker) for one in every]
    return imported.list_items(source.kind, Path(source.path), key, source.part)


def _note(
    where: str, items: Sequence[Item], ids: frozenset[str], speakers: frozenset[str], traces: Traces
) -> set[str]:
    """Notes the items that are meant, and their sound files; returns their ids."""
    from telephone_asr.corpora.forgotten import speaker_of

    gone = [one for one in items if one.id in ids or speaker_of(one) in speakers]
    own = {one.id for one in gone}
    traces.listed += [(where, one.id, speaker_of(one)) for one in gone]
    traces.ids |= own
    shared = {str(one.audio) for one in items if one.id not in own}
    for sound in sorted({str(one.audio) for one in gone} - {""}):
        traces.sounds[sound] = sound in shared
    return own


def _note_shards(
    directory: Path, ids: frozenset[str], speakers: frozenset[str], traces: Traces
) -> None:
    from telephone_asr.shards import read_cuts

    for cut in read_cuts(directory):
        speaker = cut["supervisions"][0]["speaker"]
        if cut["id"] in ids or speaker in speakers:
            traces.ids.add(cut["id"])
            traces.listed.append((str(directory), cut["id"], speaker))


def _shown(traces: Traces, yes: bool) -> Iterator[str]:
    for why in traces.unread:
        yield f"not looked through: {why}"
    for where, id_, speaker in traces.listed:
        yield f"{where}: {id_}, speaker {speaker}"
    for edit in traces.edits:
        yield f"{edit.path}: {len(edit.gone)} lines {'are gone' if yes else 'would go'}:"
        for line in edit.gone:
            yield f"- {line.decode('utf-8', 'replace').rstrip()}"
    for sound in (sound for sound, shared in traces.sounds.items() if shared):
        yield f"{sound}: others lie in it too, so it stays: cut its part out yourself"


# --- What became of it


def trained_on(params: Params, ids: set[str]) -> Iterator[str]:
    """Says which checkpoints learnt from the utterances, by the manifests that are here."""
    sets = {source: _sets(source, ids) for source in SHARDS}
    if not any(sets.values()):
        yield (
            "checkpoints: the manifests that are here name none of them and cannot tell; those of "
            "the revision that a model was trained at can (`git checkout`, `dvc checkout`)"
        )
        return
    learnt = False
    for name in (BASE, *TRAINED):
        sources = set(HEARD[name])
        if params.base.is_tiny if name == BASE else params.train.mix:
            sources.add("wideband")
        trained = sorted({id_ for source in sources for id_ in sets[source].get("train", ())})
        chosen = sorted({id_ for source in sources for id_ in sets[source].get("valid", ())})
        if trained:
            learnt = True
            yield f"{MODELS / name}{_version(name)}: trained on {', '.join(trained)}"
        elif chosen:
            yield f"{MODELS / name}{_version(name)}: its best step chosen by {', '.join(chosen)}"
        else:
            yield f"{MODELS / name}: not trained on any of them"
    also = "trained on them too" if learnt else "not trained on any of them either"
    yield f"{MODELS / FINAL}: made of these checkpoints, so {also}"


def _sets(source: str, ids: set[str]) -> dict[str, list[str]]:
    """Returns which of the ids are in which set of a corpus's manifests, as the corpus has them."""
    from telephone_asr.manifests.split import SPLITS
    from telephone_asr.shards import recorded_id

    sets = {}
    for name in SPLITS:
        path = MANIFESTS / source / f"{name}.jsonl"
        keys = (json_object(line)["key"] for _, line in byte_lines(path)) if path.is_file() else ()
        own = [recorded_id(key) if source == "simulated" else key for key in keys]
        if named := [key for key in own if key in ids]:
            sets[name] = named
    return sets


def _version(name: str) -> str:
    path = MODELS / name / "checkpoint.json"
    if not path.is_file():
        return ""
    return f" (sha256 {json_object(path.read_text(encoding='utf-8'))['sha256'][:12]}…)"


def _same_sounds(ids: set[str]) -> Iterator[str]:
    """Names what has the same sound under another id, which comes in when this one is gone."""
    for source in ("wideband", "telecall"):
        path = MANIFESTS / source / "rejected.jsonl"
        for entry in json_lines(path, MANIFEST_ADVICE) if path.is_file() else ():
            other = entry["detail"].removesuffix(" has the same sound")
            if entry["reason"] == "duplicate_audio" and (entry["id"] in ids) != (other in ids):
                new = other if entry["id"] in ids else entry["id"]
                yield f"{source}: {new} has the same sound as one of them: forget it too?"


def _in_history(ids: set[str]) -> Iterator[str]:
    """Names the commits that hold one of the ids, as a list in splits/ does."""
    every, commits = sorted(ids), list[str]()
    for start in range(0, len(every), IDS_AT_ONCE):
        wanted = "|".join(re.escape(id_) for id_ in every[start : start + IDS_AT_ONCE])
        wanted = f"(^|[^[:alnum:]])({wanted})([^[:alnum:]]|$)"
        command = ["git", "log", "--all", "--format=%h", "--pickaxe-regex", f"-S{wanted}"]
        commits += subprocess.run(command, capture_output=True, text=True).stdout.split()
    if commits:
        yield (
            f"git: an id of them stands in the commits {' '.join(dict.fromkeys(commits))}: `git "
            "filter-repo --replace-text FILE` takes it out, and all clones are to be made anew"
        )


def commands(traces: Traces) -> Iterator[str]:
    """Yields the commands that remove what is left, in their order, as a shell takes them."""
    from dvc.repo import Repo

    with Repo() as repo:
        remotes, site = list(repo.config["remote"]), repo.site_cache_dir
    yield "Then, in this order (docs/privacy.md says what else goes with the old versions):"
    sounds = [path for path, shared in traces.sounds.items() if not shared]
    if sounds:
        yield f"    rm -f {shlex.join(sounds)}"
    yield "    dvc repro"
    yield "    git add --all && git commit --message 'Without what is to be forgotten'"
    if remotes:
        yield "    dvc push"
    rest = [str(path) for path in (SCRATCH, IMPORTED, UNPACKED, Path(".dvc/tmp"))]
    yield f"    dvc gc --workspace --force && rm -rf {shlex.join([*rest, str(site)])}"
    for name in remotes:
        yield f"    dvc gc --workspace --cloud --remote {shlex.quote(name)} --force"
