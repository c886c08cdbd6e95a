"""Hotwords: how they stand in a prompt, which may, and which pieces of transcripts serve as some.

Chinese has no spaces between words, and a segmenter knows those of its dictionary, not the names
and products that hotwords are for. So a word here is a piece of a transcript, 2 to 4 units in a
row: the n-grams of the reference that contextual models are trained with (Pundak et al., "Deep
context: end-to-end contextual speech recognition", SLT 2018; FunASR's own dataset for such models,
AudioDatasetHotword, takes 2 to 8 characters). A unit is a hanzi, a number or a Latin word as a
whole; a piece goes across no punctuation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, StrictStr

from telephone_asr.textfiles import printable

LONGEST = 4  # units of a piece; most Chinese names and words have 2 to 4 characters
# Between hotwords FunASR writes a comma, around them [ ]; its special tokens begin with <.
_OF_THE_PROMPT = re.compile(r"[<>\[\],，、\t]")
USABLE = "a word without < > [ ], commas and control characters, which the prompt is made of"
BEFORE, AFTER = (
    "请结合上下文信息，更加准确地完成语音转写任务。如果没有相关信息，我们会留空。\n\n\n"
    "**上下文信息：**\n\n\n热词列表：[",
    "]",
)
_UNIT = re.compile(r"[^\W\d_㐀-鿿]+|[0-9]+|[㐀-鿿]")


def with_hotwords(prompt: str, hotwords: Sequence[str]) -> str:
    """Returns the prompt with words to make likelier, as FunASR's `FunASRNano.get_prompt` has it.

    >>> with_hotwords("语音转写：", ["张三", "还款"]).splitlines()[-2:]
    ['热词列表：[张三, 还款]', '语音转写：']
    """
    if not hotwords:
        return prompt
    return f"{BEFORE}{', '.join(hotwords)}{AFTER}\n{prompt}"


def usable(word: str) -> str:
    """Returns a hotword as it is. Raises ValueError with what is expected (USABLE) where it is
    blank, or would end its list or the prompt."""
    if not word.strip() or _OF_THE_PROMPT.search(word) or printable(word) != word:
        raise ValueError(USABLE)
    return word


Hotword = Annotated[StrictStr, AfterValidator(usable)]


def pieces(text: str) -> list[str]:
    """Returns the pieces of a transcript that may be hotwords, each as often as it is there.

    >>> pieces("是的，尾号4625")
    ['是的', '尾号', '尾号4625', '号4625', '4625']
    >>> pieces("用 VIP 卡")
    ['用 VIP', '用 VIP 卡', 'VIP', 'VIP 卡']
    """
    spans = [match.span() for match in _UNIT.finditer(text)]
    found = []
    for first, (start, end) in enumerate(spans):
        if end - start > 1:  # a number or a Latin word by itself
            found.append(text[start:end])
        for begin, after in spans[first + 1 : first + LONGEST]:
            if text[end:begin] not in ("", " "):
                break
            end = after
            found.append(text[start:end])
    return found


def unit_counts(texts: Iterable[str]) -> Counter[str]:
    """Counts the units of transcripts, by which pieces are rare or not."""
    return Counter(unit for text in texts for unit in _UNIT.findall(text))


def draw(
    candidates: Iterable[str], counts: Mapping[str, int], n: int, rng: np.random.Generator
) -> list[str]:
    """Draws at most n different pieces, rare ones more often: by 1 / √ of how often the rarest unit
    of each is there, as word2vec draws its words (Mikolov et al., NIPS 2013)."""
    words = sorted(set(candidates))
    if not words:
        return []
    rarest = [min(counts.get(unit, 1) for unit in _UNIT.findall(word)) for word in words]
    weights = np.array([1 / math.sqrt(count) for count in rarest])
    chosen = rng.choice(len(words), min(n, len(words)), replace=False, p=weights / weights.sum())
    return [words[i] for i in chosen]


def draw_others(pool: Sequence[str], text: str, n: int, rng: np.random.Generator) -> list[str]:
    """Draws at most n different words of a pool that are not in a text: distractors."""
    some = rng.choice(len(pool), min(len(pool), 2 * n + 10), replace=False)
    return [pool[i] for i in some if pool[i] not in text][:n]
