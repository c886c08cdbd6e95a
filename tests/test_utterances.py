"""The utterances that are shown: which, with what sound, and with which errors marked."""

import base64
import doctest
import io

import numpy as np
import soundfile

from report_fixtures import line, read_call
from telephone_asr.report import utterances
from telephone_asr.scoring.options import Scoring


def test_doctests():
    assert doctest.testmod(utterances).failed == 0


def test_worst_and_random_utterances():
    lines = [line("telecall", i, errors) for i, errors in enumerate([0, 3, 9, 3, 0])]
    lines.append(line("telecall", 5, 6, characters=20))
    assert [one["key"][-1] for one in utterances.worst(lines)] == ["2", "5", "1", "3"]
    assert utterances.worst(lines, 1) == [lines[2]]
    chosen = utterances.drawn(lines, seed=1, count=3)
    assert chosen == utterances.drawn(lines[::-1], seed=1, count=3)
    assert chosen != utterances.drawn(lines, seed=2, count=3)
    assert len(utterances.drawn(lines, seed=1)) == len(lines)


def test_the_sound_in_the_page_is_the_sound_of_the_call():
    [one] = utterances.shown([line("telecall", 7, 2)], read_call, Scoring()).utterances
    head, _, coded = one.audio.partition(",")
    assert head == "data:audio/wav;base64"
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(coded)), dtype="int16")
    assert rate_hz == 8000
    assert np.array_equal(samples, read_call("telecall-07")[0])


def test_sound_stops_where_the_page_would_get_too_large():
    def long_call(key: str):
        seconds = {"0": 60, "1": 90, "2": 40}[key[-1]]
        return np.zeros(8000 * seconds, dtype=np.int16), 8000

    lines = [line("telecall", i, 3) for i in range(3)]
    found = utterances.shown(lines, long_call, Scoring()).utterances
    assert [bool(one.audio) for one in found] == [True, False, True]
    assert sum(len(one.audio) for one in found) <= utterances.MAX_SOUND_BYTES


def test_no_utterance_with_an_error_is_a_sentence():
    assert "without an error" in utterances.shown([], read_call, Scoring())


def test_of_each_kind_of_sound_without_speech_the_clip_with_most_text_is_shown():
    def clip(kind: str, i: int, insertions: int, hotwords: int = 0) -> dict:
        own = {"key": f"{kind}-{i}", "scene": kind, "insertions": insertions, "hotwords": hotwords}
        return line("no_speech", i, 0, **own, reference="", text="嗯" * insertions, characters=0)

    lines = [clip("noise", 0, 2), clip("noise", 1, 5), clip("fax", 0, 9, 10), clip("dtmf", 0, 0)]
    found = utterances.worst_made_up(lines)
    assert [one["key"] for one in found] == ["fax-0", "noise-1"]
    assert utterances.worst_made_up(lines, 1) == found[:1]
    assert utterances.about(found[0]).endswith("10 hotwords")
