"""What is kept, and why the rest is not: one reason code for each utterance left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from telephone_asr.errors import InputError


@dataclass(frozen=True)
class Filter:
    """Limits on the length of an utterance, in 10 ms fbank frames."""

    length: Literal["fixed", "percentile"]
    min_frames: int  # limits where length is fixed
    max_frames: int
    percentiles: tuple[float, float]  # of the corpus's lengths, where length is percentile

    def __post_init__(self) -> None:
        if not 0 <= self.min_frames < self.max_frames:
            raise InputError(
                f"min_frames: expected 0 <= min_frames < max_frames, "
                f"got {self.min_frames} and {self.max_frames}."
            )
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise InputError(f"percentiles: expected 0 <= low < high <= 100, got [{low}, {high}].")


def length_limits(filter_: Filter, frames: Sequence[int]) -> tuple[int, int]:
    """Shortest and longest length kept, in 10 ms frames, for a corpus of these lengths."""
    if filter_.length == "fixed" or not frames:
        return filter_.min_frames, filter_.max_frames
    low, high = np.percentile(frames, filter_.percentiles)
    return int(np.floor(low)), int(np.ceil(high))


def rejection(
    text: str, frames: int, annotation_error: bool, limits: tuple[int, int]
) -> str | None:
    """The reason not to use an utterance, or None: the first that applies, in this order."""
    if annotation_error:
        return "annotation_error"
    if not text.strip():
        return "empty_text"
    if frames < limits[0]:
        return "too_short"
    if frames > limits[1]:
        return "too_long"
    return None
