"""How far a transcribed call is from what was said in it: docs/scoring.md, Whole calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from telephone_asr.calls.references import Reference, Said
from telephone_asr.calls.time_constrained import TimedText, timed_errors
from telephone_asr.calls.turns import Call, Turn, joined
from telephone_asr.scoring.cer import ErrorRate, score, units
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.scoring.options import Scoring

MAX_STREAMS = 2  # that turns without a channel are looked for in: each is a dimension more


@dataclass(frozen=True)
class ByTime:
    """Counts that need turns with times; characters, but for the last three."""

    length: int = 0  # of the reference
    tcp: int = 0  # errors
    missed: int = 0  # said in turns during which nothing is written
    in_silence: int = 0  # written in turns during which nothing is said
    recognition: int = 0  # errors of the turns that are neither
    turns: int = 0
    missed_turns: int = 0
    silence_s: float = 0.0

    def __add__(self, other: ByTime) -> ByTime:
        mine, theirs = vars(self).values(), vars(other).values()
        return ByTime(*(a + b for a, b in zip(mine, theirs, strict=True)))


@dataclass(frozen=True)
class ChannelScore:
    """A channel of a call, or the whole call where the list names none."""

    channel: int | None
    reference: str
    text: str
    error: ErrorRate
    by_time: ByTime | None  # None: the list has no times
    turns: Sequence[Turn]


@dataclass(frozen=True)
class CallScore:
    name: str
    duration_s: float
    channels: Sequence[ChannelScore]
    tcorc: int | None  # errors, on whichever channel they are written; None: the list has no times


def score_call(reference: Reference, call: Call, options: Scoring) -> CallScore:
    """Compares a call with what was said in it.

    Where the recording has the same on all of its channels, what is heard there is held against all
    that is said.
    """
    same = any(turn.channel is None for turn in call.turns)
    channels = [None] if same else reference.channels
    turns = [turn for turn in call.turns if None in channels or turn.channel in channels]
    said = list(reference.said)
    if reference.timed:
        turns = [turn for turn in turns if not any(one.wrong and _holds(one, turn) for one in said)]
        said = sorted((one for one in said if not one.wrong), key=lambda one: one.start_s)
    scores = [
        _score_channel(
            channel,
            [one for one in said if channel in (None, one.channel)],
            [turn for turn in turns if channel in (None, turn.channel)],
            call.duration_s if reference.timed else None,
            options,
        )
        for channel in channels
    ]
    tcorc, streams = None, {turn.channel for turn in turns}
    if reference.timed and len(streams) <= MAX_STREAMS:
        heard = [_heard([t for t in turns if t.channel == own], options) for own in streams]
        tcorc = timed_errors(_said(said, call.duration_s, options), heard)
    return CallScore(reference.name, call.duration_s, scores, tcorc)


def _score_channel(
    channel: int | None,
    said: Sequence[Said],
    turns: Sequence[Turn],
    duration_s: float | None,
    options: Scoring,
) -> ChannelScore:
    """duration_s: of the recording; None: the list has no times."""
    texts = joined([one.text for one in said]), joined([turn.text for turn in turns])
    (error,) = score([texts[0]], [texts[1]], **vars(options))
    by_time = None
    if duration_s is not None:
        by_time = _by_time(_said(said, duration_s, options), _heard(turns, options), duration_s)
    return ChannelScore(channel, *texts, error, by_time, turns)


def _by_time(said: Sequence[TimedText], heard: Sequence[TimedText], duration_s: float) -> ByTime:
    answered = [one for one in said if any(_overlap(one, other) for other in heard)]
    spoken = [one for one in heard if any(_overlap(one, other) for other in said)]
    length = _length(said)
    return ByTime(
        length=length,
        tcp=timed_errors(said, [heard]),
        missed=length - _length(answered),
        in_silence=_length(heard) - _length(spoken),
        recognition=timed_errors(answered, [spoken]),
        turns=len(said),
        missed_turns=len(said) - len(answered),
        silence_s=duration_s - _covered_s(said),
    )


def _said(said: Sequence[Said], duration_s: float, options: Scoring) -> list[TimedText]:
    turns = [(one.text, one.start_s, one.end_s or duration_s) for one in said]
    return _as_scored(turns, options)


def _heard(turns: Sequence[Turn], options: Scoring) -> list[TimedText]:
    return _as_scored([(turn.text, turn.start_s, turn.end_s) for turn in turns], options)


def _as_scored(turns: Sequence[tuple[str, float, float]], options: Scoring) -> list[TimedText]:
    """Returns turns, normalised; those of which nothing is left say nothing."""
    normalised = (
        (normalise_for_scoring(text, options.fillers, options.erhua), start_s, end_s)
        for text, start_s, end_s in turns
    )
    cut = ((units(text, options.unit), start_s, end_s) for text, start_s, end_s in normalised)
    return [TimedText(tuple(own), start_s, end_s) for own, start_s, end_s in cut if own]


def _length(turns: Sequence[TimedText]) -> int:
    return sum(len(turn.units) for turn in turns)


def _overlap(one: TimedText, other: TimedText) -> bool:
    return one.start_s < other.end_s and other.start_s < one.end_s


def _holds(one: Said, turn: Turn) -> bool:
    """Returns whether the middle of a turn lies in what is said."""
    middle_s = (turn.start_s + turn.end_s) / 2
    same = one.channel in (None, turn.channel) or turn.channel is None
    return same and one.start_s <= middle_s <= (one.end_s or middle_s)


def _covered_s(turns: Sequence[TimedText]) -> float:
    """Returns how long somebody speaks."""
    total_s = at_s = 0.0
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        total_s += max(0.0, turn.end_s - max(at_s, turn.start_s))
        at_s = max(at_s, turn.end_s)
    return total_s
