"""A recording before a model hears it: is it whole, and where does somebody speak in it?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from telephone_asr.calls.segments import MAX_SEGMENT_S, Segment, segments
from telephone_asr.calls.turns import NAMES, Channels
from telephone_asr.corpora.items import CANCELLED, MAX_HOURS
from telephone_asr.corpora.sound import Sound, SoundError, open_sound
from telephone_asr.silero import Activity, Listener


@dataclass(frozen=True)
class Choice:
    """What of a recording is heard, and how.

    whole: each channel is one utterance, of which nothing is left out.
    """

    channels: Channels = "both"
    names: Sequence[str] = NAMES  # of the channels, the left one first
    whole: bool = False
    max_hours: float = MAX_HOURS
    max_segment_s: float = MAX_SEGMENT_S


@dataclass(frozen=True)
class Piece:
    """A segment of a recording; channel None: of all channels, averaged."""

    channel: int | None
    speaker: str
    segment: Segment


@dataclass(frozen=True)
class Recording:
    path: Path
    duration_s: float
    sample_rate_hz: int
    pieces: list[Piece] = field(default_factory=list)  # in the order in which they begin
    stamp: tuple[int, int] = (0, 0)
    channels: int = 1  # of the file
    activities: Mapping[int | None, Activity] = field(default_factory=dict)  # of what is heard

    def check_unchanged(self) -> None:
        """Raises SoundError where the file is another one than when it was opened."""
        if _stamp(self.path) != self.stamp:
            raise SoundError(STILL_WRITTEN.format("it changed while it was read"), "truncated")


STILL_WRITTEN = "{}: transcribe it when it is written to its end"


def listen(
    path: Path, choice: Choice, on_sound: Callable[[float], None] = lambda seconds: None
) -> Recording:
    """Reads a recording from beginning to end, a block at a time.

    Args:
        on_sound: told how many seconds were read, as it goes.

    Raises:
        SoundError: it is no sound, not whole, too long, or lacks the channel.
    """
    stamp = _stamp(path)
    sound = open_sound(path)
    try:
        chosen = _chosen(sound.channels, choice)
        heard = _Heard(sound, choice, chosen, on_sound)
    finally:
        sound.close()
    activities = list(heard.activities(chosen))
    pieces = [
        Piece(channel, speaker, segment)
        for (channel, speaker), activity in activities
        for segment in _segments(activity, heard.duration_s, choice)
    ]
    pieces.sort(key=lambda piece: (piece.segment.start_s, piece.channel or 0))
    return Recording(
        *(path, heard.duration_s, sound.rate_hz, pieces, stamp, sound.channels),
        activities={channel: activity for (channel, _), activity in activities},
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return (0, 0)
    return status.st_size, status.st_mtime_ns


def _segments(activity: Activity, duration_s: float, choice: Choice) -> list[Segment]:
    if choice.whole:
        return [Segment(0.0, duration_s, 0.0, duration_s)]
    return segments(activity, duration_s, choice.max_segment_s)


Named = tuple[int | None, str]


def _chosen(channels: int, choice: Choice) -> list[Named]:
    """Returns the channels that are heard with their names; of one channel, nobody says a name."""
    names = [*choice.names, *(f"channel {n + 1}" for n in range(len(choice.names), channels))]
    if choice.channels in ("left", "right"):
        wanted = ("left", "right").index(choice.channels)
        if wanted >= channels:
            raise SoundError("it has no right channel, only one", "no_such_channel")
        return [(wanted, names[wanted])]
    if choice.channels == "mix" or channels == 1:
        return [(None, "")]
    return list(enumerate(names[:channels]))


class _Heard:
    """Reads all of a sound and holds what was heard of it."""

    def __init__(
        self,
        sound: Sound,
        choice: Choice,
        chosen: Sequence[Named],
        on_sound: Callable[[float], None],
    ):
        self.duration_s, self._same = 0.0, True
        self._mixed = chosen[0][0] is None and sound.channels > 1
        columns = sound.channels + 1 if self._mixed else len(chosen)
        wanted = [channel or 0 for channel, _ in chosen]
        listener = Listener(sound.rate_hz, columns)
        frames = 0
        for block in _blocks(sound, choice.max_hours):
            if self._mixed:
                block = np.column_stack([block.mean(axis=1), block])
            elif chosen[0][0] is not None:
                self._same &= bool((block == block[:, :1]).all())
                block = block[:, wanted]
            listener.add(block)
            frames += len(block)
            on_sound(len(block) / sound.rate_hz)
        self.duration_s = frames / sound.rate_hz
        self._activities = listener.heard()

    def activities(self, chosen: Sequence[Named]) -> Iterator[tuple[Named, Activity]]:
        """Yields each channel with its activity: one, where channels hold the same, or mixed ones
        cancel each other out, as with one wire turned round."""
        if self._mixed:
            mean, *each = (np.mean(10 ** (one.level_db / 10)) for one in self._activities)
            if mean * len(each) ** 2 < CANCELLED * sum(each):
                loudest = int(np.argmax(each))
                yield (loudest, ""), self._activities[1 + loudest]
            else:
                yield chosen[0], self._activities[0]
        elif len(chosen) > 1 and self._same:
            yield (None, ""), self._activities[0]
        else:
            yield from zip(chosen, self._activities, strict=True)


def _blocks(sound: Sound, max_hours: float) -> Iterator[np.ndarray]:
    """Yields all of a sound's blocks. Raises SoundError where it is not whole, or too long."""
    limit = 3600 * max_hours * sound.rate_hz
    _check_length(sound.frames or 0, sound, max_hours)
    frames = 0
    for block in sound.blocks(0, None):
        frames += len(block)
        if frames > limit:
            _check_length(frames, sound, max_hours)
        if not np.isfinite(block).all():
            raise SoundError("it holds samples that are no numbers", "not_finite")
        yield block
    missing = sound.truncated
    if not missing and frames < (sound.frames or 0):
        missing = f"{sound.frames:,} samples are promised, {frames:,} could be read"
    if missing:
        how = f"it holds less than it promises ({missing})"
        raise SoundError(STILL_WRITTEN.format(how), "truncated")
    if not frames:
        raise SoundError("it holds no sound", "empty_audio")


def _check_length(frames: int, sound: Sound, max_hours: float) -> None:
    hours = frames / sound.rate_hz / 3600
    if hours > max_hours:
        lasts = "it lasts" if frames == sound.frames else "it lasts more than"
        raise SoundError(
            f"{lasts} {hours:.1f} hours, limit {max_hours:g} (corpus.max_hours in params.yaml)",
            "too_long",
        )
