"""Too loud for the microphone or its amplifier: the peaks are cut, or rounded off."""

import numpy as np

from telephone_asr.channel.portable import tanh
from telephone_asr.errors import InputError

CLIPPING_KINDS = ("hard", "soft")


def clip(samples: np.ndarray, level: float, kind: str) -> np.ndarray:
    """Returns a copy of float samples (n,) within -level..level; `level` is on their scale.

    "hard" cuts off what is beyond, as a converter does. "soft" is level * tanh(samples / level),
    as an amplifier stage does: quiet samples pass unchanged, one at `level` has 0.76 of it.
    The harmonics that lie above half the sample rate fold back; they are not filtered out.
    Raises InputError for another kind or a level that is not above 0.
    """
    if kind not in CLIPPING_KINDS:
        raise InputError(f"clipping: expected {' or '.join(CLIPPING_KINDS)}, got {kind!r}")
    limit = np.float32(level)  # float32 samples stay float32
    if not limit > 0:
        raise InputError(f"clipping level: expected above 0, got {level}")
    if kind == "hard":
        return np.clip(samples, -limit, limit)
    return tanh(samples / limit) * limit
