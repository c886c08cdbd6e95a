"""A Kaldi data directory: wav.scp, text, and utt2spk and segments where they exist.

Lhotse's reader opens every file for its length and stops at the first broken one; here each broken
one has to be counted, so the four tables are read by hand. Paths in wav.scp are relative to the
directory. A transcript without audio is an utterance too, one that cannot be used.
"""

from __future__ import annotations

from pathlib import Path

from telephone_asr.corpora.items import Item, seconds
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected


def kaldi_items(path: Path) -> list[Item]:
    """Raises InputError for a table that is missing, is not UTF-8 or holds commands."""
    for name in ("wav.scp", "text"):
        if not (path / name).is_file():
            raise InputError(
                f"{path / name} does not exist: a Kaldi directory has wav.scp and text."
            )
    audio, texts = _table(path / "wav.scp"), dict(_table(path / "text"))
    speakers = dict(_table(path / "utt2spk")) if (path / "utt2spk").is_file() else {}
    for recording, place in audio:
        if place.endswith("|"):
            raise InputError(
                f"{path / 'wav.scp'}: {recording} is a command ('{place}'): write files instead."
            )
    if (path / "segments").is_file():
        items = _segments(path, dict(audio), texts, speakers)
    else:
        items = [_item(path, key, place, texts, speakers) for key, place in audio]
    spoken = {item.id for item in items}
    silent = [key for key in texts if key not in spoken]
    return items + [
        Item(key, problem=Rejected(key, "no_audio", f"{path / 'text'} alone names {key}"))
        for key in silent
    ]


def _segments(path: Path, recordings: dict, texts: dict, speakers: dict) -> list[Item]:
    items = []
    for key, segment in _table(path / "segments"):
        try:
            recording, start_s, end_s = segment.split()
            span = {"start_s": seconds(start_s), "end_s": seconds(end_s), "recording": recording}
            place = recordings[recording]
        except (ValueError, KeyError):
            detail = (
                f"{path / 'segments'}: '{key} {segment}' names no recording of wav.scp and span"
            )
            items.append(Item(key, problem=Rejected(key, "unreadable_line", detail)))
            continue
        items.append(_item(path, key, place, texts, speakers, **span))
    return items


def _item(path: Path, key: str, place: str, texts: dict, speakers: dict, **span) -> Item:
    if key not in texts:
        return Item(key, problem=Rejected(key, "no_transcript", f"{path / 'text'} lacks {key}"))
    audio = str(path / place)
    return Item(key, audio, text=texts[key], speaker=speakers.get(key, ""), **span)


def _table(path: Path) -> list[tuple[str, str]]:
    """A Kaldi table, line by line: a key, white space, the rest of the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}).") from None
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return [(key, rest[0].strip() if rest else "") for key, *rest in pairs]
