"""What the CTC branch has to say: what nobody believes is not written, what is short is its own."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from telephone_asr.decoding import branch as branch_module
from telephone_asr.decoding.branch import Limits, beliefs, settled
from telephone_asr.decoding.confidence import ctc_greedy, token_probabilities
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.model.fun_asr_nano import ctc_tokens, encode
from telephone_asr.params import Short


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
def limit(heard) -> float:
    """One that parts the texts, with none so near that rounding decides."""
    prompts, texts, encoded = heard
    ordered = sorted(beliefs(encoded, prompts, texts))
    gap = max(range(1, len(ordered)), key=lambda i: ordered[i] - ordered[i - 1])
    return (ordered[gap] + ordered[gap - 1]) / 2


def nobody(texts: list[str]) -> list[list[str]]:
    return [[]] * len(texts)


def test_a_text_is_not_written_where_both_judges_together_doubt_it(heard, limit):
    prompts, texts, encoded = heard
    found = settled(encoded, prompts, texts, nobody(texts), Limits(limit, None))
    sure = beliefs(encoded, prompts, texts)
    assert found == [text if one >= limit else "" for text, one in zip(texts, sure, strict=True)]
    assert 0 < sum(map(bool, found)) < len(texts)
    for doubt in (0.0, None):
        assert settled(encoded, prompts, texts, nobody(texts), Limits(doubt, None)) == texts


def test_the_branch_is_half_of_what_is_believed(heard, means):
    prompts, texts, encoded = heard
    batch = heard_as(encoded, texts, [0.9] * len(texts))
    expected = [(0.9 + one) / 2 for one in means]
    assert beliefs(batch, prompts, texts) == pytest.approx(expected, abs=1e-4)


def test_the_language_model_is_asked_only_where_the_branch_alone_is_not_enough(heard, monkeypatch):
    prompts, texts, encoded = heard
    batch = heard_as(encoded, texts, [0.9, 0.7] * (len(texts) // 2))
    asked: list[str] = []

    def probabilities(nano, own_prompts, own_texts, rows):
        asked.extend(own_texts)
        return token_probabilities(nano, own_prompts, own_texts, rows)

    monkeypatch.setattr(branch_module, "token_probabilities", probabilities)
    some = beliefs(batch, prompts, texts, enough=0.4)
    assert asked == texts[1::2]
    assert some[::2] == pytest.approx([0.45] * len(texts[::2]))
    assert some[1::2] == pytest.approx(beliefs(batch, prompts, texts)[1::2])


def test_a_batch_is_judged_as_one_by_one(fitted, make_inputs, limit):
    inputs = make_inputs(fitted)
    alone = transcribe(fitted, inputs, 1, 12, branch=Limits(limit, None))
    assert transcribe(fitted, inputs, 5, 12, branch=Limits(limit, None)) == alone
    assert alone != transcribe(fitted, inputs, 5, 12)


def test_the_longest_of_a_batch_may_be_without_a_text(heard):
    prompts, texts, encoded = heard
    some = list(texts)
    for i in (encoded.lengths == encoded.lengths.max()).nonzero()[:, 0].tolist():
        some[i] = ""
    assert any(some)
    assert settled(encoded, prompts, some, nobody(some), Limits(0.0, None)) == some


def heard_as(encoded: Encoded, texts: list[str], likely: list[float]) -> Encoded:
    """Returns a batch of which the branch has these texts, each character so likely."""
    blank, spelt = encoded.nano.model.blank_id, []
    for text, own in zip(texts, likely, strict=True):
        rows = [[blank]]
        for token in ctc_tokens(encoded.nano, text):
            rows += [[token], [blank]]
        probabilities = torch.full((len(rows), encoded.log_probs[0].shape[1]), 1e-9)
        probabilities[:, blank] = 1 - own
        probabilities[range(len(rows)), [row[0] for row in rows]] = own
        spelt.append(probabilities.log())
    batch = replace(encoded)
    batch.__dict__["log_probs"] = spelt
    return batch


def test_what_the_branch_hears_as_short_is_its_own_where_it_is_surer(fitted, heard, corpus):
    prompts, texts, encoded = heard
    long = next(example.text for example in corpus.examples if len(example.text) > 3)
    own = [long[0], long[:3], long, long[:2], "", *[long] * (len(texts) - 5)]
    batch = heard_as(encoded, own, [0.9, 0.8, 0.9, 0.6, 0.9, *[0.9] * (len(texts) - 5)])
    assert [ctc_greedy(fitted, log_probs)[0] for log_probs in batch.log_probs] == own
    branch = Limits(None, Short(characters=3, ctc=0.7))
    none = nobody(texts)
    assert settled(batch, prompts, texts, none, branch) == [*own[:2], *texts[2:]]
    # Where the language model writes nothing, nobody spoke; what it wrote and is doubted, somebody.
    assert settled(batch, prompts, ["", *texts[1:]], none, branch) == ["", own[1], *texts[2:]]
    doubted = replace(branch, doubt=1.0)
    assert settled(batch, prompts, texts, none, doubted)[:3] == [*own[:2], ""]
    # Hotwords are the language model's to write.
    written = [[texts[0][:2], "王伟"], *none[1:]]
    assert settled(batch, prompts, texts, written, branch)[0] == texts[0]
    unwritten = [["王伟"], *none[1:]]
    assert settled(batch, prompts, texts, unwritten, branch)[0] == own[0]


def test_without_a_branch_or_a_text_there_is_nothing_to_judge(fitted, heard):
    prompts, texts, encoded = heard
    everything = Limits(1.0, Short(characters=9, ctc=0.0))
    nothing = [""] * len(texts)
    assert settled(encoded, prompts, nothing, nobody(texts), everything) == nothing
    without = replace(fitted)
    without.model = copy.copy(fitted.model)
    without.model.ctc_decoder = None
    alone = replace(encoded, nano=without)
    assert settled(alone, prompts, texts, nobody(texts), everything) == texts
