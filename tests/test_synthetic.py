"""The plan of the embedded corpus: who says what, the same every time."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from telephone_asr.corpora import sentences, spoken, synthetic
from telephone_asr.corpora.synthetic import Utterance, plan
from telephone_asr.errors import InputError

SPEC = Path(synthetic.__file__).with_name("synthetic.yaml")
SCENES = {"telesales", "customer_service", "debt_collection"}


@pytest.fixture(scope="module")
def wideband() -> list[Utterance]:
    return plan(SPEC, "wideband", 60, seed=0)


@pytest.fixture(scope="module")
def calls() -> list[Utterance]:
    return plan(SPEC, "calls", 15, seed=0, wrong_transcripts=0.06)


def test_parts_share_no_sentence_no_voice_and_no_id(
    wideband: list[Utterance], calls: list[Utterance]
) -> None:
    for part in (wideband, calls):
        assert len({u.text for u in part}) == len({u.said for u in part}) == len(part)
    for other in (wideband, plan(SPEC, "wideband", 30, seed=7)):
        assert not {t for u in other for t in (u.text, u.said)} & {
            t for u in calls for t in (u.text, u.said)
        }
    assert not {u.speaker for u in wideband} & {u.speaker for u in calls}
    assert not {u.id for u in wideband} & {u.id for u in calls}
    assert wideband[123].id == "syn-w-000123"


def test_calls_that_nobody_wrote_down_are_other_voices_with_other_sentences(
    wideband: list[Utterance], calls: list[Utterance]
) -> None:
    taken = {text for one in wideband + calls for text in (one.text, one.said)}
    unlabelled = plan(SPEC, "unlabelled", 40, seed=0, taken=taken)
    said = {one.said for one in unlabelled}
    assert len(said) == len(unlabelled) > 1000
    assert not said & taken
    assert not {u.speaker for u in unlabelled} & {u.speaker for u in wideband + calls}
    scripts = synthetic.scripts(SPEC, 500, 0, taken | said)
    assert len(set(scripts)) == 500
    assert not set(scripts) & (taken | said)


@pytest.mark.parametrize(("part", "minutes", "wrong"), [("wideband", 66, 0), ("calls", 15, 0.06)])
def test_the_archives_hold_what_is_planned(part: str, minutes: float, wrong: float) -> None:
    planned = [*plan(SPEC, part, minutes, 0, wrong), *synthetic.short_turns(SPEC, part, 0)]
    spoken_ones = spoken.read_index(SPEC.parent / "speech" / part)
    assert {one.id: vars(one) for one in planned} == {
        one.id: {name: getattr(one, name) for name in vars(planned[0])} for one in spoken_ones
    }


def test_utterances_spread_evenly_over_voices_and_scenes(
    wideband: list[Utterance], calls: list[Utterance]
) -> None:
    for part, least in ((wideband, 24), (calls, 10)):
        speakers = Counter(u.speaker for u in part)
        assert len(speakers) >= least
        assert max(speakers.values()) - min(speakers.values()) <= 1
        scenes = Counter(u.scene for u in part)
        assert set(scenes) == SCENES
        assert min(scenes.values()) > 0.25 * len(part)


def test_an_hour_is_enough_to_learn_every_character(
    wideband: list[Utterance], calls: list[Utterance]
) -> None:
    count = Counter("".join(u.said for u in wideband))
    assert min(count.values()) >= 8
    assert np.mean([n >= 15 for n in count.values()]) > 0.9
    # Only callers hesitate.
    assert set("".join(u.said + u.text for u in calls)) - set(count) <= set("呃嗯")
    assert 8 < np.mean([len(u.said) for u in wideband]) < 10


def test_wrong_transcripts_are_marked_and_keep_what_was_said(calls: list[Utterance]) -> None:
    for utterance in calls:
        assert utterance.annotation_error == (utterance.text != utterance.said)
    wrong = [u for u in calls if u.annotation_error]
    assert len(wrong) == pytest.approx(0.06 * len(calls), abs=1)
    # Wrong enough to be noticed: no more than 7 characters of 10 are right.
    for u in wrong:
        right = sum(a == b for a, b in zip(u.text, u.said, strict=False))
        assert right <= 0.75 * len(u.said)


def test_plans_are_the_same_every_time_and_grow_at_the_end(wideband: list[Utterance]) -> None:
    assert plan(SPEC, "wideband", 60, seed=0) == wideband
    shorter = plan(SPEC, "wideband", 10, seed=0)
    assert shorter == wideband[: len(shorter)]
    assert {u.said for u in plan(SPEC, "wideband", 10, seed=1)} != {u.said for u in shorter}


@pytest.mark.parametrize("part", sentences.PARTS)
def test_every_voice_says_as_many_short_turns_none_of_them_twice(part: str) -> None:
    turns = synthetic.short_turns(SPEC, part, seed=0)
    assert turns == synthetic.short_turns(SPEC, part, seed=0)
    assert {1, 2, 3} == {len(u.said) for u in turns}
    voices = synthetic.voices(SPEC, sentences.load_spec(SPEC), part)
    assert Counter(u.speaker for u in turns) == dict.fromkeys(voices, synthetic.SHORT_TURNS[part])
    for speaker in voices:
        # But for a number that another template gives, too.
        own = [u.said for u in turns if u.speaker == speaker]
        assert len(set(own)) >= len(own) - 1
    assert all(u.is_short and u.text == u.said and not u.annotation_error for u in turns)
    # They come last in the order of the ids, so that fewer minutes leave them out.
    assert min(u.id for u in turns) > max(u.id for u in plan(SPEC, part, 5, seed=0))


def check(path: Path) -> None:
    spec = sentences.load_spec(path)
    for part in sentences.PARTS:
        synthetic.voices(path, spec, part)
    synthetic.readings(path, spec)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("zf_xiaobei: 0.5}", "zf_xiaobei: 0.6}", "voices.wideband.f01.blend"),
        ("tract: 0.966", "tract: 3.00", "voices.wideband.f01.tract"),
        ("pitch_hz: 200, ", "", "voices.wideband.f01"),
        ("  calls:\n    f01", "  call:\n    f01", "voices.calls"),
        ("还款: huan2 kuan3", "还款: huan2", "readings.还款"),
    ],
)
def test_a_malformed_voice_or_reading_is_an_error_that_names_it(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    broken = tmp_path / "broken.yaml"
    text = SPEC.read_text(encoding="utf-8")
    assert old in text
    broken.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        check(broken)
    assert str(broken) in str(error.value)
    assert named in str(error.value)


def test_asking_for_more_than_the_templates_give_is_an_error(tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    text = SPEC.read_text(encoding="utf-8")
    mix = "mix: {turns: 0.12, content: 0.36, sentences: 0.52}"
    assert mix in text
    text = text.replace(mix, "mix: {turns: 1, content: 0, sentences: 0}")
    small.write_text(
        text.replace('"{time}再说", ', "").replace('"{person}{remark}"', "好"), "utf-8"
    )
    with pytest.raises(InputError, match="fewer minutes"):
        plan(small, "calls", 600, seed=0)
