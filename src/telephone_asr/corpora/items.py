"""An utterance of a corpus that people bring, before and after its sound is read.

One broken file rejects one utterance, never the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile

from telephone_asr.shards import Rejected, Utterance

# What libsndfile does not read; FFmpeg, which reads anything, sees sound even in random bytes.
FFMPEG_SUFFIXES = {".3gp", ".aac", ".amr", ".awb", ".m4a", ".mp4", ".webm", ".wma"}
SLACK_S = 0.1  # by which a segment may end after its file: rounding, or a codec's padding


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
    problem: Rejected | None = None


def load(item: Item) -> Utterance | Rejected:
    """One item with its sound: int16, one channel, at the rate of its file."""
    return next(load_all([item]))


def load_all(items: Sequence[Item]) -> Iterator[Utterance | Rejected]:
    """Each item with its sound, or the reason why it cannot be used, in their order.

    Items that follow each other and lie in one file share its being opened.
    """
    for audio, group in groupby(items, key=lambda item: None if item.problem else item.audio):
        if audio is None:
            yield from (item.problem for item in group)
            continue
        try:
            file = _open(audio)
        except _UNREADABLE as error:
            yield from (_unreadable(item, error) for item in list(group))
            continue
        try:
            yield from (_load(item, file) for item in group)
        finally:
            file.close()


# ValueError, TypeError: a path that is none, a file that has no header.
_UNREADABLE = (
    soundfile.LibsndfileError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
    OverflowError,
)


def _unreadable(item: Item, error: BaseException) -> Rejected:
    return Rejected(item.id, "unreadable_audio", f"{item.audio}: {error}")


def _load(item: Item, file: soundfile.SoundFile | _Decoded) -> Utterance | Rejected:
    rate_hz, audio = file.samplerate, item.audio
    first = round(item.start_s * rate_hz)
    last = file.frames if item.end_s is None else round(item.end_s * rate_hz)
    if last > file.frames + SLACK_S * rate_hz or first < 0:
        detail = f"{audio} lasts {file.frames / rate_hz:.2f} s, not {item.start_s} to {item.end_s}"
        return Rejected(item.id, "outside_audio", detail)
    try:
        file.seek(min(first, file.frames))
        samples = file.read(max(0, last - first), dtype="float32", always_2d=True)
    except _UNREADABLE as error:
        return _unreadable(item, error)
    if len(samples) == 0:
        return Rejected(item.id, "empty_audio", f"{audio} holds no sound")
    if not np.isfinite(samples).all():
        return Rejected(item.id, "not_finite", f"{audio} holds samples that are no numbers")
    if item.channel is not None and not 0 <= item.channel < samples.shape[1]:
        return Rejected(item.id, "no_such_channel", f"{audio} has no channel {item.channel}")
    mono = samples.mean(axis=1) if item.channel is None else samples[:, item.channel]
    return Utterance(
        id=item.id,
        samples=np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16),
        sample_rate_hz=rate_hz,
        text=item.text,
        speaker=item.speaker or item.recording or item.id,
        scene=item.scene,
        annotation_error=item.annotation_error,
    )


def _open(audio: str | Path) -> soundfile.SoundFile | _Decoded:
    if Path(audio).suffix.lower() in FFMPEG_SUFFIXES:
        return _decode(audio)
    file = soundfile.SoundFile(audio)
    if file.seekable():
        return file
    with file:  # GSM in a WAV, as call recorders write it
        samples = file.read(file.frames, dtype="float32", always_2d=True)
        return _Decoded(samples, file.samplerate)


class _Decoded:
    """A file that was decoded whole, to be read as soundfile.SoundFile is."""

    def __init__(self, samples: np.ndarray, samplerate: int):
        self._samples, self.samplerate, self.frames = samples, samplerate, len(samples)
        self._place = 0

    def seek(self, place: int) -> None:
        self._place = place

    def read(self, n: int, **_: object) -> np.ndarray:
        return self._samples[self._place : self._place + n]

    def close(self) -> None:
        pass


def _decode(audio: str | Path) -> _Decoded:
    import av  # 0.1 s, and few corpora need it

    try:
        with av.open(str(audio)) as container:
            stream = container.streams.audio[0]
            to_float = av.AudioResampler(format="fltp")  # rate and channels stay
            frames = [f for frame in container.decode(stream) for f in to_float.resample(frame)]
            rate_hz = stream.rate
    except IndexError:
        raise RuntimeError("it holds no sound") from None
    except av.FFmpegError as error:
        raise RuntimeError(str(error)) from None
    planes = [frame.to_ndarray() for frame in frames]
    return _Decoded(np.concatenate(planes, axis=1).T if planes else np.zeros((0, 1)), rate_hz)
