"""What a runtime is given of each utterance that it is checked with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Call(NamedTuple):
    """An utterance, as it was recorded, and how to ask for its text."""

    samples: np.ndarray  # int16, mono
    rate_hz: int
    verbatim: bool  # with the prompt for texts without digits and punctuation


Recognise = Callable[[Call], str]  # a runtime with a model loaded
