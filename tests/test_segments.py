"""Which pieces of a channel a model is given."""

from itertools import pairwise

import numpy as np

from telephone_asr.calls.segments import EDGE_S, MARGIN_S, Segment, segments
from telephone_asr.silero import FRAME_S, Activity


def activity(seconds: float, *speech: tuple[float, float], level_db: float = -20.0) -> Activity:
    """Somebody speaks here and there."""
    at_s = np.arange(round(seconds / FRAME_S)) * FRAME_S
    spoken = np.zeros(len(at_s), dtype=np.float32)
    for start_s, end_s in speech:
        spoken[(at_s >= start_s) & (at_s < end_s)] = 1.0
    return Activity(spoken, np.where(spoken > 0, level_db, -80.0).astype(np.float32))


def test_pauses_of_half_a_second_part_turns_and_shorter_ones_do_not():
    found = segments(activity(60, (10, 12), (12.3, 14), (15, 16)), 60)
    assert [(round(one.speech_start_s), round(one.speech_end_s)) for one in found] == [
        *((10, 14), (15, 16)),
    ]
    assert abs(found[0].start_s - (10 - MARGIN_S)) < 2 * FRAME_S
    assert found[0].end_s <= found[1].start_s


def test_silence_has_none():
    assert segments(activity(600), 600) == []
    assert segments(activity(0), 0) == []


def test_long_speech_is_cut_where_it_is_quietest():
    long = activity(100, (5, 50))
    for quiet_s in (20.0, 35.0):
        long.level_db[(np.abs(np.arange(len(long.level_db)) * FRAME_S - quiet_s)) < 0.1] = -60.0
    found = segments(long, 100, max_segment_s=20)
    assert len(found) == 3
    assert all(one.speech_end_s - one.speech_start_s <= 20 for one in found)
    assert abs(found[0].speech_end_s - 20) < 0.2
    assert abs(found[1].speech_end_s - 35) < 0.2
    for one, other in pairwise(found):
        assert one.end_s == one.speech_end_s == other.speech_start_s == other.start_s


def test_hours_without_a_pause_are_cut_into_pieces_of_some_length():
    found = segments(activity(3600, (0, 3600)), 3600, max_segment_s=20)
    lengths = [one.end_s - one.start_s for one in found]
    assert max(lengths) <= 20
    assert min(lengths) >= 4


def test_an_utterance_in_a_file_of_its_own_is_not_cut():
    assert segments(activity(3, (0.5, 2.5)), 3.0)[0].end_s == 3.0
    assert segments(activity(3, (0.5, 2.5)), 3.0)[0].start_s == 0.0
    in_silence = segments(activity(10, (EDGE_S + 1, 5)), 10.0)
    assert in_silence[0].start_s > EDGE_S


def test_times_are_within_the_recording():
    found = segments(activity(3, (0, 3), (0.0, 0.1)), 2.99)
    assert found == [Segment(0.0, 2.99, 0.0, 2.99)]
