"""What the model is given of each utterance: features, or what frozen parts make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

from telephone_asr.dataset.batching import LOWER_BATCH_ROWS, collate, in_order, low_rate_frames
from telephone_asr.dataset.precomputed import PrecomputedOutputs
from telephone_asr.errors import InputError
from telephone_asr.model.devices import enough_memory
from telephone_asr.model.fun_asr_nano import Batch, adapt, adapted_rows, encode

if TYPE_CHECKING:
    from pathlib import Path

    from telephone_asr.dataset.pad import Padding
    from telephone_asr.manifests.messages import Example
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import FunASRNano

# Where in the model its input enters: what comes before has been computed already.
InputStage = Literal["features", "encoded", "adapted"]
Change = Callable[[str, int, torch.Tensor], torch.Tensor]  # key, number of the copy, its features


class Sounds(Protocol):
    """Gives sound by utterance key, as `shards.SoundIndex` does."""

    def __contains__(self, key: str) -> bool: ...

    def read(self, key: str) -> tuple[np.ndarray, int]:
        """Returns samples (int16, mono) and the sample rate in Hz."""
        ...


class SoundsOfCopies(Protocol):
    """Gives sound that is another for each copy of an utterance, as `simulation.FreshSounds`."""

    def __contains__(self, key: str) -> bool: ...

    def read(self, key: str, speaker: str, copy: int) -> tuple[np.ndarray, int]:
        """Returns samples (int16, mono) and the sample rate in Hz."""
        ...


class SpeechDataset(torch.utils.data.Dataset):
    """Gives the model's input for each example: its features, or a frozen part's output for them.

    Features are kept in memory as far as `cache_mb` goes, and computed again each time beyond that;
    a frozen part's outputs are read from disk. Processes that read ahead keep nothing: an utterance
    seldom comes to the same of them again.

    Args:
        sounds: by the examples' sources. Two corpora may have one key: a recording called sim-a,
            and what was simulated of a.
        copies: so many of each example, one after all of the other; `change` makes them differ.
        clips: come after these, as they are.
        pad: gives copies quiet line before and after.
        fresh: in the place of `sounds`, for sources of which each copy has a sound of its own.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        sounds: Mapping[str, Sounds],
        frontend: Frontend,
        cache_mb: float,
        copies: int = 1,
        change: Change | None = None,
        clips: Sequence[Example] = (),
        pad: Padding | None = None,
        fresh: Mapping[str, SoundsOfCopies] | None = None,
    ):
        self.examples = [*list(examples) * copies, *clips]
        self._n_distinct, self._n_changed = len(examples), len(examples) * copies
        self._change, self._pad = change, pad
        self.lengths = [low_rate_frames(example) for example in self.examples]
        if pad is not None:
            for index, example in enumerate(self.examples[: self._n_changed]):
                self.lengths[index] += pad.rows(example.key, index // self._n_distinct)
        self.input_stage: InputStage = "features"
        self._sounds, self._fresh = sounds, fresh or {}
        self._frontend = frontend
        self._kept: dict[int, torch.Tensor] = {}
        self._room_bytes = round(cache_mb * 2**20)
        self._outputs: PrecomputedOutputs | Mapping[int, torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Returns (T, D) float32.

        Raises InputError where no shard holds the utterance.
        """
        if self._outputs is not None:
            return self._outputs[index]
        if index >= self._n_changed:
            return self._features(index)
        copy, place = divmod(index, self._n_distinct)
        rows = self._copied(place, copy)
        return self._change(self.examples[index].key, copy, rows) if self._change else rows

    def _copied(self, index: int, copy: int) -> torch.Tensor:
        """Returns the features of a copy: with a line or quiet of its own, which no other has."""
        example, pad = self.examples[index], self._pad
        if pad is not None and not any(pad.seconds(example.key, copy)):
            pad = None
        fresh = example.source in self._fresh
        if not fresh and pad is None:
            return self._features(index)
        samples, rate_hz = self._fresh_sound(index, copy) if fresh else self.sound(index)
        if pad is not None:
            samples = pad.padded(samples, rate_hz, example.key, copy)
        return self._frontend(samples, rate_hz)

    def _features(self, index: int) -> torch.Tensor:
        if index in self._kept:
            return self._kept[index]
        features = self._frontend(*self.sound(index))
        self._keep(index, features)
        return features

    def sound(self, index: int) -> tuple[np.ndarray, int]:
        """Returns an example's samples (int16, mono) and sample rate in Hz, as its shard has them.

        Raises InputError where no shard holds it.
        """
        example = self.examples[index]
        _check_held(example, self._sounds)
        return self._sounds[example.source].read(example.key)

    def _fresh_sound(self, index: int, copy: int) -> tuple[np.ndarray, int]:
        example = self.examples[index]
        _check_held(example, self._fresh)
        return self._fresh[example.source].read(example.key, example.speaker, copy)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Returns these examples, padded to one batch."""
        examples = [self.examples[i] for i in indices]
        return collate(
            keys=[example.key for example in examples],
            rows=[self[i] for i in indices],
            prompts=[example.prompt for example in examples],
            texts=[example.text for example in examples],
        )

    def precompute(
        self,
        nano: FunASRNano,
        input_stage: InputStage,
        max_batch_rows: int,
        directory: Path,
        shares: Sequence[tuple[int, int]] = ((0, 1),),
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Replaces the features by a frozen part's outputs, computed once and kept in `directory`.

        The batches here are always the same, so that every training sees the same bytes.

        Args:
            input_stage: encoded or adapted.
            shares: rank, of how many processes that each compute their share, one after the other.
            wait: returns when all processes are through with a share.
        """
        outputs = PrecomputedOutputs(
            directory, [i for b in in_order(self.lengths, max_batch_rows) for i in b]
        )
        for share in shares:
            outputs.fill(
                lambda part: frozen_rows(nano, self, input_stage, part, max_batch_rows), share
            )
            wait()
        self._outputs, self.input_stage = outputs, input_stage
        self._kept.clear()

    def take(self, outputs: Mapping[int, torch.Tensor], input_stage: InputStage) -> None:
        """Replaces the features by a part's outputs, (T, D) by the utterance's number, that are
        there already."""
        self._outputs, self.input_stage = outputs, input_stage

    def _keep(self, index: int, features: torch.Tensor) -> None:
        size = features.numel() * features.element_size()
        if size <= self._room_bytes and torch.utils.data.get_worker_info() is None:
            self._kept[index] = features
            self._room_bytes -= size


def _check_held(example: Example, sounds: Mapping[str, Sounds | SoundsOfCopies]) -> None:
    """Raises InputError where no shard holds the utterance."""
    if example.source not in sounds or example.key not in sounds[example.source]:
        raise InputError(
            f"the manifest of {example.source} names utterance {example.key}, but no shard holds "
            "it: run `dvc repro`."
        )


@torch.inference_mode()
def frozen_rows(
    nano: FunASRNano,
    dataset: SpeechDataset,
    input_stage: InputStage,
    indices: Sequence[int],
    max_batch_rows: int,
) -> list[torch.Tensor]:
    """Computes the frozen parts' outputs, (T, D) each, that enter the model at `input_stage`."""
    device = next(nano.model.parameters()).device
    rows: dict[int, torch.Tensor] = {}
    for places in in_order([dataset.lengths[i] for i in indices], max_batch_rows):
        batch = dataset.batch([indices[place] for place in places])
        with enough_memory("frozen parts' outputs", batch.inputs, LOWER_BATCH_ROWS):
            hidden, lengths = encode(nano, batch.inputs.to(device), batch.lengths.to(device))
            if input_stage == "adapted":
                hidden, lengths = adapt(nano, hidden, lengths)
        for place, row, length in zip(places, hidden, lengths.tolist(), strict=True):
            rows[place] = row[:length]
    return [rows[place] for place in range(len(indices))]


def output_bytes(nano: FunASRNano, input_stage: InputStage, lengths: Sequence[int]) -> int:
    """Returns the bytes on disk of frozen parts' outputs, for utterances of so many rows."""
    rows = torch.tensor(lengths)
    if input_stage == "encoded":
        return int(rows.sum()) * nano.model.audio_encoder.output_size() * 4
    width = nano.model.llm.get_input_embeddings().embedding_dim
    return int(adapted_rows(nano, rows).sum()) * width * 4
