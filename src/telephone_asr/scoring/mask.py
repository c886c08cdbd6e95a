"""Masks digits and names in the texts that a report shows: `report.texts: masked` in params.yaml.

Rules rather hide a word too many than leave a name, and no rule finds every name: docs/privacy.md
says which these miss.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from telephone_asr.scoring.confusion import Pair
from telephone_asr.scoring.content import SURNAMES, find

Shown = Literal["all", "masked", "none"]  # of utterances, in the report and the review

MASK = "＊"
_HAN = "一-鿿"
# Each numeral wherever it stands: whether 一 is a digit of a number cannot be told of 幺三八一.
_NUMERAL = re.compile(r"[\d〇零一二三四五六七八九幺两十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟廿卅]")
_COMPOUND = "欧阳|上官|司马|司徒|诸葛|夏侯|皇甫|慕容|令狐|尉迟|端木|东方"
_NAMES = re.compile(
    # Three hanzi before a title, whatever they are: a rare surname is a name too.
    rf"(?P<titled>(?:(?:{_COMPOUND})[{_HAN}]{{0,2}}|[{_HAN}]{{1,3}}))(?=先生|女士|小姐|太太|经理|老师|师傅)"
    rf"|(?:我叫|名叫|叫做|(?:姓名|名字|收货人|联系人|户主)[是叫])(?P<told>[{_HAN}]{{1,4}})"
    # What is said after these is seldom a name: only where it begins as one does.
    rf"|(?:我是|你是|您是)(?P<met>(?:{_COMPOUND}|[{SURNAMES}])[{_HAN}]{{1,2}})"
    rf"|[小老](?P<familiar>[{SURNAMES}])"
    rf"|姓(?!名)(?P<surname>{_COMPOUND}|[{_HAN}])"
)
_NO_NAME = re.compile("^姓|(?:先生|女士|小姐)$")


def masked(text: str, names: Sequence[str] = ()) -> str:
    """Returns a text with its digits and names masked. names: those of a list, masked wherever they
    stand.

    >>> masked("请问您是周先生吗，尾号四六25，我叫王伟"), masked("找华信银行", ["华信"])
    ('请问＊＊＊先生吗，尾号＊＊＊＊，我叫＊＊', '找＊＊银行')
    """
    hidden = _hidden(text, names)
    return "".join(MASK if i in hidden else one for i, one in enumerate(text))


def masked_pairs(pairs: Sequence[Pair], names: Sequence[str] = ()) -> list[Pair]:
    """Masks two texts side by side, each also where the other is: what a name was heard as tells
    the name.

    >>> masked_pairs([("周", "州", "S"), ("先", "先", ""), ("生", "", "D")])
    [('＊', '＊', 'S'), ('先', '先', ''), ('生', '', 'D')]
    """
    hidden: set[int] = set()
    for side in (0, 1):
        owners = [column for column, pair in enumerate(pairs) for _ in pair[side]]
        text = "".join(pair[side] for pair in pairs)
        hidden |= {owners[i] for i in _hidden(text, names)}
    return [
        (MASK * len(said), MASK * len(heard), kind) if column in hidden else (said, heard, kind)
        for column, (said, heard, kind) in enumerate(pairs)
    ]


def _hidden(text: str, names: Sequence[str]) -> set[int]:
    """Returns the places of the characters to mask."""
    spans = [match.span() for match in _NUMERAL.finditer(text)]
    spans += [match.span(match.lastgroup or 0) for match in _NAMES.finditer(text)]
    scored = [_NO_NAME.sub("", name) for name in find("names", text)]
    for name in filter(None, [*names, *scored]):
        spans += [match.span() for match in re.finditer(re.escape(name), text, re.I)]
    return {i for start, end in spans for i in range(start, end)}
