"""A Kaldi data directory: wav.scp, text, and utt2spk and segments where they exist.

Lhotse's reader opens every file for its length and stops at the first broken one; here each broken
one has to be counted, so the four tables are read by hand. Paths in wav.scp are relative to the
directory. A transcript without audio is an utterance too, one that cannot be used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from telephone_asr.corpora import values
from telephone_asr.corpora.items import Item
from telephone_asr.corpora.values import shown
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected
from telephone_asr.textfiles import NOT_UTF_8, read_lines

TO_THE_END = -1.0  # the end of a segment, as Kaldi's extract-segments takes it
Lines = list[tuple[int, str, str]]  # number, key, the rest of the line


def kaldi_items(path: Path) -> list[Item]:
    """Reads the tables; raises InputError for one that is missing, not UTF-8 or holds commands."""
    for name in ("wav.scp", "text"):
        if not (path / name).is_file():
            raise InputError(
                f"{path / name} does not exist: a Kaldi directory has wav.scp and text."
            )
    audio = _audio(path / "wav.scp")
    texts, speakers = _Table(path / "text"), _Table(path / "utt2spk")
    if (path / "segments").is_file():
        items = _segments(path, audio, texts, speakers)
    else:
        items = [_item(path, key, place, texts, speakers) for _, key, place in audio]
    spoken = {item.id for item in items}
    silent = [key for key in texts.entries if key not in spoken]
    return items + [
        Item(key, problem=Rejected(key, "no_audio", f"{path / 'text'} alone names {key}"))
        for key in silent
    ]


class _Table:
    """A table that has one line for each key; `twice` are the keys with lines that differ."""

    def __init__(self, path: Path, lines: Lines | None = None):
        self.entries: dict[str, str] = {}
        self.twice: dict[str, str] = {}
        if lines is None:
            lines = _lines(path) if path.is_file() else []
        for number, key, rest in lines:
            if self.entries.setdefault(key, rest) != rest:
                self.twice[key] = f"{path}:{number} says something else of {key} than a line before"


def _audio(path: Path) -> Lines:
    """Reads wav.scp, with names as the file system has them: they may be in any encoding."""
    lines = _lines(path, errors="surrogateescape")
    for number, key, place in lines:
        if place.endswith("|"):
            raise InputError(f"{path}: {key} is a command ('{place}'): write files instead.")
        odd = shown(key + place) != key + place
        if odd and not os.path.exists(path.parent / place):
            raise InputError(f"{path}:{number} is {NOT_UTF_8.format('GB18030')}.")
    return lines


def _segments(path: Path, audio: Lines, texts: _Table, speakers: _Table) -> list[Item]:
    items, recordings = [], _Table(path / "wav.scp", audio)
    for number, key, segment in _lines(path / "segments"):
        try:
            fields = segment.split()
            if len(fields) not in (3, 4):
                raise ValueError("expected an id, recording, start, end and perhaps channel")
            recording, *times = fields
            if recording not in recordings.entries:
                raise ValueError(f"wav.scp has no recording '{recording}'")
            if problem := recordings.twice.get(recording):
                raise ValueError(problem)
            end_s = values.seconds(times[1], "end")
            span = {
                "start_s": values.seconds(times[0], "start"),
                "end_s": None if end_s == TO_THE_END else end_s,
                "channel": values.channel(times[2], "channel") if times[2:] else None,
                "recording": recording,
            }
            place = recordings.entries[recording]
        except ValueError as error:
            detail = f"{path / 'segments'}:{number}: {error}"
            items.append(Item(key, problem=Rejected(key, "unreadable_line", detail)))
            continue
        items.append(_item(path, key, place, texts, speakers, **span))
    return items


def _item(path: Path, key: str, place: str, texts: _Table, speakers: _Table, **span: Any) -> Item:
    if problem := texts.twice.get(key) or speakers.twice.get(key):
        return Item(key, problem=Rejected(key, "unreadable_line", problem))
    if key not in texts.entries:
        return Item(key, problem=Rejected(key, "no_transcript", f"{path / 'text'} lacks {key}"))
    speaker = values.name(speakers.entries.get(key), "speaker")
    audio = values.sound_file(place, path)
    return Item(key, audio, text=texts.entries[key], speaker=speaker, **span)


def _lines(path: Path, errors: str = "strict") -> Lines:
    """Reads a Kaldi table: a key, white space, the rest of the line."""
    pairs = ((number, line.split(maxsplit=1)) for number, line in read_lines(path, errors))
    return [(number, key, rest[0].strip() if rest else "") for number, (key, *rest) in pairs]
