"""How sure a model is of what it wrote: the probability of each token, as it wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch

from telephone_asr.model.fun_asr_nano import (
    Rows,
    adapt,
    ctc_tokens,
    predictions,
    transcript_tokens,
)

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano


@torch.inference_mode()
def token_probabilities(
    nano: FunASRNano, prompts: Sequence[str], texts: Sequence[str], encoded: Rows
) -> list[torch.Tensor]:
    """Returns how likely the language model writes each token of texts that are not empty, the end
    of turn not counted: (tokens,) each. encoded: what the encoder made of the speech."""
    rows, lengths = encoded
    adapted = adapt(nano, rows[:, : int(lengths.max())], lengths)
    tokens = transcript_tokens(nano, texts)
    logits = predictions(nano, prompts, tokens, *adapted).float()
    written = torch.tensor(list(chain(*tokens)), device=logits.device)
    chosen = logits.gather(1, written[:, None])[:, 0]
    likely = (chosen - logits.logsumexp(dim=-1)).exp().cpu()
    return [own[:-1] for own in likely.split([len(own) for own in tokens])]


@torch.inference_mode()
def ctc_greedy(nano: FunASRNano, log_probs: torch.Tensor) -> tuple[str, list[float]]:
    """Returns the CTC branch's text, each row's best token without repetitions and blanks, and how
    likely each token is, where it is likeliest. log_probs: (T, classes) of one utterance, without
    padding."""
    best = log_probs.max(dim=-1)
    tokens, rows = torch.unique_consecutive(best.indices, return_counts=True)
    likely = torch.segment_reduce(best.values, "max", lengths=rows).exp()
    written = tokens != nano.model.blank_id
    text = nano.model.ctc_tokenizer.decode(tokens[written].tolist())
    return text, likely[written].tolist()


@torch.inference_mode()
def ctc_score(nano: FunASRNano, log_probs: torch.Tensor, text: str) -> float | None:
    """Returns the log probability of a text by the CTC branch, over all alignments, per token.

    None where the text has no token or more than there are rows: no alignment is. log_probs: (T,
    classes) of one utterance, without padding.
    """
    tokens = ctc_tokens(nano, text)
    if not tokens:
        return None
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None],
        torch.tensor([tokens]),
        torch.tensor([len(log_probs)]),
        torch.tensor([len(tokens)]),
        blank=nano.model.blank_id,
        reduction="sum",
    )
    return -float(loss) / len(tokens) if torch.isfinite(loss) else None
