"""The container of a sound file, by what its bytes begin with."""

from __future__ import annotations

import re
from collections.abc import Callable

from telephone_asr.corpora import compressed, wav_headers
from telephone_asr.corpora.containers import Buffer, Container, UnknownSound

# What a file begins with.
CONTAINERS: tuple[tuple[bytes, Callable[[Buffer], Container]], ...] = (
    (rb"(RIFF|RIFX|RF64|BW64)....WAVE", wav_headers.wav),
    (rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", wav_headers.w64),
    (rb"FORM....AIF[FC]", wav_headers.aiff),
    (rb"\.snd|dns\.", wav_headers.au),
    (rb"caff\x00\x01", wav_headers.caf),
    (rb"NIST_1A\n", wav_headers.nist),
    (rb"Creative Voice File\x1a", wav_headers.voc),
    (rb"fLaC", compressed.flac),
    (rb"OggS", compressed.ogg),
    (rb"#!AMR(-WB)?\n", compressed.amr),
    (rb"....ftyp|....(moov|mdat|wide|free|skip).{4}", compressed.mp4),
    (rb"\x1a\x45\xdf\xa3", compressed.matroska),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", compressed.asf),
)


def recognise(content: Buffer) -> Container:
    """Returns what a file is.

    content: all of its bytes, such as a memory map; few of them are read.

    Raises:
        UnknownSound: it is none of those that are read here.
    """
    head = bytes(content[:64])
    for begins, walk in CONTAINERS:
        if re.match(begins, head, re.DOTALL):
            return walk(content)
    if re.match(rb"\x02?#!SILK", head):
        raise UnknownSound(
            "it is SILK, as chat programs record it, which no library here decodes: convert it "
            "with the decoder of the SILK SDK (docs/data.md)"
        )
    if container := compressed.tagged(content):
        return container
    raise UnknownSound(
        "it is no sound of a kind that is read here (docs/data.md has them, and how to convert "
        "what has no header)"
    )
