"""What neither the CTC branch nor the language model believes is not written."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from telephone_asr.decoding.confidence import token_probabilities
from telephone_asr.decoding.doubt import believed
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.model.fun_asr_nano import encode
from telephone_asr.params import Doubt


@pytest.fixture
def heard(fitted, make_inputs):
    """Prompts and texts of the utterances, and what the encoder makes of them."""
    inputs = make_inputs(fitted)
    texts = transcribe(fitted, inputs, 4, 12)
    batch = inputs.batch(range(len(inputs)))
    with torch.inference_mode():
        return batch.prompts, texts, Encoded(fitted, *encode(fitted, batch.inputs, batch.lengths))


@pytest.fixture
def means(fitted, heard) -> list[float]:
    """The language model's mean probabilities of the texts' tokens."""
    prompts, texts, encoded = heard
    likely = token_probabilities(fitted, prompts, texts, (encoded.rows, encoded.lengths))
    return [float(np.exp(np.log(one.numpy()).mean())) for one in likely]


@pytest.fixture
def limit(means) -> float:
    """One that parts the texts, with none so near that rounding decides."""
    ordered = sorted(means)
    gap = max(range(1, len(ordered)), key=lambda i: ordered[i] - ordered[i - 1])
    return (ordered[gap] + ordered[gap - 1]) / 2


def test_a_text_is_not_written_where_both_judges_doubt_it(fitted, heard, means, limit):
    """The branch of this model has learnt nothing: it doubts everything."""
    prompts, texts, encoded = heard
    found = believed(encoded, prompts, texts, Doubt(ctc=1.0, llm=limit))
    assert found == [text if one >= limit else "" for text, one in zip(texts, means, strict=True)]
    assert 0 < sum(map(bool, found)) < len(texts)
    assert believed(encoded, prompts, texts, Doubt(ctc=0.0, llm=1.0)) == texts
    assert believed(encoded, prompts, texts, Doubt(ctc=1.0, llm=0.0)) == texts


def test_a_batch_is_judged_as_one_by_one(fitted, make_inputs, limit):
    limits = Doubt(ctc=0.9, llm=limit)
    inputs = make_inputs(fitted)
    alone = transcribe(fitted, inputs, 1, 12, doubt=limits)
    assert transcribe(fitted, inputs, 5, 12, doubt=limits) == alone
    assert alone != transcribe(fitted, inputs, 5, 12)


def test_the_longest_of_a_batch_may_be_without_a_text(fitted, heard):
    prompts, texts, encoded = heard
    some = list(texts)
    for i in (encoded.lengths == encoded.lengths.max()).nonzero()[:, 0].tolist():
        some[i] = ""
    assert any(some)
    assert believed(encoded, prompts, some, Doubt(ctc=0.0, llm=1.0)) == some


def test_without_a_branch_or_a_text_there_is_nothing_to_judge(fitted, heard):
    prompts, texts, encoded = heard
    everything = Doubt(ctc=1.0, llm=1.0)
    assert believed(encoded, prompts, [""] * len(texts), everything) == [""] * len(texts)
    without = replace(fitted)
    without.model = copy.copy(fitted.model)
    without.model.ctc_decoder = None
    assert believed(replace(encoded, nano=without), prompts, texts, everything) == texts
