"""Prompts of training with lists of hotwords: words that are said, and others.

A model that is trained without lists may take one for what was said, or pay it no heed. The list of
a prompt is as long as chance will have it, and holds none, one or some words of the transcript; the
rest are distractors from other transcripts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from telephone_asr.manifests.hotwords import (
    draw,
    draw_others,
    pieces,
    unit_counts,
    with_hotwords,
)

if TYPE_CHECKING:
    from telephone_asr.model.fun_asr_nano import Batch

MOST_SAID = 3  # words of the transcript in a list
POOL = 10_000  # transcripts, and as many again at the most, that distractors come from
_STREAM = 4  # tells these draws from others by the seed and a step


class PromptLists:
    """Puts lists of words into the prompts of batches.

    Args:
        texts: all transcripts that are trained on.
        share: of the batches whose prompts hold lists, so of the prompts.
        most: words in a list; there are 1 to so many, fewer where the transcripts are too few. Long
            lists take most of the time, and are rare: half of the batches have none longer than
            the root of `most`.
        always: the numbers of batches that have lists in any case, and long ones: those whose
            memory is tried out.
    """

    def __init__(
        self,
        texts: Sequence[str],
        share: float,
        most: int,
        seed: int,
        always: Collection[int] = (),
    ):
        self._share, self._most, self._seed, self._always = share, most, seed, always
        some = texts[:: max(1, len(texts) // POOL)]
        self._counts = unit_counts(some)
        rng = np.random.default_rng([seed, 0, 0, _STREAM])
        words = (draw(pieces(text), self._counts, 1, rng) for text in some)
        self._pool = list(dict.fromkeys(chain.from_iterable(words)))

    def put_into(self, batch: Batch, number: int) -> Batch:
        """Returns a batch with lists in its prompts: a function of the seed and of the batch's
        number in the whole training.

        All prompts of a batch have a list, or none has: what they begin with is read once, and the
        others need not be padded to those with lists.
        """
        rng = np.random.default_rng([self._seed, number, _STREAM])
        if rng.random() >= self._share and number not in self._always:
            return batch
        most = self._most if number in self._always else round(self._most ** rng.random())
        prompts = [
            with_hotwords(prompt, self._words(text, most, rng))
            for prompt, text in zip(batch.prompts, batch.texts, strict=True)
        ]
        return replace(batch, prompts=prompts)

    def _words(self, text: str, most: int, rng: np.random.Generator) -> list[str]:
        size = int(rng.integers(1, most + 1))
        said = int(rng.integers(min(size, MOST_SAID) + 1))
        words = draw(pieces(text), self._counts, said, rng)
        words += draw_others(self._pool, text, size - len(words), rng)
        rng.shuffle(words)
        return words
