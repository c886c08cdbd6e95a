"""Sound that DVC does not watch: files that a corpus names outside of its own path.

DVC compares what lies at `corpus.<part>.path`: a directory with all that is in it, or a list alone.
Sound elsewhere may be replaced, and nothing runs anew. So an import says which files these are and
notes their sizes and times in .imported/, and `doctor` and the stages after it compare.
The note is this machine's: on another one, that sound is not known to be the same.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

from telephone_asr.paths import IMPORTED
from telephone_asr.textfiles import json_lines

IMPORT_ANEW = "`dvc repro --force corpus` imports it anew"


def look(corpus: str, sounds: Iterable[str]) -> dict[str, list[int] | None]:
    """Returns size and time of each sound file outside the corpus's path, None for one that is not
    there."""
    watched = os.path.abspath(corpus) + os.sep if os.path.isdir(corpus) else None
    return {
        sound: _state(sound)
        for sound in dict.fromkeys(filter(None, sounds))
        if watched is None or not os.path.abspath(sound).startswith(watched)
    }


def note(
    part: str, corpus: str, seen: dict[str, list[int] | None], watched: str | None = None
) -> None:
    """Writes down what `look` saw before an import, and says so. watched: what DVC watches of it,
    where that is not the corpus's path."""
    path = _note(part, corpus)
    if not seen:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"path": place, "state": state}) for place, state in seen.items())
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(
        f"corpus.{part}: DVC watches {watched or corpus}, and not the {len(seen):,} sound files "
        f"elsewhere, such as {next(iter(seen))}: where their sound changes, {IMPORT_ANEW}"
    )


def changes(part: str, corpus: str) -> str:
    """Returns a sentence on the sound that has changed since it was imported; "" where none has, or
    this machine did not import it."""
    path = _note(part, corpus)
    if not path.is_file():
        return ""
    lines = list(json_lines(path, IMPORT_ANEW))
    other = [line["path"] for line in lines if _state(line["path"]) != line["state"]]
    if not other:
        return ""
    return (
        f"corpus.{part}: {len(other):,} of {len(lines):,} sound files that DVC does not watch have "
        f"changed since they were imported, such as {other[0]}: {IMPORT_ANEW}"
    )


def warn(wideband: str, calls: str, **others: str | None) -> None:
    """Prints to stderr what has changed of the two corpora, and of others by their keys: folders of
    sounds for lines, a list of test sets."""
    parts = {"wideband": wideband, "calls": calls, **others}
    for part, corpus in parts.items():
        if corpus and (said := changes(part, corpus)):
            print(f"warning: {said}", file=sys.stderr)


def _note(part: str, corpus: str) -> Path:
    """Returns where a corpus's note is: by its path, since experiments may have other corpora."""
    return IMPORTED / f"{part}-{zlib.crc32(corpus.encode()):08x}.jsonl"


def _state(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]
