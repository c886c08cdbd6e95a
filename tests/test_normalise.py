"""Text normalisation: the docstring's examples, and random numbers as cn2an spells them."""

import doctest
import random

import pytest
from cn2an import an2cn

from telephone_asr.scoring import normalise as module
from telephone_asr.scoring.cer import score
from telephone_asr.scoring.normalise import normalise_for_scoring


def test_doctests():
    result = doctest.testmod(module)
    assert result.attempted >= 19
    assert result.failed == 0


def test_whole_numbers_as_they_are_spelled():
    generator = random.Random(1)
    for _ in range(2000):
        number = generator.randrange(10 ** generator.randint(1, 10))
        spelled = an2cn(str(number))
        assert (
            normalise_for_scoring(f"还款{spelled}元。")
            == normalise_for_scoring(f"还款{number}元")
            == f"还款{number}元"
        )
        assert normalise_for_scoring(f"{number:,}") == str(number)


def test_colloquial_ending_is_the_next_lower_unit():
    for unit, short in {"百": 10, "千": 100, "万": 1000, "亿": 10_000_000}.items():
        for digit, value in zip("一二三四五六七八九", range(1, 10), strict=True):
            expected = str(3 * short * 10 + value * short)
            assert (
                normalise_for_scoring(f"三{unit}{digit}")
                == normalise_for_scoring(f"3{unit}{value}")
                == expected
            )


def test_digit_strings_keep_their_zeros():
    generator = random.Random(2)
    for _ in range(500):
        digits = "".join(generator.choices("0123456789", k=generator.randint(1, 18)))
        hanzi = digits.translate(str.maketrans("0123456789", "零一二三四五六七八九"))
        assert normalise_for_scoring(hanzi) == normalise_for_scoring(digits) == digits
        if len(digits) > 1:
            assert normalise_for_scoring(hanzi.replace("一", "幺")) == digits


def test_decimals_and_percentages():
    generator = random.Random(3)
    for _ in range(500):
        number = f"{generator.randrange(1000)}.{generator.randrange(1, 100):02d}"
        spelled = an2cn(number)
        assert normalise_for_scoring(spelled) == normalise_for_scoring(number)
        assert (
            normalise_for_scoring(f"百分之{spelled}的")
            == normalise_for_scoring(f"{number}%的")
            == normalise_for_scoring(spelled + "%的")
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("十万", "10万"),
        ("三百万", "300万"),
        ("十二亿三千万", "12亿3000万"),
        ("十二亿三千万", "1230000000"),
        ("一千零五", "1005"),
        ("两万五", "25000"),
        ("两点", "2点"),
        ("一百十", "110"),
        ("三点零五分", "3:05分"),
        ("万一三百块", "万一300块"),
        ("千万一百块", "千万100块"),
        ("统一二十块", "统一20块"),
        ("三百一样", "300一样"),
        ("二十一起", "20一起"),
        ("百分之三百分之五", "3%，5%"),
        ("百分之三十百分之五", "30%，5%"),
        ("尾号零零七", "尾号007"),
        ("iPhone十五", "iPhone 15"),
        ("第一，二十个", "第一二十个"),
        ("ＯＫ，ｂｙｅ", "ok bye"),
        ("嗯<|nospeech|>好", "嗯 好"),
        ("<SPOKEN_NOISE>", ""),
        ("你好\u200b\u3000。…—～￥＋😀", "你好"),
        ("叁佰贰拾元", "320元"),
        ("壹万零伍佰", "一万零五百"),
        ("伍佰", "500"),
        ("三百二二", "322"),
        ("两百五六", "256"),
        ("A P P", "APP"),
        ("办V. I. P.卡", "办VIP卡"),
        ("三十万三十万", "30万30万"),
        ("三十万三十万", "300000 300000"),
        ("三百五百", "300，500"),
        ("三百五十五百", "350 500"),
        ("十五十六", "15 16"),
        ("二十三十五", "20 35"),
        ("一百零五一百零五", "105 105"),
        ("[breath]您[laughter]好[NOISE][SPK][*][+]", "您好"),
        ("{laugh}您好<noise>", "您好"),
        ("(笑)您好【笑声】（咳嗽）", "您好"),
        ("<|HAPPY|>您😊好🎼👏", "您好"),
        ("您<<|x|>|im_end|<|y|>>好", "您好"),
    ],
)
def test_equal(one, other):
    assert normalise_for_scoring(one) == normalise_for_scoring(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("三百二十", "三百零二"),
        ("一万二", "一万零二"),
        ("三四百", "三千四百"),
        ("三四万", "三十四万"),
        ("一万二三", "一万零二十三"),
        ("十五六", "一百五十六"),
        ("两三个", "二十三个"),
        ("三两个", "三十二个"),
        ("三百零", "三百"),
        ("万一", "一万"),
        ("千万", "一千万"),
        ("一样", "两样"),
        ("一下", "十一下"),
        ("三百一样", "三百一十样"),
        ("统一", "同一"),
        ("老幺", "老一"),
        ("三点五", "三五"),
        ("百分之五", "五"),
        ("it is", "itis"),
        ("三百五百", "三百五十"),
        ("零食", "食"),
        ("大陆", "大六"),
        ("队伍", "队五"),
        ("收拾", "收十"),
        ("三块五", "三点五元"),
        ("三百块", "三百元"),
    ],
)
def test_different(one, other):
    assert normalise_for_scoring(one) != normalise_for_scoring(other)


def test_a_digit_too_many_does_not_turn_the_others_into_errors():
    """Numbers are heard wrongly as often as other words; the rest of them was heard right."""
    generator = random.Random(6)
    for _ in range(1000):
        number = str(generator.randrange(111, 10_000))
        spelled = an2cn(number)
        place = generator.randrange(len(spelled) + 1)
        inserted = spelled[:place] + generator.choice("二三四五六七八九") + spelled[place:]
        units = sum(spelled.count(unit) for unit in "十百千")
        assert score([number], [inserted])[0].errors <= units + 2, (spelled, inserted)


def test_normalising_twice_changes_nothing():
    generator = random.Random(4)
    alphabet = "零一二三四五六七八九十百千万亿两幺点分之样定下统0123456789.,:% aB，。"
    for _ in range(5000):
        text = "".join(generator.choices(alphabet, k=generator.randint(0, 12)))
        once = normalise_for_scoring(text)
        assert normalise_for_scoring(once) == once, text


def test_hanzi_without_numerals_are_untouched():
    text = "您好请问是王先生吗我这边是客服中心"
    assert normalise_for_scoring(text) == text
    assert normalise_for_scoring(" ".join(text)) == text
    assert normalise_for_scoring("，".join(text)) == text


def test_fillers_are_removed_on_request_alone():
    text = "嗯，那个，余额是三百 呃 二，嗯嗯，Umm OK um"
    assert normalise_for_scoring(text) == "嗯那个余额是300呃2嗯嗯umm ok um"
    assert normalise_for_scoring(text, ["嗯", "呃", "UM"]) == "那个余额是320umm ok"
    assert normalise_for_scoring(text, ["那个", "嗯嗯", "嗯"]) == "余额是300呃2umm ok um"
    assert normalise_for_scoring("嗯", ["嗯"]) == ""
    assert (
        normalise_for_scoring(text, [])
        == normalise_for_scoring(text, [" "])
        == normalise_for_scoring(text)
    )


def test_erhua_is_folded_on_request_alone():
    for one, other in [("这儿有点儿事儿", "这有点事"), ("一会儿", "一会"), ("玩儿", "玩")]:
        assert normalise_for_scoring(one) != normalise_for_scoring(other)
        assert normalise_for_scoring(one, erhua="fold") == normalise_for_scoring(
            other, erhua="fold"
        )
    for text in ["女儿", "儿子", "婴幼儿", "新生儿", "少儿保险", "儿童医院", "儿"]:
        assert normalise_for_scoring(text, erhua="fold") == text


def test_normalising_twice_changes_nothing_with_options_either():
    generator = random.Random(5)
    for _ in range(3000):
        text = "".join(generator.choices("嗯呃那儿女这三百二um A，。", k=generator.randint(0, 12)))
        once = normalise_for_scoring(text, ["嗯", "呃"], "fold")
        assert normalise_for_scoring(once, ["嗯", "呃"], "fold") == once, text
