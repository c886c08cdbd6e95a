"""The codecs a call passes on its way, one after the other.

Every one keeps the length and takes nothing in time: its output lies on its input. A codec starts
afresh at each call, so what comes out depends on nothing but what goes in.

    name = resolve("amr_nb+alaw+amr_nb", rng)     # "amr_nb_7950+alaw+amr_nb_4750"
    pcm = through_codec(pcm, name)
"""

import io
from itertools import takewhile

import numpy as np
import soundfile
import soxr

from telephone_asr.channel import g711, libav
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, WIDEBAND_RATE_HZ
from telephone_asr.channel.portable import to_int16
from telephone_asr.channel.wideband import AMR_WB, OPUS, through_wideband
from telephone_asr.errors import InputError

AMR_NB_BIT_RATES = (4750, 5150, 5900, 6700, 7400, 7950, 10200, 12200)
AMR_NB = tuple(f"amr_nb_{bit_rate}" for bit_rate in AMR_NB_BIT_RATES)
ANY = {"amr_nb": AMR_NB, "amr_wb": AMR_WB, "opus": OPUS}  # stand for one of them, to be drawn
WIDEBAND = (*AMR_WB, *OPUS)
CODECS = (*g711.LAWS, "gsm", *AMR_NB, "g726", "g722", "g723", *WIDEBAND)
CHOICE = f'{", ".join((*CODECS, *ANY))}, or several joined by "+"'

AMR_NB_FRAME = 160  # samples at 8 kHz: 20 ms
# Samples at 8 kHz: the encoder's look-ahead of 5 ms (3GPP TS 26.090), the same at all eight rates.
# Cross-correlation says 40 for noise, but 37 to 40 for speech: the high-pass filters of encoder and
# decoder (80 and 60 Hz) advance the bass. That is a phase, not a delay, and stays.
AMR_NB_DELAY = 40
G723_FRAME = 240  # samples at 8 kHz: 30 ms
G723_DELAY = 60  # samples at 8 kHz: the encoder's look-ahead of 7.5 ms (ITU-T G.723.1)


def through_codec(pcm_int16_8k: np.ndarray, name: str) -> np.ndarray:
    """Returns what comes out of a codec: int16 (n,) at 8 kHz, time-aligned with the input (n,).

    name, or several joined by "+" in the order the call meets them ("gsm+alaw"):
    - "mulaw", "alaw": ITU-T G.711, bit-exact.
    - "gsm": GSM 06.10 full rate, 13 kbit/s, by libsndfile.
    - "amr_nb_4750" .. "amr_nb_12200": 3GPP AMR narrowband at that many bit/s, without DTX, by
      opencore-amr, in fixed point as in the standard.
    - "g726": ITU-T G.726 at 32 kbit/s, by FFmpeg. As noisy as the standard's, not bit-exact.
    - "g722": ITU-T G.722 at 64 kbit/s, by FFmpeg, bit-exact: a wideband leg, at 16 kHz.
    - "g723": ITU-T G.723.1 at 6.3 kbit/s, by FFmpeg, in fixed point as in the standard.
    - "amr_wb_6600" .. "amr_wb_23850": 3GPP AMR wideband (ITU-T G.722.2), without DTX, by VisualOn's
      encoder and opencore-amr: a wideband leg.
    - "opus_8000" .. "opus_24000": Opus as softphones use it (SILK, variable rate, no DTX), by
      libopus: a wideband leg; at 8000 the codec itself leaves out what is above 4 kHz.
    Raises InputError for any other name, "amr_nb" included: `resolve` draws its rate.
    """
    if not is_codec(name):
        raise InputError(f"codec: expected {CHOICE}, got {name!r}")
    for undrawn in ANY.keys() & name.split("+"):
        raise InputError(f"codec: expected a drawn rate, such as {ANY[undrawn][-1]}, got {name!r}")
    pcm = pcm_int16_8k
    if len(pcm) == 0:
        return pcm
    for codec in name.split("+"):
        if codec in g711.LAWS:
            pcm = g711.through(pcm, codec)
        elif codec == "gsm":
            pcm = _gsm(pcm)
        elif codec == "g726":
            pcm = _g726(pcm)
        elif codec == "g723":
            pcm = _g723(pcm)
        elif codec in AMR_NB:
            pcm = _amr_nb(pcm, AMR_NB_BIT_RATES[AMR_NB.index(codec)])
        else:
            pcm = _wideband_leg(pcm, codec)
    return pcm


def split_wideband(name: str) -> tuple[list[str], str]:
    """Splits a drawn name into the wideband codecs that the call meets before any other, and the
    rest.

    >>> split_wideband("amr_wb_12650+alaw+opus_16000")
    (['amr_wb_12650'], 'alaw+opus_16000')

    G.722 is of the rest: at its 64 kbit/s it makes no difference whether it codes what is beyond
    the telephone's band.
    """
    legs = name.split("+")
    first = list(takewhile(lambda leg: leg in WIDEBAND, legs))
    return first, "+".join(legs[len(first) :])


def resolve(name: str, rng: np.random.Generator) -> str:
    """Replaces each "amr_nb", "amr_wb" and "opus" in a name by one of its rates.

    One draw for each of them, from left to right; a codec's rates are equally likely. What
    comes back is what `through_codec` takes and what provenance records.
    """
    return "+".join(
        ANY[codec][rng.integers(len(ANY[codec]))] if codec in ANY else codec
        for codec in name.split("+")
    )


def is_codec(name: str) -> bool:
    """Says whether `name` is a codec or a tandem of codecs, "amr_nb" among them."""
    return set(name.split("+")) <= {*CODECS, *ANY}


def _gsm(pcm_int16_8k: np.ndarray) -> np.ndarray:
    """Codes whole frames of 160 samples; it adds no delay."""
    stream = io.BytesIO()
    kind = {"samplerate": TELEPHONE_RATE_HZ, "subtype": "GSM610"}
    soundfile.write(stream, pcm_int16_8k, format="WAV", **kind)
    stream.seek(0)
    decoded, _ = soundfile.read(stream, dtype="int16")
    return decoded[: len(pcm_int16_8k)]


def _amr_nb(pcm_int16_8k: np.ndarray, bit_rate: int) -> np.ndarray:
    padded = _whole_frames(pcm_int16_8k, AMR_NB_FRAME, AMR_NB_DELAY)
    coded = libav.encode("libopencore_amrnb", padded, TELEPHONE_RATE_HZ, bit_rate)
    # FFmpeg's own decoder works in floating point, which may round otherwise on another CPU.
    decoded = libav.decode("libopencore_amrnb", coded, TELEPHONE_RATE_HZ)
    return decoded[AMR_NB_DELAY : AMR_NB_DELAY + len(pcm_int16_8k)]


def _g723(pcm_int16_8k: np.ndarray) -> np.ndarray:
    padded = _whole_frames(pcm_int16_8k, G723_FRAME, G723_DELAY)
    coded = libav.encode("g723_1", padded, TELEPHONE_RATE_HZ, 6300)
    decoded = libav.decode("g723_1", coded, TELEPHONE_RATE_HZ)
    return decoded[G723_DELAY : G723_DELAY + len(pcm_int16_8k)]


def _whole_frames(pcm: np.ndarray, frame: int, delay: int) -> np.ndarray:
    """Appends zeros, so that the end comes out of a codec that is `delay` samples late."""
    return np.pad(pcm, (0, delay + -(len(pcm) + delay) % frame))


def _g726(pcm_int16_8k: np.ndarray) -> np.ndarray:
    coded = libav.encode("g726", pcm_int16_8k, TELEPHONE_RATE_HZ, 32000)
    # Without a container the decoder has to be told that a code has 4 bits.
    options = {"bits_per_coded_sample": "4"}
    decoded = libav.decode("g726", [b"".join(coded)], TELEPHONE_RATE_HZ, options)
    decoded = decoded[: len(pcm_int16_8k)].astype(np.float64)  # a byte holds two codes
    # FFmpeg does not limit the decoder's output as G.726 does: a peak beyond full scale wraps
    # around to the other sign. Of the values the 16 bits may stand for, the one next to the input
    # was meant; it saturates.
    decoded += 65536 * np.rint((pcm_int16_8k - decoded) / 65536)
    return to_int16(decoded)


def _wideband_leg(pcm_int16_8k: np.ndarray, codec: str) -> np.ndarray:
    samples = pcm_int16_8k.astype(np.float32)
    # soxr's filters have zero phase, so what is left to remove is the codec's own delay.
    wideband = to_int16(soxr.resample(samples, TELEPHONE_RATE_HZ, WIDEBAND_RATE_HZ))
    samples = through_wideband(wideband, codec).astype(np.float32)
    return to_int16(soxr.resample(samples, WIDEBAND_RATE_HZ, TELEPHONE_RATE_HZ))
