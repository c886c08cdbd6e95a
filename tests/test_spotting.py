"""Which hotwords of a list reach the prompt: those that the CTC branch may have heard."""

import copy
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from speech_fixtures import TEXTS
from telephone_asr.decoding.branch import Limits
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.recognise import recognise, transcribe
from telephone_asr.decoding.spotting import FLOOR, Lists, likelihoods, likely
from telephone_asr.model.fun_asr_nano import ctc_log_probs, ctc_tokens, encode

BLANK = 0


def collapsed(path: tuple[int, ...]) -> list[int]:
    """What CTC writes for a path: repetitions once, blanks not."""
    kept = [token for i, token in enumerate(path) if i == 0 or token != path[i - 1]]
    return [token for token in kept if token != BLANK]


def by_trying_all(log_probs: np.ndarray, word: list[int]) -> float:
    """The best path of each stretch of rows that spells the word, against the best of any."""
    best, found = log_probs.max(axis=1), -np.inf
    for first, last in product(range(len(log_probs)), repeat=2):
        own = list(range(first, last + 1))
        for path in product(range(log_probs.shape[1]), repeat=len(own)):
            if collapsed(path) == word:
                found = max(found, sum(log_probs[own, path]) - sum(best[own]))
    return found / len(word)


@pytest.mark.parametrize("seed", range(3))
def test_a_words_likelihood_is_that_of_its_best_path(seed):
    log_probs = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), size=5))
    words = [[1], [2], [1, 2], [2, 1], [1, 1], [2, 1, 2], [1, 1, 2]]
    found = likelihoods(torch.from_numpy(log_probs), words, BLANK)
    np.testing.assert_allclose(found, [by_trying_all(log_probs, word) for word in words])


def test_a_word_that_cannot_be_in_so_few_rows_is_impossible_and_none_is_certain():
    log_probs = torch.full((2, 3), 1 / 3).log()
    assert likelihoods(log_probs, [[1, 2, 1], [1, 1], []], BLANK) == [-np.inf, -np.inf, 0.0]
    assert likelihoods(log_probs, [], BLANK) == []


@pytest.fixture
def encoded(fitted, make_inputs):
    """What the encoder makes of the utterances."""
    inputs = make_inputs(fitted)
    batch = inputs.batch(range(len(inputs)))
    with torch.inference_mode():
        return Encoded(fitted, *encode(fitted, batch.inputs, batch.lengths))


def test_a_floor_parts_a_list_as_it_does_for_each_utterance_alone(fitted, encoded):
    words = list(TEXTS)
    tokens, alone = [ctc_tokens(fitted, word) for word in words], []
    for row, length in zip(encoded.rows, encoded.lengths.tolist(), strict=True):
        with torch.inference_mode():
            [log_probs] = ctc_log_probs(fitted, row[None, :length], torch.tensor([length]))
        alone.append(likelihoods(log_probs, tokens, fitted.model.blank_id))
    # Between two of them, so that rounding in a batch puts none on the other side.
    scores = np.unique(np.round(alone, 4))
    floor = float(scores[len(scores) // 2 : len(scores) // 2 + 2].mean())
    kept = likely(encoded, [words] * len(words), floor)
    assert kept == [
        [word for word, score in zip(words, own, strict=True) if score >= floor] for own in alone
    ]
    assert 0 < sum(map(len, kept)) < len(words) ** 2


def test_without_a_floor_or_a_branch_a_list_stays_whole(fitted, encoded):
    lists = [list(TEXTS)] * len(TEXTS)
    assert likely(encoded, lists, None) == lists
    without = replace(fitted)
    without.model = copy.copy(fitted.model)
    without.model.ctc_decoder = None
    assert not without.has_ctc
    assert likely(replace(encoded, nano=without), lists, FLOOR) == lists


def test_words_that_nobody_says_do_not_change_a_text(fitted, make_inputs):
    inputs = make_inputs(fitted)
    unsaid = Lists([["请稍等一下好的好的谢谢再见"]] * len(TEXTS), FLOOR)
    plain = transcribe(fitted, inputs, 5, 12)
    assert transcribe(fitted, inputs, 5, 12, hotwords=unsaid) == plain
    whole = Lists(unsaid.words, None)
    assert transcribe(fitted, inputs, 5, 12, hotwords=whole) != plain


def test_each_utterance_has_its_own_list(fitted, make_inputs):
    """In whatever order they are put into batches."""
    inputs = make_inputs(fitted)
    lists = [[TEXTS[i]] if i % 2 else [] for i in range(len(TEXTS))]
    prompts = [example.prompt for example in inputs.examples]

    def texts(batch_size):
        rows = (fitted, inputs.__getitem__, inputs.lengths, prompts, batch_size, 12)
        return recognise(*rows, hotwords=Lists(lists, None))

    plain = transcribe(fitted, inputs, 5, 12)
    assert texts(1) == texts(5)
    assert texts(5)[::2] == plain[::2]


def test_the_branch_hears_each_batch_once_for_whoever_asks(fitted, make_inputs):
    inputs, heard = make_inputs(fitted), []
    fitted.model.ctc_decoder.register_forward_hook(lambda *_: heard.append(True))
    listed, shown = Lists([list(TEXTS)] * len(TEXTS), FLOOR), []

    def look(indices, prompts, texts, encoded):
        shown.extend(zip(indices, map(len, encoded.log_probs), strict=True))

    transcribe(
        fitted,
        inputs,
        5,
        12,
        hotwords=listed,
        look=look,
        branch=Limits(0.0, None),
    )
    assert len(heard) == 3
    assert sorted(shown) == list(enumerate(inputs.lengths))
