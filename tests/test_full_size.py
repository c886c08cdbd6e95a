"""Fun-ASR-Nano at its real size: that it is what is published, what trains in each stage (without
memory for its weights), and that FunASR reads what is exported (slow, with random weights: 15 GB of
memory, two minutes)."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from model_fixtures import PREFIXES, perturb
from repository_fixtures import ROOT
from telephone_asr.manifests.messages import PROMPT
from telephone_asr.model import fun_asr_nano, layout, parts, tiny
from telephone_asr.model.export import export
from telephone_asr.model.pretrained import FunASRNano, load
from telephone_asr.names import STACKED

LORA = parts.LoraSize(r=16, alpha=32, dropout=0.05)
PUBLISHED = Path(__file__).with_name("published_keys.tsv")


@pytest.fixture
def bench(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    sys.modules.pop("full_model", None)
    return importlib.import_module("full_model")


@pytest.fixture
def config(bench, tmp_path, tokenizer_directory) -> dict:
    """The published config.yaml, as it is read."""
    tiny.write_beside(
        tmp_path / "model", bench.configuration(), bench.language_model(), tokenizer_directory
    )
    return layout.read_config(tmp_path / "model")


@pytest.fixture
def full(config, tmp_path) -> FunASRNano:
    with torch.device("meta"):
        model = layout.build(config)
    return FunASRNano(model, None, config, tmp_path)


def published() -> Iterator[tuple[str, list[int], str]]:
    """Name, shape and dtype of every weight."""
    for line in PUBLISHED.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pattern, shape, dtype = line.split("\t")
            first, last = re.findall(r"{(\d+)-(\d+)}", pattern)[0] if "{" in pattern else (0, 0)
            for block in range(int(first), int(last) + 1):
                name = re.sub("{.*}", str(block), pattern)
                yield name, [int(n) for n in re.findall(r"\d+", shape)], dtype


def test_it_has_the_published_weights(full):
    expected = list(published())
    assert len(expected) == 1347
    shapes = {name: list(tensor.shape) for name, tensor in full.model.state_dict().items()}
    assert shapes == {name: shape for name, shape, _ in expected}
    assert shapes["ctc.ctc_lo.weight"][0] == full.model.blank_id + 1 == 60515


def test_it_is_written_in_the_published_dtypes(full):
    names = full.model.state_dict()
    light = SimpleNamespace(state_dict=lambda: {name: torch.zeros(1) for name in names})
    dtypes = {n: str(t.dtype).removeprefix("torch.") for n, t in tiny.as_published(light).items()}
    assert dtypes == {name: dtype for name, _, dtype in published()}


def test_the_benches_take_the_published_configuration_as_it_is(bench):
    assert bench.configuration() == layout.published()


@pytest.mark.parametrize(("stage", "size"), [("encoder", 221_136_992), ("adaptor", 12_604_928)])
def test_the_part_that_trains_is_as_large_as_funasrs_own(full, stage, size):
    module = full.model.get_submodule(PREFIXES[stage][0].rstrip("."))
    trained = parts.choose_trained(full, PREFIXES[stage])
    count = sum(p.numel() for p in trained.values())
    assert count == sum(p.numel() for p in module.parameters())
    assert count == size


def test_lora_is_as_large_as_funasrs_own(full):
    from funasr.models.lora.utils import mark_only_lora_as_trainable

    trained = parts.add_lora(full, LORA, seed=0)
    count = sum(p.numel() for p in trained.values())
    assert count == 28 * 16 * ((1024 + 2048) + (1024 + 1024)) == 2_293_760  # q and v, 28 layers

    with torch.device("meta"):
        theirs = layout.build(full.config)
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
def test_funasr_loads_what_is_exported_and_gives_our_logits(bench, tmp_path):
    from funasr import AutoModel

    bench.write_tokenizers(tmp_path / "tokenizer")
    bench.write_model(tmp_path / "model", tmp_path / "tokenizer")
    nano = load(tmp_path / "model")
    before = logits(nano)
    perturb(parts.add_lora(nano, LORA, seed=0), seed=0, size=0.02)
    unmerged = logits(nano)
    export(nano, tmp_path / "final", verbatim=False)
    merged = logits(nano)
    nano_config = nano.config
    del nano
    loaded = AutoModel(
        **{"model": str(tmp_path / "final"), "disable_update": True, "device": "cpu"},
        **{"disable_pbar": True, "log_level": "ERROR", "ncpu": 1},
    )
    tokenizer = loaded.kwargs["tokenizer"]
    theirs = logits(FunASRNano(loaded.model, tokenizer, nano_config, tmp_path / "final"))
    for ours, found, other, base in zip(merged, theirs, unmerged, before, strict=True):
        torch.testing.assert_close(found, ours, atol=1e-6, rtol=0)
        torch.testing.assert_close(other, ours, atol=1e-5, rtol=0)
        assert (other - base).abs().max() > 1e-3  # LoRA does something


@pytest.mark.slow
def test_the_bench_runs_the_whole_pipeline(bench):
    """With a small model; minutes."""
    command = [sys.executable, str(ROOT / "bench" / "full_size.py"), "--small"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines() if "|" in line]
    stages = [*STACKED, "final"]
    assert set(rows) >= {f"evaluate {name}" for name in stages} | {"export", "report", "all"}
    equal, of = re.search(r"export: (\d+) of (\d+) texts", done.stdout).groups()
    assert equal == of != "0"
