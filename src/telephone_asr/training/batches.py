"""Which utterances go into which step, and what the model is given of them.

Everything here is a function of (seed, epoch) and of the manifest: a run that was interrupted makes
the same batches again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from telephone_asr.errors import InputError
from telephone_asr.model.devices import enough_memory
from telephone_asr.model.fun_asr_nano import Batch, adapt, adapted_rows, encode
from telephone_asr.training.frozen import FrozenOutputs

if TYPE_CHECKING:
    from pathlib import Path

    from telephone_asr.manifests.messages import Example
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.shards import SoundIndex

ROW_BYTES = 560 * 4  # 7 frames of 80 mel bands, float32
LOWER_MAX_BATCH_ROWS = "lower train.max_batch_rows in params.yaml"
LEVELS = ("features", "encoded", "adapted")  # how far frozen parts have been computed beforehand


def low_rate_frames(example: Example) -> int:
    """Rows of the encoder's input: 60 ms each."""
    return -(-example.speech_length // 6)


def features_mb(examples: Sequence[Example]) -> float:
    """Returns the memory that their features take, in MiB."""
    return sum(map(low_rate_frames, examples)) * ROW_BYTES / 2**20


def schedule(
    lengths: Sequence[int], max_batch_rows: int, epochs: int, seed: int
) -> list[list[int]]:
    """Batches of indices for a whole training, in order.

    A batch holds utterances of similar length and at most `max_batch_rows`, padding counted (one
    utterance longer than that makes a batch by itself). Every epoch is drawn anew.
    """
    sizes = np.asarray(lengths, dtype=float)
    batches = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        # Sorting by a length that is blurred by a tenth mixes the batches from epoch to epoch.
        order = np.argsort(sizes * rng.uniform(0.9, 1.1, len(sizes)), kind="stable")
        in_epoch = _cut_up(order.tolist(), lengths, max_batch_rows)
        batches += [in_epoch[i] for i in rng.permutation(len(in_epoch))]
    return batches


def in_order(lengths: Sequence[int], max_batch_rows: int) -> list[list[int]]:
    """Batches from the shortest utterance to the longest, for decoding and for frozen parts."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    return _cut_up(order, lengths, max_batch_rows)


def largest(
    batches: Sequence[Sequence[int]], lengths: Sequence[int], tokens: Sequence[int]
) -> list[int]:
    """Returns the places of the batches that may take most memory.

    Those with most rows (padding counted), with most attention (rows by rows of an utterance) and
    with most predicted tokens: each of these takes gigabytes, and which takes most depends on the
    model, the stage and the speech.

    Args:
        lengths: rows of each utterance.
        tokens: of each transcript.
    """
    rows = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    attention = [n * max(lengths[i] for i in batch) for n, batch in zip(rows, batches, strict=True)]
    logits = [sum(tokens[i] + 1 for i in batch) for batch in batches]
    return sorted({sizes.index(max(sizes)) for sizes in (rows, attention, logits) if sizes})


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
    """Utterances of (T, D) each, padded to one batch."""
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(keys, pad_sequence(rows, batch_first=True), lengths, prompts, texts)


class Inputs(torch.utils.data.Dataset):
    """What the model is given of each example: its features, or a frozen part's output for them.

    Features are kept in memory as far as `cache_mb` goes, and computed again each time beyond that;
    a frozen part's outputs are read from disk. Processes that read ahead keep nothing: an utterance
    seldom comes to the same of them again.

    sounds: by the examples' sources. Two corpora may have one key: a recording called sim-a, and
    what was simulated of a.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        sounds: Mapping[str, SoundIndex],
        frontend: Frontend,
        cache_mb: float,
    ):
        self.examples = list(examples)
        self.lengths = [low_rate_frames(example) for example in examples]
        self.level = "features"
        self._sounds = sounds
        self._frontend = frontend
        self._kept: dict[int, torch.Tensor] = {}
        self._room_bytes = round(cache_mb * 2**20)
        self._outputs: FrozenOutputs | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> torch.Tensor:
        """(T, D) float32."""
        if self._outputs is not None:
            return self._outputs[index]
        if index in self._kept:
            return self._kept[index]
        key, source = self.examples[index].key, self.examples[index].source
        if key not in self._sounds.get(source, ()):
            raise InputError(
                f"the manifest of {source} names utterance {key}, but no shard holds it: run "
                "`dvc repro`."
            )
        features = self._frontend(*self._sounds[source].read(key))
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

    def advance(
        self,
        nano: FunASRNano,
        level: str,
        max_batch_rows: int,
        directory: Path,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Replaces the features by a frozen part's outputs, computed once and kept in `directory`.

        The batches here are always the same, so that every training sees the same bytes.

        Args:
            level: of LEVELS, not the first.
            share: rank, of how many processes that each compute their share; all must be through
                before anything is read.
        """
        outputs = FrozenOutputs(
            directory, [i for b in in_order(self.lengths, max_batch_rows) for i in b]
        )
        outputs.fill(lambda part: frozen_rows(nano, self, level, part, max_batch_rows), share)
        self._outputs, self.level = outputs, level
        self._kept.clear()

    def _keep(self, index: int, features: torch.Tensor) -> None:
        size = features.numel() * features.element_size()
        if size <= self._room_bytes and torch.utils.data.get_worker_info() is None:
            self._kept[index] = features
            self._room_bytes -= size


@torch.inference_mode()
def frozen_rows(
    nano: FunASRNano, inputs: Inputs, level: str, indices: Sequence[int], max_batch_rows: int
) -> list[torch.Tensor]:
    """What the model's parts up to `level` make of some utterances, (T, D) of each."""
    device = next(nano.model.parameters()).device
    rows: dict[int, torch.Tensor] = {}
    for places in in_order([inputs.lengths[i] for i in indices], max_batch_rows):
        batch = inputs.batch([indices[place] for place in places])
        with enough_memory("frozen parts' outputs", batch.inputs, LOWER_MAX_BATCH_ROWS):
            hidden, lengths = encode(nano, batch.inputs.to(device), batch.lengths.to(device))
            if level == "adapted":
                hidden, lengths = adapt(nano, hidden, lengths)
        for place, row, length in zip(places, hidden, lengths.tolist(), strict=True):
            rows[place] = row[:length]
    return [rows[place] for place in range(len(indices))]


def output_bytes(nano: FunASRNano, level: str, lengths: Sequence[int]) -> int:
    """Returns what frozen parts' outputs take on disk, of utterances of so many rows."""
    rows = torch.tensor(lengths)
    if level == "encoded":
        return int(rows.sum()) * nano.model.audio_encoder.output_size() * 4
    width = nano.model.llm.get_input_embeddings().embedding_dim
    return int(adapted_rows(nano, rows).sum()) * width * 4
