"""Gradient checkpointing: layers keep their inputs alone and are computed again in the backward
pass (Chen et al., "Training deep nets with sublinear memory cost", 2016)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano


def recompute_layers(nano: FunASRNano) -> None:
    """Has every layer of the encoder and of the language model computed again, in place.

    Transformers' own switch does nothing for a frozen language model: it looks for training mode.
    """
    encoder = nano.model.audio_encoder
    layers = [*encoder.encoders0, *encoder.encoders, *encoder.tp_encoders]
    for layer in [*layers, *nano.model.llm.get_decoder().layers]:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
