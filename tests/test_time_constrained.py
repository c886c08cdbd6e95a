"""Errors by time: against every assignment of turns tried out, and against meeteval."""

import importlib.util
import itertools
import os
import random

import pytest

from telephone_asr.calls.time_constrained import TimedText, timed_errors


def made(generator: random.Random, most: int) -> list[list[TimedText]]:
    """Two streams of turns, none of which overlaps with another of its stream."""
    streams, at_s = [[], []], [0.0, 0.0]
    for _ in range(generator.randint(0, most)):
        channel = generator.randrange(2)
        start_s = at_s[channel] + generator.uniform(0, 2)
        at_s[channel] = start_s + generator.uniform(0.2, 3)
        units = generator.choices("还款百三", k=generator.randint(1, 5))
        streams[channel].append(TimedText(units, start_s, at_s[channel]))
    return streams


def distance(reference: list[TimedText], hypothesis: list[TimedText], collar_s: float) -> int:
    """The whole table, cell by cell."""

    def timed(turns):
        return [
            (unit, turn.start_s + n * share, turn.start_s + (n + 1) * share)
            for turn in turns
            for share in [(turn.end_s - turn.start_s) / len(turn.units)]
            for n, unit in enumerate(turn.units)
        ]

    heard = [(unit, (start + end) / 2) for unit, start, end in timed(hypothesis)]
    row = list(range(len(heard) + 1))
    for i, (unit, start, end) in enumerate(timed(reference), start=1):
        above, row = row, [i]
        for j, (other, at) in enumerate(heard):
            row.append(min(above[j + 1], row[j]) + 1)
            if start < at + collar_s and end > at - collar_s:
                row[-1] = min(row[-1], above[j] + (unit != other))
    return row[-1]


def in_order(streams: list[list[TimedText]]) -> list[TimedText]:
    return sorted(itertools.chain(*streams), key=lambda turn: turn.start_s)


@pytest.mark.parametrize("seed", range(60))
def test_no_assignment_of_turns_has_fewer_errors(seed):
    generator = random.Random(seed)
    reference, streams = in_order(made(generator, 6)), made(generator, 10)
    collar_s = generator.choice([0.1, 0.5, 2.0, 5.0])
    fewest = min(
        sum(
            distance(
                [t for t, own in zip(reference, sides, strict=True) if own == k], stream, collar_s
            )
            for k, stream in enumerate(streams)
        )
        for sides in itertools.product((0, 1), repeat=len(reference))
    )
    assert timed_errors(reference, streams, collar_s) == fewest
    assert timed_errors(reference, streams[:1], collar_s) == distance(
        reference, streams[0], collar_s
    )


def test_a_turn_on_the_other_channel_is_an_error_of_tcp_alone():
    said, nothing = [TimedText("还款", 1.0, 2.0)], []
    assert timed_errors(said, [nothing]) + timed_errors([], [said]) == 4
    assert timed_errors(said, [nothing, said]) == 0
    assert timed_errors(said, []) == 2


def test_a_turn_at_another_time_is_an_error_beyond_the_collar():
    said, later = [TimedText("还款", 1.0, 2.0)], [TimedText("还款", 5.0, 6.0)]
    assert timed_errors(said, [later], collar_s=5.0) == 0
    assert timed_errors(said, [later], collar_s=3.0) == 4


def test_as_meeteval_counts():
    if importlib.util.find_spec("meeteval") is None:
        if os.environ.get("SCORERS") == "all":
            pytest.fail("meeteval is not here, and this run is to compare with all scorers")
        pytest.skip("meeteval is not installed")
    from meeteval.wer.wer.time_constrained import time_constrained_siso_word_error_rate as tcp
    from meeteval.wer.wer.time_constrained_orc import time_constrained_orc_wer as tcorc

    def segments(streams):
        return [
            {"session_id": "call", "speaker": str(channel), "words": " ".join(turn.units)}
            | {"start_time": turn.start_s, "end_time": turn.end_s}
            for channel, stream in enumerate(streams)
            for turn in stream
        ]

    compared = 0
    for seed in range(400):
        generator = random.Random(seed)
        reference, streams = made(generator, 12), made(generator, 12)
        if not (all(reference) and all(streams)):
            continue
        compared += 1
        collar_s = generator.choice([2.0, 5.0])
        theirs = tcorc(segments(reference), segments(streams), collar=collar_s)
        assert timed_errors(in_order(reference), streams, collar_s) == theirs.errors
        for said, heard in zip(reference, streams, strict=True):
            theirs = tcp(segments([said]), segments([heard]), collar=collar_s)
            assert timed_errors(said, [heard], collar_s) == theirs.errors
    assert compared > 200
