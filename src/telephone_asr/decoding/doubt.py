"""Texts that neither judge of a model believes: they are taken for sound in which nobody speaks.

The language model goes on writing where it hears nothing, and is unsure of it; the CTC branch,
which hears the sound alone, does not find it there. Either doubts what is said indistinctly, too;
both seldom do. (Whisper leaves out what its probability of silence and its mean token probability
speak against, A. Radford et al., "Robust speech recognition via large-scale weak supervision",
2022, section 4.5; here the branch is the first of the two judges.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from telephone_asr.decoding.alignment import aligned_probabilities, token_rows
from telephone_asr.decoding.confidence import token_probabilities
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.model.fun_asr_nano import ctc_tokens

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.params import Doubt


@torch.inference_mode()
def believed(
    encoded: Encoded, prompts: Sequence[str], texts: Sequence[str], limits: Doubt
) -> list[str]:
    """Returns the texts of a batch, empty where both judges are below their limits; all of them,
    where the model has no CTC branch."""
    nano, believed = encoded.nano, list(texts)
    if not (any(texts) and nano.has_ctc):
        return believed
    asked = [
        i
        for i, (log_probs, text) in enumerate(zip(encoded.log_probs, texts, strict=True))
        if text and _by_branch(nano, log_probs.float().cpu(), text) < limits.ctc
    ]
    if asked:
        again = encoded.rows[asked], encoded.lengths[asked]
        own_prompts, own_texts = ([of[i] for i in asked] for of in (prompts, texts))
        likely = token_probabilities(nano, own_prompts, own_texts, again)
        for i, one in zip(asked, likely, strict=True):
            if float(one.log().mean().exp()) < limits.llm:
                believed[i] = ""
    return believed


def _by_branch(nano: FunASRNano, log_probs: torch.Tensor, text: str) -> float:
    """Returns the mean over a text's tokens of the largest probability that each has in the rows
    that it is aligned with; 0 where it cannot be aligned, 1 where it has no tokens."""
    tokens = ctc_tokens(nano, text)
    rows = token_rows(log_probs, tokens, nano.model.blank_id)
    if not rows:
        return 0.0 if tokens else 1.0
    return sum(aligned_probabilities(log_probs, tokens, rows)) / len(tokens)
