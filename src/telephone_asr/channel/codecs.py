"""The codecs a call passes on its way, one after the other.

Every one keeps the length and takes nothing in time: its output lies on its input. A codec starts
afresh at each call, so what comes out depends on nothing but what goes in.

    name = resolve("amr_nb+alaw+amr_nb", rng)     # "amr_nb_7950+alaw+amr_nb_4750"
    pcm = through_codec(pcm, name)
"""

import io

import numpy as np
import soundfile
import soxr

from telephone_asr.channel import g711
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, WIDEBAND_RATE_HZ
from telephone_asr.channel.portable import to_int16
from telephone_asr.errors import InputError

AMR_NB_BIT_RATES = (4750, 5150, 5900, 6700, 7400, 7950, 10200, 12200)
AMR_NB = tuple(f"amr_nb_{bit_rate}" for bit_rate in AMR_NB_BIT_RATES)
ANY_AMR_NB = "amr_nb"  # stands for one of them, to be drawn
CODECS = (*g711.LAWS, "gsm", *AMR_NB, "g726", "g722")
CHOICE = f'{", ".join((*CODECS, ANY_AMR_NB))}, or several joined by "+"'

AMR_NB_FRAME = 160  # samples at 8 kHz: 20 ms
# Samples at 8 kHz: the encoder's look-ahead of 5 ms (3GPP TS 26.090), the same at all eight rates.
# Cross-correlation says 40 for noise, but 37 to 40 for speech: the high-pass filters of encoder and
# decoder (80 and 60 Hz) advance the bass. That is a phase, not a delay, and stays.
AMR_NB_DELAY = 40
G722_DELAY = 22  # samples at 16 kHz: the filter banks of encoder and decoder, 24 taps each


def through_codec(pcm_int16_8k: np.ndarray, name: str) -> np.ndarray:
    """Returns what comes out of a codec: int16 (n,) at 8 kHz, time-aligned with the input (n,).

    name, or several joined by "+" in the order the call meets them ("gsm+alaw"):
    - "mulaw", "alaw": ITU-T G.711, bit-exact.
    - "gsm": GSM 06.10 full rate, 13 kbit/s, by libsndfile.
    - "amr_nb_4750" .. "amr_nb_12200": 3GPP AMR narrowband at that many bit/s, without DTX, by
      opencore-amr, in fixed point as in the standard.
    - "g726": ITU-T G.726 at 32 kbit/s, by FFmpeg. As noisy as the standard's, not bit-exact.
    - "g722": ITU-T G.722 at 64 kbit/s, by FFmpeg, bit-exact: a wideband leg, at 16 kHz.
    Raises InputError for any other name, "amr_nb" included: `resolve` draws its rate.
    """
    if not is_codec(name):
        raise InputError(f"codec: expected {CHOICE}, got {name!r}")
    if ANY_AMR_NB in name.split("+"):
        raise InputError(f"codec: expected a drawn rate, such as {AMR_NB[-1]}, got {name!r}")
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
        elif codec == "g722":
            pcm = _g722(pcm)
        else:
            pcm = _amr_nb(pcm, AMR_NB_BIT_RATES[AMR_NB.index(codec)])
    return pcm


def resolve(name: str, rng: np.random.Generator) -> str:
    """Replaces each "amr_nb" in a name by one of the eight rates, all equally likely.

    One draw for each "amr_nb", from left to right. What comes back is what `through_codec` takes
    and what provenance records.
    """
    return "+".join(
        AMR_NB[rng.integers(len(AMR_NB))] if codec == ANY_AMR_NB else codec
        for codec in name.split("+")
    )


def is_codec(name: str) -> bool:
    """Says whether `name` is a codec or a tandem of codecs, "amr_nb" among them."""
    return set(name.split("+")) <= {*CODECS, ANY_AMR_NB}


def _gsm(pcm_int16_8k: np.ndarray) -> np.ndarray:
    """Codes whole frames of 160 samples; it adds no delay."""
    stream = io.BytesIO()
    kind = {"samplerate": TELEPHONE_RATE_HZ, "subtype": "GSM610"}
    soundfile.write(stream, pcm_int16_8k, format="WAV", **kind)
    stream.seek(0)
    decoded, _ = soundfile.read(stream, dtype="int16")
    return decoded[: len(pcm_int16_8k)]


def _amr_nb(pcm_int16_8k: np.ndarray, bit_rate: int) -> np.ndarray:
    n = len(pcm_int16_8k)
    n_frames = -(-(n + AMR_NB_DELAY) // AMR_NB_FRAME)
    padded = np.pad(pcm_int16_8k, (0, n_frames * AMR_NB_FRAME - n))
    coded = _encode("libopencore_amrnb", padded, TELEPHONE_RATE_HZ, bit_rate)
    # FFmpeg's own decoder works in floating point, which may round otherwise on another CPU.
    decoded = _decode("libopencore_amrnb", coded, TELEPHONE_RATE_HZ)
    return decoded[AMR_NB_DELAY : AMR_NB_DELAY + n]


def _g726(pcm_int16_8k: np.ndarray) -> np.ndarray:
    coded = _encode("g726", pcm_int16_8k, TELEPHONE_RATE_HZ, 32000)
    # Without a container the decoder has to be told that a code has 4 bits.
    decoded = _decode("g726", coded, TELEPHONE_RATE_HZ, {"bits_per_coded_sample": "4"})
    decoded = decoded[: len(pcm_int16_8k)].astype(np.float64)  # a byte holds two codes
    # FFmpeg does not limit the decoder's output as G.726 does: a peak beyond full scale wraps
    # around to the other sign. Of the values the 16 bits may stand for, the one next to the input
    # was meant; it saturates.
    decoded += 65536 * np.rint((pcm_int16_8k - decoded) / 65536)
    return to_int16(decoded)


def _g722(pcm_int16_8k: np.ndarray) -> np.ndarray:
    n = len(pcm_int16_8k)
    samples = pcm_int16_8k.astype(np.float32)
    # soxr's filters have zero phase, so what is left to remove is the codec's own delay.
    wideband = to_int16(soxr.resample(samples, TELEPHONE_RATE_HZ, WIDEBAND_RATE_HZ))
    coded = _encode("g722", np.pad(wideband, (0, G722_DELAY)), WIDEBAND_RATE_HZ, 64000)
    decoded = _decode("g722", coded, WIDEBAND_RATE_HZ)[G722_DELAY : G722_DELAY + 2 * n]
    samples = decoded.astype(np.float32)
    return to_int16(soxr.resample(samples, WIDEBAND_RATE_HZ, TELEPHONE_RATE_HZ))


def _encode(encoder: str, pcm_int16: np.ndarray, sample_rate_hz: int, bit_rate: int) -> bytes:
    """Returns the packets of a libavcodec encoder, joined. pcm_int16: at least one sample."""
    import av  # 0.1 s, and only some calls need it

    context = av.CodecContext.create(encoder, "w")
    context.sample_rate = sample_rate_hz
    context.bit_rate = bit_rate
    context.layout, context.format = "mono", "s16"
    frame = av.AudioFrame.from_ndarray(pcm_int16[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = sample_rate_hz
    return b"".join(bytes(packet) for packet in context.encode(frame) + context.encode(None))


def _decode(
    decoder: str, coded: bytes, sample_rate_hz: int, options: dict[str, str] | None = None
) -> np.ndarray:
    """Returns what a libavcodec decoder makes of `_encode`'s bytes: int16 (n,)."""
    import av

    context = av.CodecContext.create(decoder, "r")
    context.sample_rate = sample_rate_hz
    context.layout = "mono"
    context.options = options or {}
    frames = context.decode(av.Packet(coded)) + context.decode(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
