"""What is counted where nobody speaks."""

from telephone_asr.scoring.cut_off import CutOff
from telephone_asr.scoring.no_speech import HOTWORDS, made_up_lines, rates
from telephone_asr.scoring.options import Scoring

CLIPS = [("a", "noise", 15.0), ("b", "noise", 15.0), ("c", "silence", 30.0)]
NOTHING = {"insertions_per_minute": 0.0, "share_with_text": 0.0, "cut_off": 0}


def test_characters_a_minute_are_counted_after_normalisation_and_by_kind():
    texts = ["您好，OK。", CutOff("三百二"), "，。"]
    found = rates(made_up_lines(CLIPS, texts, 0, Scoring()))
    noise = {"insertions_per_minute": 14.0, "share_with_text": 1.0, "cut_off": 1}
    assert found == {"noise": noise, "silence": NOTHING}
    mixed = rates(made_up_lines(CLIPS, texts, 0, Scoring(unit="mixed")))
    assert mixed["noise"]["insertions_per_minute"] == 12


def test_what_is_written_with_hotwords_has_a_place_of_its_own():
    lines = made_up_lines(CLIPS, ["", "", ""], 0, Scoring())
    lines += made_up_lines(CLIPS, ["王伟", "", ""], len(HOTWORDS), Scoring())
    found = rates(lines)
    with_words = {"insertions_per_minute": 4.0, "share_with_text": 0.5, "cut_off": 0}
    assert found["noise"] == {**NOTHING, "hotwords": with_words}
    assert found["silence"] == {**NOTHING, "hotwords": NOTHING}
    assert lines[3]["text"] == "王伟"
    assert (lines[0]["hotwords"], lines[3]["hotwords"]) == (0, 10)
