"""Transcripts as they are trained on: one spelling, nothing that nobody says.

Kept apart from `scoring.normalise`, which compares two texts and may throw away more (punctuation,
case): what stands here, the model learns to write. Change a rule and raise `VERSION`.
"""

from __future__ import annotations

import re
from typing import Literal

from telephone_asr.tags import without_emoji, without_invisible, without_tags

VERSION = 2  # 2: the list of tags that scoring has too, and emoji
English = Literal["keep", "lower", "upper"]

_FULL_WIDTH = {ord("　"): " "} | {
    code: chr(code - 0xFEE0)
    for code in range(0xFF01, 0xFF5F)
    if chr(code - 0xFEE0).isalnum() or chr(code - 0xFEE0) in "%&+-/@#*="
}
_HAN = r"\u3400-\u9fff\U00020000-\U0003ffff"
_MARKS = "，。？！、：；（）《》“”‘’…—"
# White space beside a Chinese character or mark means nothing; between Latin words it is one space.
_SPACE = re.compile(rf"\s+(?=[{_HAN}{_MARKS}])|(?<=[{_HAN}{_MARKS}])\s+")
_PLAIN = re.compile(rf"[{_HAN}{_MARKS}]*")  # no rule changes it, and most transcripts are such
_SYLLABLE = re.compile(rf"[{_HAN}0-9]|[A-Za-z'’]+")
_LETTERS_A_SYLLABLE = 3


def clean_transcript(text: str, english: English = "keep") -> tuple[str, tuple[str, ...]]:
    """Returns the text to train on, and the names of the rules that changed it, in their order.

    >>> clean_transcript("您好，<SPOKEN_NOISE> 我 是 ＡＢ 银行")
    ('您好，我是AB银行', ('tags', 'full_width', 'spaces'))
    >>> clean_transcript("用 APP  STORE 下载", english="lower")
    ('用app store下载', ('spaces', 'english'))

    tags and emoji are those of `telephone_asr.tags`; no rule leaves another one to be found.
    full_width changes letters, digits, the space and signs such as ％; Chinese marks (，。？) stay.
    invisible removes control characters and zero-width ones, byte order marks among them, and
    composes accents (NFC).
    """
    if _PLAIN.fullmatch(text):
        return text, ()
    changed = []

    def apply(rule: str, after: str) -> None:
        nonlocal text
        if after != text and rule not in changed:
            changed.append(rule)
        text = after

    before = None
    while before != text:  # what cannot be seen may have hidden a tag
        before = text
        apply("tags", without_tags(text))
        apply("emoji", without_emoji(text))
        apply("full_width", text.translate(_FULL_WIDTH))
        apply("invisible", without_invisible(text))
        apply("spaces", " ".join(_SPACE.sub("", text).split()))
    if english != "keep":
        apply("english", text.lower() if english == "lower" else text.upper())
    return text, tuple(changed)


def syllables(text: str) -> int:
    """Returns about how many syllables it takes to say a text: one for each Chinese character and
    digit, one for three Latin letters.

    >>> syllables("我在APP上, 123。")
    7
    """
    return sum(
        1 if len(match) == 1 else -(-len(match) // _LETTERS_A_SYLLABLE)
        for match in _SYLLABLE.findall(text)
    )
