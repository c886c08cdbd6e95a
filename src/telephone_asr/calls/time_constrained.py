"""Errors where a character may only be matched with one said at about its time.

The definitions are meeteval's (T. von Neumann et al., "MeetEval: a toolkit for computation of word
error rates for meeting transcription systems", arXiv 2307.11394), with characters for words: those
of a reference turn share its time evenly, those of a hypothesis are points in the middle of their
shares, and two may match where the point lies within `collar_s` of the other's time.
tests/test_time_constrained.py holds the counts against meeteval's.

tcp is of one stream against its own reference (a channel says whose each is; meeteval looks for
the permutation). tcORC is of several streams at once: each reference turn is looked for in the
stream in which all of them together have the fewest errors, so that what is on the wrong channel
costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLLAR_S = 5.0  # of CHiME-7 and 8, and of meeteval's examples


@dataclass(frozen=True)
class TimedText:
    """A turn, cut into what errors are counted in."""

    units: Sequence[str]
    start_s: float
    end_s: float


def timed_errors(
    reference: Sequence[TimedText],
    streams: Sequence[Sequence[TimedText]],
    collar_s: float = COLLAR_S,
) -> int:
    """Counts the fewest edits: tcp of one stream, tcORC of several.

    The state is how many characters of each stream are dealt with, (n + 1, m + 1) for two; of it
    only what the collar leaves open is held, since turns come in the order in which they begin.
    """
    hypotheses = [_Stream(stream, collar_s) for stream in streams]
    first, last = [0] * len(hypotheses), [0] * len(hypotheses)
    fewest = np.zeros([1] * len(hypotheses), dtype=np.int64)
    for turn in sorted(reference, key=lambda turn: turn.start_s):
        for axis, stream in enumerate(hypotheses):
            low, high = stream.window(turn.start_s, turn.end_s)
            high = max(high, last[axis])
            fewest = _inserted(fewest, axis, high - last[axis])
            # What ended a collar before this turn can match no later one: it is inserted.
            low = min(max(low, first[axis]), high)
            fewest = np.take(fewest, range(low - first[axis], high - first[axis] + 1), axis)
            first[axis], last[axis] = low, high
        choices = [
            _said_in(fewest, axis, turn, stream, first[axis])
            for axis, stream in enumerate(hypotheses)
        ]
        fewest = np.minimum.reduce(choices) if choices else fewest + len(turn.units)
    after = sum(len(s.units) - place for s, place in zip(hypotheses, last, strict=True))
    return int(fewest.flat[-1]) + after


class _Stream:
    """A hypothesis as one text, with the time of each character."""

    def __init__(self, turns: Sequence[TimedText], collar_s: float):
        ordered = sorted(turns, key=lambda turn: turn.start_s)
        self.units = np.array([one for turn in ordered for one in turn.units], dtype=object)
        points = [np.mean(_shares(turn), axis=1) for turn in ordered]
        self.at_s = np.concatenate([*points, np.zeros(0)])
        self.collar_s = collar_s

    def window(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Returns the first character that anything said from a time on may match, and the one
        behind the last that anything said until a time may."""
        open_ = np.flatnonzero(self.at_s + self.collar_s > start_s)
        begun = np.flatnonzero(self.at_s - self.collar_s < end_s)
        return int(open_[0]) if len(open_) else len(self.at_s), int(begun[-1]) + 1 if len(
            begun
        ) else 0

    def may_match(self, start_s: float, end_s: float, part: slice = slice(None)) -> np.ndarray:
        at_s = self.at_s[part]
        return (start_s < at_s + self.collar_s) & (end_s > at_s - self.collar_s)


def _shares(turn: TimedText) -> np.ndarray:
    """Returns when each character of a turn begins and ends, (n, 2)."""
    borders = np.linspace(turn.start_s, turn.end_s, len(turn.units) + 1)
    return np.column_stack([borders[:-1], borders[1:]])


def _inserted(fewest: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Goes on by so many characters of a stream, which match nothing until then."""
    end = np.take(fewest, [-1], axis)
    shape = [1] * fewest.ndim
    shape[axis] = count
    return np.concatenate([fewest, end + np.arange(1, count + 1).reshape(shape)], axis)


def _said_in(
    fewest: np.ndarray, axis: int, turn: TimedText, stream: _Stream, first: int
) -> np.ndarray:
    """Returns the fewest edits if all of a turn is said in one stream."""
    costs = np.moveaxis(fewest, axis, -1)
    steps = np.arange(costs.shape[-1])
    part = slice(first, first + costs.shape[-1] - 1)
    units = stream.units[part]
    for unit, (start_s, end_s) in zip(turn.units, _shares(turn), strict=True):
        new = costs + 1  # deleted
        matched = costs[..., :-1] + (units != unit)
        allowed = stream.may_match(start_s, end_s, part)
        np.minimum(new[..., 1:], matched, out=new[..., 1:], where=allowed)
        costs = np.minimum.accumulate(new - steps, axis=-1) + steps  # or inserted behind it
    return np.moveaxis(costs, -1, axis)
