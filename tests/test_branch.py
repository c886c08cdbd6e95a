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
from telephone_asr.silero import speech_likely


@pytest.fixture
def heard(fitted, make_inputs):
    """Prompts and texts of the utterances, and what the encoder makes of them."""
    inputs = make_inputs(fitted)
    texts = transcribe(fitted, inputs, 4, 12)
    batch = inputs.batch(range(len(inputs)))
    with torch.inference_mode():
        rows = encode(fitted, batch.inputs, batch.lengths)
    return batch.prompts, texts, Encoded(fitted, *rows, inputs.sound)


@pytest.fixture
def means(fitted, heard) -> list[float]:
    """The language model's mean probabilities of the texts' tokens."""
    prompts, texts, encoded = heard
    likely = token_probabilities(fitted, prompts, texts, (encoded.rows, encoded.lengths))
    return [float(np.exp(np.log(one.numpy()).mean())) for one in likely]


@pytest.fixture
def spoken(heard) -> list[float]:
    """The detector's probabilities."""
    _, texts, encoded = heard
    return speech_likely([encoded.sound(i) for i in range(len(texts))])


@pytest.fixture
def limit(heard) -> float:
    """One that parts the texts, with none so near that rounding decides."""
    prompts, texts, encoded = heard
    ordered = sorted(beliefs(encoded, prompts, texts, nothing(texts)))
    gap = max(range(1, len(ordered)), key=lambda i: ordered[i] - ordered[i - 1])
    return (ordered[gap] + ordered[gap - 1]) / 2


def nobody(texts: list[str]) -> list[list[str]]:
    return [[]] * len(texts)


def nothing(texts: list[str]) -> list[str]:
    return [""] * len(texts)


def test_a_text_is_not_written_where_the_judges_together_doubt_it(heard, limit):
    prompts, texts, encoded = heard
    found = settled(encoded, prompts, texts, nobody(texts), Limits(limit, None))
    sure = beliefs(encoded, prompts, texts, nothing(texts))
    assert found == [text if one >= limit else "" for text, one in zip(texts, sure, strict=True)]
    assert 0 < sum(map(bool, found)) < len(texts)
    for doubt in (0.0, None):
        assert settled(encoded, prompts, texts, nobody(texts), Limits(doubt, None)) == texts


def test_branch_language_model_and_detector_have_a_third_each(heard, means, spoken):
    prompts, texts, encoded = heard
    batch = heard_as(encoded, texts, [0.9] * len(texts))
    expected = [(0.9 + one + other) / 3 for one, other in zip(means, spoken, strict=True)]
    assert beliefs(batch, prompts, texts, nothing(texts)) == pytest.approx(expected, abs=1e-4)


def test_the_branchs_own_text_is_judged_without_the_language_model(heard, spoken):
    prompts, texts, encoded = heard
    own = [texts[1], *nothing(texts)[1:]]
    batch = heard_as(encoded, [texts[1], *texts[1:]], [0.8] * len(texts))
    expected = (0.8 + spoken[0]) / 2
    assert beliefs(batch, prompts, texts, own)[0] == pytest.approx(expected, abs=1e-4)


def test_what_is_written_where_the_detector_hears_nobody_is_doubted(heard):
    prompts, texts, encoded = heard
    batch = heard_as(encoded, texts, [0.5] * len(texts))
    noise = np.random.default_rng(0).normal(0, 300, 24000).astype(np.int16)
    empty = replace(batch, sound=lambda place: (noise, 8000))
    empty.__dict__["log_probs"] = batch.log_probs
    sure = beliefs(batch, prompts, texts, nothing(texts))
    fooled = beliefs(empty, prompts, texts, nothing(texts))
    assert all(one - other > 0.15 for one, other in zip(sure, fooled, strict=True))
    between = [Limits((one + other) / 2, None) for one, other in zip(sure, fooled, strict=True)]
    for i, limits in enumerate(between):
        assert not settled(empty, prompts, texts, nobody(texts), limits)[i]
        assert settled(batch, prompts, texts, nobody(texts), limits)[i] == texts[i]


def test_the_language_model_is_asked_only_where_the_others_are_not_enough(
    heard, spoken, monkeypatch
):
    prompts, texts, encoded = heard
    batch = heard_as(encoded, texts, [0.9, 0.1] * (len(texts) // 2))
    asked: list[str] = []

    def probabilities(nano, own_prompts, own_texts, rows):
        asked.extend(own_texts)
        return token_probabilities(nano, own_prompts, own_texts, rows)

    monkeypatch.setattr(branch_module, "token_probabilities", probabilities)
    own = nothing(texts)
    some = beliefs(batch, prompts, texts, own, enough=0.5)
    assert asked == texts[1::2]
    assert some[::2] == pytest.approx([(0.9 + one) / 3 for one in spoken[::2]], abs=1e-4)
    assert some[1::2] == pytest.approx(beliefs(batch, prompts, texts, own)[1::2])


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
    # Where the language model writes nothing, nobody spoke.
    assert settled(batch, prompts, ["", *texts[1:]], none, branch) == ["", own[1], *texts[2:]]
    # Its own texts are doubted too, by the branch and the detector.
    sure = beliefs(batch, prompts, own, own)
    assert sure[0] != sure[1]
    doubted = replace(branch, doubt=(sure[0] + sure[1]) / 2)
    expected = [text if one > doubted.doubt else "" for text, one in zip(own, sure, strict=True)]
    assert settled(batch, prompts, texts, none, doubted)[:2] == expected[:2]
    # Hotwords are the language model's to write.
    written = [[texts[0][:2], "王伟"], *none[1:]]
    assert settled(batch, prompts, texts, written, branch)[0] == texts[0]
    unwritten = [["王伟"], *none[1:]]
    assert settled(batch, prompts, texts, unwritten, branch)[0] == own[0]


def test_without_a_branch_or_a_text_there_is_nothing_to_judge(fitted, heard):
    prompts, texts, encoded = heard
    everything = Limits(1.0, Short(characters=9, ctc=0.0))
    silent = nothing(texts)
    assert settled(encoded, prompts, silent, nobody(texts), everything) == silent
    without = replace(fitted)
    without.model = copy.copy(fitted.model)
    without.model.ctc_decoder = None
    alone = replace(encoded, nano=without)
    assert settled(alone, prompts, texts, nobody(texts), everything) == texts
