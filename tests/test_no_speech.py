"""The sound without speech, and the count of what is recognised in it."""

import numpy as np
import pytest

from telephone_asr.scoring.cut_off import CutOff
from telephone_asr.scoring.no_speech import (
    CLIPS_S,
    NO_SPEECH_KINDS,
    clips,
    insertions_per_minute,
)
from telephone_asr.scoring.options import Scoring


def level_db(samples: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(np.mean((samples / 32768) ** 2)))


def test_a_minute_of_each_kind_at_8_khz():
    samples = clips().samples
    for kind in NO_SPEECH_KINDS:
        own = [sound for key, sound in samples.items() if key.startswith(kind)]
        assert sum(map(len, own)) == pytest.approx(60 * 8000, abs=8)
        assert all(sound.dtype == np.int16 for sound in own)


def test_silence_is_silent_music_is_as_loud_as_speech_and_noise_lies_between():
    found = clips()
    for i in range(len(CLIPS_S)):
        quiet, noise, music = (level_db(found.read(f"{kind}-{i}")[0]) for kind in NO_SPEECH_KINDS)
        assert quiet < -70
        assert -65 < noise < -25
        assert -36 < music < -12
        assert "hold_music-99" not in found


def test_the_set_is_always_the_same():
    once, again = clips().samples, clips().samples
    assert list(once) == list(again)
    assert all(np.array_equal(once[key], again[key]) for key in once)
    assert len({sound.tobytes() for sound in once.values()}) == 3 * len(CLIPS_S)


def test_characters_a_minute_are_counted_after_normalisation():
    keys = list(clips().samples)
    texts = ["嗯。" if key == "silence-0" else "" for key in keys]
    texts[keys.index("noise-2")] = "您好，OK"
    texts[keys.index("noise-3")] = CutOff("三百二")
    found = insertions_per_minute(keys, texts, Scoring())
    assert found == {
        "silence": {"insertions_per_minute": 1.0, "cut_off": 0},
        "noise": {"insertions_per_minute": 7.0, "cut_off": 1},
        "hold_music": {"insertions_per_minute": 0.0, "cut_off": 0},
    }
    mixed = insertions_per_minute(keys, texts, Scoring(unit="mixed", fillers=("嗯",)))
    assert mixed["silence"]["insertions_per_minute"] == 0
    assert mixed["noise"]["insertions_per_minute"] == 6
    assert sum(CLIPS_S) == pytest.approx(60, abs=0.05)
