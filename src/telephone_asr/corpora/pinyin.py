"""Hanzi into the syllables that are spoken."""

from __future__ import annotations


def syllables(text: str, readings: dict[str, str]) -> list[str]:
    """Returns the syllables of `text` as they are spoken, tones 1-5, ü as v.

    `readings` overrides the dictionaries of pypinyin phrase by phrase, longer phrases last. Then
    tone sandhi: 不 before a fourth tone is bu2, and in a run of third tones only the last is one.
    """
    import pypinyin

    said = pypinyin.lazy_pinyin(
        text,
        style=pypinyin.Style.TONE3,
        neutral_tone_with_five=True,
        errors=list,  # type: ignore[arg-type] # its annotation leaves out that it takes lists
    )
    for phrase in sorted(readings, key=len):
        start = text.find(phrase)
        while start >= 0:
            said[start : start + len(phrase)] = readings[phrase].split()
            start = text.find(phrase, start + len(phrase))
    for i, syllable in enumerate(said[:-1]):
        following = said[i + 1][-1]
        if syllable == "bu4" and following == "4":
            said[i] = "bu2"
        elif syllable[-1] == "3" and following == "3":
            said[i] = syllable[:-1] + "2"
    return said
