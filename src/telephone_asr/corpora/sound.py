"""The one door for sound that people bring: a file of any kind, in blocks, as float samples.

What a file is, its bytes say, not its name (`recognise`). libsndfile decodes what it knows, to the
bit; FFmpeg, which sees sound even in random bytes, is asked only for what was recognised, with its
name for it, and is given the open file: it fetches nothing.
"""

from __future__ import annotations

import io
import os
import stat
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from telephone_asr.corpora.compressed import flac_is_cut
from telephone_asr.corpora.containers import Container
from telephone_asr.corpora.recognise import recognise

if TYPE_CHECKING:  # 0.1 s, and few corpora need it
    from av.container import InputContainer

BLOCK = 1 << 19  # values at a time: 2 MB
KEPT = 1 << 23  # values that a stream keeps, since segments overlap: 32 MB
RATES_HZ = (4000, 192_000)
CLEAN_HZ = 25
SLACK_S = 0.1  # by which a container's time may be off: a codec's padding


class SoundError(Exception):
    """An error that says why a file cannot be read; `reason` is one of `manifests.quality`'s."""

    def __init__(self, message: str, reason: str = "unreadable_audio"):
        super().__init__(message)
        self.reason = reason


class Sound(ABC):
    """An open file with sound of `channels` at `rate_hz`.

    truncated: its container promises more than there is, by what is said there; empty: it is whole.
    frames: how many there are; None where only decoding tells.
    """

    rate_hz: int
    channels: int
    frames: int | None = None
    truncated: str = ""

    @abstractmethod
    def blocks(self, first: int, last: int | None) -> Iterator[np.ndarray]:
        """Yields (n, channels) float32 on the scale -1..1, from frame `first` to `last` (None: the
        end), less where the sound ends before. Raises SoundError where it is damaged."""

    @abstractmethod
    def close(self) -> None:
        """Closes what was opened."""


def open_sound(path: str | Path) -> Sound:
    """Opens a file for reading; the caller closes it.

    Raises:
        SoundError: it is not there, or no sound.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # nor a pipe or a device, which would block
            raise SoundError("it is no file")
        if status.st_size == 0:
            raise SoundError("it has no bytes")
        with open(path, "rb") as file:
            content = mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or half a character in it
        raise SoundError(getattr(error, "strerror", None) or str(error)) from None
    try:
        sound = _decoder(path, content, recognise(content))
        _check_rate(sound)
        return sound
    except _UNREADABLE as error:
        raise SoundError(str(error).rstrip(".")) from None


_UNREADABLE = (soundfile.LibsndfileError, OSError, RuntimeError, ValueError, TypeError, MemoryError)


def _decoder(path: str | Path, content: mmap, container: Container) -> Sound:
    truncated = container.damage
    if container.end > len(content):
        truncated = f"{container.end:,} bytes are promised, {len(content):,} are there"
    if container.libsndfile:
        with suppress(soundfile.LibsndfileError):
            sound = _Libsndfile(path, content, container, truncated)
            if sound.seekable:
                return sound
            sound.close()
            return _Stream(lambda: _plain(path, content, container), truncated)
    try:
        return _Stream(lambda: _ffmpeg(content, container), truncated)
    except _UNREADABLE:
        if truncated:
            raise SoundError(f"it holds less than it promises: {truncated}", "truncated") from None
        raise


def _check_rate(sound: Sound) -> None:
    """Rounds odd rates (16,001 Hz, of a clock that was a little off): to convert such a rate
    exactly takes gigabytes, and nobody hears a quarter of a percent."""
    low, high = RATES_HZ
    if not low <= sound.rate_hz <= high:
        raise SoundError(
            f"its header says {sound.rate_hz:,} Hz, and speech has {low:,} to {high:,}",
            "wrong_rate",
        )
    sound.rate_hz = round(sound.rate_hz / CLEAN_HZ) * CLEAN_HZ


class _Libsndfile(Sound):
    def __init__(self, path: str | Path, content: mmap, container: Container, truncated: str):
        self._path, self._content, self._container = path, content, container
        self._file = self._open()
        self.rate_hz, self.channels = self._file.samplerate, self._file.channels
        self.frames, self.truncated = self._file.frames, truncated
        if (container.frames or 0) > self.frames:
            self.truncated = f"{container.frames:,} samples are promised, {self.frames:,} are there"
        self.seekable = self._file.seekable()

    def _open(self) -> soundfile.SoundFile:
        if self._container.patches or self._container.stop is not None:
            return soundfile.SoundFile(_Bytes(self._content, self._container))
        # By number: libsndfile believes some names, and cannot open others.
        return soundfile.SoundFile(os.open(self._path, os.O_RDONLY))

    def blocks(self, first: int, last: int | None) -> Iterator[np.ndarray]:
        frames = self._file.frames
        last = frames if last is None else min(last, frames)
        size = max(1, BLOCK // self.channels)
        try:
            if first < last and self.seekable:
                self._file.seek(first)
            while first < last:
                block = self._file.read(min(size, last - first), dtype="float32", always_2d=True)
                if not len(block):
                    return
                yield block
                first += len(block)
        except _UNREADABLE as error:
            self.close()  # after an error, nothing more is read well
            self._file = self._open()
            if not self.truncated and self._container.name == "FLAC":
                self.truncated = flac_is_cut(self._content)
            if not self.truncated:
                raise SoundError(str(error).rstrip(".")) from None

    def close(self) -> None:
        self._file.close()


Blocks = Generator[np.ndarray, None, None]
Begun = tuple[int, int, Blocks]  # sample rate in Hz, channels


class _Stream(Sound):
    """A sound that is decoded from the start on, whatever is asked of it.

    begin: starts over.
    """

    def __init__(self, begin: Callable[[], Begun], truncated: str):
        self._begin, self.truncated = begin, truncated
        self._start_over()

    def _start_over(self) -> None:
        self.rate_hz, self.channels, self._source = self._begin()
        self._kept: deque[tuple[int, np.ndarray]] = deque()  # what was decoded last, with its place
        self._next = 0

    def blocks(self, first: int, last: int | None) -> Iterator[np.ndarray]:
        if first < (self._kept[0][0] if self._kept else self._next):
            rate_hz = self.rate_hz
            self.close()
            self._start_over()
            self.rate_hz = rate_hz
        known = list(self._kept)
        while True:
            for at, block in known:
                piece = block[max(0, first - at) : None if last is None else max(0, last - at)]
                if len(piece):
                    yield piece
            if last is not None and self._next >= last:
                return
            decoded = self._decode()
            if decoded is None:
                return
            known = [(self._next - len(decoded), decoded)]

    def _decode(self) -> np.ndarray | None:
        try:
            block = next(self._source, None)
        except _UNREADABLE as error:
            if not self.truncated:
                raise SoundError(str(error).rstrip(".")) from None
            return None
        if block is not None:
            self._kept.append((self._next, block))
            self._next += len(block)
            while (self._next - self._kept[0][0] - len(self._kept[0][1])) * self.channels > KEPT:
                self._kept.popleft()
        return block

    def close(self) -> None:
        self._source.close()


def _plain(path: str | Path, content: mmap, container: Container) -> Begun:
    sound = _Libsndfile(path, content, container, "")

    def decoded() -> Blocks:
        try:
            yield from sound.blocks(0, None)
        finally:
            sound.close()

    return sound.rate_hz, sound.channels, decoded()


def _ffmpeg(content: mmap, container: Container) -> Begun:
    """Begins to decode; raises ValueError where FFmpeg finds no sound of a kind that it decodes."""
    import av

    file = _Bytes(content, container)
    try:
        opened = av.open(file, format=container.demuxer, metadata_errors="replace")
    except av.FFmpegError as error:
        raise ValueError(f"it cannot be read as {container.name} ({error.strerror})") from None
    blocks = _ffmpeg_blocks(opened, container)
    first_rate_hz, first = next(blocks)

    def decoded() -> Blocks:
        yield first
        for rate_hz, block in blocks:
            if rate_hz != first_rate_hz or block.shape[1] != first.shape[1]:
                raise ValueError("its sample rate or number of channels changes")
            yield block

    return first_rate_hz, first.shape[1], decoded()


def _ffmpeg_blocks(
    opened: InputContainer, container: Container
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields sample rates and (n, channels), perhaps one of n = 0; closes what is opened."""
    import av

    with opened:
        if not opened.streams.audio:
            raise ValueError("it holds no sound")
        stream = opened.streams.audio[0]
        decoder = stream.codec_context
        if decoder is None:
            raise ValueError(f"it is {container.name} of a codec that FFmpeg does not know")
        if decoder.name in _OTHER_DECODERS:
            decoder = av.CodecContext.create(_OTHER_DECODERS[decoder.name], "r")
            decoder.sample_rate, decoder.layout = stream.rate, stream.layout
        to_float, seconds = av.AudioResampler(format="fltp"), 0.0  # rate and channels stay
        try:
            for packet in opened.demux(stream):
                for frame in decoder.decode(packet if packet.size else None):
                    seconds += frame.samples / frame.sample_rate
                    for ready in to_float.resample(frame):
                        yield ready.sample_rate, ready.to_ndarray().T
        except av.FFmpegError as error:
            raise ValueError(
                f"it is damaged, or of no known {container.name} ({error.strerror})"
            ) from None
        lasts = (opened.duration or 0) / av.time_base if container.timed else 0.0
        if seconds < lasts - SLACK_S:
            raise SoundError(f"it promises {lasts:.2f} s, {seconds:.2f} are there", "truncated")
        if not seconds:
            yield stream.rate, np.zeros((0, 1), dtype=np.float32)


# FFmpeg's own do not know the pauses that telephones leave out (DTX).
_OTHER_DECODERS = {"amrnb": "libopencore_amrnb", "amrwb": "libopencore_amrwb"}


class _Bytes(io.RawIOBase):
    """A file's content with some bytes replaced, from which libsndfile and FFmpeg read."""

    def __init__(self, content: mmap, container: Container):
        self._content, self._patches, self._place = content, container.patches, 0
        self._size = len(content) if container.stop is None else min(container.stop, len(content))

    def readinto(self, buffer: Any) -> int:
        start, wanted = self._place, memoryview(buffer).cast("B")
        piece = self._content[start : min(self._size, start + len(wanted))]
        wanted[: len(piece)] = piece
        for at, new in self._patches.items():
            for i in range(max(at, start), min(at + len(new), start + len(piece))):
                wanted[i - start] = new[i - at]
        self._place += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
