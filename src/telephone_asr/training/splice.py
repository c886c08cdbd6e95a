"""New utterances out of pieces of others, cut at the characters' borders.

A small language model with an hour of speech learns its sentences by heart before it learns to
listen. Pieces put together at random have nothing to learn by heart, and short ones show soonest
which sound is which character: a training begins with them. The cuts come from forced alignment
with the CTC branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from telephone_asr.dataset.batching import collate

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.fun_asr_nano import Batch

LONGEST = 15  # characters of a spliced utterance
LONGEST_PIECE = 8
SHARE = 0.5  # of a batch that is spliced
# The first steps have nothing but spliced utterances, of one or two characters at first and of more
# and more later; they are short, so a batch has twice as many.
OPENING = 0.2  # of the steps


@dataclass
class Splicer:
    """Makes batches in which a share of the utterances is put together from pieces.

    Args:
        dataset: of encoder outputs, or features: rows of 60 ms either way.
        borders: for each utterance the rows at which its characters begin, and its end.
        batches: indices into `dataset`, one list a step.
    """

    dataset: SpeechDataset
    borders: list[list[int]]
    batches: list[list[int]]
    seed: int

    def batch(self, step: int) -> Batch:
        """Returns the batch of a step: a function of the seed and the step alone."""
        rng = np.random.default_rng([self.seed, step])
        # What nobody speaks in stays whole.
        examples = self.dataset.examples
        silent = [i for i in self.batches[step] if not examples[i].text]
        indices = [i for i in self.batches[step] if examples[i].text]
        opened = step / (OPENING * len(self.batches))
        if opened < 1:
            n_spliced, longest = 2 * len(indices), 2 + int(opened * (LONGEST - 1))
            whole = []
        else:
            n_spliced, longest = int(SHARE * len(indices)), LONGEST
            whole = indices[: len(indices) - n_spliced]
        whole = whole + silent
        own = [examples[i] for i in whole]
        rows = [self.dataset[i] for i in whole]
        texts = [example.text for example in own]
        for _ in range(n_spliced):
            row, text = self._spliced(rng, longest)
            rows.append(row)
            texts.append(text)
        prompt = examples[self.batches[step][0]].prompt
        return collate(
            keys=[example.key for example in own],
            rows=rows,
            prompts=[e.prompt for e in own] + [prompt] * n_spliced,
            texts=texts,
        )

    def _spliced(self, rng: np.random.Generator, longest: int) -> tuple[torch.Tensor, str]:
        wanted = int(rng.integers(1, longest + 1))
        pieces, text = [], ""
        while len(text) < wanted:
            index = int(rng.integers(len(self.dataset)))
            borders, whole = self.borders[index], self.dataset.examples[index].text
            size = min(int(rng.integers(1, LONGEST_PIECE + 1)), len(whole), wanted - len(text))
            if len(borders) != len(whole) + 1:  # could not be aligned: taken as it is
                start, size, borders = 0, len(whole), [0] * len(whole) + [len(self.dataset[index])]
            else:
                start = int(rng.integers(0, len(whole) - size + 1))
            if borders[start] == borders[start + size]:  # punctuation alone: there is no sound
                continue
            pieces.append(self.dataset[index][borders[start] : borders[start + size]])
            text += whole[start : start + size]
        return torch.cat(pieces), text
