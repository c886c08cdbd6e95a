"""An utterance of a corpus that people bring, before and after its sound is read.

One broken file rejects one utterance, never the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from telephone_asr.channel.portable import to_int16
from telephone_asr.corpora import values
from telephone_asr.corpora.sound import SLACK_S, Sound, SoundError, open_sound
from telephone_asr.shards import Rejected, Utterance

MAX_HOURS = 12.0  # of a recording
MAX_UTTERANCE_S = 3600  # of which a model hears minutes
CANCELLED = 0.25  # of the power that unlike channels add up to; opposite ones add up to nothing


@dataclass(frozen=True, slots=True)
class Item:
    """An utterance whose sound is not yet read; `problem` is set where its entry is broken."""

    id: str
    audio: str | Path = ""
    start_s: float = 0.0
    end_s: float | None = None  # None: to the end of the file
    channel: int | None = None  # None: all channels, averaged
    recording: str = ""  # empty: the item is a recording of its own
    text: str = ""
    speaker: str = ""  # empty: unknown, the recording stands for it
    scene: str = ""
    annotation_error: bool = False
    no_speech: bool = False  # nobody speaks in it, as the corpus says
    problem: Rejected | None = None


def load(item: Item, max_hours: float = MAX_HOURS) -> Utterance | Rejected:
    """Reads one item's sound: int16, one channel, at the rate of its file."""
    return next(load_all([item], max_hours))


def load_all(items: Sequence[Item], max_hours: float = MAX_HOURS) -> Iterator[Utterance | Rejected]:
    """Yields each item with its sound, or the reason why it cannot be used, in their order.

    Items that follow each other and lie in one file share its being opened. A recording of more
    than `max_hours` is not used.
    """
    for audio, group in groupby(items, key=lambda item: None if item.problem else item.audio):
        if audio is None:
            yield from (item.problem for item in group if item.problem)
            continue
        try:
            sound = open_sound(audio)
        except SoundError as error:
            yield from [_rejected(item, error) for item in group]
            continue
        try:
            yield from (_load(item, sound, max_hours) for item in group)
        finally:
            sound.close()


def _rejected(item: Item, error: SoundError) -> Rejected:
    return Rejected(item.id, error.reason, f"{values.shown(item.audio)}: {error}")


def _load(item: Item, sound: Sound, max_hours: float) -> Utterance | Rejected:
    try:
        samples = _samples(item, sound, max_hours)
    except SoundError as error:
        return _rejected(item, error)
    return Utterance(
        id=item.id,
        samples=samples,
        sample_rate_hz=sound.rate_hz,
        text=item.text,
        speaker=item.speaker or item.recording or item.id,
        scene=item.scene,
        annotation_error=item.annotation_error,
        custom={"no_speech": True} if item.no_speech else {},
    )


def _samples(item: Item, sound: Sound, max_hours: float) -> np.ndarray:
    """Returns the item's int16 samples (n,), n > 0. Raises SoundError where it cannot be used.

    Of a truncated file the segments before its end are good; whatever has no end of its own, and so
    goes on to where the file once ended, is not.
    """
    rate_hz, frames = sound.rate_hz, sound.frames
    _check_span(item, sound, max_hours)
    first = round(min(item.start_s, 3600 * max_hours) * rate_hz)  # 1e305 is no number of samples
    last = None if item.end_s is None else round(item.end_s * rate_hz)
    if item.channel is not None and not 0 <= item.channel < sound.channels:
        raise SoundError(f"it has no channel {item.channel}", "no_such_channel")
    samples = _mono(sound, first, last, item.channel)
    end = first + len(samples)
    if sound.truncated and (last is None or end < last):
        raise SoundError(f"it holds less than it promises: {sound.truncated}", "truncated")
    if (
        frames is not None
        and first < frames
        and end < min(frames if last is None else last, frames)
    ):
        raise SoundError(f"{frames:,} samples are promised, {end:,} could be read", "truncated")
    if last is not None and end < last - SLACK_S * rate_hz and frames is None:
        raise SoundError(_outside(item, end / rate_hz), "outside_audio")
    if not len(samples):
        raise SoundError("it holds no sound", "empty_audio")
    return samples


def _check_span(item: Item, sound: Sound, max_hours: float) -> None:
    """Raises SoundError where the item cannot lie in the recording, as far as its header says."""
    known_s = sound.frames / sound.rate_hz if sound.frames and not sound.truncated else 0.0
    if known_s > 3600 * max_hours:
        detail = f"it lasts {known_s / 3600:.1f} hours, limit {max_hours} (corpus.max_hours)"
        raise SoundError(detail, "too_long")
    limit_s = 3600 * max_hours if sound.frames is None or sound.truncated else known_s + SLACK_S
    if item.start_s < 0 or (item.end_s or 0.0) > limit_s:
        raise SoundError(_outside(item, known_s), "outside_audio")


def _outside(item: Item, lasts_s: float) -> str:
    return f"it lasts {lasts_s:.2f} s, not {item.start_s} to {item.end_s}"


def _mono(sound: Sound, first: int, last: int | None, channel: int | None) -> np.ndarray:
    """Returns int16 (n,): one channel, or the mean of all; where they cancel each other out, as
    with one wire turned round, the loudest. Read in blocks: one channel of 16 bits is all that is
    kept."""
    parts, n = [np.zeros(0, dtype=np.int16)], 0
    sums, squares = np.zeros(sound.channels + 1), np.zeros(sound.channels + 1)
    for block in sound.blocks(first, last):
        n += len(block)
        if n > MAX_UTTERANCE_S * sound.rate_hz:
            hours = MAX_UTTERANCE_S // 3600
            raise SoundError(f"an utterance of more than {hours} hour: give segments", "too_long")
        if not np.isfinite(block).all():
            raise SoundError("it holds samples that are no numbers", "not_finite")
        mono = block.mean(axis=1) if channel is None else block[:, channel]
        parts.append(to_int16(mono * 32768))
        if channel is None and sound.channels > 1:
            every = np.column_stack([block, mono]).astype(np.float64)
            sums += every.sum(axis=0)
            squares += (every**2).sum(axis=0)
    *each, mean = squares / max(n, 1) - (sums / max(n, 1)) ** 2  # variances
    if mean * sound.channels**2 < CANCELLED * sum(each):
        return _mono(sound, first, last, int(np.argmax(each)))
    return np.concatenate(parts)
