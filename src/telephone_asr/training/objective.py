"""What a stage minimises: the transcript's loss, the CTC branch's, or both."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from telephone_asr.model import fun_asr_nano
from telephone_asr.model.fun_asr_nano import Batch
from telephone_asr.model.pretrained import FunASRNano
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.decode import recognise, with_hotwords
from telephone_asr.training.batches import Inputs


class Objective(torch.nn.Module):
    """Maps a batch to its loss. The parts below `level` have been computed already.

    Args:
        llm_weight, ctc_weight: of the two losses; a loss of weight 0 is not computed, nor that of
            the CTC branch beyond the level of features.
    """

    def __init__(self, nano: FunASRNano, level: str, llm_weight: float, ctc_weight: float):
        super().__init__()
        self.model = nano.model  # so that accelerate moves and wraps it
        self._nano = nano
        self._level = level
        self._llm_weight = llm_weight
        self._ctc_weight = ctc_weight if level == "features" else 0.0
        frozen = not any(p.requires_grad for p in nano.model.llm.parameters())
        self._prefixes: dict | None = {} if frozen else None

    def tokens(self, batch: Batch) -> tuple[int, int]:
        """How many the language model's loss and the CTC branch's are the mean over."""
        nano, texts = self._nano, batch.texts
        llm = ctc = 0
        if self._llm_weight:
            llm = sum(map(len, fun_asr_nano.transcript_tokens(nano, texts)))
        if self._ctc_weight:
            ctc = sum(len(fun_asr_nano.ctc_tokens(nano, text)) for text in texts)
        return llm, ctc

    def forward(self, batch: Batch, totals: Sequence[float] | None = None) -> torch.Tensor:
        """A batch's share of its step's loss, or its own loss.

        Args:
            totals: `tokens` of all batches of the step; None: this batch is the only one.
        """
        llm_tokens, ctc_tokens = totals or self.tokens(batch)
        hidden, lengths = self._move(batch)
        loss = hidden.new_zeros(())
        if self._level == "features":
            hidden, lengths = fun_asr_nano.encode(self._nano, hidden, lengths)
            if self._ctc_weight:
                ctc = fun_asr_nano.ctc_loss(self._nano, batch.texts, hidden, lengths, ctc_tokens)
                loss = loss + self._ctc_weight * ctc
        if self._llm_weight:
            if self._level != "adapted":
                hidden, lengths = fun_asr_nano.adapt(self._nano, hidden, lengths)
            transcript = fun_asr_nano.transcript_loss(
                *(self._nano, batch.prompts, batch.texts, hidden, lengths, self._prefixes),
                llm_tokens,
            )
            loss = loss + self._llm_weight * transcript
        return loss

    def _move(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        device = next(self.model.parameters()).device
        return batch.inputs.to(device), batch.lengths.to(device)


def transcribe(
    nano: FunASRNano,
    inputs: Inputs,
    batch_size: int,
    max_tokens: int,
    by_ctc: bool = False,
    share: tuple[int, int] = (0, 1),
    beams: int = 1,
    hotwords: Sequence[str] = (),
) -> list[str]:
    """The texts of all inputs, in their order, from the language model or the CTC branch.

    The model is in eval mode meanwhile and goes back to what it was.

    Args:
        share: (rank, of how many processes): every so many batches are decoded, beginning with
            that of the rank; the texts of the others stay empty.
    """
    was_training = [module for module in nano.model.modules() if module.training]
    nano.model.eval()
    prompts = [with_hotwords(example.prompt, hotwords) for example in inputs.examples]
    texts = recognise(
        *(nano, inputs.__getitem__, inputs.lengths, prompts, batch_size, max_tokens),
        level=inputs.level,
        by_ctc=by_ctc,
        beams=beams,
        share=share,
    )
    for module in was_training:
        module.training = True
    return texts


def total_error(inputs: Inputs, texts: Sequence[str]) -> ErrorRate:
    """All errors of the texts found for the inputs, normalised for scoring."""
    return sum(score([e.text for e in inputs.examples], texts), ErrorRate())
