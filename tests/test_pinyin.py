"""Pronunciation of what the embedded corpus says, in pinyin."""

from collections import defaultdict
from pathlib import Path

import pytest

from telephone_asr.corpora import pinyin, sentences, synthetic

SPEC = Path(synthetic.__file__).with_name("synthetic.yaml")
READINGS = sentences.load_spec(SPEC)["readings"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("还款", "huan2 kuan3"),
        ("还没有", "hai2 mei2 you3"),
        ("还是还款", "hai2 shi4 huan2 kuan3"),
        ("我就还一百元", "wo3 jiu4 huan2 yi4 bai3 yuan2"),
        ("余额还有", "yu2 e2 hai2 you3"),
        ("天安银行", "tian1 an1 yin2 hang2"),
        ("银行行长", "yin2 hang2 hang2 zhang3"),
        ("行请说", "xing2 qing3 shuo1"),
        ("幺三八一", "yao1 san1 ba1 yi1"),
        ("重庆长沙成都", "chong2 qing4 chang2 sha1 cheng2 du1"),
        ("重新", "chong2 xin1"),
        ("到今天为止", "dao4 jin1 tian1 wei2 zhi3"),
        ("为您服务", "wei4 nin2 fu2 wu4"),
        ("便宜一点", "pian2 yi5 yi4 dian3"),
        ("不方便", "bu4 fang1 bian4"),
        ("东方便宜", "dong1 fang1 pian2 yi5"),
        ("女士", "nv3 shi4"),
        ("考虑一下", "kao3 lv4 yi2 xia4"),
        ("二十块", "er4 shi2 kuai4"),
        ("您的对吗", "nin2 de5 dui4 ma5"),
        ("不用了", "bu2 yong4 le5"),
        ("你好", "ni2 hao3"),
        ("九百五", "jiu2 bai2 wu3"),
        ("一万一千", "yi2 wan4 yi4 qian1"),
        ("四一零一", "si4 yi1 ling2 yi1"),
        ("星期一下午一点", "xing1 qi1 yi1 xia4 wu3 yi4 dian3"),
        ("晚上十一点", "wan3 shang5 shi2 yi1 dian3"),
        ("手机号码", "shou3 ji1 hao4 ma3"),
        ("嗯喂", "en5 wei2"),
    ],
)
def test_pronunciation(text: str, said: str) -> None:
    assert pinyin.syllables(text, READINGS) == said.split()


def test_only_known_polyphones_have_more_than_one_reading() -> None:
    """Random neighbours must not form a phrase of the dictionary: 高 and 丽 are gao1 li2 there."""
    polyphones = set("一不还便行为上谢")
    readings = defaultdict(set)
    for part in sentences.PARTS:
        for utterance in synthetic.plan(SPEC, part, 60, seed=0):
            syllables = pinyin.syllables(utterance.said, READINGS)
            assert len(syllables) == len(utterance.said)
            for i, (character, syllable) in enumerate(zip(utterance.said, syllables, strict=True)):
                if syllables[i + 1 : i + 2] and syllable[-1] == "2":
                    # Third-tone sandhi: counted as the third tone where that is a reading too.
                    third = syllable[:-1] + "3"
                    syllable = third if third in readings[character] else syllable
                readings[character].add(syllable)
    several = {
        character
        for character, found in readings.items()
        if len({s.replace("2", "3") for s in found}) > 1
    }
    assert several <= polyphones
