"""The room that is spoken in: reverberation by a measured or computed impulse response."""

import numpy as np
import scipy

from telephone_asr.channel.band import WIDEBAND_RATE_HZ, to_wideband

LONGEST_S = 2.0  # of a response; what comes after is far below any telephone's noise


def room_response(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns an impulse response at 16 kHz that begins with the direct sound, its loudest sample,
    so that it delays nothing. float32 (n,), of energy 1."""
    response = to_wideband(samples, sample_rate_hz)
    first = int(np.argmax(np.abs(response)))
    response = response[first : first + round(LONGEST_S * WIDEBAND_RATE_HZ)]
    return response / np.float32(np.sqrt(np.sum(np.square(response, dtype=np.float64))))


def reverberate(speech: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Returns float32 speech (n,) at 16 kHz as it sounds in a room; what rings on after its end is
    cut off."""
    if not len(speech):
        return speech
    ringing = scipy.signal.oaconvolve(speech, response)
    return ringing[: len(speech)].astype(np.float32)
