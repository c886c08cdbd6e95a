"""Which words of a list the CTC branch may have heard: the others are left out of the prompt.

A language model that reads a hundred words it does not need writes worse. What the encoder heard is
known before the prompt is made, so a list is cut down to what may be in the sound (G. Yang et al.,
"CTC-assisted LLM-based contextual ASR", SLT 2024). Words are spotted in the probabilities, not in
the text of the best path: a name that this has wrong is what a list is for (A. Andrusenko et al.,
"Fast context-biasing for CTC and transducer ASR models with CTC-based word spotter", Interspeech
2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from telephone_asr.decoding.encoded import Encoded
from telephone_asr.model.fun_asr_nano import ctc_tokens

FLOOR = -3.0  # docs/training.md has what it keeps


@dataclass(frozen=True)
class Lists:
    """Holds hotwords for utterances.

    floor: log probability a token, as of `likelihoods`, below which a word is left out; None: none
    is.
    """

    words: Sequence[Sequence[str]]  # of each utterance
    floor: float | None


def likely(
    encoded: Encoded, lists: Sequence[Sequence[str]], floor: float | None
) -> list[list[str]]:
    """Returns what is left of the list of each utterance of a batch, in its order.

    All of it is, where the model has no CTC branch.
    """
    nano = encoded.nano
    if floor is None or not nano.has_ctc or not any(lists):
        return [list(words) for words in lists]
    tokens = {word: ctc_tokens(nano, word) for words in lists for word in words}
    kept = []
    for log_probs, words in zip(encoded.log_probs, lists, strict=True):
        spelt = [tokens[word] for word in words]
        scores = likelihoods(log_probs, spelt, nano.model.blank_id)
        kept.append([word for word, score in zip(words, scores, strict=True) if score >= floor])
    return kept


def likelihoods(log_probs: torch.Tensor, words: Sequence[Sequence[int]], blank: int) -> list[float]:
    """Returns how likely it is that each word is somewhere in an utterance: 0 where the best path
    has it, else by how much less likely, as a log probability a token, the best path with it is.

    A word of no tokens is as likely as can be: nothing speaks against it.

    Args:
        log_probs: (T, tokens + blank).
        words: tokens of each.
    """
    spelt = [place for place, word in enumerate(words) if word]
    scores = np.zeros(len(words))
    if not spelt:
        return scores.tolist()
    sizes = np.array([len(words[place]) for place in spelt])
    tokens = np.full((len(spelt), sizes.max()), blank)  # filled up by blanks
    for row, place in enumerate(spelt):
        tokens[row, : sizes[row]] = words[place]
    used, columns = np.unique(np.append(tokens, blank), return_inverse=True)
    # Of 60,000 tokens, those of the words alone leave the GPU.
    best = log_probs.max(dim=1, keepdim=True).values
    own = torch.from_numpy(used).to(log_probs.device)
    beyond = (log_probs[:, own] - best).double().cpu().numpy()
    at = columns[:-1].reshape(tokens.shape)
    ends = _best_paths(beyond[:, at], beyond[:, columns[-1]], tokens)
    scores[spelt] = ends[np.arange(len(spelt)), sizes - 1] / sizes
    return scores.tolist()


def _best_paths(emitted: np.ndarray, blank: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Returns the log likelihoods of the best paths that begin anywhere and end, anywhere, with
    each token of each word: (words, tokens of the longest).

    Args:
        emitted: of each token, (T, words, tokens of the longest); blank: (T,).
        tokens: (words, tokens of the longest).
    """
    # Between two tokens that are alike there is a blank.
    alike = np.where(tokens[:, 1:] == tokens[:, :-1], -np.inf, 0.0)
    token = np.full(tokens.shape, -np.inf)  # of paths that end with a word's nth token,
    after = token.copy()  # and with a blank behind it
    ends = token.copy()
    come = np.zeros(tokens.shape)  # to a word's first token, from anything
    for of_tokens, of_blank in zip(emitted, blank, strict=True):
        come[:, 1:] = np.maximum(after[:, :-1], token[:, :-1] + alike)
        token, after = np.maximum(come, token) + of_tokens, np.maximum(token, after) + of_blank
        ends = np.maximum(ends, token)
    return ends
