"""Digit strings, amounts, dates and names in texts as the synthetic corpus and calls have them."""

import doctest
from pathlib import Path

import numpy as np
import pytest

from telephone_asr.corpora import sentences
from telephone_asr.scoring import content
from telephone_asr.scoring.content import CONTENT_KINDS, exact, find
from telephone_asr.scoring.normalise import normalise_for_scoring


def test_doctests():
    result = doctest.testmod(content)
    assert result.attempted >= 4
    assert result.failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("尾号四六二五的信用卡欠款八万元", {"digits": ["4625"], "amounts": ["80000元"]}),
        ("幺三八零零幺三八零零零", {"digits": ["13800138000"]}),
        ("三月十五号三百二十块", {"dates": ["3月15号"], "amounts": ["320块"]}),
        ("收货地址北京天安路十五号", {}),
        ("北京天安路三百二十号", {"digits": ["320"]}),
        ("三十一号上午九点", {"dates": ["31号"]}),
        ("2024年3月15日还3.5万元", {"dates": ["2024年3月15日"], "amounts": ["3点5万元"]}),
        ("贷了十二年", {}),
        ("逾期九十天，分十二期", {}),
        ("每分钟三块五，还是三块五毛", {"amounts": ["3块5", "3块5毛"]}),
        ("三百块两个月", {"amounts": ["300块2"]}),  # 块 and what follows it is one amount
        ("您好我是华信银行的王伟丽", {"names": ["王伟丽"]}),
        ("请问您是王伟本人吗", {"names": ["王伟"]}),
        ("我叫李强，请问是不是张先生", {"names": ["张先生"]}),  # where 李强 ends is not plain
        ("我叫李强", {"names": ["李强"]}),
        ("不方便，李先生再说", {"names": ["李先生"]}),
        ("王芳女士", {"names": ["王芳女士"]}),
        ("谢谢我姓周", {"names": ["姓周"]}),
        ("我是本人", {}),
    ],
)
def test_what_is_found(text, expected):
    text = normalise_for_scoring(text)
    assert {kind: got for kind in CONTENT_KINDS if (got := find(kind, text))} == expected


def test_every_amount_and_named_person_of_the_synthetic_corpus_is_found():
    """Against the templates that the sentences were filled from."""
    spec = Path(sentences.__file__).with_name("synthetic.yaml")
    grammar = sentences.grammar(spec, sentences.load_spec(spec))
    rng = np.random.default_rng(1)
    slots = {"amount": "amounts", "price": "amounts", "person": "names", "digits6": "digits"}
    for slot, kind in slots.items():
        for _ in range(200):
            value = normalise_for_scoring(grammar.fill(f"{{{slot}}}", rng))
            assert find(kind, value) == [value]
            assert find(kind, normalise_for_scoring(f"您好{value}谢谢")) == [value]


@pytest.mark.parametrize(
    ("kind", "reference", "hypothesis", "expected"),
    [
        ("digits", "尾号4625", "微号4625", (1, 1)),
        ("digits", "尾号4625", "尾号46", (1, 0)),
        ("digits", "尾号4625", "尾号4625元", (1, 0)),
        ("digits", "113和113", "113", (2, 1)),
        ("digits", "113", "113和113", (1, 1)),
        ("amounts", "320元", "320块", (1, 0)),
        ("dates", "3月15号", "3月5号", (1, 0)),
        ("names", "我是王伟", "我是王伟丽", (1, 1)),  # a name that is the beginning of another
        ("names", "王先生好", "黄先生好", (1, 0)),
        ("names", "您好", "王先生", (0, 0)),
    ],
)
def test_what_is_heard_exactly(kind, reference, hypothesis, expected):
    assert exact(kind, reference, hypothesis) == expected
