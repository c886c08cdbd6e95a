"""Compressed sound: frames, pages and boxes that each say how long they are.

Each public function but `flac_is_cut` and `tagged` returns the container of a file that begins as
one of its kind.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from telephone_asr.corpora.containers import Buffer, Container, UnknownSound, chunks, is_unsized

# Of the frame at an offset: its length, 0 for what is no frame, and what all frames of a file have
# in common.
ReadFrame = Callable[[Buffer, int], tuple[int, object]]


def tagged(content: Buffer) -> Container | None:
    """Returns what MP3, AAC or FLAC a file is, perhaps behind ID3 tags; None where it is none."""
    start = _after_id3(content)
    if content[start : start + 4] == b"fLaC":
        return flac(content)
    return _adts(content, start) or _mp3(content, start)


def flac(content: Buffer) -> Container:
    start = _after_id3(content)
    frames = int.from_bytes(content[start + 21 : start + 26], "big") & (1 << 36) - 1
    return Container("FLAC", "flac", libsndfile=frames > 0, frames=frames or None)


def flac_is_cut(content: Buffer) -> str:
    """Returns in words that a FLAC file ends within a frame, "" where it does not: whole frames
    have a checksum of 0."""
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
    """Returns a byte's checksum by the polynomial 0x8005, as FLAC has it (RFC 9639, 9.3)."""
    checksum = byte << 8
    for _ in range(8):
        checksum = checksum << 1 ^ (0x8005 if checksum & 0x8000 else 0)
    return checksum & 0xFFFF


_CRC16 = tuple(map(_crc16, range(256)))


def ogg(content: Buffer) -> Container:
    """Walks pages: each says how long it is, and has a number. A last page that is not marked as
    such is no fault: recorders that were stopped, and some that were not, leave it so."""
    place, codec, damage = 0, b"", ""
    numbers: dict[int, int] = {}  # of the last page of each stream
    while content[place : place + 4] == b"OggS" and place + 27 <= len(content):
        flags, serial, number, count = struct.unpack_from("<5xB8xII4xB", content, place)
        table = bytes(content[place + 27 : place + 27 + count])
        body = place + 27 + count
        if flags & 2:
            codec = codec or bytes(content[body : body + 8])
        elif serial in numbers and number != numbers[serial] + 1:
            damage = f"page {numbers[serial] + 1} is missing"
        numbers[serial] = number
        place = body + sum(table) + (count - len(table))
    cut = content[place : place + 4] if place < len(content) else b""
    if cut and b"OggS".startswith(cut) and len(content) - place < 27:
        place = len(content) + 1
    known = codec.startswith((b"OpusHead", b"\x01vorbis", b"\x7fFLAC"))
    one = known and len(numbers) == 1
    return Container("Ogg", "ogg", libsndfile=one, end=place, damage=damage)


def _after_id3(content: Buffer) -> int:
    """Returns where the sound begins after ID3v2 tags and zeros."""
    place = 0
    while content[place : place + 3] == b"ID3" and place + 10 <= len(content):
        a, b, c, d = content[place + 6 : place + 10]
        place += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if content[place + 5] & 0x10 else 0)
    while place < len(content) and content[place] == 0:
        place += 1
    return place


def _walk(content: Buffer, place: int, read_frame: ReadFrame) -> tuple[int, int]:
    """Returns how many frames of one kind follow each other from an offset on, and where the last
    ends, which may be behind the file."""
    count, kind = 0, None
    while place < len(content):
        size, own = read_frame(content, place)
        if not size or (kind is not None and own != kind):
            # A cut can leave less of a frame than its header.
            if count and len(content) - place < 4 and content[place] == 0xFF:
                place = len(content) + 1
            break
        kind, count, place = own, count + 1, place + size
    return count, place


def _frames(content: Buffer, start: int, read_frame: ReadFrame) -> tuple[int, int, str] | None:
    """Returns how many frames there are, where they end, and in words whether they go on after
    something else, of which one does not know how much sound it was; None where it is no sound:
    random bytes have a frame or two in them, not three in a row."""
    count, end = _walk(content, start, read_frame)
    if count < 3 and not (count and end == len(content)):
        return None
    place = end
    while 0 <= (place := content.find(b"\xff", place)) < len(content):
        if _walk(content, place, read_frame)[0] >= 3:
            return count, end, f"bytes {end:,} to {place:,} are no sound, and then it goes on"
        place += 1
    return count, end, ""


_KBIT_S = {  # by MPEG version, 2 standing for 2.5 too, and layer
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mp3_frame(content: Buffer, place: int) -> tuple[int, object]:
    """Reads the header of an MPEG audio frame (ISO 11172-3, 2.4.2.3)."""
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
    frames = _frames(content, start, _mp3_frame)
    if frames is None:
        return None
    count, end, damage = frames
    first = bytes(content[start : start + _mp3_frame(content, start)[0]])
    counted = False
    # The first frame of a good encoder says how many follow; where it does not, libsndfile guesses.
    if header := re.search(rb"(?:Xing|Info)(....)(....)", first, re.DOTALL):
        flags, promised = (int.from_bytes(part, "big") for part in header.groups())
        counted = bool(flags & 1)
        if counted and promised > count:
            damage = f"{promised} frames are promised, {count} are there"
    return Container("MP3", "mp3", libsndfile=counted, end=end, damage=damage, stop=end)


def _adts_frame(content: Buffer, place: int) -> tuple[int, object]:
    head = content[place : place + 7]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0, None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (size if size >= 7 else 0), head[2] & 0xFC


def _adts(content: Buffer, start: int) -> Container | None:
    frames = _frames(content, start, _adts_frame)
    if frames is None:
        return None
    _, end, damage = frames
    return Container("AAC", "aac", libsndfile=False, end=end, damage=damage, stop=end)


_AMR_NB = (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1)  # bytes (RFC 4867, 3.6)
_AMR_WB = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)


def amr(content: Buffer) -> Container:
    wide = content[:9] == b"#!AMR-WB\n"
    place, sizes = (9, _AMR_WB) if wide else (6, _AMR_NB)
    while place < len(content):
        size = 0 if content[place] & 0x83 else sizes[content[place] >> 3 & 15]
        if not size:
            raise UnknownSound(f"it is damaged: from byte {place:,} on it is no AMR")
        place += size
    return Container("AMR", "amr", libsndfile=False, end=place)


_BOXES = frozenset(
    b"ftyp moov mdat free skip wide uuid moof mfra sidx styp meta pnot prft ssix".split()
)


def mp4(content: Buffer) -> Container:
    place, damage = 0, "its index (moov) is missing"
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if kind not in _BOXES:
            break  # something appended
        if size == 1 and place + 16 <= len(content):
            size = struct.unpack_from(">Q", content, place + 8)[0]
        if kind == b"moov":
            damage = ""
        place = place + size if size >= 8 else len(content)
    return Container("MP4", "mov", libsndfile=False, end=place, damage=damage, timed=True)


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
# Of a file (EBML, segment), of a segment, of a cluster.
_ELEMENTS = {0x1A45DFA3, _SEGMENT, _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B}
_ELEMENTS |= {0x1254C367, 0x1941A469, 0x1043A770, 0xEC, 0xBF, 0xE7, 0xA0, 0xA3, 0xA7, 0xAB}


def matroska(content: Buffer) -> Container:
    """Walks EBML elements, also those of a segment or cluster of unknown size."""

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


def asf(content: Buffer) -> Container:
    """Walks the objects of Windows Media."""
    end = 0
    for id_, _, first, last in chunks(content, 0, "<16sQ", pad=1, inclusive=True):
        if id_ == _ASF_DATA and is_unsized(last - first, 8):
            break
        if id_ == _ASF_DATA or not end:
            end = last
        if id_ == _ASF_DATA or last > len(content):
            break
    return Container("WMA", "asf", libsndfile=False, end=end)
