"""What a call is about: digit strings, amounts, dates and names, and whether they were heard right.

One wrong digit is 1 % of a sentence's errors and all of a card number's, so these are counted as
wholes. They are found by pattern in texts that `normalise_for_scoring` has been through, where
numbers are Arabic digits, not by a tagger: rules this plain can be argued with, and are the same
next year.
"""

from __future__ import annotations

import re
from collections import Counter

_HAN = "一-鿿"
_NUMBER = r"[0-9]+(?:点[0-9]+)?[万亿]?"
_PATTERNS = {
    # Three digits or more that count nothing: phone, card, order and house numbers.
    "digits": re.compile(r"(?<![0-9点])[0-9]{3,}(?![0-9点元块万亿年月日天期个])"),
    # 300元, 3点5万元, 3块5, 3块5毛
    "amounts": re.compile(rf"(?<![0-9点]){_NUMBER}(?:元|块(?:[0-9](?![0-9])毛?)?|毛)"),
    # 3月15号, 2024年3月, 15号; but 12年 is a duration, 路15号 an address and 15号楼 a house.
    "dates": re.compile(
        r"(?<![0-9])(?:[0-9]{4}年|[0-9]{2}年(?=[0-9]{1,2}月))(?:[0-9]{1,2}月)?(?:[0-9]{1,2}[号日])?"
        r"|(?<![0-9])[0-9]{1,2}月(?:[0-9]{1,2}[号日])?"
        r"|(?<![0-9路街道巷弄])[0-9]{1,2}[号日](?![码线楼门])"
    ),
}

# A hundred frequent surnames; most people bear one of them.
SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏"
    "苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫雷段龙黎史陶贺毛郝顾龚邵万"
    "覃武钱戴严莫孔"
)
_NAME = rf"[{SURNAMES}][{_HAN}]{{1,2}}"
_NAMES = re.compile(
    # 王先生; 王伟先生, but not 方便李先生
    rf"[{SURNAMES}](?:先生|女士|小姐)"
    rf"|[{SURNAMES}](?:(?![{SURNAMES}先女小])[{_HAN}]){{1,2}}(?:先生|女士|小姐)"
    # 我叫王伟; 您是王伟本人吗; 我是华信银行的王伟. Where the name ends must be plain.
    rf"|(?:我是|我叫|您是|你是|叫做?|收货人|联系人|户主|姓名是?)({_NAME})(?=本人|电话|手机|号码|$)"
    rf"|我是[{_HAN}]{{2,8}}的({_NAME})$"
    rf"|(姓[{SURNAMES}])"
)

CONTENT_KINDS = (*_PATTERNS, "names")


def find(kind: str, text: str) -> list[str]:
    """Finds what there is of a kind (one of CONTENT_KINDS) in a normalised text.

    >>> find("digits", "尾号4625的卡欠款80000元"), find("amounts", "尾号4625的卡欠款80000元")
    (['4625'], ['80000元'])
    >>> find("dates", "3月15号到路320号"), find("amounts", "每月3块5毛")
    (['3月15号'], ['3块5毛'])
    >>> find("names", "王先生我是华信银行的李伟丽"), find("names", "我不方便")
    (['王先生', '李伟丽'], [])
    """
    if kind != "names":
        return _PATTERNS[kind].findall(text)
    matches = _NAMES.finditer(text)
    return [next(filter(None, match.groups()), match.group()) for match in matches]


def exact(kind: str, reference: str, hypothesis: str) -> tuple[int, int]:
    """Counts those in the reference, and those of them that the hypothesis has as they are.

    A number with a digit more is another number. A name only has to be there: around it, other
    words may have been heard.

    >>> exact("digits", "尾号4625和113", "尾号46251和113"), exact("names", "我叫王伟", "叫我王伟")
    ((2, 1), (1, 1))
    """
    wanted = Counter(find(kind, reference))
    if kind == "names":
        heard = Counter({name: hypothesis.count(name) for name in wanted})
    else:
        heard = Counter(find(kind, hypothesis))
    return wanted.total(), (wanted & heard).total()
