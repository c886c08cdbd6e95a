"""Where in the sound each character of a known text is, by the CTC branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from telephone_asr.dataset.batching import LOWER_BATCH_ROWS, in_order
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.model.devices import enough_memory
from telephone_asr.model.fun_asr_nano import ctc_text, ctc_tokens, encode

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.pretrained import FunASRNano

UNFINISHED = "\ufffd"  # in what tokens of half a character are decoded to


@torch.inference_mode()
def character_borders(
    nano: FunASRNano, dataset: SpeechDataset, max_batch_rows: int
) -> list[list[int]]:
    """Returns the rows (60 ms) where each utterance's characters begin, and the end of the last.

    Characters that are one token together (digits, letters) share its rows evenly; punctuation, for
    which the branch writes nothing, has none. An utterance with fewer rows than tokens gets an
    empty list.
    """
    borders: list[list[int]] = [[]] * len(dataset)
    device = next(nano.model.parameters()).device
    for indices in in_order(dataset.lengths, max_batch_rows):
        batch = dataset.batch(indices)
        with enough_memory("borders between characters", batch.inputs, LOWER_BATCH_ROWS):
            hidden, lengths = batch.inputs.to(device), batch.lengths.to(device)
            if dataset.input_stage == "features":  # else they are the encoder's outputs
                hidden, lengths = encode(nano, hidden, lengths)
            log_probs = Encoded(nano, hidden, lengths).log_probs
        for index, own in zip(indices, log_probs, strict=True):
            text = dataset.examples[index].text
            tokens = ctc_tokens(nano, text)
            by_token = token_borders(own.cpu(), tokens, nano.model.blank_id)
            borders[index] = spread_over_characters(nano, text, tokens, by_token)
    return borders


def aligned_probabilities(
    log_probs: torch.Tensor, tokens: Sequence[int], rows: Sequence[tuple[int, int]]
) -> list[float]:
    """Returns the largest probability that each token has in the rows that it is aligned with, as
    `token_rows` returns them."""
    return [
        float(log_probs[begin : end + 1, token].max().exp())
        for token, (begin, end) in zip(tokens, rows, strict=True)
    ]


def characters_of(nano: FunASRNano, tokens: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yields how many characters are written by tokens, of the fewest that write whole ones: the
    first, the one behind the last, and the characters."""
    begun = characters = 0
    for end in range(1, len(tokens) + 1):
        written = nano.model.ctc_tokenizer.decode(tokens[:end]).rstrip(UNFINISHED)
        if len(written) > characters:
            yield begun, end, len(written) - characters
            begun, characters = end, len(written)


def spread_over_characters(
    nano: FunASRNano, text: str, tokens: list[int], borders: list[int]
) -> list[int]:
    """Returns the borders of a text's characters from those of its tokens; none of none."""
    if not borders:
        return []
    starts = [
        borders[begin] + (borders[end] - borders[begin]) * i // n
        for begin, end, n in characters_of(nano, tokens)
        for i in range(n)
    ]
    if len(starts) != len(ctc_text(nano, text)):
        return []
    places = iter([*starts, borders[-1]])
    place, found = next(places), []
    for character in text:
        found.append(place)
        if ctc_text(nano, character):
            place = next(places)
    return [*found, borders[-1]]


def token_borders(log_probs: torch.Tensor, tokens: list[int], blank: int) -> list[int]:
    """Sets borders half way between the end of one token and the beginning of the next."""
    rows = token_rows(log_probs, tokens, blank)
    return [0, *middles(rows), len(log_probs)] if rows else []


def middles(rows: Sequence[tuple[int, int]]) -> list[int]:
    """Returns the borders between tokens, half way."""
    return [(end + start + 1) // 2 for (_, end), (start, _) in pairwise(rows)]


def token_rows(log_probs: torch.Tensor, tokens: list[int], blank: int) -> list[tuple[int, int]]:
    """Returns the first and the last row of each token; none where there are too few rows."""
    from torchaudio.functional import forced_align

    repeats = sum(a == b for a, b in pairwise(tokens))
    if not tokens or len(log_probs) < len(tokens) + repeats:  # equal ones need a blank between
        return []
    path = forced_align(log_probs[None].contiguous(), torch.tensor([tokens]), blank=blank)[0][0]
    rows: list[tuple[int, int]] = []
    before = blank
    for row, token in enumerate(path.tolist()):
        if token != blank and token != before:
            rows.append((row, row))
        elif token != blank:
            rows[-1] = (rows[-1][0], row)
        before = token
    return rows
