"""Which utterances go into which step, and what the model is given of them.

Everything here is a function of (seed, epoch) and of the manifest: a run that was interrupted makes
the same batches again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from telephone_asr.errors import InputError
from telephone_asr.model.fun_asr_nano import Batch, adapt, encode

if TYPE_CHECKING:
    from telephone_asr.manifests.messages import Example
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.shards import SoundIndex

LEVELS = ("features", "encoded", "adapted")  # how far frozen parts have been computed beforehand


def low_rate_frames(example: Example) -> int:
    """Rows of the encoder's input: 60 ms each."""
    return -(-example.speech_length // 6)


def schedule(lengths: Sequence[int], max_frames: int, epochs: int, seed: int) -> list[list[int]]:
    """Batches of indices for a whole training, in order.

    A batch holds utterances of similar length and at most `max_frames` rows, padding counted (one
    utterance longer than that makes a batch by itself). Every epoch is drawn anew.
    """
    sizes = np.asarray(lengths, dtype=float)
    batches = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        # Sorting by a length that is blurred by a tenth mixes the batches from epoch to epoch.
        order = np.argsort(sizes * rng.uniform(0.9, 1.1, len(sizes)), kind="stable")
        in_epoch = _cut_up(order.tolist(), lengths, max_frames)
        batches += [in_epoch[i] for i in rng.permutation(len(in_epoch))]
    return batches


def in_order(lengths: Sequence[int], max_frames: int) -> list[list[int]]:
    """Batches from the shortest utterance to the longest, for decoding and for frozen parts."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    return _cut_up(order, lengths, max_frames)


def _cut_up(order: list[int], lengths: Sequence[int], max_frames: int) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, lengths[index])
        if not batches or (len(batches[-1]) + 1) * longest > max_frames:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    return batches


def collate(
    keys: list[str], rows: list[torch.Tensor], prompts: list[str], texts: list[str]
) -> Batch:
    """Utterances of (T, D) each, padded to one batch."""
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(keys, pad_sequence(rows, batch_first=True), lengths, prompts, texts)


class Inputs(torch.utils.data.Dataset):
    """What the model is given of each example: its features, or a frozen part's output for them.

    Kept in memory as far as `cache_mb` goes; features that do not fit are computed again each time.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        sounds: Sequence[SoundIndex],
        frontend: Frontend,
        cache_mb: int,
    ):
        self.examples = list(examples)
        self.lengths = [low_rate_frames(example) for example in examples]
        self.level = "features"
        self._sounds = sounds
        self._frontend = frontend
        self._kept: dict[int, torch.Tensor] = {}
        self._room_bytes = cache_mb * 2**20

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> torch.Tensor:
        """(T, D) float32."""
        if index in self._kept:
            return self._kept[index]
        key = self.examples[index].key
        source = next((sounds for sounds in self._sounds if key in sounds), None)
        if source is None:
            raise InputError(
                f"the manifest names utterance {key}, but no shard holds it: run `dvc repro`."
            )
        features = self._frontend(*source.read(key))
        self._keep(index, features)
        return features

    def batch(self, indices: Sequence[int]) -> Batch:
        examples = [self.examples[i] for i in indices]
        return collate(
            keys=[example.key for example in examples],
            rows=[self[i] for i in indices],
            prompts=[example.prompt for example in examples],
            texts=[example.text for example in examples],
        )

    @torch.inference_mode()
    def advance(self, nano: FunASRNano, level: str, max_frames: int) -> None:
        """Replaces the features by a frozen part's output, computed once for the whole training.

        Nothing happens where the outputs would not fit into memory. The batches here are always the
        same, so that a training that goes on after an interruption sees the same bytes.
        """
        if level == "features" or not self.examples:
            return
        width = nano.model.audio_encoder.output_size()
        if level == "adapted":
            width = nano.model.llm.get_input_embeddings().embedding_dim
        if sum(self.lengths) * width * 4 > self._room_bytes:
            return
        outputs: dict[int, torch.Tensor] = {}
        device = next(nano.model.parameters()).device
        for indices in in_order(self.lengths, max_frames):
            batch = self.batch(indices)
            hidden, lengths = encode(nano, batch.inputs.to(device), batch.lengths.to(device))
            if level == "adapted":
                hidden, lengths = adapt(nano, hidden, lengths)
            for index, row, length in zip(indices, hidden, lengths.tolist(), strict=True):
                outputs[index] = row[:length].float().cpu().clone()
                self._kept.pop(index, None)
        self._kept = outputs
        self.level = level

    def _keep(self, index: int, features: torch.Tensor) -> None:
        size = features.numel() * features.element_size()
        if size <= self._room_bytes:
            self._kept[index] = features
            self._room_bytes -= size
