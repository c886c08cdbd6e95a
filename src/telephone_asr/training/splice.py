"""New utterances out of pieces of others, cut at the characters' borders.

A small language model with an hour of speech learns its sentences by heart before it learns to
listen. Pieces put together at random have nothing to learn by heart, and short ones show soonest
which sound is which character: a training begins with them. The cuts come from forced alignment
with the CTC branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from telephone_asr.model.devices import enough_memory
from telephone_asr.model.fun_asr_nano import ctc_log_probs, ctc_text, ctc_tokens, encode
from telephone_asr.training.batches import LOWER_MAX_BATCH_ROWS, Inputs, collate, in_order

if TYPE_CHECKING:
    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.model.pretrained import FunASRNano

UNFINISHED = "\ufffd"  # in what tokens of half a character are decoded to
LONGEST = 15  # characters of a spliced utterance
LONGEST_PIECE = 8
SHARE = 0.5  # of a batch that is spliced
# The first steps have nothing but spliced utterances, of one or two characters at first and of more
# and more later; they are short, so a batch has twice as many.
OPENING = 0.5  # of the steps


@dataclass
class Splicer:
    """Batches in which a share of the utterances is put together from pieces.

    Args:
        inputs: encoder outputs, or features: rows of 60 ms either way.
        borders: for each utterance the rows at which its characters begin, and its end.
        batches: indices into `inputs`, one list a step.
    """

    inputs: Inputs
    borders: list[list[int]]
    batches: list[list[int]]
    seed: int

    def batch(self, step: int) -> Batch:
        """The batch of a step: a function of the seed and the step alone."""
        rng = np.random.default_rng([self.seed, step])
        indices = self.batches[step]
        opened = step / (OPENING * len(self.batches))
        if opened < 1:
            n_spliced, longest = 2 * len(indices), 2 + int(opened * (LONGEST - 1))
            whole = []
        else:
            n_spliced, longest = int(SHARE * len(indices)), LONGEST
            whole = indices[: len(indices) - n_spliced]
        examples = [self.inputs.examples[i] for i in whole]
        rows = [self.inputs[i] for i in whole]
        texts = [example.text for example in examples]
        for _ in range(n_spliced):
            row, text = self._spliced(rng, longest)
            rows.append(row)
            texts.append(text)
        prompt = self.inputs.examples[indices[0]].prompt
        return collate(
            keys=[example.key for example in examples],
            rows=rows,
            prompts=[e.prompt for e in examples] + [prompt] * n_spliced,
            texts=texts,
        )

    def _spliced(self, rng: np.random.Generator, longest: int) -> tuple[torch.Tensor, str]:
        wanted = int(rng.integers(1, longest + 1))
        pieces, text = [], ""
        while len(text) < wanted:
            index = int(rng.integers(len(self.inputs)))
            borders, whole = self.borders[index], self.inputs.examples[index].text
            size = min(int(rng.integers(1, LONGEST_PIECE + 1)), len(whole), wanted - len(text))
            if len(borders) != len(whole) + 1:  # could not be aligned: taken as it is
                start, size, borders = 0, len(whole), [0] * len(whole) + [len(self.inputs[index])]
            else:
                start = int(rng.integers(0, len(whole) - size + 1))
            if borders[start] == borders[start + size]:  # punctuation alone: there is no sound
                continue
            pieces.append(self.inputs[index][borders[start] : borders[start + size]])
            text += whole[start : start + size]
        return torch.cat(pieces), text


@torch.inference_mode()
def character_borders(nano: FunASRNano, inputs: Inputs, max_batch_rows: int) -> list[list[int]]:
    """For each utterance the rows (60 ms) where its characters begin, and the end of the last.

    Characters that are one token together (digits, letters) share its rows evenly; punctuation, for
    which the branch writes nothing, has none. An utterance with fewer rows than tokens gets an
    empty list.
    """
    borders: list[list[int]] = [[]] * len(inputs)
    device = next(nano.model.parameters()).device
    for indices in in_order(inputs.lengths, max_batch_rows):
        batch = inputs.batch(indices)
        with enough_memory("borders between characters", batch.inputs, LOWER_MAX_BATCH_ROWS):
            hidden, lengths = batch.inputs.to(device), batch.lengths.to(device)
            if inputs.level == "features":  # the encoder's outputs did not fit on the disk
                hidden, lengths = encode(nano, hidden, lengths)
            log_probs = ctc_log_probs(nano, hidden, lengths).cpu()
        for index, row, length in zip(indices, log_probs, batch.lengths.tolist(), strict=True):
            text = inputs.examples[index].text
            tokens = ctc_tokens(nano, text)
            by_token = _borders(row[:length], tokens, nano.model.blank_id) if tokens else []
            borders[index] = _by_character(nano, text, tokens, by_token)
    return borders


def _by_character(nano: FunASRNano, text: str, tokens: list[int], borders: list[int]) -> list[int]:
    """Borders of a text's characters from those of its tokens; none where there are none."""
    if not borders:
        return []
    starts: list[int] = []
    begun = 0  # the token with which the next character begins: it may be of several
    for n in range(len(tokens)):
        written = nano.model.ctc_tokenizer.decode(tokens[: n + 1]).rstrip(UNFINISHED)
        new = len(written) - len(starts)
        if new > 0:
            first, rows = borders[begun], borders[n + 1] - borders[begun]
            starts += [first + rows * i // new for i in range(new)]
            begun = n + 1
    if len(starts) != len(ctc_text(nano, text)):
        return []
    places = iter([*starts, borders[-1]])
    place, found = next(places), []
    for character in text:
        found.append(place)
        if ctc_text(nano, character):
            place = next(places)
    return [*found, borders[-1]]


def _borders(log_probs: torch.Tensor, tokens: list[int], blank: int) -> list[int]:
    """Borders half way between the end of one token and the beginning of the next."""
    from torchaudio.functional import forced_align

    repeats = sum(a == b for a, b in pairwise(tokens))
    if len(log_probs) < len(tokens) + repeats:  # CTC needs a blank between equal tokens
        return []
    path = forced_align(log_probs[None].contiguous(), torch.tensor([tokens]), blank=blank)[0][0]
    first, last, before = [], [], blank
    for row, token in enumerate(path.tolist()):
        if token != blank and token != before:
            first.append(row)
            last.append(row)
        elif token != blank:
            last[-1] = row
        before = token
    middles = [(end + start + 1) // 2 for end, start in zip(last, first[1:], strict=False)]
    return [0, *middles, len(log_probs)]
