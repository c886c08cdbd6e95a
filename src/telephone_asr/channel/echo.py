"""The speaker's own voice again: it comes back from the other end of the line.

A hybrid or a loudspeaker there reflects it; it arrives after the round trip, weaker by the echo
loss (ITU-T G.131 says what people still bear of it). One reflection, with all frequencies alike.
"""

import numpy as np

from telephone_asr.channel.portable import amplitude
from telephone_asr.errors import InputError


def add_echo(samples: np.ndarray, delay_samples: int, loss_db: float) -> np.ndarray:
    """Adds float samples (n,) to themselves, delay_samples later and loss_db weaker.

    In place; returns the same array. The length stays: what of the echo comes after the end is
    lost. Raises InputError for a negative delay.
    """
    if delay_samples < 0:
        raise InputError(f"echo delay: expected 0 samples or more, got {delay_samples}")
    # The product is a copy made before anything is added, so the echo has no echo.
    samples[delay_samples:] += amplitude(-loss_db) * samples[: max(0, len(samples) - delay_samples)]
    return samples
