"""Call recordings, listed in JSONL or CSV: one call, or one turn of it, a line.

Fields: id, audio (relative to the file), text; where known speaker, scene, annotation_error (the
transcript is wrong), start and end in seconds, channel (0 or 1: of a stereo recording with agent
and customer on two channels).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from telephone_asr.corpora.items import Item, seconds
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected

TRUE = dict.fromkeys(("true", "yes", "1"), True)  # as spreadsheets write it
FALSE = dict.fromkeys(("false", "no", "0"), False)


def call_items(path: Path) -> list[Item]:
    """Raises InputError for a path that is no file, and a CSV without its columns."""
    if path.is_dir():
        raise InputError(f"{path} is a directory: name the JSONL or CSV file in it.")
    if path.suffix.lower() == ".csv":
        rows = _csv_rows(path)
    else:
        lines = enumerate(path.read_bytes().splitlines(), start=1)
        rows = ((number, line) for number, line in lines if line.strip())
    return [_item(path, number, row) for number, row in rows]


def _csv_rows(path: Path) -> Iterator[tuple[int, dict]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # as spreadsheets write it
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as CSV UTF-8."
        ) from None
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in ("id", "audio", "text") if name not in (reader.fieldnames or [])]
    if missing and text.strip():
        raise InputError(f"{path}:1: the column '{missing[0]}' is missing.")
    for row in reader:
        fields = {name: value for name, value in row.items() if value not in ("", None)}
        fields["text"] = row.get("text") or ""
        word = fields.get("annotation_error", "false").strip().lower()
        fields["annotation_error"] = {**TRUE, **FALSE}.get(word, word)
        yield reader.line_num, fields


def _item(path: Path, number: int, row: bytes | dict) -> Item:
    """One line; a line that cannot be used becomes an item with a problem."""
    place = f"{path.name}:{number}"
    try:
        fields = row if isinstance(row, dict) else json.loads(row.decode("utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("expected a JSON object")
        for name in ("id", "audio", "text"):
            if not isinstance(fields.get(name), str):
                raise ValueError(f"expected the field '{name}' with a text")
            fields[name].encode()  # half a character of a pair cannot be written
        if not isinstance(fields.get("annotation_error", False), bool):
            raise ValueError("expected 'annotation_error' to be true or false")
        return Item(
            id=fields["id"],
            audio=str(path.parent / fields["audio"]),
            start_s=seconds(fields.get("start") or 0.0),
            end_s=None if fields.get("end") is None else seconds(fields["end"]),
            recording=fields["audio"],
            channel=None if fields.get("channel") is None else int(fields["channel"]),
            text=fields["text"],
            speaker=str(fields.get("speaker") or ""),
            scene=str(fields.get("scene") or ""),
            annotation_error=fields.get("annotation_error", False),
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return Item(place, problem=Rejected(place, "unreadable_line", f"{path}:{number}: {error}"))
