"""The one door of text files: tables, lists and JSON lines come into the project through it.

They are UTF-8, with a byte order mark or without. Lines end at \\n, before which a \\r may stand,
and at nothing else: `str.splitlines` also cuts at U+2028, U+0085, \\v and \\f, which stand in
transcripts, and half a transcript is one that is wrong.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from telephone_asr.errors import InputError

NOT_UTF_8 = "not UTF-8: convert it, as with `iconv -f {} -t UTF-8`"
# All but the tab; what ends lines, turns their direction or is not seen; halves of characters.
_CONTROLS = re.compile(
    "[\x00-\x08\n-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
# A list that is UTF-32 is nobody's; its mark begins as that of UTF-16 does.
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, errors: str = "strict") -> str:
    """Returns a file's text, its lines ended by \\n alone; `errors` as `bytes.decode` has it.

    Raises InputError, with the line, for what is no UTF-8, and for what cannot be read.
    """
    content = b"".join(_raw_lines(path))
    try:
        text = content.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise InputError(f"{path}:{line} is {NOT_UTF_8.format('GB18030')}.") from None
    return text.replace("\r\n", "\n")


def read_lines(path: Path, errors: str = "strict") -> list[tuple[int, str]]:
    """Returns the lines that are not blank, with their numbers from 1 on; raises as `read_text`."""
    lines = enumerate(read_text(path, errors).split("\n"), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not blank, with their numbers from 1 on, not yet decoded: in a list
    of JSON one line that cannot be used costs one utterance. Gzip is unpacked.

    Raises InputError for what cannot be read, or is UTF-16.
    """
    for number, line in enumerate(_raw_lines(path), start=1):
        if line.strip():
            yield number, line


def json_object(line: bytes | str) -> dict:
    """Returns what one line of JSON says; raises ValueError or RecursionError for what is no
    object, has a key twice, or a NaN."""
    if isinstance(line, bytes):
        try:
            line = line.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(NOT_UTF_8.format("GB18030")) from None
    found = json.loads(line, object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")
    return found


def json_lines(path: Path, advice: str) -> Iterator[dict]:
    """Yields what each line of a list says that this project wrote.

    Raises InputError, with the line and `advice`, for a line that is no JSON object.
    """
    for number, line in byte_lines(path):
        try:
            yield json_object(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number} is no JSON ({error}): {advice}.") from None


def key_twice(pairs: Sequence[tuple[str, object]]) -> str | None:
    """Returns the first key that an object has twice, as `json.loads` gives its pairs to a hook."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) == len(keys):  # a million lines are read so
        return None
    return next(key for key in keys if keys.count(key) > 1)


def printable(text: str) -> str:
    """Returns a text that no terminal obeys: ids of what was left out may hold anything.

    >>> printable("a\\x1b[2J\\n客户\\tb")
    'a\\\\x1b[2J\\\\n客户\\tb'
    """
    return _CONTROLS.sub(lambda control: ascii(control[0])[1:-1], text)


def one_line(text: str) -> str:
    """Returns somebody else's text as part of a sentence or a page: printable, in one line.

    >>> one_line("a\\n\\x1b[2Kok\\u202eb  c")
    'a \\\\x1b[2Kok\\\\u202eb c'
    """
    return printable(" ".join(text.split()))


def _once(pairs: list[tuple[str, object]]) -> dict:
    if (twice := key_twice(pairs)) is not None:
        raise ValueError(f"the key '{twice}' is there twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON: write null where a value is missing")


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Yields the lines with their ends and without the byte order mark."""
    try:
        with _opened(path) as file:
            first = next(file, b"")
            if first.startswith(_UTF_16) or _looks_like_utf_16(first):
                raise InputError(f"{path} is UTF-16, {NOT_UTF_8.format('UTF-16')}.")
            if first.startswith(b"PK\x03\x04"):
                raise InputError(f"{path} is a spreadsheet or an archive: save it as CSV UTF-8.")
            first, second = first.removeprefix(codecs.BOM_UTF8), next(file, b"")
            if b"\r" in first.rstrip(b"\r\n") and not second:
                raise InputError(
                    f"{path} ends its lines with a carriage return alone: convert it, as with "
                    r"`tr '\r' '\n'`."
                )
            yield first
            yield second
            yield from file
    except IsADirectoryError:
        raise InputError(f"{path} is a directory: name a text file.") from None
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({why}): give a text file.") from None


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    """Opens a regular file; a FIFO or a device would never end."""
    if not path.is_file() and not path.is_dir() and path.exists():
        raise OSError("it is no regular file")
    with open(path, "rb") as file:
        packed = path.suffix == ".gz" or file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else open(path, "rb")


def _looks_like_utf_16(line: bytes) -> bool:
    """Returns whether a line is UTF-16: every other byte of what is ASCII in it is zero."""
    start = line[:200]
    return start.count(0) > len(start) // 4 > 0 and any(start)
