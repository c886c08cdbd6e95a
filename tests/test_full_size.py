"""Fun-ASR-Nano at its real size, without memory for its weights: what trains in each stage."""

import sys

import pytest
import torch

from model_fixtures import PREFIXES, ROOT
from telephone_asr.model import parts
from telephone_asr.model.pretrained import FunASRNano


@pytest.fixture
def full(monkeypatch, tmp_path, tokenizer_directory) -> FunASRNano:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    sys.modules.pop("training", None)
    from training import write_configuration

    config = write_configuration(tmp_path / "model", tokenizer_directory)
    from funasr.register import tables

    with torch.device("meta"):
        model = tables.model_classes["FunASRNano"](**config, input_size=560)
    return FunASRNano(model, None, config, tmp_path)


@pytest.mark.parametrize(
    ("stage", "millions"), [("encoder", 221), ("adapter", 12.6)], ids=["encoder", "adapter"]
)
def test_the_part_that_trains_is_as_large_as_funasrs_own(full, stage, millions):
    module = full.model.get_submodule(PREFIXES[stage][0].rstrip("."))
    trained = parts.choose_trained(full, PREFIXES[stage])
    count = sum(p.numel() for p in trained.values())
    assert count == sum(p.numel() for p in module.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_lora_is_as_large_as_funasrs_own(full, monkeypatch, tmp_path, tokenizer_directory):
    from funasr.models.lora.utils import mark_only_lora_as_trainable

    trained = parts.add_lora(full, parts.LoraSize(r=16, alpha=32, dropout=0.05), seed=0)
    count = sum(p.numel() for p in trained.values())
    assert count == 28 * 16 * ((1024 + 2048) + (1024 + 1024))  # q and v of 28 layers

    from funasr.register import tables

    with torch.device("meta"):
        theirs = tables.model_classes["FunASRNano"](**full.config, input_size=560)
        theirs._apply_lora_to_llm({"lora_conf": {"r": 16, "lora_alpha": 32}})
    mark_only_lora_as_trainable(theirs)
    assert count == sum(p.numel() for p in theirs.parameters() if p.requires_grad)


def test_the_language_model_is_qwen3_0_6b(full):
    count = sum(p.numel() for p in full.model.llm.parameters())
    assert count == 596_049_920  # as its model card has it: 0.6 B, 0.44 B without embeddings
