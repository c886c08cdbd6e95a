"""What stands in transcripts and is not said: marks of annotators, tokens of models, emoji.

One list for transcripts to train on and for texts to score, so that what a model is not taught to
write is not counted against it either. What is taken out:

- `<|...|>`, which models read as tokens of their own (`<|zh|>`, `<|HAPPY|>`, `<|im_end|>`);
- a Latin word in angle, square or curly brackets or in 【】: <noise>, </s>, [breath], {laugh};
- signs alone in square brackets: [*], [+];
- in any brackets, round ones too, a noise by its name: (笑), 【笑声】, [噪音], (laughs);
- brackets with nothing in them;
- emoji, as SenseVoice writes moods and sounds: 😊 😔 🎼 👏;
- characters that nobody sees, such as a zero-width space.

Real text in brackets stays: 还款(分期), (APP), [第3条], 《合同法》, 3<5. A Latin word in square
brackets does not: somebody might have said it, but in transcripts of speech it is always a mark.
"""

from __future__ import annotations

import re
import unicodedata

_NOISES = (
    "[轻大偷苦冷微]?笑[声了]?|咳嗽?声?|清嗓子?|打?喷嚏声?|打?哈欠声?|深?(?:呼吸|[吸叹喘换呼]气)声?"
    "|背景(?:噪[音声]|杂?音|人声|说话)|噪[音声]|杂音|静音|沉默|停顿|(?:背景)?音乐|鼓掌|按键音|忙音|彩铃"
    "|口水音|听不清楚?|不清楚|无法识别|[一-鿿]{1,4}声"
    "|laugh(?:s|ter|ing)?|noise|breath(?:s|ing)?|cough(?:s|ing)?|sigh(?:s|ing)?|music|applause"
    "|silence|pause|beep|ringing|inaudible|unintelligible|crosstalk"
)
_TAG = re.compile(
    r"[<＜][|｜][^<>＜＞|｜]*[|｜][>＞]"
    r"|[<＜]/?[A-Za-z][\w ./:=\"'-]*[>＞]"
    r"|[\[［【{｛] *[A-Za-z][A-Za-z0-9_ -]*[\]］】}｝]"
    r"|[\[［][*+~#@&-]+[\]］]"
    r"|[(（<＜\[［【{｛]\s*[)）>＞\]］】}｝]"  # in which another tag was
    rf"|[(（<＜\[［【{{｛]\s*(?:{_NOISES})\s*[)）>＞\]］】}}｝]",
    re.IGNORECASE,
)
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u20e3]+")
_MAY_HOLD_A_TAG = re.compile(r"[\[［【{｛(（<＜]")


def without_tags(text: str) -> str:
    """Returns the text without tags, however they were put into each other: none is left.

    >>> without_tags("您好[breath]请问<|HAPPY|>(笑)"), without_tags("yes<noise>I do")
    ('您好请问', 'yes I do')
    >>> without_tags("<<|x|>|im_end|<|y|>>"), without_tags("还款(分期)，3<5")
    ('', '还款(分期)，3<5')
    """
    if not _MAY_HOLD_A_TAG.search(text):
        return text
    while (after := _TAG.sub(_between_words, text)) != text:
        text = after
    return text


def without_emoji(text: str) -> str:
    """Returns the text without emoji.

    >>> without_emoji("🎼您好😊，👍🏽谢谢❤️"), without_emoji("25℃ 5°")
    ('您好，谢谢', '25℃ 5°')
    """
    return text if text.isascii() else _EMOJI.sub("", text)


def without_invisible(text: str) -> str:
    """Returns the text without characters that are not seen, and in composed form: marks that they
    kept apart from their letters are put on them.

    >>> without_invisible("您\u200b好\ufeff"), without_invisible("a\u200b\u0301") == "á"
    ('您好', True)
    """
    if text.isascii() and text.isprintable():
        return text
    kept = (c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Co"))
    return unicodedata.normalize("NFC", "".join(kept))


def _between_words(match: re.Match[str]) -> str:
    """Returns what takes a tag's place, so that two Latin words do not become one."""
    text, start, end = match.string, match.start(), match.end()
    around = unicodedata.normalize("NFKC", text[start - 1 : start] + text[end : end + 1])
    return " " if len(around) == 2 and around.isascii() and around.isalpha() else ""
