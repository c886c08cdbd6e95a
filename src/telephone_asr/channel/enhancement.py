"""What a handset or softphone does to its microphone's sound: noise suppression, automatic gain.

WebRTC's, which browsers, Android's softphones and many others run, by pywebrtc-audio. Both are as
in the middle of a call: they have heard the utterance once before, so that the noise is known and
the gain has settled. At 16 kHz.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from telephone_asr.channel.portable import to_int16
from telephone_asr.errors import InputError

# By how much noise is suppressed at WebRTC's four levels, low to very high.
SUPPRESSION_DB = (6, 12, 18, 21)
SUPPRESSION_DELAY = 96  # samples: windows of 256, of which 160 are new


def suppress_noise(speech: np.ndarray, level_db: int) -> np.ndarray:
    """Suppresses steady noise by up to `level_db`, one of SUPPRESSION_DB.

    speech: float (n,) at 16 kHz on the scale -1..1. Returns float32 (n,), time-aligned with it.
    """
    level = SUPPRESSION_DB.index(level_db)
    suppressor = _webrtc().NoiseSuppressor(sample_rate=16_000, level=level)
    padded = np.pad(speech, (0, SUPPRESSION_DELAY))
    return _second_time(suppressor, padded)[SUPPRESSION_DELAY:]


def control_gain(speech: np.ndarray) -> np.ndarray:
    """Brings the level of speech up, towards peaks of -5 dBFS.

    AGC2 with its defaults: by up to 50 dB, but noise to no more than -50 dBFS; by up to 6 dB a
    second; with a limiter. speech: float (n,) at 16 kHz on the scale -1..1. Returns float32 (n,);
    it adds no delay.
    """
    return _second_time(_webrtc().GainController(sample_rate=16_000), speech)


def _second_time(processor: Any, speech: np.ndarray) -> np.ndarray:
    pcm = to_int16(speech * np.float32(32768))
    if len(pcm) == 0:
        return speech
    processor.process(pcm)
    return processor.process(pcm) * np.float32(1 / 32768)


def _webrtc() -> Any:
    try:
        import pywebrtc_audio
    except ImportError:
        raise InputError(
            "noise_suppression and gain_control need pywebrtc-audio; install it with `pip install "
            "-c constraints.txt -e '.[line]'`, or set both to 0."
        ) from None
    return pywebrtc_audio
