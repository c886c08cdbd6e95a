"""Utterances that are in memory to text: of a corpus, of calls, of turns without transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from telephone_asr.decoding.branch import from_config
from telephone_asr.decoding.recognise import Look, recognise
from telephone_asr.decoding.spotting import FLOOR, Lists
from telephone_asr.model.frontend import Frontend, feature_rows
from telephone_asr.shards import Utterance

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano


def recognise_utterances(
    nano: FunASRNano,
    frontend: Frontend,
    utterances: Sequence[Utterance],
    prompt: str,
    batch_size: int,
    max_tokens: int,
    beams: int = 1,
    look: Look | None = None,
    hotwords: Sequence[str] = (),
    hotword_floor: float | None = FLOOR,
) -> list[str]:
    """Returns the texts of utterances that are in memory, in their order, as `recognise` does. What
    the CTC branch has to say is in the model's config."""

    def sound(i: int) -> tuple[np.ndarray, int]:
        return utterances[i].samples, utterances[i].sample_rate_hz

    lists = Lists([hotwords] * len(utterances), hotword_floor) if hotwords else None
    return recognise(
        nano,
        lambda i: frontend(*sound(i)),
        [feature_rows(len(u.samples), u.sample_rate_hz, frontend.fs) for u in utterances],
        [prompt] * len(utterances),
        batch_size,
        max_tokens,
        beams=beams,
        look=look,
        hotwords=lists,
        branch=from_config(nano.config),
        sound=sound,
    )
