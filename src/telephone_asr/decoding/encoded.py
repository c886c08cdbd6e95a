"""A batch that the encoder has heard, and what the CTC branch makes of it: both computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from telephone_asr.model.fun_asr_nano import ctc_log_probs

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano


@dataclass(frozen=True)
class Encoded:
    """A batch as the encoder's output, which hotwords, labels and times are looked up in."""

    nano: FunASRNano
    rows: torch.Tensor  # (B, T, D), padded
    lengths: torch.Tensor  # T of each
    # Samples (int16, mono) and sample rate in Hz of each, for those who ask whether it is speech.
    sound: Callable[[int], tuple[np.ndarray, int]] | None = None

    @cached_property
    @torch.inference_mode()
    def log_probs(self) -> list[torch.Tensor]:
        """Returns the CTC branch's log probabilities of each utterance, (T, tokens + blank) without
        padding. They are computed when they are first asked for, of a model that has the branch."""
        padded = ctc_log_probs(self.nano, self.rows, self.lengths)
        return [own[:length] for own, length in zip(padded, self.lengths.tolist(), strict=True)]
