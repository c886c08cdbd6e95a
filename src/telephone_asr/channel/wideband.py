"""Codecs of calls that are wideband on a part of their way: VoLTE, softphones. At 16 kHz.

Like those of `codecs` they keep the length and take nothing in time.
"""

from __future__ import annotations

import subprocess
from functools import cache

import numpy as np
import soxr

from telephone_asr.channel import libav
from telephone_asr.channel.band import WIDEBAND_RATE_HZ
from telephone_asr.channel.portable import to_int16
from telephone_asr.errors import InputError

AMR_WB_BIT_RATES = (6600, 8850, 12650, 14250, 15850, 18250, 19850, 23050, 23850)
AMR_WB = tuple(f"amr_wb_{bit_rate}" for bit_rate in AMR_WB_BIT_RATES)
OPUS_BIT_RATES = (8000, 12000, 16000, 24000)
OPUS = tuple(f"opus_{bit_rate}" for bit_rate in OPUS_BIT_RATES)

G722_DELAY = 22  # samples: the filter banks of encoder and decoder, 24 taps each
AMR_WB_FRAME = 320  # samples: 20 ms
AMR_WB_DELAY = 95  # samples: the encoder's look-ahead of 5 ms, and filters to 12.8 kHz and back
AMR_WB_MAGIC = b"#!AMR-WB\n"  # RFC 4867, 5
AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61)  # of a frame, with its header
OPUS_RATE_HZ = 48_000  # at which libopus decodes
# Speech in frames of 20 ms. Complexity 5 is what WebRTC uses on mobile phones; from 7 on
# libopus looks for music, and codes it by CELT, which computes in floating point, where SILK's
# decoder computes in whole numbers.
OPUS_OPTIONS = {"application": "voip", "frame_duration": "20", "compression_level": "5"}
# Samples at 48 kHz, as measured: about the encoder's pre-skip of 312 (6.5 ms). The decoder's
# resamplers from 8 and from 16 kHz add or take away a little.
OPUS_NARROWBAND_DELAY, OPUS_WIDEBAND_DELAY = 314, 310


def through_wideband(pcm_int16_16k: np.ndarray, codec: str) -> np.ndarray:
    """Returns what comes out of a wideband codec: int16 (n,) at 16 kHz, time-aligned with the
    input (n,), n > 0.

    codec: "g722", or one of AMR_WB or OPUS. `codecs.through_codec` says what they are.
    """
    if codec in AMR_WB:
        return _amr_wb(pcm_int16_16k, AMR_WB.index(codec))
    if codec in OPUS:
        return _opus(pcm_int16_16k, OPUS_BIT_RATES[OPUS.index(codec)])
    return _g722(pcm_int16_16k)


def _g722(pcm: np.ndarray) -> np.ndarray:
    packets = libav.encode("g722", np.pad(pcm, (0, G722_DELAY)), WIDEBAND_RATE_HZ, 64000)
    decoded = libav.decode("g722", [b"".join(packets)], WIDEBAND_RATE_HZ)
    return decoded[G722_DELAY : G722_DELAY + len(pcm)]


def _opus(pcm: np.ndarray, bit_rate: int) -> np.ndarray:
    delay = OPUS_NARROWBAND_DELAY if bit_rate == OPUS_BIT_RATES[0] else OPUS_WIDEBAND_DELAY
    padded = np.pad(pcm, (0, delay))
    packets = libav.encode("libopus", padded, WIDEBAND_RATE_HZ, bit_rate, OPUS_OPTIONS)
    # FFmpeg's own decoder works in floating point, which may round otherwise on another CPU.
    decoded = libav.decode("libopus", packets, OPUS_RATE_HZ)[delay:].astype(np.float32)
    return to_int16(soxr.resample(decoded, OPUS_RATE_HZ, WIDEBAND_RATE_HZ)[: len(pcm)])


def _amr_wb(pcm: np.ndarray, mode: int) -> np.ndarray:
    """Codes by VisualOn's encoder and decodes by opencore-amr, both in fixed point."""
    n_frames = -(-(len(pcm) + AMR_WB_DELAY) // AMR_WB_FRAME)
    padded = np.pad(pcm, (0, n_frames * AMR_WB_FRAME - len(pcm)))
    command = [_ffmpeg(), "-v", "error", "-f", "s16le", "-ar", str(WIDEBAND_RATE_HZ), "-ac", "1"]
    command += ["-i", "-", "-c:a", "libvo_amrwbenc", "-b:a", str(AMR_WB_BIT_RATES[mode])]
    ran = subprocess.run([*command, "-f", "amr", "-"], input=padded.tobytes(), capture_output=True)
    size, coded = AMR_WB_BYTES[mode], ran.stdout.removeprefix(AMR_WB_MAGIC)
    if ran.returncode or len(coded) != n_frames * size:
        raise InputError(
            "codec: amr_wb needs an FFmpeg with libvo_amrwbenc, which this imageio-ffmpeg lacks; "
            "install imageio-ffmpeg==0.6.0."
        )
    packets = [coded[i : i + size] for i in range(0, len(coded), size)]
    decoded = libav.decode("libopencore_amrwb", packets, WIDEBAND_RATE_HZ)
    return decoded[AMR_WB_DELAY : AMR_WB_DELAY + len(pcm)]


@cache
def _ffmpeg() -> str:
    """Returns the path of the FFmpeg that lies in imageio-ffmpeg's wheel. PyAV's has no AMR-WB
    encoder."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise InputError(
            "codec: amr_wb needs imageio-ffmpeg; install it with `pip install -c constraints.txt "
            "-e '.[line]'`, or leave amr_wb out."
        ) from None
    return imageio_ffmpeg.get_ffmpeg_exe()
