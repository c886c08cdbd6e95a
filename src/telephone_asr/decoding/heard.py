"""Sound that a model hears once: what its encoder makes of it is kept, to be written down under one
prompt after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from telephone_asr import processes
from telephone_asr.model.frontend import Frontend

if TYPE_CHECKING:
    import torch

    from telephone_asr.dataset.speech import Sounds, SpeechDataset
    from telephone_asr.decoding.encoded import Encoded
    from telephone_asr.manifests.messages import Example
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.params import Decode


def listen(
    nano: FunASRNano,
    dataset: SpeechDataset,
    decode: Decode,
    share: tuple[int, int] = (0, 1),
    kept: Collection[str] = (),
    words: Sequence[Sequence[str]] | None = None,
) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Returns all texts of a dataset, of which this process decodes its share (rank, of how many),
    and what the encoder made of those of its share that are to be kept, (T, D) by key.

    words: hotwords of each example; None: those of `decode`. What the CTC branch has to say is in
    the model's config."""
    from telephone_asr.decoding.branch import from_config
    from telephone_asr.decoding.recognise import transcribe
    from telephone_asr.decoding.spotting import Lists

    heard: dict[str, torch.Tensor] = {}

    def look(indices: Sequence[int], _: object, __: object, encoded: Encoded) -> None:
        rows, lengths = encoded.rows.cpu(), encoded.lengths.tolist()
        keys = [dataset.examples[i].key for i in indices]
        for key, row, length in zip(keys, rows, lengths, strict=True):
            if key in kept:
                heard[key] = row[:length].clone()  # not the whole batch

    if words is None and decode.hotwords:
        words = [decode.hotwords] * len(dataset)
    texts = transcribe(
        *(nano, dataset, decode.batch_size, decode.max_tokens),
        share=share,
        beams=decode.beams,
        hotwords=Lists(words, decode.hotword_floor) if words else None,
        look=look if kept else None,
        branch=from_config(nano.config),
    )
    return (texts if share == (0, 1) else processes.put_together(texts)), heard


def dataset_of(nano: FunASRNano, examples: Sequence[Example], sounds: Sounds) -> SpeechDataset:
    """Returns examples whose sound is read when they are heard. sounds: of all of them."""
    from telephone_asr.dataset.speech import SpeechDataset

    by_source = {example.source: sounds for example in examples}
    return SpeechDataset(examples, by_source, Frontend(nano.config["frontend_conf"]), cache_mb=0)


def evenly(examples: Sequence[Example], at_most: int) -> list[Example]:
    """Returns no more examples than that, from all over them."""
    return list(examples[:: -(-len(examples) // at_most)])


def heard_before(
    nano: FunASRNano,
    examples: Sequence[Example],
    heard: Mapping[str, torch.Tensor],
    sounds: Sounds,
) -> SpeechDataset:
    """Returns examples that need not be heard again; heard: as `listen` keeps it, of those that
    this process writes down."""
    dataset = dataset_of(nano, examples, sounds)
    rows = {i: heard[e.key] for i, e in enumerate(examples) if e.key in heard}
    dataset.take(rows, "encoded")
    return dataset
