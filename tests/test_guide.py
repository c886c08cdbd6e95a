"""Rows of the encoder and the adaptor are asked to spell the transcript."""

import pytest
import torch

from telephone_asr.dataset.batching import collate
from telephone_asr.manifests.messages import PROMPT_VERBATIM
from telephone_asr.model import fun_asr_nano, parts
from telephone_asr.training import guide
from telephone_asr.training.objective import Objective

TEXTS = ["您好", "谢谢", ""]


@pytest.fixture
def guided(nano):
    guide.add_guide(nano, seed=0)
    return nano


def batch_of(texts: list[str]):
    rows = [
        torch.randn(30 + 9 * i, 560, generator=torch.Generator().manual_seed(i))
        for i in range(len(texts))
    ]
    return collate(
        [f"u{i}" for i in range(len(texts))], rows, [PROMPT_VERBATIM] * len(texts), texts
    )


def by_paths(log_probs: torch.Tensor, tokens: list[int]) -> float:
    """The CTC loss by Graves' forward variables, in plain Python; blank is 0."""
    labels = [0] + [x for t in tokens for x in (t, 0)]
    minus = torch.tensor(float("-inf"))
    alpha = [log_probs[0, label] if i < 2 else minus for i, label in enumerate(labels)]
    for row in log_probs[1:]:
        new = []
        for i, label in enumerate(labels):
            before = [alpha[i], alpha[i - 1] if i else minus]
            if i > 1 and label and label != labels[i - 2]:
                before.append(alpha[i - 2])
            new.append(torch.logsumexp(torch.stack(before), 0) + row[label])
        alpha = new
    return -torch.logsumexp(torch.stack(alpha[-2:]), 0).item()


@pytest.mark.parametrize("part", ["encoder", "adaptor"])
def test_the_loss_is_that_of_the_transcripts_tokens(guided, part):
    batch = batch_of(TEXTS)
    rows = fun_asr_nano.encode(guided, batch.inputs, batch.lengths)
    if part == "adaptor":
        rows = fun_asr_nano.adapt(guided, *rows)
    head = guided.model.guide[part]
    embeddings = guided.model.llm.get_input_embeddings().weight
    with torch.no_grad():
        expected = 0.0
        for hidden, length, text in zip(*rows, TEXTS, strict=True):
            log_probs = head(hidden[None, :length], embeddings)[0]
            tokens = [t + 1 for t in guided.tokenizer.encode(text)]
            expected += by_paths(log_probs, tokens)
        loss = guide.spelling_loss(guided, part, rows, TEXTS, total=4.0)
    assert loss.item() == pytest.approx(expected / 4.0, rel=1e-4)


def test_a_row_of_the_adaptor_spells_several_tokens(guided):
    # Half a second of a quick talker; one row of the encoder is 60 ms.
    embeddings = guided.model.llm.get_input_embeddings().weight
    rows = torch.zeros(1, 3, embeddings.shape[1])
    assert guided.model.guide["adaptor"](rows, embeddings).shape[1] == 3 * guide.PIECES
    assert guided.model.guide["encoder"](rows, embeddings).shape[1] == 3


def test_a_guided_adaptor_learns_without_the_language_models_loss(guided):
    batch = batch_of(["您好", "再见"])
    prefixes = ("audio_encoder.", "audio_adaptor.", "llm.model.embed_tokens.", f"{guide.NAME}.")
    trained = parts.choose_trained(guided, prefixes)
    objective = Objective(guided, "features", llm_weight=0.0, ctc_weight=1.0, guide_weight=1.0)
    optimizer = torch.optim.AdamW(trained.values(), lr=3e-3)
    adaptor_loss = []
    for _ in range(60):
        optimizer.zero_grad()
        objective(batch).backward()
        assert all(p.grad is not None for p in trained.values())  # or two processes would wait
        optimizer.step()
        with torch.no_grad():
            rows = fun_asr_nano.adapt(
                guided, *fun_asr_nano.encode(guided, batch.inputs, batch.lengths)
            )
            loss = guide.spelling_loss(guided, "adaptor", rows, batch.texts, total=4.0)
        adaptor_loss.append(loss.item())
    assert adaptor_loss[-1] < 0.3 * adaptor_loss[0], adaptor_loss


def test_the_model_is_itself_again_without_its_guide(guided):
    names = set(guided.model.state_dict())
    guide.remove_guide(guided)
    left = set(guided.model.state_dict())
    gone = names - left
    assert gone
    assert gone == {name for name in names if name.startswith("guide.")}
