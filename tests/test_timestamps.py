"""How far timestamps have moved."""

import doctest

from telephone_asr.scoring import timestamps
from telephone_asr.scoring.timestamps import displacement


def test_doctests():
    assert doctest.testmod(timestamps).failed == 0


def test_it_is_symmetric_and_0_between_equals():
    a, b = [[0, 3, 7, 9]], [[0, 6, 6, 11]]
    assert displacement(a, b) == displacement(b, a)
    assert displacement(a, b)["mean_ms"] == 120.0  # 180 and 60
    assert displacement(a, b)["within_120_ms"] == 0.5
    assert displacement(a, a) == {
        **{"borders": 2, "mean_ms": 0.0, "within_120_ms": 1.0, "unaligned": 0}
    }


def test_utterances_of_one_character_have_no_border():
    assert displacement([[0, 5]], [[0, 6]]) == {"borders": 0, "unaligned": 0}
    assert displacement([[], []], [[], [0, 1, 2]]) == {"borders": 0, "unaligned": 2}
