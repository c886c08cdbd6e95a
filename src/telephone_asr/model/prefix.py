"""What all utterances of a batch have the language model read first: computed once, not for each.

A telephone utterance is short; half of what the model reads is the prompt before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class _SharedLayer(DynamicLayer):
    """Puts keys and values of a prefix before those of each utterance.

    Other than Transformers' own layer it keeps none of the latter, so that it serves many batches,
    and serves again when a layer is computed anew in the backward pass.
    """

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> Any:
        return tuple(
            torch.cat([own.expand(len(new), -1, -1, -1).to(new.dtype), new], dim=-2)
            for own, new in ((self.keys, key_states), (self.values, value_states))
        )


def shared_prefix(rows: Sequence[Sequence[int]]) -> list[int]:
    """Returns the tokens that all of them begin with."""
    return [column[0] for column in takewhile(lambda c: len(set(c)) == 1, zip(*rows, strict=False))]


def read_prefix(llm: Any, tokens: Sequence[int]) -> Cache:
    """Computes the keys and values of these tokens, with gradients where the model trains."""
    embed = llm.get_input_embeddings()
    rows = embed(torch.tensor([list(tokens)], device=embed.weight.device))
    read = DynamicCache(config=llm.config)
    llm.get_decoder()(inputs_embeds=rows, past_key_values=read, use_cache=True)
    layers = []
    for layer in read.layers:
        shared = _SharedLayer()
        shared.lazy_initialization(layer.keys, layer.values)
        shared.keys, shared.values = layer.keys, layer.values
        layers.append(shared)
    return Cache(layers=layers)
