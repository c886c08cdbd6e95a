"""The three graphs that sherpa-onnx runs of a Fun-ASR-Nano, as PyTorch modules to be exported.

sherpa-onnx asks for encoder_adaptor.onnx (features to speech tokens), embedding.onnx (tokens to
vectors) and llm.onnx, which is given a cache of keys and values of fixed length and returns what a
step adds to it (sherpa-onnx/csrc/offline-funasr-nano-model.cc).

Its features are Kaldi's, but not those that Fun-ASR-Nano was trained with. Three things are undone
in the first graph, which is why it asks for frames of 10 ms and stacks them itself (lfr_window_size
of 1): sherpa-onnx stacks seven frames without repeating the first and the last ones; it starts 7.5
ms before the sound and ends as much behind it (`snip_edges` of Kaldi is false), so that its second
frame is FunASR's first one, 2.5 ms later; and its filters end at 7,600 Hz, not at 8,000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from telephone_asr.model.frontend import LOW_HZ
from telephone_asr.model.fun_asr_nano import low_rate_tokens
from telephone_asr.model.pretrained import FunASRNano

SHORT_HZ = 400.0  # so far below half the sample rate sherpa-onnx's filters end
Tensors = tuple[torch.Tensor, ...]


class EncoderAdaptor(nn.Module):
    """Maps frames (1, T, 80), as sherpa-onnx computes them, to speech tokens (1, S, D): as many
    as the language model is to be given."""

    weights: torch.Tensor

    def __init__(self, nano: FunASRNano):
        super().__init__()
        self.encoder, self.adaptor = nano.model.audio_encoder, nano.model.audio_adaptor
        self.low_rate = nano.model.use_low_frame_rate
        frontend = nano.config["frontend_conf"]
        self.stacked, self.step = frontend["lfr_m"], frontend["lfr_n"]
        weights, offset = full_band(frontend["n_mels"], frontend["fs"])
        self.register_buffer("weights", weights)
        self.offset = offset

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        rows = self.stack(frames @ self.weights + self.offset)
        encoded = self.encode(rows)
        adapted = self.adapt(encoded)
        if not self.low_rate:
            return adapted
        return adapted[:, : low_rate_tokens(encoded.shape[1])]

    def stack(self, frames: torch.Tensor) -> torch.Tensor:
        """Stacks frames as FunASR does it (LFR), without sherpa-onnx's first and last one."""
        count = frames.shape[1] - 2
        rows = torch.arange((count + self.step - 1) // self.step)[:, None] * self.step
        places = rows + torch.arange(self.stacked) - (self.stacked - 1) // 2
        places = places.clamp(min=0).clamp(max=count - 1) + 1
        return frames[0, places.flatten()].reshape(1, -1, self.stacked * frames.shape[2])

    def encode(self, rows: torch.Tensor) -> torch.Tensor:
        """Does what SenseVoiceEncoderSmall does with one utterance, which has no padding."""
        encoder = self.encoder
        x = encoder.embed(rows * encoder.output_size() ** 0.5)
        for layer in (*encoder.encoders0, *encoder.encoders):
            x = layer(x, None)[0]
        x = encoder.after_norm(x)
        for layer in encoder.tp_encoders:
            x = layer(x, None)[0]
        return encoder.tp_norm(x)

    def adapt(self, encoded: torch.Tensor) -> torch.Tensor:
        """Does what FunASR's adaptor does with one utterance."""
        adaptor = self.adaptor
        k, count = adaptor.k, encoded.shape[1]
        x = nn.functional.pad(encoded, (0, 0, 0, (count - 1) // k * k + k - count))
        x = x.reshape(1, -1, k * encoded.shape[2])
        x = adaptor.linear2(torch.relu(adaptor.linear1(x)))
        for block in adaptor.blocks or ():
            x = block(x, None)[0]
        return x


class Embedding(nn.Module):
    """Maps tokens (1, S) to the language model's vectors (1, S, D)."""

    def __init__(self, llm: Any):
        super().__init__()
        self.embed = llm.get_input_embeddings()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.embed(input_ids)


class LanguageModel(nn.Module):
    """Runs a Qwen3 over a cache that sherpa-onnx keeps.

    Takes vectors (1, S, D), a mask (1, L) of the L positions up to the last of them, their
    positions (S,), and for each layer keys and values (1, cache, heads, head size). Returns the
    last position's logits (1, 1, V), and of each layer the new keys and values (1, S, heads, head
    size).

    sherpa-onnx (2.0.1) leaves one position between the prompt and the text empty, and counts it.
    So neither the mask's values nor the positions are taken, but what is in the cache: keys are
    never zero.
    """

    def __init__(self, llm: Any):
        super().__init__()
        self.decoder, self.head = llm.get_decoder(), llm.get_output_embeddings()

    def forward(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        cache_position: torch.Tensor,
        *cache: torch.Tensor,
    ) -> Tensors:
        length, count = attention_mask.shape[1], inputs_embeds.shape[1]
        past = length - count
        filled = cache[0][0, :length, 0].abs().sum(-1) > 0
        places, steps = torch.arange(length), torch.arange(count)
        now = (places >= past) & (places - past <= steps[:, None])
        mask = filled[None] | now
        rotary = self.decoder.rotary_emb(inputs_embeds, (filled.sum() + steps)[None])
        x, new = inputs_embeds, []
        for i, layer in enumerate(self.decoder.layers):
            old = [tensor[:, :past] for tensor in cache[2 * i : 2 * i + 2]]
            attended, key, value = _attend(
                layer.self_attn, layer.input_layernorm(x), mask, rotary, old
            )
            x = x + attended
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            new += [key, value]
        return self.head(self.decoder.norm(x[:, -1:])), *new


def _attend(
    attention: Any,
    x: torch.Tensor,
    mask: torch.Tensor,
    rotary: Tensors,
    cache: Sequence[torch.Tensor],
) -> Tensors:
    """Returns what the attention adds to x, and the keys and values of x."""
    from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

    shape = (1, x.shape[1], -1, attention.head_dim)
    query = attention.q_norm(attention.q_proj(x).reshape(shape)).transpose(1, 2)
    key = attention.k_norm(attention.k_proj(x).reshape(shape)).transpose(1, 2)
    query, key = apply_rotary_pos_emb(query, key, *rotary)
    new = key.transpose(1, 2), attention.v_proj(x).reshape(shape)
    groups = attention.num_key_value_groups
    keys, values = (
        torch.cat(pair, 1).transpose(1, 2).repeat_interleave(groups, 1)
        for pair in zip(cache, new, strict=True)
    )
    scores = query @ keys.transpose(2, 3) * attention.scaling
    weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), -1)
    heads = (weights @ values).transpose(1, 2).reshape(1, x.shape[1], -1)
    return attention.o_proj(heads), *new


def full_band(n_mels: int, fs: int) -> tuple[torch.Tensor, float]:
    """Returns what turns log energies of filters that end `SHORT_HZ` below half the sample rate
    into those of filters up to there: weights (n_mels, n_mels) and what is added to all.

    Each filter is taken from its two neighbours in place, the wider ones' energies raised by what
    they are wider.
    """

    def mel(hz: float) -> float:
        return 1127 * math.log(1 + hz / 700)

    step, short = ((mel(top) - mel(LOW_HZ)) / (n_mels + 1) for top in (fs / 2, fs / 2 - SHORT_HZ))
    weights = torch.zeros(n_mels, n_mels)
    for n in range(n_mels):
        place = min((n + 1) * step / short - 1, n_mels - 1)
        below = min(int(place), n_mels - 2)
        weights[below, n] = 1 - (place - below)
        weights[below + 1, n] = place - below
    return weights, math.log(step / short)
