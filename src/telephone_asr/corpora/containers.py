"""What a sound file is, by its bytes, and whether it holds what its container promises.

The libraries that decode do not say: libsndfile shortens a header that promises too much and goes
on, FFmpeg plays what is there. So the containers are walked here, over their sizes alone: nothing
is decoded.

- A size that nobody wrote (the recorder was stopped: 0; it streamed: the highest number): the sound
  goes on to the end of the file.
- More is promised than is there: truncated.
- More is there than was promised, and it is no chunk of the container: the sound goes on. The
  recorder wrote its sizes now and then, and was stopped in between.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mmap import mmap

UNSIZED = 0x7F000000  # sizes from here on are what streamers write: 0x7F000008, 0xFFFFFFFF, ...
UNSIZED_64 = 1 << 48

Buffer = bytes | mmap


@dataclass(frozen=True)
class Container:
    """demuxer: FFmpeg's name for it. libsndfile: whether that is asked first."""

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
    """The bytes are of no container that is read here."""


def recognise(content: Buffer) -> Container:
    """Returns what a file is.

    content: all of its bytes, such as a memory map; few of them are read.

    Raises:
        UnknownSound: it is none of CONTAINERS; says what to do where that is known.
    """
    head = bytes(content[:64])
    for begins, walk in CONTAINERS:
        if re.match(begins, head, re.DOTALL):
            return walk(content)
    start = _after_id3(content)
    if content[start : start + 4] == b"fLaC":
        return _flac(content)
    for walk in (_adts, _mp3):
        if found := walk(content, start):
            return found
    raise UnknownSound(
        "it is no sound of a kind that is read here (docs/data.md has them, and how to convert "
        "what has no header)"
    )


# --- chunks: an id and a size before each


def _chunks(
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
        size_width = 8 if header[-1] in "qQ" else 4
        yield id_, first - size_width, first, last
        place = last + -(last - (0 if pad == 2 else place)) % pad


def _is_unsized(size: int, width: int = 4) -> bool:
    return size <= 0 or size >= (UNSIZED if width == 4 else UNSIZED_64)


def _no_more_sound(content: Buffer, place: int, header: str) -> bool:
    """Whether what lies behind the sound is something else: next to nothing, text, tags, chunks of
    the container, or bytes as evenly spread as no code of speech has them."""
    rest = bytes(content[place : place + 65536])
    if len(rest) < SMALL or re.fullmatch(rb"[\x00\t\n\r -~]*", rest):
        return True
    if rest.startswith((b"TAG", b"ID3", b"APETAGEX")):
        return True
    counts = [0] * 256
    for byte in rest:
        counts[byte] += 1
    evenly = len(rest) / 256
    if sum((count - evenly) ** 2 for count in counts) / evenly < EVEN:
        return True
    for id_, _, _, last in _chunks(content, place, header):
        if not re.fullmatch(rb"[ -~]{4}", id_) or (last > len(content) and id_ not in METADATA):
            return False
        place = min(last, len(content))
    return len(content) - place < SMALL


SMALL = 256  # bytes: 16 ms of 16 bits at 8 kHz
EVEN = 255 + 5 * (2 * 255) ** 0.5  # chi-square of 255 degrees of freedom, and five deviations
METADATA = {
    b"LIST",
    b"INFO",
    b"bext",
    b"cue ",
    b"fact",
    b"JUNK",
    b"junk",
    b"id3 ",
    b"ID3 ",
    b"iXML",
}
METADATA |= {
    b"PEAK",
    b"smpl",
    b"inst",
    b"axml",
    b"afsp",
    b"cart",
    b"_PMX",
    b"PAD ",
    b"NAME",
    b"ANNO",
}


# --- WAV and its like


def _wav(content: Buffer) -> Container:
    big = content[:4] == b"RIFX"
    order = ">" if big else "<"
    header = order + "4sI"
    riff_end = 8 + struct.unpack_from(order + "I", content, 4)[0]
    form, long_size, found = b"", None, None
    for id_, at, first, last in _chunks(content, 12, header):
        if id_ == b"fmt ":
            form = bytes(content[first : min(last, first + 40)])
        elif id_ == b"ds64" and first + 16 <= len(content):
            riff_size, long_size = struct.unpack_from("<QQ", content, first)
            riff_end = 8 + riff_size
        elif id_ == b"data":
            found = at, first, last
            break
        if last > len(content):
            return Container("WAV", "wav", end=last)
    if found is None or len(form) < 14:
        raise UnknownSound("it begins as a WAV and has no format or no sound in it")
    at, first, last = found
    patches, there = {}, len(content) - first
    if long_size is not None and last - first == 0xFFFFFFFF:
        last, width = first + long_size, 8
    else:
        width = 4
    if _is_unsized(last - first, width):
        if there and last == first and _no_more_sound(content, first, header):
            return Container("WAV", "wav", end=first)  # an empty one
        # The size of the whole was written, perhaps: then that is the promise.
        sized = not _is_unsized(riff_end - 8, width) and riff_end > first + 8
        last = max(riff_end if sized else 0, len(content))
        unsized = True
    else:
        unsized = False
    more = last < len(content) and not _no_more_sound(content, last + last % 2, header)
    if more:
        last = len(content)
    if (unsized or more) and last <= len(content):
        if there > 0xFFFFFFF0:
            raise UnknownSound("it is a WAV of more than 4 GB that does not say its size")
        patches[at] = struct.pack(order + "I", there)
    if any(id_ == b"data" for id_, *_ in _chunks(content, last + last % 2, header)):
        raise UnknownSound("it is a WAV with sound in several pieces, of which one would be read")
    patches |= _g722(form, content, header)
    alone = form[:2] not in (b"\x50\0", b"\x55\0")  # MP3, whose length libsndfile guesses
    return Container("WAV", "wav", libsndfile=alone, end=last, patches=patches)


def _g722(form: bytes, content: Buffer, header: str) -> dict[int, bytes]:
    """What FFmpeg takes for G.726 under two tags that name either: G.726 has 40 kbit/s at the
    most, of sound at 8 kHz, G.722 64, of sound at 16."""
    tag, _, rate_hz, bytes_per_s = struct.unpack_from("<HHII", form)
    if tag not in (0x0064, 0x0065) or (rate_hz < 16000 and bytes_per_s < 6000):
        return {}
    first = next(first for id_, _, first, _ in _chunks(content, 12, header) if id_ == b"fmt ")
    return {first: struct.pack("<H", 0x028F), first + 4: struct.pack("<I", 16000)}


def _w64(content: Buffer) -> Container:
    for id_, at, first, last in _chunks(content, 40, "<16sQ", pad=8, inclusive=True):
        if id_.startswith(b"data"):
            if _is_unsized(last - first, 8):
                size = struct.pack("<Q", len(content) - first + 24)
                return Container("W64", "w64", end=len(content), patches={at: size})
            # libsndfile reads on, whatever comes.
            stop = last if _no_more_sound(content, last + -last % 8, "<4sI") else None
            return Container("W64", "w64", end=last, stop=stop)
        if last > len(content):
            return Container("W64", "w64", end=last)
    raise UnknownSound("it begins as a W64 and has no sound in it")


def _aiff(content: Buffer) -> Container:
    frames, found = None, None
    for id_, at, first, last in _chunks(content, 12, ">4sI"):
        if id_ == b"COMM" and first + 8 <= len(content):
            frames = struct.unpack_from(">I", content, first + 2)[0]
            frames_at = first + 2
        elif id_ == b"SSND":
            found = at, first, last
        if last > len(content) and (id_ not in METADATA):
            break
    if found is None or frames is None:
        raise UnknownSound("it begins as an AIFF and has no format or no sound in it")
    at, first, last = found
    if _is_unsized(last - first) or (last - first <= 8 and len(content) > last + 8):
        there = len(content) - first
        patches = {at: struct.pack(">I", there)}
        return Container("AIFF", "aiff", end=len(content), patches=patches)
    if _is_unsized(frames):
        # The count of frames is for FFmpeg alone; there is as much as the chunk has.
        return Container("AIFF", "aiff", end=last, patches={frames_at: struct.pack(">I", last)})
    return Container("AIFF", "aiff", end=last, frames=frames)


def _au(content: Buffer) -> Container:
    order = "<" if content[:4] == b"dns." else ">"
    if len(content) < 24:
        raise UnknownSound("it begins as an AU and ends there")
    first, size = struct.unpack_from(order + "II", content, 4)
    last = first + size
    unsized = _is_unsized(size)
    if unsized or (last < len(content) and not _no_more_sound(content, last, ">4sI")):
        patches = {8: struct.pack(order + "I", max(0, len(content) - first))}
        return Container("AU", "au", end=max(first, len(content)), patches=patches)
    return Container("AU", "au", end=last)


def _caf(content: Buffer) -> Container:
    end, patches = 0, {}
    for id_, at, first, last in _chunks(content, 8, ">4sq", pad=1):
        if id_ == b"data" and (last < first or _is_unsized(last - first, 8)):
            end, patches = len(content), {at: struct.pack(">q", -1)}
            break
        if not re.fullmatch(rb"[ -~]{4}", id_):
            break  # something appended
        end = max(end, last)
        if last <= first:
            break
    return Container("CAF", "caf", end=end, patches=patches)


def _nist(content: Buffer) -> Container:
    """SPHERE, as the Linguistic Data Consortium publishes speech."""
    size = re.match(rb"NIST_1A\n *(\d{1,6})\n", bytes(content[:32]))
    if not size:
        raise UnknownSound("it begins as a SPHERE and has no header")
    found = re.search(rb"sample_count -i (\d{1,18})", bytes(content[: int(size[1])]))
    frames = int(found[1]) if found else None
    return Container("SPHERE", "nistsphere", end=int(size[1]), frames=frames)


def _voc(content: Buffer) -> Container:
    """Blocks of a type and 24 bits of size. The first has the sound, or all but what is beyond 16
    MB; sox writes its size 8 bytes too small."""
    first = struct.unpack_from("<H", content, 20)[0] if len(content) > 22 else len(content)
    size = int.from_bytes(content[first + 1 : first + 4], "little")
    return Container("VOC", "voc", end=first + 4 + size)


# --- compressed


def _flac(content: Buffer) -> Container:
    start = _after_id3(content)
    low = bytes(content[start + 21 : start + 26])
    frames = int.from_bytes(low, "big") & (1 << 36) - 1
    return Container("FLAC", "flac", libsndfile=frames > 0, frames=frames or None)


def flac_is_cut(content: Buffer) -> str:
    """In words, whether a FLAC file ends within a frame: whole frames have a checksum of 0."""
    start = max(42, len(content) - (1 << 16))
    end = bytes(content[start:])
    for match in reversed(list(re.finditer(rb"\xff[\xf8\xf9]", end))):
        checksum = 0
        for byte in end[match.start() :]:
            checksum = (checksum << 8 & 0xFFFF) ^ _CRC16[checksum >> 8 ^ byte]
        if checksum == 0:
            return ""
    return "it ends within a frame"


def _crc16(byte: int) -> int:
    """Of the polynomial 0x8005, as FLAC has it (RFC 9639, 9.3)."""
    checksum = byte << 8
    for _ in range(8):
        checksum = checksum << 1 ^ (0x8005 if checksum & 0x8000 else 0)
    return checksum & 0xFFFF


_CRC16 = tuple(map(_crc16, range(256)))


def _ogg(content: Buffer) -> Container:
    """Pages: each says how long it is, and has a number. A last page that is not marked as such is
    no fault: recorders that were stopped, and some that were not, leave it so."""
    place, first, streams, damage = 0, b"", {}, ""
    while content[place : place + 4] == b"OggS" and place + 27 <= len(content):
        flags, serial, number, count = struct.unpack_from("<5xB8xII4xB", content, place)
        table = bytes(content[place + 27 : place + 27 + count])
        body = place + 27 + count
        if flags & 2:
            first = first or bytes(content[body : body + 8])
        elif number != streams.get(serial, number) + 1 and serial in streams:
            damage = f"page {streams[serial] + 1} is missing"
        streams[serial] = number
        place = body + sum(table) + (count - len(table))
    cut = content[place : place + 4] if place < len(content) else b""
    if cut and b"OggS".startswith(cut[:4]) and len(content) - place < 27:
        place = len(content) + 1
    known = first.startswith((b"OpusHead", b"\x01vorbis", b"\x7fFLAC"))
    one = known and len(streams) == 1
    return Container("Ogg", "ogg", libsndfile=one, end=place, damage=damage)


def _after_id3(content: Buffer) -> int:
    """Where the sound begins after ID3v2 tags and zeros."""
    place = 0
    while content[place : place + 3] == b"ID3" and place + 10 <= len(content):
        a, b, c, d = content[place + 6 : place + 10]
        place += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if content[place + 5] & 0x10 else 0)
    while place < len(content) and content[place] == 0:
        place += 1
    return place


def _frames(
    content: Buffer, place: int, length: Callable[[Buffer, int], tuple[int, object]]
) -> tuple[int, int]:
    """Walks frames that each say their length; returns how many there are, and where the last ends,
    which may be behind the file. length: (0, None) for what is no frame; its second value must be
    the same for all of them."""
    count, kind = 0, None
    while place < len(content):
        size, own = length(content, place)
        if not size or (kind is not None and own != kind):
            # A cut can leave less of a frame than its header.
            if count and len(content) - place < 4 and content[place] == 0xFF:
                place = len(content) + 1
            break
        kind, count, place = own, count + 1, place + size
    return count, place


def _starts_again(content: Buffer, place: int, length: Callable) -> str:
    """In words, whether frames go on after something else, of which one does not know how much
    sound it was."""
    gap = place
    while 0 <= (place := content.find(b"\xff", place)) < len(content):
        count, _ = _frames(content, place, length)
        if count >= 3:
            return f"bytes {gap:,} to {place:,} are no sound, and then it goes on"
        place += 1
    return ""


_KBIT_S = {  # by version 1 or not, and layer
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mp3_frame(content: Buffer, place: int) -> tuple[int, object]:
    """Length of an MPEG audio frame (ISO 11172-3, 2.4.2.3), and what all frames have in common."""
    word = int.from_bytes(content[place : place + 4], "big")
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bit_rate, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or rate == 3 or not 0 < bit_rate < 15:
        return 0, None
    generation = 1 if version == 3 else 2
    bits = 1000 * _KBIT_S[generation, layer][bit_rate - 1]
    rate_hz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 1:
        size = (12 * bits // rate_hz + padding) * 4
    else:
        size = (144 if layer == 2 or generation == 1 else 72) * bits // rate_hz + padding
    return size, (version, layer, rate)


def _mp3(content: Buffer, start: int) -> Container | None:
    """None where it is none: random bytes have a frame or two in them, not three in a row."""
    count, end = _frames(content, start, _mp3_frame)
    if count < 3 and not (count and end == len(content)):
        return None
    size, _ = _mp3_frame(content, start)
    first, damage, counted = bytes(content[start : start + size]), "", False
    # The first frame of a good encoder says how many follow; where it does not, libsndfile guesses.
    if found := re.search(rb"(?:Xing|Info)(....)(....)", first, re.DOTALL):
        flags, promised = (int.from_bytes(part, "big") for part in found.groups())
        counted = bool(flags & 1)
        if counted and promised > count:
            damage = f"{promised} frames are promised, {count} are there"
    damage = damage or _starts_again(content, end, _mp3_frame)
    return Container("MP3", "mp3", libsndfile=counted, end=end, damage=damage, stop=end)


def _adts_frame(content: Buffer, place: int) -> tuple[int, object]:
    head = content[place : place + 7]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0, None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (size if size >= 7 else 0), head[2] & 0xFC


def _adts(content: Buffer, start: int) -> Container | None:
    count, end = _frames(content, start, _adts_frame)
    if count < 3 and not (count and end == len(content)):
        return None
    damage = _starts_again(content, end, _adts_frame)
    return Container("AAC", "aac", libsndfile=False, end=end, damage=damage, stop=end)


_AMR_NB = (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1)  # RFC 4867, 3.6
_AMR_WB = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)


def _amr(content: Buffer) -> Container:
    wide = content[:9] == b"#!AMR-WB\n"
    sizes = _AMR_WB if wide else _AMR_NB
    place = 9 if wide else 6
    while place < len(content):
        size = 0 if content[place] & 0x83 else sizes[content[place] >> 3 & 15]
        if not size:
            raise UnknownSound(f"it is damaged: from byte {place:,} on it is no AMR")
        place += size
    return Container("AMR", "amr", libsndfile=False, end=place)


# --- what FFmpeg alone reads

_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"mfra", b"sidx"}
_BOXES |= {b"styp", b"meta", b"pnot", b"prft", b"ssix"}


def _mp4(content: Buffer) -> Container:
    place, seen = 0, set()
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if kind not in _BOXES:
            break  # something appended
        if size == 1 and place + 16 <= len(content):
            size = struct.unpack_from(">Q", content, place + 8)[0]
        seen.add(kind)
        place = place + size if size >= 8 else len(content)
    damage = "" if {b"moov"} <= seen else "its index (moov) is missing"
    return Container("MP4", "mov", libsndfile=False, end=place, damage=damage, timed=True)


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
# Of a file (EBML, segment), of a segment, of a cluster.
_ELEMENTS = {0x1A45DFA3, _SEGMENT, _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B}
_ELEMENTS |= {0x1254C367, 0x1941A469, 0x1043A770, 0xEC, 0xBF, 0xE7, 0xA0, 0xA3, 0xA7, 0xAB}


def _matroska(content: Buffer) -> Container:
    """EBML elements: those of a segment or cluster of unknown size are walked too."""

    def number(place: int, keep_marker: bool) -> tuple[int, int]:
        head = content[place] if place < len(content) else 0
        width = 9 - head.bit_length() if head else 0
        value = int.from_bytes(content[place : place + width], "big")
        return (value if keep_marker else value & (1 << 7 * width) - 1), width

    place = 0
    while place < len(content):
        id_, id_width = number(place, keep_marker=True)
        size, size_width = number(place + id_width, keep_marker=False)
        if not size_width or id_ not in _ELEMENTS:
            break  # something appended
        place += id_width + size_width
        unknown = size == (1 << 7 * size_width) - 1
        if id_ == _SEGMENT and not unknown:
            place += size
            break
        if not (unknown or id_ in (_SEGMENT, _CLUSTER)):
            place += size
    timed = b"\x44\x89" in content[:4096]
    return Container("Matroska", "matroska", libsndfile=False, end=place, timed=timed)


_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def _asf(content: Buffer) -> Container:
    end = 0
    for id_, _, first, last in _chunks(content, 0, "<16sQ", pad=1, inclusive=True):
        if id_ == _ASF_DATA and _is_unsized(last - first, 8):
            break
        if id_ == _ASF_DATA or not end:
            end = last
        if id_ == _ASF_DATA or last > len(content):
            break
    return Container("WMA", "asf", libsndfile=False, end=end)


def _silk(_: Buffer) -> Container:
    raise UnknownSound(
        "it is SILK, as chat programs record it, which no library here decodes: convert it with "
        "the decoder of the SILK SDK (docs/data.md)"
    )


# What a file begins with.
CONTAINERS: tuple[tuple[bytes, Callable[[Buffer], Container]], ...] = (
    (rb"(RIFF|RIFX|RF64|BW64)....WAVE", _wav),
    (rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", _w64),
    (rb"FORM....AIF[FC]", _aiff),
    (rb"\.snd|dns\.", _au),
    (rb"caff\x00\x01", _caf),
    (rb"NIST_1A\n", _nist),
    (rb"Creative Voice File\x1a", _voc),
    (rb"fLaC", _flac),
    (rb"OggS", _ogg),
    (rb"#!AMR(-WB)?\n", _amr),
    (rb"....ftyp|....(moov|mdat|wide|free|skip).{4}", _mp4),
    (rb"\x1a\x45\xdf\xa3", _matroska),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", _asf),
    (rb"\x02?#!SILK", _silk),
)
