"""What the CTC branch has to say to what the language model writes.

**Doubt.** The language model goes on writing where it hears nothing, and is unsure of it; the CTC
branch, which hears the sound alone, does not find it there. Either doubts what is said
indistinctly, too; both seldom do, and what both doubt is taken for sound in which nobody speaks.
(Whisper leaves out what its probability of silence and its mean token probability speak against,
A. Radford et al., "Robust speech recognition via large-scale weak supervision", 2022, section 4.5;
here the branch is the first of the two judges.)

**Short turns.** The language model is given a row for each half second, and has to tell one
syllable from another by that; the branch has a row for each 60 ms. So what the branch hears as a
few characters, and is sure of, is written as it has it, unless the language model wrote a hotword.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from telephone_asr.decoding.alignment import aligned_probabilities, token_rows
from telephone_asr.decoding.confidence import ctc_greedy, token_probabilities
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.errors import InputError
from telephone_asr.model.fun_asr_nano import ctc_tokens
from telephone_asr.params import Branch, Doubt, Short

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano


@torch.inference_mode()
def settled(
    encoded: Encoded,
    prompts: Sequence[str],
    texts: Sequence[str],
    listed: Sequence[Sequence[str]],
    branch: Branch,
) -> list[str]:
    """Returns the texts of a batch as they are after the CTC branch was heard; as they came, where
    the model has none.

    listed: the hotwords in each prompt.
    """
    settled = list(texts)
    if not encoded.nano.has_ctc:
        return settled
    if branch.doubt:
        settled = believed(encoded, prompts, settled, branch.doubt)
    if branch.short:
        for i, own in enumerate(_short(encoded, branch.short)):
            if own and not any(word in texts[i] for word in listed[i]):
                settled[i] = own
    return settled


def believed(
    encoded: Encoded, prompts: Sequence[str], texts: Sequence[str], limits: Doubt
) -> list[str]:
    """Returns the texts of a batch, empty where both judges are below their limits."""
    nano, believed = encoded.nano, list(texts)
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


def _short(encoded: Encoded, limits: Short) -> list[str]:
    """Returns the branch's text of each of a batch where it is short and sure, else nothing."""
    texts = []
    for log_probs in encoded.log_probs:
        text, likely = ctc_greedy(encoded.nano, log_probs)
        short = len("".join(text.split())) <= limits.characters
        sure = bool(likely) and sum(likely) / len(likely) > limits.ctc
        texts.append(text if short and sure else "")
    return texts


def as_config(branch: Branch | None) -> dict[str, dict[str, Any]]:
    """Returns it as a section of config.yaml, which goes where the model goes."""
    return {name: vars(own) for name, own in vars(branch).items() if own} if branch else {}


def from_config(config: Mapping[str, Any]) -> Branch | None:
    """Returns what a model's config.yaml has of `as_config`; None: nothing.

    Raises InputError where a number is missing.
    """
    own = config.get("branch_conf") or {}
    for name, kind in {"doubt": Doubt, "short": Short}.items():
        if name in own and set(own[name]) != set(kind.__annotations__):
            raise InputError(
                f"config.yaml: branch_conf.{name}: expected {' and '.join(kind.__annotations__)}, "
                "as decode.branch of params.yaml has them."
            )
    doubt, short = own.get("doubt"), own.get("short")
    return Branch(doubt and Doubt(**doubt), short and Short(**short)) if own else None
