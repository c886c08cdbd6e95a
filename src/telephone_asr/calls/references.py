"""What is said in whole calls, from a list of calls: a transcript of the whole, or turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from telephone_asr.corpora.items import Item
from telephone_asr.corpora.sound import SoundError, open_sound
from telephone_asr.corpora.values import shown
from telephone_asr.manifests.text import clean_transcript
from telephone_asr.shards import Rejected


@dataclass(frozen=True)
class Said:
    """A turn of a call, or all that is said on a channel."""

    channel: int | None  # None: on any
    start_s: float
    end_s: float | None  # None: to the end of the recording
    text: str
    wrong: bool = False  # the list says so: what is heard there is not scored


@dataclass(frozen=True)
class Reference:
    """A recording with what is said in it."""

    path: Path
    name: str  # the recording, as the list has it
    said: tuple[Said, ...]  # in the list's order
    timed: bool  # turns have times

    @property
    def channels(self) -> list[int | None]:
        return sorted({one.channel for one in self.said}, key=lambda channel: channel or 0)


def references(items: Sequence[Item]) -> Iterator[Reference | Rejected]:
    """Yields each recording's reference, or why it cannot be scored; and each broken line."""
    by_recording: dict[str, list[Item]] = {}
    for item in items:
        if item.problem:
            yield item.problem
        else:
            by_recording.setdefault(str(item.audio), []).append(item)
    for own in by_recording.values():
        why = _unfit(own)
        yield Rejected(own[0].recording, *why) if why else _reference(own)


def is_timed(item: Item) -> bool:
    return item.start_s > 0 or item.end_s is not None


def _reference(items: Sequence[Item]) -> Reference:
    said = [
        Said(item.channel, item.start_s, item.end_s, _text(item), item.annotation_error)
        for item in items
    ]
    return Reference(Path(items[0].audio), items[0].recording, tuple(said), is_timed(items[0]))


def _text(item: Item) -> str:
    return clean_transcript(item.text)[0]


def _unfit(items: Sequence[Item]) -> tuple[str, str] | None:
    """Returns a reason and a sentence, where a call's lines do not say what is said in it."""
    timed = sum(map(is_timed, items))
    channels = {item.channel for item in items}
    if 0 < timed < len(items):
        return "unreadable_line", f"{timed} of its {len(items)} lines have times: give all, or none"
    if None in channels and len(channels) > 1:
        return "unreadable_line", "some of its lines name a channel and some do not: name all"
    if not timed and any(item.annotation_error for item in items):
        return "annotation_error", "its transcript is marked as wrong"
    if not any(_text(item) or item.no_speech for item in items):
        return "empty_text", "its transcript is empty: write no_speech where nobody speaks"
    with suppress(SoundError):  # who transcribes it says what is wrong
        sound = open_sound(items[0].audio)
        sound.close()
        for channel in channels:
            if channel is not None and not 0 <= channel < sound.channels:
                path = shown(items[0].audio)
                return "no_such_channel", f"{path}: it has no channel {channel}"
    return None
