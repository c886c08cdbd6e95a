"""G.711: the two companding laws of digital telephony, bit-exact.

Source: ITU-T G.711 (11/88), tables 1a/1b (A-law) and 2a/2b (mu-law). The standard leaves open to
which interval a sample on a decision value belongs; here, as in the reference software of ITU-T
G.191, a positive one goes away from zero and a negative one towards it (hence `~x` below).

Both directions are table look-ups: int16 has 65,536 values, so a table is the whole codec.
"""

from functools import cache

import numpy as np

from telephone_asr.errors import InputError

LAWS = ("mulaw", "alaw")


def encode(pcm_int16: np.ndarray, law: str) -> np.ndarray:
    """Returns G.711 codes of 16-bit samples as they go over the wire, uint8 of the same shape.

    mu-law uses the upper 14 bits of a sample, A-law the upper 13.
    Raises InputError for an unknown law, TypeError for samples that are not int16.
    """
    return np.take(_encode_table(law), _as_index(pcm_int16))


def decode(codes_uint8: np.ndarray, law: str) -> np.ndarray:
    """Returns the 16-bit samples that G.711 codes stand for, int16 of the same shape.

    Raises InputError for an unknown law, TypeError for codes that are not uint8.
    """
    codes = np.asarray(codes_uint8)
    if codes.dtype != np.uint8:
        raise TypeError(f"G.711 codes must be uint8, got {codes.dtype}")
    return np.take(_decode_table(law), codes)


def through(pcm_int16: np.ndarray, law: str) -> np.ndarray:
    """Returns `decode(encode(pcm_int16, law), law)`, by a single look-up."""
    return np.take(_through_table(law), _as_index(pcm_int16))


def _as_index(pcm_int16: np.ndarray) -> np.ndarray:
    """Returns the bits of int16 samples read as 0..65535, the order of the tables."""
    pcm = np.ascontiguousarray(pcm_int16)
    if pcm.dtype != np.int16:
        raise TypeError(f"PCM samples must be int16, got {pcm.dtype}")
    return pcm.view(np.uint16).reshape(np.shape(pcm_int16))


@cache
def _encode_table(law: str) -> np.ndarray:
    """Returns the code of each int16 sample, indexed by the sample's bits: uint8 (65536,)."""
    _check_law(law)
    x = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    positive = np.where(x >= 0, 0x80, 0)
    magnitude = np.where(x >= 0, x, ~x)
    encode_magnitude = _mulaw_magnitude if law == "mulaw" else _alaw_magnitude
    code = encode_magnitude(magnitude) | positive
    return (code if law == "mulaw" else code ^ 0x55).astype(np.uint8)


def _mulaw_magnitude(magnitude: np.ndarray) -> np.ndarray:
    """Returns the seven lower bits. The bias of 33 makes each segment start at a power of two; the
    bits are inverted, so that silence is sent as ones."""
    biased = np.minimum((magnitude >> 2) + 33, 0x1FFF)
    shift = _floor_log2(biased) - 4
    return ((8 - shift) << 4) | (15 - ((biased >> shift) & 15))


def _alaw_magnitude(magnitude: np.ndarray) -> np.ndarray:
    """Returns the seven lower bits, before every second one is inverted."""
    steps = magnitude >> 4  # the smallest step of A-law is 16 in 16-bit units
    segment = np.maximum(_floor_log2(np.maximum(steps, 1)) - 3, 1)
    return np.where(steps > 15, (steps >> (segment - 1)) - 16 + (segment << 4), steps)


def _floor_log2(x: np.ndarray) -> np.ndarray:
    return np.frexp(x.astype(np.float64))[1] - 1


@cache
def _decode_table(law: str) -> np.ndarray:
    """Returns the sample that each code stands for, the middle of its interval: int16 (256,).

    Segment 0 has steps of 8 (mu-law) or 16 (A-law) in 16-bit units. A-law's segment 1 has the same
    step and every further one doubles it; in mu-law every segment doubles it.
    """
    _check_law(law)
    code = np.arange(256)
    bits = ~code & 0xFF if law == "mulaw" else code ^ 0x55
    segment, interval = (bits >> 4) & 7, bits & 15
    if law == "mulaw":
        # Interval 0 of segment 0 is half of one step that straddles zero, hence no half step.
        magnitude = (((interval << 3) + 4 * 33) << segment) - 4 * 33
        negative = (bits & 0x80) != 0
    else:
        middle = (interval << 4) + 8
        magnitude = np.where(segment == 0, middle, (middle + 256) << np.maximum(segment - 1, 0))
        negative = (bits & 0x80) == 0
    return np.where(negative, -magnitude, magnitude).astype(np.int16)


@cache
def _through_table(law: str) -> np.ndarray:
    """Returns what is heard of each int16 sample, indexed by the sample's bits: int16 (65536,)."""
    return _decode_table(law)[_encode_table(law)]


def _check_law(law: str) -> None:
    if law not in LAWS:
        raise InputError(f"unknown G.711 law {law!r}; expected one of {', '.join(LAWS)}")
