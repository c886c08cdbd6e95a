"""Utterances and speakers that the corpora are to be without: forgotten.txt names them.

It lies in git, so it holds no id and no name but a SHA-256 of each, and so it keeps out for good
what a list of the user's brings back from a backup. Whoever can guess an id can tell whether it is
there: docs/privacy.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from telephone_asr.corpora.items import Item
from telephone_asr.errors import InputError
from telephone_asr.outs import new_out
from telephone_asr.shards import Rejected
from telephone_asr.textfiles import read_lines, read_text

LEFT_OUT = "forgotten"  # the reason
_LINE = re.compile(r"(?:id|speaker) [0-9a-f]{64}")


def line_of(kind: str, name: str) -> str:
    """Returns the line of forgotten.txt that stands for a name. kind: id or speaker."""
    return f"{kind} {hashlib.sha256(f'{kind} {name}'.encode(errors='surrogateescape')).hexdigest()}"


@dataclass(frozen=True)
class Forgotten:
    """The lines of forgotten.txt."""

    lines: frozenset[str] = frozenset()

    def holds(self, id_: str, speaker: str) -> bool:
        if not self.lines:
            return False
        return not self.lines.isdisjoint((line_of("id", id_), line_of("speaker", speaker)))

    def rejected(self, id_: str) -> Rejected:
        """Returns what is kept of such an utterance, for the counts: nothing that names it."""
        return Rejected(
            f"{LEFT_OUT}-{line_of('id', id_)[3:15]}", LEFT_OUT, "forgotten.txt names it"
        )

    def without(self, items: Sequence[Item]) -> list[Item]:
        """Returns the items with those that are forgotten emptied of all but the reason."""
        left = []
        for item in items:
            if self.holds(item.id, speaker_of(item)):
                rejected = self.rejected(item.id)
                item = Item(rejected.id, problem=rejected)
            left.append(item)
        return left


def speaker_of(item: Item) -> str:
    """Returns the speaker of an item, or what stands for it where it is not known."""
    return item.speaker or item.recording or item.id


def read_forgotten(path: Path) -> Forgotten:
    """Reads forgotten.txt; where there is none, nothing is forgotten.

    Raises InputError for a line that is no hash of an id or a speaker.
    """
    if not path.is_file():
        return Forgotten()
    lines = [(number, line.strip()) for number, line in read_lines(path)]
    for number, line in lines:
        if not line.startswith("#") and not _LINE.fullmatch(line):
            raise InputError(
                f"{path}:{number}: expected 'id' or 'speaker' and a SHA-256: have `telephone-asr "
                "data forget` write the line."
            )
    return Forgotten(frozenset(line for _, line in lines if not line.startswith("#")))


def add_forgotten(path: Path, lines: Iterable[str]) -> None:
    """Adds lines, sorted: their order is not to tell in which they came."""
    before = read_text(path).splitlines() if path.is_file() else []
    comments = [line for line in before if line.startswith("#")]
    whole = comments + sorted(read_forgotten(path).lines | set(lines))
    with new_out(path) as new:
        new.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
