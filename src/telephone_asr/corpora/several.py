"""Several corpora in the place of one, or a team's own test sets: a YAML file that lists them.

    - {name: outbound-2024, kind: calls, path: outbound/calls.jsonl, weight: 2, licence: our own}
    - {name: inbound, kind: kaldi, path: /data/inbound}

Paths are relative to the file. docs/data.md describes the keys.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, StrictBool, StrictStr

from telephone_asr.errors import InputError
from telephone_asr.names import OWN, TEST_SETS
from telephone_asr.sections import Finite, Share, section
from telephone_asr.textfiles import read_text

SEVERAL = "several"  # the kind of such a file
ACCOUNT = "corpora.json"  # of a directory of shards or manifests: the list, as it was imported
NO_LICENCE = "not stated"
# What metrics, and data/manifests, have beside test sets.
RESERVED = {
    *TEST_SETS,
    "calls",
    "short_turns",
    "no_speech",
    "hotwords",
    "timestamps",
    "branch",
    OWN,
}


def _name(text: str) -> str:
    # It is a key of metrics, with dots between, and the name of a directory.
    if not re.fullmatch(r"\w[\w-]{0,49}", text):
        raise ValueError("up to 50 letters, digits, - and _")
    return text


Name = Annotated[StrictStr, AfterValidator(_name)]


@section
class Corpus:
    """One corpus; alone, it has no name."""

    name: Annotated[StrictStr, AfterValidator(lambda text: text and _name(text))]
    kind: StrictStr
    path: StrictStr
    part: StrictStr | None = None
    weight: Annotated[Finite, Field(ge=0, le=100)] = 1.0  # of its utterances in an epoch: times
    licence: StrictStr | None = None

    def account(self) -> dict[str, Any]:
        """Returns what later stages need to know of it."""
        licence = self.licence or NO_LICENCE
        return {"kind": self.kind, "licence": licence, "weight": self.weight}


@section
class OwnTest:
    """A test set that nothing is trained on, scored beside the three that the corpora give."""

    name: Name
    kind: StrictStr
    path: StrictStr
    telephone: StrictBool  # heard at 8 kHz, as calls are
    part: StrictStr | None = None
    licence: StrictStr | None = None
    gate: Share | None = None  # most that its CER may rise by; None: it may

    def account(self) -> dict[str, Any]:
        """Returns what later stages need to know of it."""
        band = "telephone" if self.telephone else "wideband"
        licence = self.licence or NO_LICENCE
        return {"kind": self.kind, "licence": licence, "band": band, "gate": self.gate}


Entry = TypeVar("Entry", Corpus, OwnTest)


def corpora(kind: str, path: str, part: str | None, key: str) -> list[Corpus]:
    """Returns the corpora that a section of params.yaml names: those of a list, or the one.

    Raises InputError for a list that cannot be used; `key` is the section.
    """
    if kind != SEVERAL:
        return [Corpus("", kind, path, part)]
    if part is not None:
        raise InputError(
            f"params.yaml: {key}.part: each corpus of {path} has a part of its own; set it to null."
        )
    return read_list(Path(path), Corpus, f"params.yaml: {key}.path")


def place_of(one: Corpus, path: str, key: str) -> tuple[str, str]:
    """Returns which file names a corpus, and under which key: of the section `key` of params.yaml,
    or of the list at `path`."""
    return (path, one.name) if one.name else ("params.yaml", key)


def test_sets(path: str | None) -> list[OwnTest]:
    """Returns the test sets of corpus.test_sets; raises InputError for a list that has none."""
    if path is None:
        return []
    sets = read_list(Path(path), OwnTest, "params.yaml: corpus.test_sets")
    for one in sets:
        if one.name.casefold() in RESERVED:
            raise InputError(f"{path}: {one.name}: metrics have another of this name; choose one.")
        if one.kind == "synthetic":
            raise InputError(f"{path}: {one.name}: kind: embedded speech is no test set by itself.")
    return sets


def read_list(path: Path, entry: type[Entry], key: str) -> list[Entry]:
    """Reads a list of corpora, their paths as they are from here.

    Raises InputError, with file and entry, for what is no such list; `key` named the file.
    """
    if not path.is_file():
        raise InputError(f"{key}: {path} is no file; name a YAML list of corpora (docs/data.md).")
    tree = _yaml(path)
    if not isinstance(tree, list) or not tree:
        raise InputError(f"{path}: expected a list of corpora with at least one entry.")
    entries: list[Entry] = []
    for number, fields in enumerate(tree, start=1):
        one = _entry(path, number, fields, entry)
        if one.name.casefold() in {other.name.casefold() for other in entries}:
            raise InputError(f"{path}: {one.name}: two entries have this name; rename one.")
        entries.append(one)
    return entries


def _yaml(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(read_text(path))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise InputError(f"{path}{line} is no valid YAML: {problem}.") from None


def _entry(path: Path, number: int, fields: Any, entry: type[Entry]) -> Entry:
    named = fields.get("name") if isinstance(fields, dict) else None
    place = f"{path}: {named}" if isinstance(named, str) and named else f"{path}: entry {number}"
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise InputError(f"{place}: expected keys with values, as name: and kind:.")
    try:
        one = entry(**fields)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    if not one.name:
        raise InputError(f"{place}: name: expected up to 50 letters, digits, - and _, got ''.")
    if one.kind == SEVERAL:
        raise InputError(f"{place}: kind: a list cannot name another one; name its corpora here.")
    if not one.path:
        raise InputError(f"{place}: path: expected where the corpus lies, got ''.")
    # As it is written, and not resolved: .imported and messages name what a person named.
    from_here = os.path.normpath(path.parent / one.path)
    if not os.path.exists(from_here):
        raise InputError(f"{place}: path: {from_here} does not exist; name a {one.kind} corpus.")
    return entry(**{**vars(one), "path": from_here})


def files_of(paths: Iterable[str]) -> Iterator[str]:
    """Yields the files at the paths of listed corpora, which DVC does not watch."""
    for path in paths:
        if os.path.isfile(path):
            yield path
        for directory, folders, names in os.walk(path):
            folders.sort()
            yield from (os.path.join(directory, name) for name in sorted(names))


def write_account(directory: Path, entries: Iterable[Corpus | OwnTest]) -> None:
    """Writes what later stages need to know of a list; nothing where there was none."""
    if named := {one.name: one.account() for one in entries if one.name}:
        text = json.dumps(named, ensure_ascii=False, indent=2) + "\n"
        (directory / ACCOUNT).write_text(text, encoding="utf-8")


def copy_account(source: Path, target: Path) -> dict[str, dict]:
    """Copies the account of a directory of shards to that of its manifests; returns it."""
    if (source / ACCOUNT).is_file():
        shutil.copyfile(source / ACCOUNT, target / ACCOUNT)
    return read_account(source)


def read_account(directory: Path) -> dict[str, dict]:
    """Returns what is known of each corpus or test set of a list by its name; nothing where there
    was no list."""
    path = directory / ACCOUNT
    return json.loads(read_text(path)) if path.is_file() else {}
