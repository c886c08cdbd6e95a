"""How sure a model is, against what others compute: generate's own scores, and every alignment."""

from itertools import product

import pytest
import torch

from telephone_asr.decoding.confidence import ctc_greedy, ctc_score, token_probabilities
from telephone_asr.decoding.recognise import transcripts
from telephone_asr.manifests.messages import PROMPT
from telephone_asr.model.fun_asr_nano import adapt, ctc_tokens, prompt_embeddings

TOKENS = 12


@pytest.fixture
def heard(nano):
    """Three utterances of other lengths, as an encoder makes them."""
    generator = torch.Generator().manual_seed(5)
    size = nano.model.audio_encoder.output_size()
    encoded = torch.randn(3, 40, size, generator=generator)
    return encoded, torch.tensor([40, 23, 31])


def test_tokens_are_as_likely_as_generate_says(nano, heard):
    encoded, lengths = heard
    adapted, sizes = adapt(nano, encoded, lengths)
    texts = transcripts(nano, [PROMPT] * 3, adapted, sizes, TOKENS)
    assert all(texts)
    found = token_probabilities(nano, [PROMPT] * 3, texts, heard)
    heads = prompt_embeddings(nano, [PROMPT] * 3, adapted, sizes)
    compared = 0
    for text, own, head in zip(texts, found, heads, strict=True):
        written = nano.model.llm.generate(
            inputs_embeds=head[None],
            max_new_tokens=TOKENS,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
            pad_token_id=nano.tokenizer.pad_token_id,
            eos_token_id=nano.tokenizer.convert_tokens_to_ids("<|im_end|>"),
        )
        said = nano.tokenizer.decode(written.sequences[0], skip_special_tokens=True)
        assert " ".join(said.split()) == text
        if said != text:  # a random model writes lines, which are made one
            continue
        compared += 1
        expected = torch.cat(written.logits).softmax(-1).max(-1).values[: len(own)]
        torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-3)
    assert compared


def test_the_branch_writes_its_text_and_says_how_surely(nano):
    nin, hao = nano.model.ctc_tokenizer.encode("您好")
    blank = nano.model.blank_id
    path = (blank, 0.9), (nin, 0.6), (nin, 0.8), (blank, 0.9), (nin, 0.7), (hao, 0.5), (hao, 0.4)
    rows = torch.full((len(path), blank + 1), 1e-6)
    for row, (token, likely) in zip(rows, path, strict=True):
        row[token] = likely
    text, likely = ctc_greedy(nano, rows.log())
    assert text == "您您好"
    assert likely == pytest.approx([0.8, 0.7, 0.5])


def test_a_score_is_that_of_every_alignment(nano):
    log_probs = torch.randn(4, len(nano_classes(nano))).log_softmax(-1)
    text = "我我"
    tokens, blank = ctc_tokens(nano, text), nano.model.blank_id
    total = 0.0
    for path in product({*tokens, blank}, repeat=4):
        shown = [one for one, before in zip(path, (None, *path), strict=False) if one != before]
        if [one for one in shown if one != blank] == tokens:
            total += float(sum(log_probs[row, one] for row, one in enumerate(path)).exp())
    expected = float(torch.tensor(total).log()) / len(tokens)
    assert ctc_score(nano, log_probs, text) == pytest.approx(expected, abs=1e-4)


def test_a_text_that_no_alignment_has_room_for_has_no_score(nano):
    log_probs = torch.zeros(2, len(nano_classes(nano))).log_softmax(-1)
    assert ctc_score(nano, log_probs, "我我") is None  # equal ones need a blank between
    assert ctc_score(nano, log_probs, "") is None


def nano_classes(nano) -> range:
    return range(nano.model.blank_id + 1)


def test_nothing_heard_is_nothing_written(nano):
    log_probs = torch.zeros(5, len(nano_classes(nano)))
    log_probs[:, nano.model.blank_id] = 9.0
    assert ctc_greedy(nano, log_probs.log_softmax(-1)) == ("", [])
