"""Fun-ASR-Nano at its real size: what trains in each stage (without memory for its weights), and
that FunASR reads what is exported (slow, with random weights: 15 GB of memory, two minutes)."""

import importlib
import sys
from types import ModuleType

import pytest
import torch

from model_fixtures import PREFIXES, ROOT, perturb
from telephone_asr.manifests.messages import PROMPT
from telephone_asr.model import fun_asr_nano, parts
from telephone_asr.model.export import export
from telephone_asr.model.pretrained import FunASRNano, load

LORA = parts.LoraSize(r=16, alpha=32, dropout=0.05)


@pytest.fixture
def bench(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    sys.modules.pop("training", None)
    return importlib.import_module("training")


@pytest.fixture
def config(bench, tmp_path, tokenizer_directory) -> dict:
    return bench.write_configuration(tmp_path / "model", tokenizer_directory)


@pytest.fixture
def full(bench, config, tmp_path) -> FunASRNano:
    with torch.device("meta"):
        model = bench.build(config)
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


def test_lora_is_as_large_as_funasrs_own(bench, full):
    from funasr.models.lora.utils import mark_only_lora_as_trainable

    trained = parts.add_lora(full, LORA, seed=0)
    count = sum(p.numel() for p in trained.values())
    assert count == 28 * 16 * ((1024 + 2048) + (1024 + 1024))  # q and v of 28 layers

    with torch.device("meta"):
        theirs = bench.build(full.config)
        theirs._apply_lora_to_llm({"lora_conf": {"r": 16, "lora_alpha": 32}})
    mark_only_lora_as_trainable(theirs)
    assert count == sum(p.numel() for p in theirs.parameters() if p.requires_grad)


def test_the_language_model_is_qwen3_0_6b(full):
    count = sum(p.numel() for p in full.model.llm.parameters())
    assert count == 596_049_920  # as its model card has it: 0.6 B, 0.44 B without embeddings


def logits(nano: FunASRNano) -> list[torch.Tensor]:
    """Of the language model behind two utterances, one of them padded."""
    features = torch.randn(2, 50, 560, generator=torch.Generator().manual_seed(1))
    nano.model.eval()
    with torch.inference_mode():
        encoded = fun_asr_nano.encode(nano, features, torch.tensor([50, 31]))
        adapted = fun_asr_nano.adapt(nano, *encoded)
        heads = fun_asr_nano.prompt_embeddings(nano, [PROMPT] * 2, *adapted)
        return [nano.model.llm(inputs_embeds=head[None]).logits for head in heads]


@pytest.mark.slow
def test_funasr_loads_what_is_exported_and_gives_our_logits(bench, config, tmp_path):
    from funasr import AutoModel

    bench.write_weights(tmp_path / "model", config)
    nano = load(tmp_path / "model")
    before = logits(nano)
    perturb(parts.add_lora(nano, LORA, seed=0), seed=0, size=0.02)
    unmerged = logits(nano)
    export(nano, tmp_path / "final")
    merged = logits(nano)
    del nano
    loaded = AutoModel(
        **{"model": str(tmp_path / "final"), "disable_update": True, "device": "cpu"},
        **{"disable_pbar": True, "log_level": "ERROR"},
    )
    tokenizer = loaded.kwargs["tokenizer"]
    theirs = logits(FunASRNano(loaded.model, tokenizer, config, tmp_path / "final"))
    for ours, found, other, base in zip(merged, theirs, unmerged, before, strict=True):
        torch.testing.assert_close(found, ours, atol=1e-6, rtol=0)
        torch.testing.assert_close(other, ours, atol=1e-5, rtol=0)
        assert (other - base).abs().max() > 1e-3  # LoRA does something
