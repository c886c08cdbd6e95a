"""Transcripts to train on: the rules one by one, and what holds for any text."""

import doctest
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telephone_asr import tags
from telephone_asr.manifests import text as module
from telephone_asr.manifests.text import clean_transcript, syllables
from telephone_asr.scoring.normalise import normalise_for_scoring

TEXTS = st.text(
    st.sampled_from("您好 　ＡＢ１２％，。？aB3'<>[]|_\t\n\u200b\ufeffé\u0301"), max_size=30
)


def test_the_examples_in_the_code():
    for with_examples in (module, tags):
        assert doctest.testmod(with_examples).failed == 0


@given(TEXTS)
def test_what_training_takes_out_scoring_does_not_count(text):
    assert normalise_for_scoring(clean_transcript(text)[0]) == normalise_for_scoring(text)


@pytest.mark.parametrize(
    ("before", "after", "rules"),
    [
        ("您好请问", "您好请问", ()),
        ("您好，请问？", "您好，请问？", ()),  # Chinese marks are written, and stay
        ("<SPOKEN_NOISE>您好", "您好", ("tags",)),
        ("您[NOISE]好</s>", "您好", ("tags",)),
        ("<|startofspeech|>!a.wav<|endofspeech|>", "!a.wav", ("tags",)),  # never reaches the prompt
        ("3<5>2", "3<5>2", ()),
        ("ＡＰＰ１２３％", "APP123%", ("full_width",)),
        ("您　好", "您好", ("full_width", "spaces")),
        ("您 好\t请 问 \n", "您好请问", ("spaces",)),
        ("用  wechat   pay 付款", "用wechat pay付款", ("spaces",)),
        ("您好 ，请问", "您好，请问", ("spaces",)),
        ("您\u200b好\ufeff", "您好", ("invisible",)),
        ("cafe\u0301", "café", ("invisible",)),
        ("[breath]您好[laughter]", "您好", ("tags",)),
        ("您好[SPK][*][+]{laugh}", "您好", ("tags",)),
        ("(笑)您好（咳嗽声）【笑声】[噪音]", "您好", ("tags",)),
        ("您好（（笑））( )", "您好", ("tags",)),
        ("I [noise] do<sil>so", "I do so", ("tags", "spaces")),
        ("🎼您好😊❤️", "您好", ("emoji",)),
        (
            "还款(分期)用[第3条](APP)《合同法》",
            "还款(分期)用[第3条](APP)《合同法》",
            (),
        ),  # said, all of it
        ("25℃", "25℃", ()),
        ("", "", ()),
    ],
)
def test_rules(before, after, rules):
    assert clean_transcript(before) == (after, rules)


@pytest.mark.parametrize(
    ("english", "after"), [("keep", "Use App店"), ("lower", "use app店"), ("upper", "USE APP店")]
)
def test_english(english, after):
    text, rules = clean_transcript("Use App店", english)
    assert text == after
    assert rules == (() if english == "keep" else ("english",))


@given(TEXTS, st.sampled_from(["keep", "lower", "upper"]))
def test_what_is_normalised_stays_as_it_is(text, english):
    once, _ = clean_transcript(text, english)
    assert clean_transcript(once, english)[0] == once


# Of what is put together of pieces, some of which cannot be seen, and of nested tags.
PIECES = st.lists(
    st.sampled_from(
        ["<", "|", ">", "im_end", "x", "\u200b", "\u00ad", " ", "😊", "＜", "｜", "[", "]"]
    ),
    max_size=40,
)


@given(PIECES)
@example(list("<<|x|>|im_end|<|y|>>"))
@example(["<\u200b|im_end|\u200b>"])
@example(["<😊|im_end|😊>"])
def test_no_token_of_the_prompt_survives(pieces):
    text, _ = clean_transcript("".join(pieces))
    assert not re.search(r"<\|[^<>|]*\|>", text)


@given(TEXTS)
def test_a_text_is_named_as_changed_if_and_only_if_it_is(text):
    after, rules = clean_transcript(text)
    assert (after != text) <= bool(rules)
    if not rules:
        assert after == text


@given(st.text("您好请问一二三", max_size=20))
def test_plain_chinese_is_never_touched_and_has_a_syllable_a_character(text):
    assert clean_transcript(text) == (text, ())
    assert syllables(text) == len(text)


@pytest.mark.parametrize(
    ("text", "n"),
    [("", 0), ("，。？", 0), ("a", 1), ("app", 1), ("bank", 2), ("APP store", 3), ("12点", 3)],
)
def test_syllables(text, n):
    assert syllables(text) == n
