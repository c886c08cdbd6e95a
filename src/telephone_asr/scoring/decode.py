"""Greedy decoding in batches: features to text, the same text as funasr.AutoModel gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from telephone_asr.model.fun_asr_nano import ctc_log_probs, prompt_embeddings

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano


@torch.inference_mode()
def greedy(
    nano: FunASRNano,
    prompts: Sequence[str],
    adapted: torch.Tensor,
    lengths: torch.Tensor,
    max_tokens: int,
) -> list[str]:
    """The transcripts of a batch of speech tokens (B, S, D), one text an utterance."""
    heads = prompt_embeddings(nano, prompts, adapted, lengths)
    longest = max(map(len, heads))
    inputs = heads[0].new_zeros(len(heads), longest, heads[0].shape[1])
    mask = torch.zeros(len(heads), longest, dtype=torch.long, device=inputs.device)
    for i, head in enumerate(heads):  # on the left, so that every transcript starts at the end
        inputs[i, longest - len(head) :] = head
        mask[i, longest - len(head) :] = 1
    tokens = nano.model.llm.generate(
        inputs_embeds=inputs,
        attention_mask=mask,
        max_new_tokens=max_tokens,
        do_sample=False,
        pad_token_id=nano.tokenizer.pad_token_id,
        eos_token_id=nano.tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    texts = nano.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.replace("/sil", " ").split()) for text in texts]


@torch.inference_mode()
def ctc_greedy(nano: FunASRNano, encoded: torch.Tensor, lengths: torch.Tensor) -> list[str]:
    """The CTC branch's own transcripts: each frame's best token, without repetitions and blanks."""
    best = ctc_log_probs(nano, encoded, lengths).argmax(dim=-1).cpu()
    texts = []
    for row, length in zip(best, lengths.tolist(), strict=True):
        tokens = torch.unique_consecutive(row[:length])
        tokens = tokens[tokens != nano.model.blank_id].tolist()
        texts.append(nano.model.ctc_tokenizer.decode(tokens))
    return texts
