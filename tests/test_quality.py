"""What is left out, and for which reason."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repository_fixtures import ROOT
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.line import simulate
from telephone_asr.channel.portable import generator
from telephone_asr.corpora import spoken
from telephone_asr.errors import InputError
from telephone_asr.manifests.quality import (
    REASONS,
    Candidate,
    Filter,
    Norms,
    Strict,
    judge,
    norms,
)
from telephone_asr.measures import measure
from telephone_asr.params import load_params
from telephone_asr.stages.corpus import BABBLE_UTTERANCES

SPEECH = ROOT / "src" / "telephone_asr" / "corpora" / "speech"

STRICT = Strict(characters_per_s=(1, 10), snr_db=15, clipped=0.002)
FIXED = Filter("fixed", 10, 12000, (0.5, 99.5), -60, 0.01, 0.05, -55, (0.3, 20), 3.0, STRICT)
PERCENTILE = replace(FIXED, length="percentile")
USUAL = Norms(10, 12000, s_per_syllable=0.25, pitch_hz=150)
GOOD = {
    **{"level_db": -25.0, "activity": 0.8, "snr_db": 30.0, "clipped": 0.0, "dc": 0.001},
    **{"high_band_db": -20.0, "pitch_hz": 160.0, "sha": "0"},
}


def candidate(measures: dict | None = None, **fields) -> Candidate:
    values = {
        **{"text": "您好请问是张先生吗", "known": True, "frames": 250, "duration_s": 2.5},
        "annotation_error": False,
    }
    return Candidate(**(values | fields), measures=GOOD | (measures or {}))


def reason(one: Candidate, filter_: Filter = FIXED, usual: Norms = USUAL, wideband: bool = True):
    found = judge(one, filter_, usual, wideband)
    assert found is None or (found[0] in REASONS and found[1])
    return found and found[0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"annotation_error": True}, "annotation_error"),
        ({"text": ""}, "empty_text"),
        ({"text": " \t\u3000，。"}, "empty_text"),
        ({"known": False}, "unknown_characters"),
        ({"frames": 10}, None),  # the limits themselves are kept
        ({"frames": 12000}, None),
        ({"frames": 9}, "too_short"),
        ({"frames": 12001}, "too_long"),
        ({"text": "好", "duration_s": 5.1}, "too_few_characters"),
        ({"text": "好好好好", "duration_s": 14.0}, "too_few_characters"),
        ({"text": "好" * 60, "duration_s": 2.5}, "too_many_characters"),
        ({"text": "好" * 40}, "text_and_duration"),
        ({"text": "好的", "duration_s": 4.0}, "text_and_duration"),
        # Only the first reason counts, so that the reasons' counts add up.
        ({"text": "", "frames": 3, "annotation_error": True}, "annotation_error"),
        ({"text": "", "frames": 3}, "empty_text"),
    ],
)
def test_what_is_written(fields, expected):
    assert reason(candidate(**fields)) == expected


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ({"level_db": -60.0}, None),
        ({"level_db": -60.1}, "silent"),
        ({"clipped": 0.01}, None),
        ({"clipped": 0.0101}, "clipped"),
        ({"dc": -0.05}, None),
        ({"dc": -0.051}, "dc_offset"),
        ({"dc": 0.051}, "dc_offset"),
        ({"high_band_db": -55.1}, "narrowband"),
        ({"high_band_db": None}, "narrowband"),  # sampled at 8 kHz: there is nothing up there
        ({"pitch_hz": 300.0}, None),  # a high voice at the usual pace
        ({"pitch_hz": 75.0}, None),
        ({"pitch_hz": None}, None),
    ],
)
def test_what_is_heard(measures, expected):
    assert reason(candidate(measures)) == expected


@pytest.mark.parametrize(
    ("factor", "expected"), [(2.0, "wrong_rate"), (0.5, "wrong_rate"), (1.2, None), (0.8, None)]
)
def test_a_header_with_another_rate_changes_voice_and_words(factor, expected):
    """Nine characters in 2.25 s of speech and 150 Hz are what is usual."""
    usual = candidate({"activity": 0.9, "pitch_hz": 150.0})
    assert reason(usual) is None
    played = candidate(
        {"activity": 0.9, "pitch_hz": 150.0 * factor},
        duration_s=2.5 / factor,
        frames=round(250 / factor),
    )
    assert reason(played) == expected
    hurried = candidate({"activity": 0.9}, duration_s=2.5 / factor, frames=round(250 / factor))
    assert reason(hurried) is None


def test_telephone_speech_may_have_been_sampled_at_8_khz():
    assert reason(candidate({"high_band_db": -80.0}), wideband=False) is None


@pytest.mark.parametrize(
    ("measures", "text", "expected"),
    [
        ({}, "好" * 13, None),  # short, but nothing else is strange about it
        ({"snr_db": 14.9}, "好" * 13, "too_short"),
        ({"clipped": 0.003}, "好" * 13, "too_short"),
        ({}, "好" * 26, "too_short"),
    ],
)
def test_beyond_the_percentile_it_is_checked_harder(measures, text, expected):
    usual = replace(USUAL, min_frames=300, max_frames=900)
    one = candidate({"activity": 1.0, **measures}, text=text)
    assert reason(one, PERCENTILE, usual) == expected
    assert reason(one, PERCENTILE) is None  # of a usual length, all of them are kept
    # Where lengths are fixed, the length alone decides.
    assert reason(one, FIXED, usual) == "too_short"


def test_a_doubtful_long_one_says_what_is_doubtful():
    usual = replace(USUAL, max_frames=200)
    one = candidate({"snr_db": 3.0})
    code, detail = judge(one, PERCENTILE, usual, wideband=True)
    assert (code, detail) == (
        "too_long",
        "250 frames, limit 200 and SNR about 3.0 dB, less than 15.0",
    )


CANDIDATES = st.builds(
    candidate,
    measures=st.fixed_dictionaries(
        {
            "snr_db": st.floats(0, 40),
            "clipped": st.floats(0, 0.02),
            "activity": st.floats(0.1, 1),
            "pitch_hz": st.none() | st.floats(50, 500),
        }
    ),
    text=st.integers(0, 60).map(lambda n: "好" * n),
    frames=st.integers(0, 1000),
    duration_s=st.floats(0.1, 10),
)


@settings(max_examples=200)
@given(st.lists(CANDIDATES, min_size=1, max_size=30), st.data())
def test_a_wider_percentile_never_keeps_less(candidates, data):
    wide = data.draw(st.tuples(st.floats(0, 40), st.floats(60, 100)))
    narrow = data.draw(st.tuples(st.floats(wide[0], 49), st.floats(51, wide[1])))
    kept = []
    for percentiles in (narrow, wide):
        filter_ = replace(PERCENTILE, percentiles=percentiles)
        usual = norms(filter_, [c.frames for c in candidates], [0.25], [150.0])
        kept.append([judge(c, filter_, usual, True) is None for c in candidates])
    assert all(w or not n for n, w in zip(*kept, strict=True))


@settings(max_examples=200)
@given(CANDIDATES)
def test_one_reason_or_none_and_the_same_again(one):
    found = judge(one, FIXED, USUAL, True)
    assert found is None or found[0] in REASONS
    assert judge(one, FIXED, USUAL, True) == found


@pytest.mark.parametrize("percentiles", [(0.5, 99.5), (0, 100), (2.5, 97.5), (50, 51)])
def test_percentile_limits_against_numpy(percentiles):
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 1000):
        frames = np.exp(rng.normal(5, 1, n)).astype(int).tolist()
        found = norms(replace(PERCENTILE, percentiles=percentiles), frames, [], [])
        exact_low, exact_high = np.percentile(frames, percentiles)
        assert found.min_frames <= exact_low < found.min_frames + 1
        assert found.max_frames - 1 < exact_high <= found.max_frames


def test_what_is_usual_is_the_median():
    found = norms(FIXED, [1, 2, 9000], [0.2, 0.3, 9.0], [100.0, 200.0])
    assert (found.min_frames, found.max_frames) == (10, 12000)  # fixed: whatever the corpus
    assert (found.s_per_syllable, found.pitch_hz) == (0.3, 150.0)
    empty = norms(PERCENTILE, [], [], [])
    assert (empty.min_frames, empty.max_frames) == (10, 12000)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_frames": -1, "max_frames": 100}, "min_frames: expected 0 or more, got -1"),
        (
            {"min_frames": 100, "max_frames": 100},
            r"min_frames: expected less than max_frames \(100\), got 100",
        ),
        ({"percentiles": (-1, 99)}, r"percentiles\[0\]: .* got -1"),
        ({"percentiles": (99, 1)}, r"percentiles: .* got \[99, 1\]"),
        ({"percentiles": (float("nan"), 99)}, r"percentiles\[0\]: "),
        ({"characters_per_s": (3, 2)}, r"characters_per_s: .* got \[3, 2\]"),
        ({"pace": 1.0}, "pace: expected more than 1, got 1.0"),
    ],
)
def test_limits_that_make_no_sense(values, message):
    with pytest.raises(InputError, match=message):
        replace(FIXED, **values)


def test_limits_of_the_doubtful_that_make_no_sense():
    with pytest.raises(InputError, match=r"characters_per_s: expected low < high, got \[0, 0\]"):
        replace(STRICT, characters_per_s=(0, 0))


def test_every_reason_is_in_the_docs_with_a_sentence():
    docs = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
    docs = docs.partition("## Reasons")[2].partition("## Splits")[0]
    listed = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", docs, flags=re.MULTILINE)
    assert listed == list(REASONS)  # in the order in which they are looked for


# --- short turns


def turn(text: str = "嗯", duration_s: float = 4.3, snr_db: float = 12.0, **measures) -> Candidate:
    frames = round(100 * duration_s)
    own = {"snr_db": snr_db, "activity": 1.0, **measures}
    return candidate(own, text=text, duration_s=duration_s, frames=frames)


def test_a_short_turn_is_kept_with_long_pauses_on_a_noisy_line_and_on_a_quiet_one():
    assert reason(turn()) is None  # all of it counts as active: it is no measure of the speech
    assert reason(turn(snr_db=60.0, activity=0.12)) is None
    assert reason(turn(snr_db=60.0, activity=0.9)) == "text_and_duration"  # more was said
    assert reason(turn(duration_s=5.5)) == "too_few_characters"
    assert reason(turn("您好您好", duration_s=4.3)) == "text_and_duration"


def test_a_syllable_alone_may_take_longer_than_one_in_a_sentence():
    n_syllables = [9] * 100 + [1] * 30 + [2] * 5
    s_per_syllable = [0.25] * 100 + [0.5] * 30 + [0.4] * 5
    usual = norms(FIXED, [250], s_per_syllable, [150.0], n_syllables)
    assert usual.s_per_syllable == 0.25
    assert [usual.active_s(n) for n in (1, 2, 9)] == [0.5, 0.5, 2.25]  # too few of two syllables
    slow = turn("好", 1.9, 40.0, activity=1.0)
    assert reason(slow) == "text_and_duration"
    assert reason(slow, usual=usual) is None
    # Of a corpus of words alone, the words tell what is usual.
    assert norms(FIXED, [250], [0.4] * 9, [150.0], [2] * 9).s_per_syllable == 0.4


def said_by(part: str, speakers: tuple[str, ...]) -> list[tuple[str, np.ndarray, int]]:
    """Text, samples and rate of what these speakers of the embedded corpus say; calls over the line
    that the corpus stage sends them over."""
    line = load_params(ROOT / "params.yaml").corpus.synthetic.line
    every = spoken.read_index(SPEECH / part)
    own = [one for one in every if one.speaker.endswith(speakers)]
    if part == "wideband":
        return [(one.text, pcm, 16000) for one, pcm in spoken.read(SPEECH / part, own)]
    first = spoken.read(SPEECH / part, every[:BABBLE_UTTERANCES])
    pool = BabblePool.build(
        ((one.speaker, pcm / np.float32(32768)) for one, pcm in first), line.babble.talkers
    )
    lines = {one.id: generator(0, f"{one.id}/line") for one in own}
    return [
        (one.text, simulate(pcm, 16000, line, pool, lines[one.id], one.speaker)[0], 8000)
        for one, pcm in spoken.read(SPEECH / part, own)
    ]


@pytest.mark.parametrize(
    ("part", "speakers"), [("wideband", ("f09", "m03")), ("calls", ("f04", "m08", "m15"))]
)
def test_a_few_syllables_say_too_little_of_a_sample_rate_and_a_sentence_enough(part, speakers):
    """Among them a 十 of 0.26 s in a high voice, and a 多少 whose pauses hum at 50 Hz."""

    def candidates(speed: float) -> list[Candidate]:
        return [
            candidate(
                measure(pcm, round(speed * rate_hz)),
                text=text,
                duration_s=len(pcm) / rate_hz / speed,
            )
            for text, pcm, rate_hz in sounds
        ]

    sounds = said_by(part, speakers)
    as_they_are = candidates(1.0)
    usual = norms(
        FIXED,
        [],
        [one.active_s / one.syllables for one in as_they_are],
        [one.measures["pitch_hz"] for one in as_they_are if one.measures["pitch_hz"]],
        [one.syllables for one in as_they_are],
    )
    of_short = [one for one in as_they_are if one.syllables <= 3]
    assert len(of_short) >= (4 if part == "wideband" else 60)
    found = [reason(one, usual=usual, wideband=part == "wideband") for one in as_they_are]
    assert "wrong_rate" not in found
    for speed in (0.5, 2.0):
        played = [one for one in candidates(speed) if one.syllables > 6]
        found = [reason(one, usual=usual, wideband=False) for one in played]
        assert found.count("wrong_rate") > 0.4 * len(played), speed
