"""Heads that show the tiny base's parts what to bring: they are dropped when it has learnt.

The language model sees an eighth of the encoder's rows. What it does not find there it cannot
write, and its loss alone is slow to teach the rest of the model to put it there: an adaptor that
learns from an hour of speech by it brings three times the errors of the CTC branch. So
the rows of the encoder and those of the adaptor have to spell the transcript themselves, in the
language model's own embeddings, by CTC, as intermediate layers do in Lee and Watanabe,
"Intermediate loss regularization for CTC-based speech recognition" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from telephone_asr.model.fun_asr_nano import Rows, summed_ctc_loss

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

NAME = "guide"  # of the heads in the model
PIECES = 4  # tokens that a row of the adaptor, half a second, can spell
BLANK_AT_FIRST = 2.0  # so that a training begins with blanks, as those of CTC do


def add_guide(nano: FunASRNano, seed: int) -> None:
    """Puts the heads into the model, untrained; `remove_guide` takes them out."""
    torch.manual_seed(seed)
    llm_dim = nano.model.llm.config.hidden_size
    encoder_dim = nano.config["audio_adaptor_conf"]["encoder_dim"]
    heads = {"encoder": Speller(encoder_dim, llm_dim, 1), "adaptor": Speller(llm_dim, llm_dim)}
    nano.model.add_module(NAME, torch.nn.ModuleDict(heads))


def remove_guide(nano: FunASRNano) -> None:
    """Takes the heads out of the model."""
    delattr(nano.model, NAME)


class Speller(torch.nn.Module):
    """A head that spells rows: `pieces` tokens each, or blanks, compared with embeddings."""

    def __init__(self, dim: int, llm_dim: int, pieces: int = PIECES):
        super().__init__()
        self.pieces = pieces
        self.linear = torch.nn.Linear(dim, pieces * llm_dim)
        self.blank = torch.nn.Linear(llm_dim, 1)
        torch.nn.init.constant_(self.blank.bias, BLANK_AT_FIRST)

    def forward(self, rows: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Maps rows (B, T, dim) to log probabilities (B, T x pieces, 1 + tokens), blank first."""
        spelt = self.linear(rows).view(len(rows), rows.shape[1] * self.pieces, -1)
        logits = torch.cat([self.blank(spelt), spelt @ embeddings.T], dim=-1)
        return logits.float().log_softmax(-1)


def spelling_loss(
    nano: FunASRNano, part: str, rows: Rows, texts: Sequence[str], total: float
) -> torch.Tensor:
    """Returns the CTC loss of transcripts that a part's rows spell, over `total`.

    Args:
        part: encoder or adaptor, whose output `rows` is.
        texts: the transcripts, of which the language model's tokens are asked for.
    """
    head: Speller = getattr(nano.model, NAME)[part]
    log_probs = head(rows[0], nano.model.llm.get_input_embeddings().weight)
    tokens = [[1 + token for token in own] for own in nano.tokenizer(list(texts))["input_ids"]]
    return summed_ctc_loss(log_probs, rows[1] * head.pieces, tokens, blank=0) / total
