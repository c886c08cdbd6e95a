"""Measures what lists of hotwords do: words that were said and come, others that come unsaid.

Each utterance has lists of its own, as in tests of contextual models (Le et al., "Contextualized
streaming end-to-end speech recognition with trie-based deep biasing and shallow fusion",
Interspeech 2021): its words, and distractors up to a length. They are drawn by its id and the test
set's transcripts alone, so that they are the same for every checkpoint and seed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.channel.portable import generator
from telephone_asr.manifests.hotwords import draw, draw_others, pieces, unit_counts
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.compare import bootstrap_interval
from telephone_asr.scoring.content import find
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.scoring.options import Scoring

LONGEST = 100  # words
# How many words a list has, and whether those that are said are among them.
LISTS = {"0": (0, True), "10": (10, True), "100": (LONGEST, True), "100_unsaid": (LONGEST, False)}
MEASURES = {"cer": 1, "recall": 1, "insertions_per_1000": 1000}  # each a rate times so many
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True)
class Words:
    """Holds the words of one utterance's lists, spelled as both the transcript and what texts are
    normalised to have them."""

    key: str
    said: list[str]
    others: list[str]  # LONGEST that its transcript does not hold, if there are as many

    def of_list(self, name: str) -> list[str]:
        """Returns the words of one of LISTS, in an order of its own."""
        length, holds_said = LISTS[name]
        words = self.said[:length] if holds_said else []
        words = words + self.others[: length - len(words)]
        generator(0, f"{name} {self.key}").shuffle(words)
        return words


def choose(texts: Mapping[str, str], more: Sequence[str], options: Scoring) -> list[Words]:
    """Chooses the words of each utterance: what it says, and what others say and it does not.

    An utterance says its names (`content.find`) or, where it has none, one of its pieces, drawn.
    What normalising changes (numbers, capitals) is no word.

    Args:
        texts: transcripts by key.
        more: further transcripts; words of theirs are among the others.
    """
    counts = unit_counts([*texts.values(), *more])

    def said(text: str, whole: str, key: str) -> list[str]:
        own = [name for name in dict.fromkeys(find("names", whole)) if name in text]
        plain = [p for p in pieces(whole) if p in text and not _DIGIT.search(p)]
        return own or draw(plain, counts, 1, generator(0, key))

    whole = {key: _normalised(text, options) for key, text in texts.items()}
    own = {key: said(text, whole[key], key) for key, text in texts.items()}
    others = (said(text, _normalised(text, options), text) for text in dict.fromkeys(more))
    pool = list(dict.fromkeys(word for words in (*own.values(), *others) for word in words))
    return [
        Words(key, own[key], draw_others(pool, text, LONGEST, generator(0, f"others {key}")))
        for key, text in whole.items()
    ]


def count(
    words: Sequence[Words], references: Sequence[str], texts: Sequence[str], options: Scoring
) -> dict[str, list[ErrorRate]]:
    """Counts, for each of the MEASURES, what it is the rate of in each utterance.

    All as errors are counted, so that intervals are made alike: recall has the said words as its
    length, and those that the text has too as errors; insertions are the other words in the text.
    Both are of the same words for all lists, so that a list's effect is the difference to "0".
    """
    errors = score(references, texts, **vars(options))
    recall, insertions = [], []
    for own, text, error in zip(words, texts, errors, strict=True):
        heard = _normalised(text, options)
        hits = sum(word in heard for word in own.said)
        unsaid = sum(heard.count(word) for word in own.others)
        recall.append(ErrorRate(substitutions=hits, length=len(own.said)))
        insertions.append(ErrorRate(insertions=unsaid, length=error.length))
    return dict(zip(MEASURES, (errors, recall, insertions), strict=True))


def rates(
    counts: Mapping[str, Sequence[ErrorRate]], speakers: Sequence[str], seed: int
) -> dict[str, float | int]:
    """Returns the MEASURES with their 95 % intervals by speaker, and what they are rates of: there
    is no recall without a said word."""
    totals = {name: sum(counts[name], ErrorRate()) for name in MEASURES}
    found: dict[str, float | int] = {}
    for name in (name for name, total in totals.items() if total.length):
        low, high = bootstrap_interval(counts[name], speakers, seed)
        if name == "recall":
            high = min(high, 1.0)
        values = [round(MEASURES[name] * value, 6) for value in (totals[name].rate, low, high)]
        found |= zip((name, f"{name}_low", f"{name}_high"), values, strict=True)
    return found | {"characters": totals["cer"].length, "words": totals["recall"].length}


def _normalised(text: str, options: Scoring) -> str:
    return normalise_for_scoring(text, options.fillers, options.erhua)
