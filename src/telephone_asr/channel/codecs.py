"""The codecs a call passes on its way, one after the other.

Every one keeps the length and takes nothing in time: its output lies on its input.
"""

import io

import numpy as np
import soundfile

from telephone_asr.channel import g711
from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.errors import InputError

CODECS = (*g711.LAWS, "gsm")


def through_codec(pcm_int16_8k: np.ndarray, name: str) -> np.ndarray:
    """What comes out of codec `name`: int16 (n,) at 8 kHz, time-aligned with the input (n,).

    name: "mulaw", "alaw" (ITU-T G.711), "gsm" (GSM 06.10 full rate), or several joined by "+"
    in the order the call meets them: "gsm+alaw". Raises InputError for any other name.
    """
    check_codec(name)
    pcm = pcm_int16_8k
    for codec in name.split("+"):
        pcm = _gsm(pcm) if codec == "gsm" else g711.through(pcm, codec)
    return pcm


def check_codec(name: str) -> None:
    """Raise InputError unless `name` is a codec or a tandem of codecs."""
    unknown = [codec for codec in name.split("+") if codec not in CODECS]
    if unknown:
        raise InputError(
            f"unknown codec {unknown[0]!r} in {name!r}; expected {', '.join(CODECS)}, "
            'or several joined by "+"'
        )


def _gsm(pcm_int16_8k: np.ndarray) -> np.ndarray:
    """GSM 06.10 by libsndfile. It works on whole frames of 160 samples and adds no delay."""
    n = len(pcm_int16_8k)
    if n == 0:
        return pcm_int16_8k
    stream = io.BytesIO()
    kind = {"samplerate": TELEPHONE_RATE_HZ, "subtype": "GSM610"}
    soundfile.write(stream, pcm_int16_8k, format="WAV", **kind)
    stream.seek(0)
    decoded, _ = soundfile.read(stream, dtype="int16")
    return decoded[:n]
