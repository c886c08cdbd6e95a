"""Where somebody speaks: the pieces of a call that a model is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from telephone_asr.silero import FRAME_S, Activity, spoken_frames

MAX_SEGMENT_S = 20.0  # of speech at a time: what models are trained on
PAUSE_S = 0.5  # ends a turn
SHORTEST_S = 0.1  # 是 and 嗯 are answers
MARGIN_S = 0.2  # of sound around it that the model hears too
EDGE_S = 1.0  # of silence at either end that an utterance in a file of its own may have
SMOOTH = 3  # frames, a tenth of a second: the quiet before a plosive is no pause


@dataclass(frozen=True)
class Segment:
    """A piece of one channel: what a model hears of it, and the speech in the midst of that."""

    start_s: float
    end_s: float
    speech_start_s: float
    speech_end_s: float


def segments(
    activity: Activity, duration_s: float, max_segment_s: float = MAX_SEGMENT_S
) -> list[Segment]:
    """Returns the segments of a channel, in order and without overlap.

    A recording of one utterance, no longer than a segment and with little silence around it, is
    one as it is, to its last sample.
    """
    speech = [
        (first * FRAME_S, min(last * FRAME_S, duration_s))
        for first, last in _cut(activity, round(max_segment_s / FRAME_S))
    ]
    if len(speech) == 1 and duration_s <= max_segment_s:
        start_s, end_s = speech[0]
        if start_s <= EDGE_S and duration_s - end_s <= EDGE_S:
            return [Segment(0.0, duration_s, start_s, end_s)]
    ends_s = [0.0, *(end_s for _, end_s in speech)]
    starts_s = [*(start_s for start_s, _ in speech), duration_s]
    return [
        Segment(
            max(start_s - MARGIN_S, (before_s + start_s) / 2),
            min(end_s + MARGIN_S, (end_s + after_s) / 2),
            start_s,
            end_s,
        )
        for (start_s, end_s), before_s, after_s in zip(speech, ends_s, starts_s[1:], strict=False)
    ]


def _cut(activity: Activity, limit: int) -> Iterator[tuple[int, int]]:
    """Yields the frames at which speech begins and ends, none of more than `limit`."""
    for first, last in spoken_frames(activity, SHORTEST_S, PAUSE_S):
        while last - first > limit:
            # Nowhere near an end: of a few words a model understands less than of a sentence.
            low, high = first + limit // 2, min(first + limit, last - limit // 4)
            smooth_db = np.convolve(
                activity.level_db[low:high], np.full(SMOOTH, 1 / SMOOTH), "same"
            )
            quietest = low + 1 + int(np.argmin(smooth_db[1:-1]))  # beyond is nothing: 0 dB
            yield first, quietest
            first = quietest
        yield first, last
