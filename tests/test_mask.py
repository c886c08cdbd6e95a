"""What is masked in texts that a report shows, and that it is masked on both sides."""

import doctest
from pathlib import Path

import pytest

from telephone_asr.corpora import spoken
from telephone_asr.scoring import mask
from telephone_asr.scoring.confusion import aligned
from telephone_asr.scoring.content import find
from telephone_asr.scoring.mask import MASK, masked, masked_pairs
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.scoring.options import Scoring

SPEECH = Path(spoken.__file__).parent / "speech"


def test_doctests():
    result = doctest.testmod(mask)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我的电话是幺三八零零一二三四五六", "我的电话是＊＊＊＊＊＊＊＊＊＊＊"),
        ("手机１３８，欠3.5万元", "手机＊＊＊，欠＊.＊＊元"),
        ("张红军先生您好", "＊＊＊先生您好"),
        ("欧阳娜娜女士", "＊＊＊＊女士"),
        ("免贵姓尉迟", "免贵姓＊＊"),
        ("姓名是尚小云", "姓名是＊＊＊"),
        ("您是张伟吗", "您是＊＊＊"),
        ("您是客服小李吗", "您是客服小＊吗"),
        ("王伟你好", "王伟你好"),  # as docs/privacy.md says
        ("请核对姓名", "请核对姓名"),
        ("您好，再见", "您好，再见"),
        ("", ""),
    ],
)
def test_digits_and_names_are_masked(text, expected):
    assert masked(text) == expected


def test_names_of_a_list_are_masked_wherever_they_stand():
    assert masked("华信的Lucy，华信", ["华信", "lucy"]) == "＊＊的＊＊＊＊，＊＊"


def test_what_was_heard_for_a_name_is_masked_with_it():
    pairs = masked_pairs(aligned("请问您是周先生吗尾号四六", "请问您是州先吗尾号四", Scoring()))
    said, heard = ("".join(pair[side] for pair in pairs) for side in (0, 1))
    assert said == "请问＊＊＊先生吗尾号＊＊"
    assert heard == "请问＊＊＊先吗尾号＊"
    assert [kind for _, _, kind in pairs].count("S") == 1


def test_no_number_and_no_name_that_the_scoring_finds_is_left_in_sentences_of_calls():
    seen = 0
    for one in spoken.read_index(SPEECH / "calls") + spoken.read_index(SPEECH / "wideband"):
        text = normalise_for_scoring(one.text)
        left = masked(text)
        for name in find("names", text):
            seen += 1
            own = name.removesuffix("先生").removesuffix("女士").removesuffix("小姐")
            assert own.removeprefix("姓") not in left, (text, left)
        assert not any(character.isdigit() for character in left)
        assert len(left) == len(text)
        assert MASK not in text
    assert seen >= 20
