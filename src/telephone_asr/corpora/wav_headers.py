"""WAV and its like: sound behind a header that says its size, which recorders often get wrong.

Each function returns the container of a file that begins as one of its kind; it raises UnknownSound
where there is too little of it.
"""

from __future__ import annotations

import re
import struct

from telephone_asr.corpora.containers import Buffer, Container, UnknownSound, chunks, is_unsized

SMALL = 256  # bytes: 16 ms of 16 bits at 8 kHz
EVEN = 255 + 5 * (2 * 255) ** 0.5  # chi-square of 255 degrees of freedom, and five deviations
# Chunks that may be cut off at the end of a file, their names without spaces.
METADATA = frozenset(
    b"LIST INFO bext cue fact JUNK junk id3 ID3 iXML PEAK smpl inst axml afsp cart _PMX PAD NAME "
    b"ANNO".split()
)


def wav(content: Buffer) -> Container:
    order = ">" if content[:4] == b"RIFX" else "<"
    header = order + "4sI"
    riff_end = 8 + struct.unpack_from(order + "I", content, 4)[0]
    form, form_at, long_size, sound = b"", 0, None, None
    for id_, at, first, last in chunks(content, 12, header):
        if id_ == b"fmt " and not form:
            form, form_at = bytes(content[first : min(last, first + 40)]), first
        elif id_ == b"ds64" and first + 16 <= len(content):
            riff_size, long_size = struct.unpack_from("<QQ", content, first)
            riff_end = 8 + riff_size
        elif id_ == b"data":
            sound = at, first, last
            break
        if last > len(content):
            return Container("WAV", "wav", end=last)
    if sound is None or len(form) < 14:
        raise UnknownSound("it begins as a WAV and has no format or no sound in it")
    (at, first, last), width = sound, 4
    if long_size is not None and last - first == 0xFFFFFFFF:
        last, width = first + long_size, 8
    end, unsized = last, is_unsized(last - first, width)
    if unsized:
        if len(content) > first == last and _no_more_sound(content, first, header):
            return Container("WAV", "wav", end=first)  # an empty one
        # The size of the whole was written, perhaps: then that is the promise.
        sized = not is_unsized(riff_end - 8, width) and riff_end > first + 8
        end = max(riff_end if sized else 0, len(content))
    elif end < len(content) and not _no_more_sound(content, end + end % 2, header):
        end, unsized = len(content), True
    patches = _g722(form, form_at)
    if unsized and end <= len(content):
        if len(content) - first > 0xFFFFFFF0:
            raise UnknownSound("it is a WAV of more than 4 GB that does not say its size")
        patches[at] = struct.pack(order + "I", len(content) - first)
    if any(id_ == b"data" for id_, *_ in chunks(content, end + end % 2, header)):
        raise UnknownSound("it is a WAV with sound in several pieces, of which one would be read")
    alone = form[:2] not in (b"\x50\0", b"\x55\0")  # MP3, whose length libsndfile guesses
    return Container("WAV", "wav", libsndfile=alone, end=end, patches=patches)


def _g722(form: bytes, form_at: int) -> dict[int, bytes]:
    """Returns patches for G.722 under two tags that FFmpeg takes for G.726, which has 40 kbit/s at
    the most, of sound at 8 kHz; G.722 has 64, of sound at 16."""
    tag, _, rate_hz, bytes_per_s = struct.unpack_from("<HHII", form)
    if tag not in (0x0064, 0x0065) or (rate_hz < 16000 and bytes_per_s < 6000):
        return {}
    return {form_at: struct.pack("<H", 0x028F), form_at + 4: struct.pack("<I", 16000)}


def w64(content: Buffer) -> Container:
    for id_, at, first, last in chunks(content, 40, "<16sQ", pad=8, inclusive=True):
        if id_.startswith(b"data"):
            if is_unsized(last - first, 8):
                size = struct.pack("<Q", len(content) - first + 24)
                return Container("W64", "w64", end=len(content), patches={at: size})
            # libsndfile reads on, whatever comes.
            stop = last if _no_more_sound(content, last + -last % 8, "<4sI") else None
            return Container("W64", "w64", end=last, stop=stop)
        if last > len(content):
            return Container("W64", "w64", end=last)
    raise UnknownSound("it begins as a W64 and has no sound in it")


def aiff(content: Buffer) -> Container:
    frames_at = sound = None
    for id_, at, first, last in chunks(content, 12, ">4sI"):
        if id_ == b"COMM" and first + 8 <= len(content):
            frames_at = first + 2
        elif id_ == b"SSND":
            sound = at, first, last
        if last > len(content) and id_.rstrip(b" ") not in METADATA:
            break
    if sound is None or frames_at is None:
        raise UnknownSound("it begins as an AIFF and has no format or no sound in it")
    at, first, last = sound
    if is_unsized(last - first) or (last - first <= 8 and len(content) > last + 8):
        patches = {at: struct.pack(">I", len(content) - first)}
        return Container("AIFF", "aiff", end=len(content), patches=patches)
    (frames,) = struct.unpack_from(">I", content, frames_at)
    if is_unsized(frames):
        # The count of frames is for FFmpeg alone; there is as much as the chunk has.
        return Container("AIFF", "aiff", end=last, patches={frames_at: struct.pack(">I", last)})
    return Container("AIFF", "aiff", end=last, frames=frames)


def au(content: Buffer) -> Container:
    order = "<" if content[:4] == b"dns." else ">"
    if len(content) < 24:
        raise UnknownSound("it begins as an AU and ends there")
    first, size = struct.unpack_from(order + "II", content, 4)
    last = first + size
    if is_unsized(size) or (last < len(content) and not _no_more_sound(content, last, ">4sI")):
        patches = {8: struct.pack(order + "I", max(0, len(content) - first))}
        return Container("AU", "au", end=max(first, len(content)), patches=patches)
    return Container("AU", "au", end=last)


def caf(content: Buffer) -> Container:
    end = 0
    for id_, at, first, last in chunks(content, 8, ">4sq", pad=1):
        if id_ == b"data" and (last < first or is_unsized(last - first, 8)):
            return Container("CAF", "caf", end=len(content), patches={at: struct.pack(">q", -1)})
        if not re.fullmatch(rb"[ -~]{4}", id_):
            break  # something appended
        end = max(end, last)
        if last <= first:
            break
    return Container("CAF", "caf", end=end)


def nist(content: Buffer) -> Container:
    """Reads SPHERE, as the Linguistic Data Consortium publishes speech."""
    size = re.match(rb"NIST_1A\n *(\d{1,6})\n", bytes(content[:32]))
    if not size:
        raise UnknownSound("it begins as a SPHERE and has no header")
    count = re.search(rb"sample_count -i (\d{1,18})", bytes(content[: int(size[1])]))
    frames = int(count[1]) if count else None
    return Container("SPHERE", "nistsphere", end=int(size[1]), frames=frames)


def voc(content: Buffer) -> Container:
    """Reads the first block, of a type and 24 bits of size. It has the sound, or all but what is
    beyond 16 MB; sox writes its size 8 bytes too small."""
    first = struct.unpack_from("<H", content, 20)[0] if len(content) > 22 else len(content)
    size = int.from_bytes(content[first + 1 : first + 4], "little")
    return Container("VOC", "voc", end=first + 4 + size)


def _no_more_sound(content: Buffer, place: int, header: str) -> bool:
    """Returns whether what lies behind the sound is something else: next to nothing, text, tags,
    chunks of the container, or bytes as evenly spread as no code of speech has them."""
    rest = bytes(content[place : place + 65536])
    if len(rest) < SMALL or re.fullmatch(rb"[\x00\t\n\r -~]*", rest):
        return True
    if rest.startswith((b"TAG", b"ID3", b"APETAGEX")):
        return True
    evenly = len(rest) / 256
    if sum((rest.count(byte) - evenly) ** 2 for byte in range(256)) / evenly < EVEN:
        return True
    for id_, _, _, last in chunks(content, place, header):
        cut = last > len(content)
        if not re.fullmatch(rb"[ -~]{4}", id_) or (cut and id_.rstrip(b" ") not in METADATA):
            return False
        place = min(last, len(content))
    return len(content) - place < SMALL
