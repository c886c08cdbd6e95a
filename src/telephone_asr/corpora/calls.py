"""Call recordings, listed in JSONL or CSV: one call, or one turn of it, a line.

Fields: id, audio (relative to the file), text; where known speaker, scene, annotation_error (the
transcript is wrong), no_speech (nobody speaks; its text is empty), start and end in seconds,
channel (0 or 1: of a stereo recording with agent and customer on two channels).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from telephone_asr.corpora import values
from telephone_asr.corpora.items import Item
from telephone_asr.corpora.values import shown
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected
from telephone_asr.textfiles import byte_lines, json_object, read_lines

REQUIRED = ("id", "audio", "text")
DELIMITERS = ",;\t"  # Excel's, in different countries and by different names


def call_items(path: Path) -> list[Item]:
    """Reads a list of calls; raises InputError for no file, and for a CSV without its columns."""
    if path.is_dir():
        raise InputError(f"{path} is a directory: name the JSONL or CSV file in it.")
    if path.suffix.lower() in (".csv", ".tsv"):
        return [_item(path, number, row) for number, row in csv_rows(path)]
    return [_item(path, number, line) for number, line in byte_lines(path)]


def _item(path: Path, number: int, row: bytes | dict | str) -> Item:
    """Makes an item of a line, one with a problem where it cannot be used. row: JSON, the fields
    of a table's row, or what is wrong with it."""
    try:
        if isinstance(row, str):
            raise ValueError(row)
        return _from_fields(path.parent, row if isinstance(row, dict) else json_object(row))
    except (ValueError, RecursionError) as error:
        place = f"{path.name}:{number}"
        return Item(place, problem=Rejected(place, "unreadable_line", f"{path}:{number}: {error}"))


def _from_fields(folder: Path, fields: dict) -> Item:
    for name in REQUIRED:
        if fields.get(name) is None:
            raise ValueError(f"expected the field '{name}' with a text")
    text = values.text(fields["text"], "text")
    return Item(
        id=values.text(fields["id"], "id"),
        audio=values.sound_file(fields["audio"], folder),
        start_s=values.seconds(fields.get("start"), "start") or 0.0,
        end_s=values.seconds(fields.get("end"), "end"),
        recording=shown(os.path.normpath(fields["audio"])),
        channel=values.channel(fields.get("channel"), "channel"),
        text=text,
        speaker=values.name(fields.get("speaker"), "speaker"),
        scene=values.name(fields.get("scene"), "scene"),
        annotation_error=values.flag(fields.get("annotation_error"), "annotation_error"),
        no_speech=values.no_speech(fields.get("no_speech"), text),
    )


def csv_rows(path: Path) -> Iterator[tuple[int, dict | str]]:
    """Yields each row with its line: its fields, or what is wrong with it.

    A row has as many fields as the header: one more is a comma without quotes, and what follows it
    would be taken for the speaker.
    """
    lines = read_lines(path)
    if not lines:
        return
    columns, delimiter = _header(path, lines[0][1])
    for number, fields in _records(lines[1:], delimiter, len(columns)):
        if isinstance(fields, str):
            yield number, fields
        elif len(fields) != len(columns):
            yield (
                number,
                f"it has {len(fields)} fields, the header {len(columns)}: put a text with "
                f"{delimiter!r} in it between quotes",
            )
        else:
            row = dict(zip(columns, fields, strict=True))
            given = {name: value for name, value in row.items() if value or name == "text"}
            yield number, given


def _header(path: Path, line: str) -> tuple[list[str], str]:
    """Returns the columns' names, and what stands between them: whichever mark there is most of."""
    delimiter = max(DELIMITERS, key=line.count)
    try:
        columns = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise InputError(f"{path}:1 is no header of a CSV: {error}.") from None
    for name in REQUIRED:
        if name not in columns:
            raise InputError(
                f"{path}:1: the column '{name}' is missing; there are {', '.join(columns)}."
            )
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise InputError(f"{path}:1: the column '{twice[0]}' is there twice: rename one of them.")
    return columns, delimiter


def _records(
    lines: Sequence[tuple[int, str]], delimiter: str, columns: int
) -> Iterator[tuple[int, list[str] | str]]:
    """Yields the fields of each record with the number of its first line, or what is wrong with it.

    csv reads a record, but not the table: after a quote that nobody closed it would go on to the
    next quote, and the rows between them would be gone.
    """
    place = 0
    while place < len(lines):
        number, used = lines[place][0], 1
        cells = _cell(lines, place, delimiter, columns)
        reader = csv.reader(cells, delimiter=delimiter, strict=True)
        fields: list[str] | str
        try:
            fields = next(reader)
            used = reader.line_num
            raw = "\n".join(line for _, line in lines[place : place + used])
            if '"' in raw and not _quoted_well(delimiter).fullmatch(raw):
                fields, used = "there is a quote in a field without quotes around it", 1
        except csv.Error as error:
            opened = str(error) == "unexpected end of data"
            fields = "a quote opens and none closes it in this row" if opened else str(error)
        yield number, fields
        place += used


def _cell(
    lines: Sequence[tuple[int, str]], place: int, delimiter: str, columns: int
) -> Iterator[str]:
    """Yields a line, and those below it that may go on with a quoted cell: none that is a row."""
    yield lines[place][1] + "\n"
    for _, line in lines[place + 1 :]:
        if line.partition('"')[0].count(delimiter) >= columns - 1:
            return
        yield line + "\n"


@cache
def _quoted_well(delimiter: str) -> re.Pattern[str]:
    """Matches a record of RFC 4180; csv takes a quote in the middle of a field for a character."""
    field = rf'(?:"(?:[^"]|"")*"|[^"{delimiter}\n]*)'
    return re.compile(rf"{field}(?:{delimiter}{field})*")
