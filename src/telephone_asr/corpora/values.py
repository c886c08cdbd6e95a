"""What a field of a corpus's list says, whatever kind of list it is.

Missing is null or empty, and nothing else is: a speaker may be called 0. Any number is text.
All raise ValueError, whose sentence follows the file and line in the rejection.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import SupportsFloat

from telephone_asr.tags import without_tags

ID_BYTES = 200  # an id names files, with a suffix and a prefix of ours, and 255 is what names have
_ID = re.compile(r"[\w.,:;=+@#%&~!'()\[\]{}^ -]+")  # \w: letters and digits of any script
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def text(value: object, field: str) -> str:
    """Returns a field as text, as it is; "" where it is missing.

    >>> text(0, "speaker"), text(7.0, "speaker"), text(None, "speaker")
    ('0', '7', '')
    """
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas writes a column of 7 and nothing as 7.0
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected '{field}' with a text, got {_shown(value)}")
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{field}' holds half a character of a pair") from None
    return str(value)


def name(value: object, field: str) -> str:
    """Returns a name of somebody or something, one spelling for each: width and accents are folded,
    and neither white space around it nor what cannot be seen is part of it.

    >>> name("\\u3000张 三\\u200b ", "speaker"), name("ＡＢ１", "speaker")
    ('张 三', 'AB1')
    """
    folded = unicodedata.normalize("NFKC", text(value, field))
    visible = (c for c in folded if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join("".join(visible).split())


def seconds(value: object, field: str) -> float | None:
    """Returns a time, None where it is missing.

    >>> seconds("０.5", "start"), seconds(2, "start"), seconds("", "end")
    (0.5, 2.0, None)
    """
    # Beyond, times a sample rate, it would be infinite.
    return _number(value, field, "a time in seconds", lambda number: abs(number) <= 1e300)


def channel(value: object, field: str) -> int | None:
    """Returns the number of a channel, None where it is missing; pandas writes 1 as 1.0."""
    number = _number(value, field, "the number of a channel", float.is_integer)
    return None if number is None else int(number)


def flag(value: object, field: str) -> bool:
    """Returns whether a field is true, as JSON and as spreadsheets write it; missing is false."""
    word = str(value).lower() if isinstance(value, bool) else text(value, field).strip().lower()
    if word and word not in _FLAGS:
        raise ValueError(f"expected '{field}' to be true or false, got {_shown(value)}")
    return _FLAGS.get(word, False)


def no_speech(value: object, said: str) -> bool:
    """Returns whether a list says that nobody speaks; then nothing but tags may be said."""
    silent = flag(value, "no_speech")
    if silent and without_tags(said).strip():
        raise ValueError(f"'no_speech' is true and 'text' is {_shown(said)}")
    return silent


def sound_file(value: object, folder: Path) -> str:
    """Returns where a sound file is: beside the list, or where an absolute path says. A path of
    Windows is read with its other slashes where there is no such file. A name that is not UTF-8
    comes as Python writes it, with the bytes in half characters (`os.fsdecode`)."""
    if not isinstance(value, str):
        raise ValueError(f"expected 'audio' with the path of a file, got {_shown(value)}")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError("'audio' holds half a character of a pair") from None
    path = os.path.join(folder, value)
    if "\\" in value and not os.path.exists(path):
        path = os.path.join(folder, value.replace("\\", "/"))
    return path


def shown(path: str | Path) -> str:
    """Returns a path to be written down, with a mark for each byte that is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def bad_id(id_: str) -> str | None:
    """Returns why an id cannot be the name of a file anywhere; None for one that can be.

    >>> bad_id("客户-1_a.b") is None, bad_id("a/b"), bad_id(".a")
    (True, "it holds '/'", 'it begins with a dot')
    """
    if not id_:
        return "it is empty"
    if len(id_.encode("utf-8", "replace")) > ID_BYTES:
        return f"it has more than {ID_BYTES} bytes"
    if strange := next((c for c in id_ if not _ID.fullmatch(c)), None):
        return f"it holds {strange!r}"
    if id_ != id_.strip():
        return "it begins or ends with a space"
    return "it begins with a dot" if id_.startswith(".") else None


def same_id(id_: str) -> str:
    """Returns what is equal for ids that some file systems hold for one."""
    return unicodedata.normalize("NFKC", id_).casefold()


def _number(value: object, field: str, what: str, usable: Callable[[float], bool]) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = math.nan
    if isinstance(value, str):
        written = unicodedata.normalize("NFKC", value).strip()
        number = float(written) if _NUMBER.fullmatch(written) else math.nan
    elif isinstance(value, SupportsFloat) and not isinstance(value, bool):
        with suppress(TypeError, OverflowError):
            number = float(value)
    if not (math.isfinite(number) and usable(number)):
        raise ValueError(f"expected '{field}' with {what}, got {_shown(value)}")
    return number


def _shown(value: object) -> str:
    """Returns a value for a sentence: as JSON would have it, and not all of it."""
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 40 else shown[:40] + "..."
