"""What a stage minimises: the transcript's loss, the CTC branch's, or both."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from telephone_asr.dataset.speech import InputStage
from telephone_asr.model import fun_asr_nano
from telephone_asr.model.fun_asr_nano import Batch
from telephone_asr.model.pretrained import FunASRNano
from telephone_asr.training import guide


class Objective(torch.nn.Module):
    """Maps a batch to its loss. What comes before its input stage has been computed already.

    Args:
        llm_weight, ctc_weight: of the two losses; a loss of weight 0 is not computed, nor that of
            the CTC branch where the input is not features.
        guide_weight: of the losses of the heads that `training.guide` put into the model; over the
            tokens of the other loss.
    """

    def __init__(
        self,
        nano: FunASRNano,
        input_stage: InputStage,
        llm_weight: float,
        ctc_weight: float,
        guide_weight: float = 0.0,
    ):
        super().__init__()
        self.model = nano.model  # so that accelerate moves and wraps it
        self._nano = nano
        self._input_stage = input_stage
        self._llm_weight = llm_weight
        self._ctc_weight = ctc_weight if input_stage == "features" else 0.0
        self._guide_weight = guide_weight
        frozen = not any(p.requires_grad for p in nano.model.llm.parameters())
        self._prefixes: dict | None = {} if frozen else None

    def tokens(self, batch: Batch) -> tuple[int, int]:
        """Returns how many tokens the language model's loss and CTC's are the means over."""
        nano, texts = self._nano, batch.texts
        llm = ctc = 0
        if self._llm_weight:
            llm = sum(map(len, fun_asr_nano.transcript_tokens(nano, texts)))
        if self._ctc_weight:
            # Where nobody speaks, all is blank: that counts as one.
            ctc = sum(max(1, len(fun_asr_nano.ctc_tokens(nano, text))) for text in texts)
        return llm, ctc

    def forward(self, batch: Batch, totals: Sequence[float] | None = None) -> torch.Tensor:
        """Returns a batch's share of its step's loss, or its own loss.

        Args:
            totals: `tokens` of all batches of the step; None: this batch is the only one.
        """
        llm_tokens, ctc_tokens = totals or self.tokens(batch)
        hidden, lengths = self._move(batch)
        loss = hidden.new_zeros(())
        if self._input_stage == "features":
            hidden, lengths = fun_asr_nano.encode(self._nano, hidden, lengths)
            if self._ctc_weight:
                ctc = fun_asr_nano.ctc_loss(self._nano, batch.texts, hidden, lengths, ctc_tokens)
                loss = loss + self._ctc_weight * ctc
            if self._guide_weight:
                loss = loss + self._guiding("encoder", (hidden, lengths), batch, ctc_tokens)
        if self._input_stage != "adapted" and (self._llm_weight or self._guide_weight):
            hidden, lengths = fun_asr_nano.adapt(self._nano, hidden, lengths)
            if self._guide_weight:
                tokens = llm_tokens or ctc_tokens
                loss = loss + self._guiding("adaptor", (hidden, lengths), batch, tokens)
        if self._llm_weight:
            transcript = fun_asr_nano.transcript_loss(
                *(self._nano, batch.prompts, batch.texts, hidden, lengths, self._prefixes),
                llm_tokens,
            )
            loss = loss + self._llm_weight * transcript
        return loss

    def _guiding(
        self, part: str, rows: fun_asr_nano.Rows, batch: Batch, total: float
    ) -> torch.Tensor:
        loss = guide.spelling_loss(self._nano, part, rows, batch.texts, total)
        return self._guide_weight * loss

    def _move(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        device = next(self.model.parameters()).device
        return batch.inputs.to(device), batch.lengths.to(device)
