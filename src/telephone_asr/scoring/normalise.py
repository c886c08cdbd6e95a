"""One spelling for texts that say the same, so that a character error is a hearing error.

Reference and hypothesis both pass through `normalise_for_scoring` before they are compared. Change
a rule and raise `VERSION`: rates of two versions cannot be compared.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from cn2an import an2cn, cn2an

from telephone_asr.scoring.options import Erhua
from telephone_asr.tags import without_emoji, without_invisible, without_tags

# 2: formal numerals, fillers, erhua. 3: digits of what is no number, too. 4: more tags, spelled
# letters, numbers said one after another. 5: what nobody sees hides no tag and no accent.
VERSION = 5

# Character classes, without their brackets. 幺 is 一 as it is said in telephone numbers.
_HANZI_DIGIT = "零一二三四五六七八九幺"
_DIGIT = "0-9" + _HANZI_DIGIT
_BIG = "百千万亿"
_NUMERAL = f"{_DIGIT}十{_BIG}两"
LATIN = "a-zß-ɏ"  # after lower-casing
_TO_ARABIC = str.maketrans(_HANZI_DIGIT + "两", "012345678912")

_PERCENT = re.compile(rf"([{_NUMERAL}]+(?:[.点][{_NUMERAL}]+)?)\s*%")
_POINT = re.compile(r"(?<=[0-9])(?:\.(?=[0-9])|:(?=[0-9]{2}))")
_JOINER = re.compile(r"['’‐-]")
_NOT_A_CHARACTER = re.compile(r"[\W_]+")
_SPELLED = re.compile(rf"(?<![{LATIN}])[{LATIN}](?: [{LATIN}])+(?![{LATIN}])")
_SPACE_NOT_INSIDE_LATIN = re.compile(rf"(?<![{LATIN}]) | (?![{LATIN}])")

# 壹 to 玖 are also surnames and parts of words (大陆, 队伍, 收拾), so only a run that begins with
# one of them and holds a 拾, 佰 or 仟 is a number.
_FORMAL = "壹贰叁肆伍陆柒捌玖"
_FORMAL_NUMBER = re.compile(rf"[{_FORMAL}](?=[{_FORMAL}零万亿]*[拾佰仟])[{_FORMAL}零拾佰仟万亿]+")
_FROM_FORMAL = str.maketrans(_FORMAL + "拾佰仟", "一二三四五六七八九十百千")

# Words in which 儿 is a child and is heard as a syllable of its own, each at its shortest. The rule
# of WeTextProcessing is made alike, of exceptions.
_CHILD = (
    "儿女|儿子|儿孙|儿媳|儿歌|儿童|儿科|儿戏|女儿|妻儿|胎儿|婴儿|生儿|幼儿|少儿|小儿|托儿|孤儿"
    "|养儿|育儿|患儿|健儿|男儿|孩儿|宠儿|产儿|血儿"
)
_ERHUA = re.compile(rf"{_CHILD}|(?<=[一-鿿])儿")

# Words with 一 often stand beside a number (三百一共, 统一二十) and are no part of it. 一样 and
# 一下 are words in 三百一样 and 300一样, but the end of a number in 十一下 (eleven times).
_AFTER_ONE = "定些共直起般旦切律致"
_WORD = rf"一[{_AFTER_ONE}]|(?<![{_HANZI_DIGIT}十])一[样下]|(?<![{_NUMERAL}])万一|统一|唯一"
_ARABIC_ONE_IN_WORD = re.compile(rf"(?<![0-9])1(?=[{_AFTER_ONE}样下])")
# A number begins with a digit or 十 (千万别 and 万 alone are words), and ends before such a word or
# the next percentage (百分之三十百分之五 is 30%, 5%). 两 belongs to it in 两百, not in 两个.
_TWO = f"两(?=[{_BIG}])"
_MORE = rf"(?!{_WORD}|百分之[{_NUMERAL}])(?:[{_DIGIT}十{_BIG}]|{_TWO})"
_NUMBER = re.compile(
    rf"(?P<word>{_WORD})"
    r"|(?<=百分之)(?P<whole>百)"
    # The 5 of 3.5万: the fraction of a 万, not fifty thousand.
    rf"|(?<=[{_DIGIT}十{_BIG}]点)(?P<fraction>[{_DIGIT}]+)(?=[万亿])"
    rf"|(?P<number>(?:[{_DIGIT}十]|{_TWO})(?:{_MORE})*)"
    rf"|(?<![{_NUMERAL}])(?P<two>两)(?![{_DIGIT}十])"
)

# One number with a unit in it, said in full (三百二十, not 三百二), in hanzi or digits.
_ONE_TO_NINE = "[1-9一二三四五六七八九两]"
_SECTION = (
    rf"(?:[1-9][0-9]{{0,3}}(?=[万亿])|(?:{_ONE_TO_NINE}千)?(?:零?{_ONE_TO_NINE}百)?"
    rf"(?:零?{_ONE_TO_NINE}?十)?(?:(?:零|(?<![百千万亿])){_ONE_TO_NINE})?)"
)
_WHOLE = re.compile(
    rf"(?=.*[十{_BIG}])(?!零)(?:{_SECTION}亿)?(?:零?{_SECTION}万)?(?:零?{_SECTION})?(?<!零)"
)


def normalise_for_scoring(text: str, fillers: Sequence[str] = (), erhua: Erhua = "keep") -> str:
    """Returns the text as it is scored: lower case, no punctuation, numbers in Arabic digits.

    Args:
        fillers: taken out wherever they stand, Latin ones as whole words. Name only what is never a
            part of a word: 嗯 and 呃, but not 额 (余额), 啊 or 那个.
        erhua: "fold" drops the 儿 of 这儿, 一会儿, 花儿, but not that of 女儿 or 儿童.

    Width, case, punctuation and tags; white space stays between Latin words only:

    >>> normalise_for_scoring("您好，ＡＢＣ　Bank！")
    '您好abc bank'
    >>> normalise_for_scoring("我 要 用 Wi-Fi, it's OK.")
    '我要用wifi its ok'
    >>> normalise_for_scoring("<|zh|>喂<SPOKEN_NOISE>你好")
    '喂你好'
    >>> [normalise_for_scoring(t) for t in ("喂[breath]你好😊(笑)", "下 A P P 的 V. I. P. 客户")]
    ['喂你好', '下app的vip客户']

    **Numbers become Arabic digits.** One string of digits is read in several ways (2024 as
    二零二四 or 两千零二十四; 320 as 三百二十, 三百二 or 三二零), and nobody can tell from "320"
    which it was. From hanzi to digits there is one answer, from digits to hanzi a guess, and a
    wrong guess counts several errors where none was made. The price: readings of one number are
    not told apart (三五 and 三十五, 二个 and 两个), and a number weighs as many characters as it
    has digits.

    >>> def all_of(*texts):
    ...     return sorted({normalise_for_scoring(text) for text in texts})
    >>> all_of("三百二十", "三百二", "320", "３２０")
    ['320']
    >>> all_of("两百", "二百"), all_of("一万二", "1万2", "12,000"), all_of("三万五百", "三万零五百")
    (['200'], ['12000'], ['30500'])
    >>> all_of("2024年", "二零二四年", "二〇二四年", "两千零二十四年")
    ['2024年']
    >>> all_of("3月15号", "三月十五号")
    ['3月15号']
    >>> all_of("138 1234 5678", "一三八一二三四五六七八", "幺三八幺二三四五六七八")
    ['13812345678']
    >>> all_of("5%", "百分之五"), all_of("100%", "百分之百", "百分之一百")
    (['百分之5'], ['百分之100'])

    A decimal point and the colon of a time are read 点. A fraction of 万 or 亿 keeps its unit:

    >>> all_of("3.5", "三点五"), all_of("12:30", "十二点三十"), all_of("3.5万", "三点五万")
    (['3点5'], ['12点30'], ['3点5万'])

    一 in a common word stays 一, and is not drawn into a number beside it. Elsewhere single digits
    are rewritten even inside a word: 1 and 一 then agree, and different texts stay different.

    >>> all_of("一样"), all_of("点一下", "点1下"), all_of("三百一共", "300一共"), all_of("十一下")
    (['一样'], ['点一下'], ['300一共'], ['11下'])
    >>> all_of("万一"), all_of("千万别"), all_of("第一个", "第1个"), all_of("两个", "2个")
    (['万一'], ['千万别'], ['第1个'], ['2个'])

    What is not one well-formed number keeps its units, so that 三四百 (three or four hundred) is
    never 3400, nor 两三个 twenty-three. Its digits are rewritten one by one: a 五 heard before 416
    must not turn the other digits into errors.

    >>> all_of("三四百"), all_of("十五六个"), all_of("两三个"), all_of("半斤八两"), all_of("老幺")
    (['34百'], ['十56个'], ['两3个'], ['半斤8两'], ['老幺'])
    >>> all_of("四百一十六"), all_of("五四百一十六"), all_of("三四万"), all_of("三百二二", "322")
    (['416'], ['54百1十6'], ['三四万'], ['322'])

    Formal numerals, as on cheques, are numbers where they cannot be anything else:

    >>> all_of("壹仟贰佰元", "一千二百元", "1200元"), all_of("大陆", "大陆"), all_of("收拾")
    (['1200元'], ['大陆'], ['收拾'])

    Amounts with 块 and 毛 are numbers and words: 三块五 is 3块5, and differs from 3.5元 and from
    三块五毛, since other syllables were said. Whoever hears 块 for 元 made an error.

    >>> all_of("三块五", "3块5"), all_of("三块五毛", "3块5毛"), all_of("三点五元", "3.5元")
    (['3块5'], ['3块5毛'], ['3点5元'])

    **Fillers and erhua**, where the options ask for it:

    >>> [normalise_for_scoring("嗯，要三百呃二 Um OK", f) for f in ([], ["嗯", "呃", "um"])]
    ['嗯要300呃2um ok', '要320ok']
    >>> normalise_for_scoring("余额，umbrella", ["嗯", "um"])
    '余额umbrella'
    >>> [normalise_for_scoring("一会儿在这儿等女儿", erhua=erhua) for erhua in ("fold", "keep")]
    ['1会在这等女儿', '1会儿在这儿等女儿']

    Numbers that are said one after another are two, where each is said in full, with its units:

    >>> all_of("三十万三十万", "30万30万"), all_of("三百三百", "300 300"), all_of("一百二二百三")
    (['300000300000'], ['300300'], ['1百22百3'])

    Not covered: ￥, fractions (1/3), minus signs, dates as 2024-03-15, ranges (3-5), traditional
    characters.
    """
    before = None
    while before != text:  # one may hide another; in the order of clean_transcript
        before = text
        text = unicodedata.normalize("NFKC", without_emoji(without_tags(text)))
        text = without_invisible(text)
    text = text.lower().replace("〇", "零")
    text = _PERCENT.sub(r"百分之\1", text)
    text = _POINT.sub("点", text)
    text = _characters(_JOINER.sub("", text))
    if fillers:
        text = _characters(_fillers(tuple(fillers)).sub(" ", text))
    text = _SPELLED.sub(lambda match: match.group().replace(" ", ""), text)
    if erhua == "fold":
        text = _ERHUA.sub(lambda match: "" if match.group() == "儿" else match.group(), text)
    # Numbers come last: whether a text has punctuation or fillers must not change how it is read.
    text = _FORMAL_NUMBER.sub(lambda match: match.group().translate(_FROM_FORMAL), text)
    return _NUMBER.sub(_in_digits, _ARABIC_ONE_IN_WORD.sub("一", text))


def _characters(text: str) -> str:
    """Returns the text without punctuation, and without white space but between Latin words."""
    return _SPACE_NOT_INSIDE_LATIN.sub("", _NOT_A_CHARACTER.sub(" ", text))


@lru_cache(maxsize=8)
def _fillers(words: tuple[str, ...]) -> re.Pattern[str]:
    """Returns a pattern of the words, the longest first."""
    plain = [_characters(unicodedata.normalize("NFKC", word).lower()).strip() for word in words]
    longest_first = sorted(filter(None, plain), key=len, reverse=True)
    return re.compile("|".join(map(_whole_word, longest_first)) or "(?!)")  # (?!) is never found


def _whole_word(word: str) -> str:
    """Returns a pattern of a word, which neither begins nor ends between Latin letters; between
    hanzi nobody can tell."""
    start = f"(?<![{LATIN}])" if re.match(f"[{LATIN}]", word) else ""
    end = f"(?![{LATIN}])" if re.match(f"[{LATIN}]", word[-1]) else ""
    return start + re.escape(word) + end


def _in_digits(match: re.Match[str]) -> str:
    found = match.group()
    match match.lastgroup:
        case "word":
            return found
        case "whole":
            return "100"
        case "two":
            return "2"
        case "fraction":
            return found.translate(_TO_ARABIC)
    return _number(found)


@lru_cache(maxsize=10_000)
def _number(numeral: str) -> str:
    """Writes a run of numerals in Arabic digits; if it is not one number, its digits alone."""
    if numeral == "幺":  # alone it is a word: 老幺, 幺妹
        return numeral
    digits_alone = numeral.translate(_TO_ARABIC)
    if not re.search(f"[十{_BIG}]", numeral):
        return digits_alone  # read digit by digit, leading zeros kept
    if (value := _value(numeral)) is not None:
        return value
    if series := _series(numeral):
        return "".join(map(_number, series))
    # 三百二二 comes out as 3百22, which is 322. But 三四万 is no 34万, nor 三四万三万 34万 and 3万:
    # these stay as they are.
    value = _value(digits_alone)
    if value is None and not _series(digits_alone):
        return digits_alone
    return value if value == re.sub("[^0-9]", "", digits_alone) else numeral


def _series(numeral: str) -> list[str]:
    """Cuts up whole numbers said one after another, none a digit alone: 三四百 is no 3, 400.

    Empty where it is none. The longest number that leaves numbers behind it comes first.
    """
    bare = numeral.startswith("十")  # 十五十六; but in 二十三十 the second 十 has its 三
    for end in range(len(numeral), 0, -1):
        first, rest = numeral[:end], numeral[end:]
        if not _WHOLE.fullmatch(first) or _value(first) is None:
            continue
        if not rest:
            return [first]
        if (bare or not rest.startswith("十")) and (following := _series(rest)):
            return [first, *following]
    return []


def _value(numeral: str) -> str | None:
    """Returns the value of a number with 十, 百, 千, 万 or 亿 in it, as digits; None where it is
    not well formed."""
    # cn2an takes 三百零, a number cut off, for 300.
    if re.search(r"[0-9]{5}|[0-9]{2}[十百千]|(?<![0-9])0[0-9]|幺|零$", numeral):
        return None
    spelled = re.sub(r"[0-9]+", lambda digits: an2cn(digits.group()), numeral).replace("两", "二")
    # 三百二 is 三百二十. cn2an knows this too, but fails on 一亿二 and takes 三四百二 for 720.
    if ending := re.search(r"([百千万亿])[一二三四五六七八九]$", spelled):
        spelled += {"百": "十", "千": "百", "万": "千", "亿": "千万"}[ending.group(1)]
    try:
        return str(cn2an(spelled, "normal"))
    except (ValueError, KeyError):  # KeyError: cn2an on 一百零十五
        return None
