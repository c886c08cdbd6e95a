"""Which utterances go into which batch.

Everything here is a function of (seed, epoch) and of the manifest: a run that was interrupted makes
the same batches again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from telephone_asr.model.fun_asr_nano import Batch

if TYPE_CHECKING:
    from telephone_asr.manifests.messages import Example

ROW_BYTES = 560 * 4  # 7 frames of 80 mel bands, float32
LOWER_BATCH_ROWS = "lower train.max_batch_rows in params.yaml"


def low_rate_frames(example: Example) -> int:
    """Returns the rows of the encoder's input: 60 ms each."""
    return -(-example.speech_length // 6)


def features_mb(examples: Sequence[Example]) -> float:
    """Returns the memory that their features take, in MiB."""
    return sum(map(low_rate_frames, examples)) * ROW_BYTES / 2**20


def schedule(
    lengths: Sequence[int],
    max_batch_rows: int,
    epochs: int,
    seed: int,
    drawn: int = 0,
    of: int = 0,
) -> list[list[int]]:
    """Draws batches of indices for a whole training, in their order.

    A batch holds utterances of similar length and at most `max_batch_rows` rows, padding counted
    (one utterance longer than that makes a batch by itself). Every epoch is drawn anew.

    Args:
        drawn, of: each epoch has so many of the last `of` utterances, and all that are before them.
            Where there are fewer, all of them come before one comes again.
    """
    sizes = np.asarray(lengths, dtype=float)
    always = np.arange(len(sizes) - of)
    batches = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        chosen = np.concatenate([always, len(always) + _draw(of, drawn, [seed, epoch, 1])])
        # Sorting by a length that is blurred by a tenth mixes the batches from epoch to epoch.
        blurred = sizes[chosen] * rng.uniform(0.9, 1.1, len(chosen))
        order = chosen[np.argsort(blurred, kind="stable")]
        in_epoch = _cut_up(order.tolist(), lengths, max_batch_rows)
        batches += [in_epoch[i] for i in rng.permutation(len(in_epoch))]
    return batches


def _draw(of: int, drawn: int, entropy: list[int]) -> np.ndarray:
    """Draws so many of `of` numbers, none a second time before all have been drawn."""
    rng = np.random.default_rng(entropy)
    rounds = -(-drawn // of) if of else 0
    return np.concatenate([np.zeros(0, int), *(rng.permutation(of) for _ in range(rounds))])[:drawn]


def in_order(lengths: Sequence[int], max_batch_rows: int) -> list[list[int]]:
    """Returns batches from the shortest utterance to the longest, where order does not matter."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    return _cut_up(order, lengths, max_batch_rows)


def largest(
    batches: Sequence[Sequence[int]], lengths: Sequence[int], tokens: Sequence[int]
) -> list[int]:
    """Returns the places of the batches that may take most memory.

    Those with most rows (padding counted), with most attention (rows by rows of an utterance), with
    most predicted tokens and with most utterances, whose prompts may differ: each of these takes
    gigabytes, and which takes most depends on the model, the stage and the speech.

    Args:
        lengths: rows of each utterance.
        tokens: of each transcript.
    """
    rows = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    attention = [n * max(lengths[i] for i in batch) for n, batch in zip(rows, batches, strict=True)]
    logits = [sum(tokens[i] + 1 for i in batch) for batch in batches]
    sizes = [len(batch) for batch in batches]
    return sorted({own.index(max(own)) for own in (rows, attention, logits, sizes) if own})


def _cut_up(order: list[int], lengths: Sequence[int], max_batch_rows: int) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, lengths[index])
        if not batches or (len(batches[-1]) + 1) * longest > max_batch_rows:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    return batches


def collate(
    keys: list[str], rows: list[torch.Tensor], prompts: list[str], texts: list[str]
) -> Batch:
    """Pads utterances of (T, D) each to one batch."""
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(keys, pad_sequence(rows, batch_first=True), lengths, prompts, texts)
