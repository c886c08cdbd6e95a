"""An utterance at the sample rate of a telephone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.channel.portable import to_int16
from telephone_asr.shards import Utterance


def at_telephone_rate(utterance: Utterance) -> Utterance:
    """Returns the utterance at 8 kHz; one that is so already keeps its samples to the bit."""
    import soxr

    if utterance.sample_rate_hz == TELEPHONE_RATE_HZ:
        return utterance
    # In double precision, so that the last bits, which processors have their own of, are far below
    # what is rounded here.
    samples = soxr.resample(
        *(utterance.samples.astype(np.float64), utterance.sample_rate_hz, TELEPHONE_RATE_HZ),
        quality="VHQ",
    )
    samples = to_int16(samples)
    return replace(utterance, samples=samples, sample_rate_hz=TELEPHONE_RATE_HZ)
