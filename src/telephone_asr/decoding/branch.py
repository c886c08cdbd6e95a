"""What the CTC branch, and a detector of speech, have to say to what the language model writes.

**Doubt.** The language model goes on writing where it hears nothing, and is unsure of it; the CTC
branch, which hears the sound alone, does not find it there; and silero's detector, which learnt
from other speech and other noise than the model, hears nobody. Each doubts what is said
indistinctly, too; all seldom do, and what they doubt together is taken for sound in which nobody
speaks. How sure a model is of speech is its own: `decoding.limits` finds the limit.
(Whisper leaves out what its probability of silence and its mean token probability speak against,
A. Radford et al., "Robust speech recognition via large-scale weak supervision", 2022, section 4.5.)

**Short turns.** The language model is given a row for each half second, and has to tell one
syllable from another by that; the branch has a row for each 60 ms. So what the branch hears as a
few characters, and is sure of, is written as it has it, unless the language model wrote a hotword,
or nothing: then nobody spoke. It is doubted like others, by those two judges whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from telephone_asr.decoding.alignment import aligned_probabilities, token_rows
from telephone_asr.decoding.confidence import ctc_greedy, token_probabilities
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.errors import InputError
from telephone_asr.model.fun_asr_nano import ctc_tokens
from telephone_asr.params import Short
from telephone_asr.silero import speech_likely

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

SECTION = "branch_conf"  # of config.yaml, which goes where the model goes


@dataclass(frozen=True)
class Limits:
    """What the branch may change of a model's texts."""

    doubt: float | None  # texts of which the judges are less sure, in the mean, are not written
    short: Short | None


@torch.inference_mode()
def settled(
    encoded: Encoded,
    prompts: Sequence[str],
    texts: Sequence[str],
    listed: Sequence[Sequence[str]],
    limits: Limits,
) -> list[str]:
    """Returns the texts of a batch as they are after the CTC branch was heard; as they came, where
    the model has none.

    listed: the hotwords in each prompt.
    """
    if not encoded.nano.has_ctc:
        return list(texts)
    own = short_texts(encoded, texts, listed, limits.short)
    if limits.doubt is None:
        return [short or text for short, text in zip(own, texts, strict=True)]
    sure = beliefs(encoded, prompts, texts, own, limits.doubt)
    return [
        (short or text) if one >= limits.doubt else ""
        for short, text, one in zip(own, texts, sure, strict=True)
    ]


@torch.inference_mode()
def beliefs(
    encoded: Encoded,
    prompts: Sequence[str],
    texts: Sequence[str],
    own: Sequence[str],
    enough: float = 1.0,
) -> list[float]:
    """Returns how sure the judges are of what is written of each of a batch, in the mean.

    The CTC branch and the language model say how likely they find its tokens, in the mean over
    them, and the detector how likely it is that anybody speaks. Of its `own` text the branch and
    the detector judge. An empty text nobody doubts: 1.

    enough: where the first two bring the mean so far, the language model is not asked.
    """
    nano, sure = encoded.nano, [1.0] * len(texts)
    assert encoded.sound, "`recognise` needs the sound where a text may be doubted"
    written = [i for i, text in enumerate(texts) if text]
    speech = speech_likely([encoded.sound(i) for i in written])
    for i, spoken in zip(written, speech, strict=True):
        log_probs = encoded.log_probs[i].float().cpu()
        heard = _by_branch(nano, log_probs, own[i] or texts[i]) + spoken
        sure[i] = heard / (2 if own[i] else 3)
    asked = [i for i in written if not own[i] and sure[i] < enough]
    if not asked:
        return sure
    again = encoded.rows[asked], encoded.lengths[asked]
    own_prompts, own_texts = ([of[i] for i in asked] for of in (prompts, texts))
    likely = token_probabilities(nano, own_prompts, own_texts, again)
    for i, one in zip(asked, likely, strict=True):
        sure[i] += float(one.log().mean().exp()) / 3
    return sure


def _by_branch(nano: FunASRNano, log_probs: torch.Tensor, text: str) -> float:
    """Returns the mean over a text's tokens of the largest probability that each has in the rows
    that it is aligned with; 0 where it cannot be aligned, 1 where it has no tokens."""
    tokens = ctc_tokens(nano, text)
    rows = token_rows(log_probs, tokens, nano.model.blank_id)
    if not rows:
        return 0.0 if tokens else 1.0
    return sum(aligned_probabilities(log_probs, tokens, rows)) / len(tokens)


def short_texts(
    encoded: Encoded,
    texts: Sequence[str],
    listed: Sequence[Sequence[str]],
    limits: Short | None,
) -> list[str]:
    """Returns the branch's text of each of a batch where it is to be written, else nothing."""
    own = [""] * len(texts)
    for i, text in enumerate(texts):
        if limits and text and not any(word in text for word in listed[i]):
            found, likely = ctc_greedy(encoded.nano, encoded.log_probs[i])
            short = len("".join(found.split())) <= limits.characters
            if short and likely and sum(likely) / len(likely) > limits.ctc:
                own[i] = found
    return own


def as_config(limits: Limits | None) -> dict[str, Any]:
    """Returns it as a section of config.yaml."""
    if limits is None:
        return {}
    own = {"doubt": limits.doubt, "short": limits.short and vars(limits.short)}
    return {name: value for name, value in own.items() if value is not None}


def from_config(config: Mapping[str, Any]) -> Limits | None:
    """Returns what a model's config.yaml has of `as_config`; None: nothing.

    Raises InputError where a number is missing, or is none.
    """
    own = config.get(SECTION) or {}
    doubt, short = own.get("doubt"), own.get("short")
    if doubt is not None and not (isinstance(doubt, (int, float)) and 0 <= doubt <= 1):
        raise InputError(
            f"config.yaml: branch_conf.doubt: expected a mean probability, up to 1, got {doubt}: "
            "export the model again."
        )
    if short and set(short) != set(Short.__annotations__):
        raise InputError(
            f"config.yaml: branch_conf.short: expected {' and '.join(Short.__annotations__)}, "
            "as decode.branch.short of params.yaml has them."
        )
    return Limits(doubt, short and Short(**short)) if own else None
