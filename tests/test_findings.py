"""The report's first screen answers from the numbers, and does not call noise a change."""

import pytest

from report_fixtures import findings, line, metrics, transcripts
from telephone_asr.errors import InputError
from telephone_asr.names import TEST_SETS
from telephone_asr.report import findings as answers
from telephone_asr.report.findings import compare
from telephone_asr.report.slices import worse_than_all
from telephone_asr.scoring.difference import Difference
from telephone_asr.scoring.gate import Check


@pytest.fixture(scope="module")
def changes() -> dict[tuple, Difference]:
    return compare(transcripts(), seed=0)


@pytest.fixture(scope="module")
def hardest() -> list:
    return worse_than_all(metrics()["final"]["telecall"])


def test_changes_have_sign_and_verdict(changes):
    encoder = changes["telecall", "base", "encoder"]
    assert encoder.value == pytest.approx(-0.3)
    assert (encoder.low, encoder.high) == pytest.approx((-0.3, -0.3))
    assert encoder.verdict == "better"
    assert encoder.p < 0.01
    adaptor = changes["telecall", "encoder", "adaptor"]
    assert adaptor.low < 0 < adaptor.high
    assert adaptor.verdict == "within noise"
    assert adaptor.p > 0.5
    assert changes["telecall", "adaptor", "lora"].verdict == "worse"


def test_a_change_from_no_errors_has_no_relative_size(changes):
    clean = Difference(0.0, 0.1, 0.05, 0.15, 0.01)
    text = answers.lead({**changes, ("wideband", "base", "final"): clean}, [])
    assert "from 0.0 to 10.0 %, no relative change from 0: **worse**" in text


def test_checkpoints_of_different_utterances_are_not_compared():
    mixed = transcripts()
    mixed["encoder"] = mixed["encoder"][::-1]
    with pytest.raises(InputError, match=r"base\.jsonl and encoder\.jsonl are not of the same utt"):
        compare(mixed, seed=0)


def test_checkpoints_without_an_utterance_in_common_are_refused_in_a_sentence():
    """As where one was evaluated before the calls were imported anew."""
    mixed = transcripts()
    for one in mixed["encoder"]:
        one["reference"] += "。"
    with pytest.raises(InputError, match="utterances of telecall: run `dvc repro`"):
        compare(mixed, seed=0)


def test_three_sentences_say_what_came_of_it_at_what_price_and_where_it_is_bad(changes, hardest):
    assert answers.lead(changes, []).count("%:") == 0
    text = answers.lead(changes, hardest)
    assert "**telephone calls from 50.0 to 40.0 % character error rate (CER)**, −20 %" in text
    assert "Wideband speech went from 10.0 to 30.0 %, +200 %" in text
    assert text.count("**worse**") == 1
    assert text.count("**better**") == 1


def test_each_stage_is_answered_for(changes):
    _, brought, price, _ = answers.answers(findings(), changes, [])
    assert brought.headline == "50.0 → 40.0 % CER: better"
    assert [tone for tone, _ in brought.points] == ["good", "neutral", "bad"]
    assert brought.points[1][1].startswith("Stage 2 (adaptor): **within noise**, 20.0 → 20.0 %")
    assert (price.headline, price.tone) == ("10.0 → 30.0 % CER: worse", "bad")
    assert "+20.0 points (+20.0 to +20.0)" in price.text


def test_merging_is_a_step_where_it_changed_a_text():
    merged = transcripts()
    for one in merged["final"][:6]:  # of the calls
        one |= {"substitutions": 10, "text": "错" * 10}
    own = findings(transcripts=merged, metrics=metrics(merged))
    changes = compare(merged, seed=0)
    _, brought, price, _ = answers.answers(own, changes, [])
    assert brought.points[3][1].startswith("Final (stage 3, merged): **worse**, 40.0 → 52.0 %")
    assert len(price.points) == 3
    note = " ".join(answers.notes(own))
    assert "Merging changed the text of 6 of 90 utterances." in note


def test_the_worst_calls_are_named_with_their_share_of_the_errors(changes):
    noisy = transcripts()
    for i, one in enumerate(x for x in noisy["final"] if x["source"] == "telecall"):
        if i % 3 == 1:  # the gsm ones
            one |= {"substitutions": 9, "text": "错" * 9 + "癸"}
    own = metrics(noisy)
    hardest = worse_than_all(own["final"]["telecall"])
    answer = answers.answers(findings(metrics=own), changes, hardest)[-1]
    assert answer.headline == "Codec gsm+alaw: 90.0 % CER"
    assert "53 % of all errors" in answer.points[0][1]  # 90 of 90 + 80
    assert answer.text.startswith("All calls: 56.7 %")


def test_the_gate_decides_whether_to_merge_and_unchecked_is_not_passed(changes):
    def merge(*checks: Check):
        return answers.answers(findings(gate=checks), changes, [])[0]

    unchecked = merge()
    assert (unchecked.headline, unchecked.tone) == ("The gate was not checked", "unknown")
    assert ("bad", "Wideband speech: worse than base") in unchecked.points
    assert merge(Check(True, "a"), Check(None, "b")).headline == "Yes: the gate is passed"
    broken = merge(Check(True, "a"), Check(False, "max_loss *b*"))
    assert (broken.headline, broken.tone) == ("No: the gate is not passed", "bad")
    assert broken.points == [("good", "a"), ("bad", "max_loss \\*b\\*")]


def test_notes_warn_of_few_speakers_of_synthetic_speech_of_recordings_and_of_stages_not_run():
    plain = " ".join(answers.notes(findings()))
    assert "10 speakers only" in plain
    assert "for 57 of 60 test utterances (CER 40.5 % there, 40.0 % here), and for 60 where" in plain
    assert "Merging changed no text." in plain
    assert "Not run: `export`" in plain
    assert "show it to nobody who may not hear the calls" in plain
    assert "ynthetic" not in plain
    synthetic = " ".join(answers.notes(findings(synthetic=frozenset(TEST_SETS))))
    assert "All speech in this report is synthetic" in synthetic
    assert "nobody" not in synthetic
    calls = [line("telecall", i, 1, speaker=f"{i}") for i in range(20)]
    many = findings(transcripts={"lora": calls, "final": calls})
    assert "Caution" not in " ".join(answers.notes(many))
