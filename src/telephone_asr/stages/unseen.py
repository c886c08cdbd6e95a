"""Sound that DVC does not see: files that a corpus names outside the path that it watches.

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
from typing import TYPE_CHECKING

from telephone_asr.paths import IMPORTED
from telephone_asr.textfiles import json_lines

if TYPE_CHECKING:  # it imports NumPy, for which no --help waits
    from telephone_asr.params import Corpus, Source

IMPORT_ANEW = "`dvc repro --force corpus` imports it anew"


def look(path: Path, sounds: Iterable[str]) -> dict[str, list[int] | None]:
    """Returns size and time of each sound file outside the corpus's path, None for one that is not
    there."""
    watched = os.path.abspath(path) + os.sep if path.is_dir() else None
    found = {}
    for sound in dict.fromkeys(filter(None, sounds)):
        if watched is None or not os.path.abspath(sound).startswith(watched):
            found[sound] = _state(sound)
    return found


def note(part: str, source: Source, seen: dict[str, list[int] | None]) -> None:
    """Keeps what `look` saw before an import, and says so."""
    path = _note(part, source)
    if not seen:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"path": place, "state": state}) for place, state in seen.items())
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(
        f"corpus.{part}: DVC watches {source.path}, and not the {len(seen):,} sound files "
        f"elsewhere, such as {next(iter(seen))}: where their sound changes, {IMPORT_ANEW}"
    )


def changes(part: str, source: Source) -> str:
    """What has changed of the sound that DVC does not see, in a sentence; empty where nothing has,
    or this machine did not import it."""
    path = _note(part, source)
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


def warn(corpus: Corpus) -> None:
    """Says on stderr what has changed of either corpus."""
    for part in ("wideband", "calls"):
        if said := changes(part, getattr(corpus, part)):
            print(f"warning: {said}", file=sys.stderr)


def _note(part: str, source: Source) -> Path:
    """Experiments may have corpora of their own."""
    return IMPORTED / f"{part}-{zlib.crc32(source.path.encode()):08x}.jsonl"


def _state(path: str) -> list[int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]
