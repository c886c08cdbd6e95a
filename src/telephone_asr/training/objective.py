"""What a stage minimises: the transcript's loss, the CTC branch's, or both."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from telephone_asr.model import fun_asr_nano
from telephone_asr.model.fun_asr_nano import Batch
from telephone_asr.model.pretrained import FunASRNano
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.decode import ctc_greedy, greedy
from telephone_asr.training.batches import LEVELS, Inputs


class Objective(torch.nn.Module):
    """Maps a batch to its loss. The parts below `level` have been computed already.

    Args:
        llm_weight, ctc_weight: of the two losses; a loss of weight 0 is not computed.
    """

    def __init__(self, nano: FunASRNano, level: str, llm_weight: float, ctc_weight: float):
        super().__init__()
        self.model = nano.model  # so that accelerate moves and wraps it
        self._nano = nano
        self._level = level
        self._llm_weight = llm_weight
        self._ctc_weight = ctc_weight
        frozen = not any(p.requires_grad for p in nano.model.llm.parameters())
        self._prefixes: dict | None = {} if frozen else None

    def forward(self, batch: Batch) -> torch.Tensor:
        hidden, lengths = self._move(batch)
        loss = hidden.new_zeros(())
        if self._level == "features":
            hidden, lengths = fun_asr_nano.encode(self._nano, hidden, lengths)
            if self._ctc_weight:
                ctc = fun_asr_nano.ctc_loss(self._nano, batch.texts, hidden, lengths)
                loss = loss + self._ctc_weight * ctc
        if self._llm_weight:
            if self._level != "adapted":
                hidden, lengths = fun_asr_nano.adapt(self._nano, hidden, lengths)
            transcript = fun_asr_nano.transcript_loss(
                self._nano, batch.prompts, batch.texts, hidden, lengths, self._prefixes
            )
            loss = loss + self._llm_weight * transcript
        return loss

    def _move(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        device = next(self.model.parameters()).device
        return batch.inputs.to(device), batch.lengths.to(device)


@torch.inference_mode()
def transcribe(
    nano: FunASRNano,
    inputs: Inputs,
    batch_size: int,
    max_tokens: int,
    by_ctc: bool = False,
    share: tuple[int, int] = (0, 1),
) -> list[str]:
    """The texts of all inputs, in their order, from the language model or the CTC branch.

    With `share`, rank and how many processes: of every n-th batch only, the others' texts are "".

    The model is in eval mode meanwhile and goes back to what it was.
    """
    was_training = [module for module in nano.model.modules() if module.training]
    nano.model.eval()
    texts = [""] * len(inputs)
    device = next(nano.model.parameters()).device
    for indices in _decoding_batches(inputs, batch_size)[share[0] :: share[1]]:
        batch = inputs.batch(indices)
        hidden, lengths = batch.inputs.to(device), batch.lengths.to(device)
        level = LEVELS.index(inputs.level)
        if level < LEVELS.index("encoded"):
            hidden, lengths = fun_asr_nano.encode(nano, hidden, lengths)
        if by_ctc:
            found = ctc_greedy(nano, hidden, lengths)
        else:
            if level < LEVELS.index("adapted"):
                hidden, lengths = fun_asr_nano.adapt(nano, hidden, lengths)
            found = greedy(nano, batch.prompts, hidden, lengths, max_tokens)
        for index, text in zip(indices, found, strict=True):
            texts[index] = text
    for module in was_training:
        module.training = True
    return texts


def total_error(inputs: Inputs, texts: Sequence[str]) -> ErrorRate:
    """All errors of the texts found for the inputs, normalised for scoring."""
    return sum(score([e.text for e in inputs.examples], texts), ErrorRate())


def _decoding_batches(inputs: Inputs, batch_size: int) -> list[list[int]]:
    """Utterances of similar length together, `batch_size` at a time."""
    order = sorted(range(len(inputs)), key=lambda i: (inputs.lengths[i], i))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
