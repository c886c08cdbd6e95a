"""What a sound file promises by its container, and chunks, of which most containers are made.

The libraries that decode do not say whether a promise is kept: libsndfile shortens a header that
promises too much and goes on, FFmpeg plays what is there. So `recognise` walks the containers here,
over their sizes alone: nothing is decoded.

- A size that nobody wrote (the recorder was stopped: 0; it streamed: the highest number): the sound
  goes on to the end of the file.
- More is promised than is there: truncated.
- More is there than was promised, and it is no chunk of the container: the sound goes on. The
  recorder wrote its sizes now and then, and was stopped in between.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

UNSIZED = {4: 0x7F000000, 8: 1 << 48}  # by bytes: streamers write 0x7F000008, 0xFFFFFFFF, ...

Buffer = bytes | mmap


@dataclass(frozen=True)
class Container:
    """A file as its container describes it.

    demuxer: FFmpeg's name for it. libsndfile: whether that is asked first.
    """

    name: str
    demuxer: str
    libsndfile: bool = True
    end: int = 0  # the file has at least so many bytes, if it holds what it promises
    frames: int | None = None  # sample frames it promises, where it counts them
    timed: bool = False  # whether it says how long it lasts
    stop: int | None = None  # where the sound ends and something else begins
    damage: str = ""  # in words, where something between its parts is missing
    patches: dict[int, bytes] = field(default_factory=dict)  # by offset, to be read instead


class UnknownSound(ValueError):
    """An error: the bytes are of no container that is read here; it says what to do, if known."""


def chunks(
    content: Buffer, place: int, header: str, pad: int = 2, inclusive: bool = False
) -> Iterator[tuple[bytes, int, int, int]]:
    """Yields id, offset of the size, first and last offset (one beyond) of each chunk's payload,
    as its size says: the last may lie behind the end of the file.

    header: of `struct`, id and size. inclusive: whether sizes count the header.
    """
    length = struct.calcsize(header)
    while place + length <= len(content):
        id_, size = struct.unpack_from(header, content, place)
        first = place + length
        last = max(first, place + size) if inclusive else first + size
        yield id_, first - (8 if header[-1] in "qQ" else 4), first, last
        place = last + -(last - (0 if pad == 2 else place)) % pad


def is_unsized(size: int, width: int = 4) -> bool:
    """Returns whether a size of so many bytes is one that nobody wrote."""
    return size <= 0 or size >= UNSIZED[width]
