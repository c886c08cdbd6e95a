"""What trains and what is frozen; checkpoints that hold the trained part and fit one base only."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_fixtures import LORA, PREFIXES, TINY, make_checkpoint, perturb, write_variant
from speech_fixtures import FS
from telephone_asr.errors import InputError
from telephone_asr.model import parts
from telephone_asr.model.pretrained import CTC_BRANCH, file_sha256, load
from telephone_asr.names import STACKED

CTC = ("audio_encoder.", *CTC_BRANCH)


@pytest.fixture(scope="module")
def trained_models(tiny_directory, tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """A models directory with all checkpoints, and the weights after each stage."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_directory, models / "base")
    return models, {
        "encoder": make_checkpoint(models, "encoder", CTC),
        "adaptor": make_checkpoint(models, "adaptor"),
        "lora": make_checkpoint(models, "lora"),
    }


@pytest.fixture
def models(trained_models, tmp_path) -> Path:
    """A copy of it, to be broken."""
    shutil.copytree(trained_models[0], tmp_path / "models")
    return tmp_path / "models"


def probe(nano) -> torch.Tensor:
    """What the language model makes of some input."""
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 7, TINY.llm_dim, generator=rng)
    with torch.inference_mode():
        return nano.model.llm(inputs_embeds=inputs).logits


def edit_weights(models: Path, stage: str, change) -> None:
    """Changes a checkpoint's weights and notes their new hash."""
    path = models / stage / parts.WEIGHTS[stage]
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})
    edit_note(models, stage, lambda note: note.update(sha256=file_sha256(path)))


def edit_note(models: Path, stage: str, change) -> None:
    path = models / stage / "checkpoint.json"
    note = json.loads(path.read_text(encoding="utf-8"))
    change(note)
    path.write_text(json.dumps(note), encoding="utf-8")


# --- What trains


@pytest.mark.parametrize(
    "prefixes", [("audio_encoder.",), ("audio_adaptor.",), CTC, ("audio_adaptor.", "llm.")], ids=str
)
def test_exactly_the_named_part_trains(nano, prefixes):
    everything = dict(nano.model.named_parameters())
    expected = {n for n in everything if any(n.startswith(p) for p in prefixes)}
    trained = parts.choose_trained(nano, prefixes)
    assert set(trained) == expected
    assert {n for n, p in nano.model.named_parameters() if p.requires_grad} == expected
    assert all(trained[name] is everything[name] for name in expected)
    count = sum(p.numel() for n, p in everything.items() if n in expected)
    modules = [nano.model.get_submodule(p.rstrip(".")) for p in prefixes]
    assert count == sum(p.numel() for m in modules for p in m.parameters())


@pytest.mark.parametrize("prefixes", [("audio_encoder.",), ("audio_adaptor.",)], ids=str)
def test_only_what_trains_is_in_training_mode(nano, prefixes):
    nano.model.train()
    parts.choose_trained(nano, prefixes)
    training = {name for name, module in nano.model.named_modules() if module.training}
    root = prefixes[0].rstrip(".")
    assert training == {n for n, _ in nano.model.named_modules() if f"{n}.".startswith(f"{root}.")}


def test_another_choice_takes_the_first_back(nano):
    parts.choose_trained(nano, ("audio_encoder.",))
    trained = parts.choose_trained(nano, ("audio_adaptor.",))
    assert {n for n, p in nano.model.named_parameters() if p.requires_grad} == set(trained)


def test_a_prefix_that_names_nothing_is_an_error(nano):
    with pytest.raises(ValueError, match="vision_tower"):
        parts.choose_trained(nano, ("audio_encoder.", "vision_tower."))


def test_lora_trains_two_thin_matrices_a_projection(nano):
    projections = {
        name: module
        for name, module in nano.model.llm.named_modules()
        if name.endswith(("q_proj", "v_proj"))
    }
    trained = parts.add_lora(nano, LORA, seed=0)
    assert len(projections) == 2 * TINY.llm_layers
    expected = sum(LORA.r * (m.in_features + m.out_features) for m in projections.values())
    assert sum(p.numel() for p in trained.values()) == expected
    assert len(trained) == 2 * len(projections)
    assert all(p.requires_grad for p in trained.values())
    assert {n for n, p in nano.model.named_parameters() if p.requires_grad} == set(trained)
    assert all("lora_A" in name or "lora_B" in name for name in trained)


def test_untrained_lora_changes_nothing(nano):
    before = probe(nano)
    trained = parts.add_lora(nano, LORA, seed=0)
    assert all(p.count_nonzero() == 0 for n, p in trained.items() if "lora_B" in n)
    assert all(p.count_nonzero() > 0 for n, p in trained.items() if "lora_A" in n)
    nano.model.eval()
    assert torch.equal(probe(nano), before)


def test_loras_beginning_is_a_function_of_the_seed(tiny_directory):
    hashes = [
        parts.weights_sha256(parts.add_lora(load(tiny_directory), LORA, seed)) for seed in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_under_lora_all_but_its_dropout_is_in_eval_mode(nano):
    nano.model.train()
    parts.add_lora(nano, LORA, seed=0)
    dropouts = [
        m for n, m in nano.model.named_modules() if "lora_dropout" in n and not list(m.children())
    ]
    assert dropouts
    assert all(m.training and m.p == LORA.dropout for m in dropouts)
    for name in ("audio_encoder", "audio_adaptor", "ctc_decoder"):
        assert not any(m.training for m in nano.model.get_submodule(name).modules())


# --- Hashes


def test_the_frozen_hash_notices_frozen_weights_only(nano):
    trained = parts.choose_trained(nano, ("audio_adaptor.",))
    before = parts.frozen_sha256(nano)
    perturb(trained, seed=0)
    assert parts.frozen_sha256(nano) == before
    with torch.no_grad():
        nano.model.audio_encoder.after_norm.bias[3] += 1e-6
    assert parts.frozen_sha256(nano) != before


def test_a_hash_is_of_names_and_values_in_any_order_and_memory_layout():
    a, b = torch.arange(6.0).reshape(2, 3), torch.ones(2)
    one = parts.weights_sha256({"a": a, "b": b})
    assert parts.weights_sha256({"b": b, "a": a.T.contiguous().T}) == one
    assert parts.weights_sha256({"a": a, "c": b}) != one
    assert parts.weights_sha256({"a": a + 1, "b": b}) != one
    assert parts.weights_sha256({"a": a.bfloat16(), "b": b}) != one


# --- Checkpoints


@pytest.mark.parametrize("stage", ["encoder", "adaptor", "lora"])
def test_what_was_saved_is_loaded(trained_models, stage):
    models, after = trained_models
    loaded = parts.load_checkpoint(models, stage, FS)
    state = loaded.model.state_dict()
    assert set(state) == set(after[stage])
    assert all(torch.equal(state[name], after[stage][name]) for name in state)
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.config["frontend_conf"]["fs"] == FS


def test_each_stage_changes_its_part_alone(trained_models):
    models, after = trained_models
    before = parts.load_checkpoint(models, "base", FS).model.state_dict()
    for stage, prefixes in {"encoder": CTC, "adaptor": ("audio_adaptor.",)}.items():
        changed = {n for n in before if not torch.equal(before[n], after[stage][n])}
        assert changed
        assert all(name.startswith(prefixes) for name in changed)
        before = after[stage]


@pytest.mark.parametrize("stage", ["encoder", "adaptor", "lora"])
def test_the_file_holds_the_trained_part_alone(trained_models, stage):
    models, after = trained_models
    weights = load_file(models / stage / parts.WEIGHTS[stage])
    note = json.loads((models / stage / "checkpoint.json").read_text(encoding="utf-8"))
    assert sum(w.numel() for w in weights.values()) == note["trainable_parameters"]
    assert note["sha256"] == file_sha256(models / stage / parts.WEIGHTS[stage])
    below = STACKED[: STACKED.index(stage)]
    assert note["stands_on"] == {
        name: file_sha256(models / name / parts.WEIGHTS[name]) for name in below
    }
    assert (note["step"], note["valid_cer"]) == (7, 0.5)
    if stage == "lora":
        assert all("lora_" in name for name in weights)
    else:
        prefixes = CTC if stage == "encoder" else PREFIXES[stage]
        assert set(weights) == {n for n in after[stage] if n.startswith(prefixes)}


def test_lora_goes_on_the_projections_that_are_named(nano):
    from dataclasses import replace

    targets = ("o_proj", "up_proj")
    trained = parts.add_lora(nano, replace(LORA, targets=targets), seed=0)
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in trained} == set(targets)
    assert len(trained) == 2 * 2 * TINY.llm_layers  # A and B of each, in every layer


def test_a_language_model_that_was_trained_whole_is_a_checkpoint_like_the_others(models):
    shutil.rmtree(models / "lora")
    below = parts.load_checkpoint(models, "adaptor", FS)
    before = probe(below)
    trained = parts.choose_trained(below, parts.PREFIXES["lora"])
    assert all(name.startswith("llm.") for name in trained)
    perturb(trained, seed=1)
    parts.save_checkpoint(models / "lora", "lora", below, trained, {"step": 1, "valid_cer": 0.1})
    assert not (models / "lora" / parts.WEIGHTS["lora"]).exists()
    below.model.eval()
    again = parts.load_checkpoint(models, "lora", FS)
    assert again.peft is None
    assert torch.equal(probe(again), probe(below))
    assert not torch.equal(probe(again), before)
    path = parts.weights_path(models / "lora", "lora")
    weights = load_file(path)
    weights.pop(next(iter(weights)))
    save_file(weights, path)
    edit_note(models, "lora", lambda note: note.update(sha256=file_sha256(path)))
    with pytest.raises(InputError, match="is not the lora of this base model: 1 weights missing"):
        parts.load_checkpoint(models, "lora", FS)


def test_no_path_of_this_machine_is_saved(trained_models):
    models, _ = trained_models
    for path in models.rglob("*"):
        if path.is_file() and "base" not in path.relative_to(models).parts:
            assert str(models.parent).encode() not in path.read_bytes(), path


def test_peft_itself_loads_the_lora_directory(trained_models):
    from peft import PeftModel

    models, after = trained_models
    nano = parts.load_checkpoint(models, "adaptor", FS)
    peft = PeftModel.from_pretrained(nano.model.llm, str(models / "lora"))
    state = peft.base_model.model.state_dict()
    for name, tensor in after["lora"].items():
        if name.startswith("llm."):
            assert torch.equal(state[name.removeprefix("llm.")], tensor)
    config = peft.peft_config["default"]
    assert (config.r, config.lora_alpha) == (LORA.r, LORA.alpha)


def test_the_lora_directory_holds_nothing_that_changes_from_process_to_process(trained_models):
    """PEFT writes its modules in the order of a set."""
    config = json.loads((trained_models[0] / "lora" / "adapter_config.json").read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert str(trained_models[0]) not in json.dumps(config)


def test_a_checkpoint_of_another_base_is_refused(models):
    def change(_):
        pass

    other = write_variant(models / "base", models / "other", change)
    shutil.rmtree(models / "base")
    other.rename(models / "base")
    for stage in ("encoder", "adaptor", "lora"):
        with pytest.raises(InputError, match="trained on another base") as caught:
            parts.load_checkpoint(models, stage, FS)
        assert str(models / "encoder" / "checkpoint.json") in str(caught.value)


def test_a_checkpoint_on_another_checkpoint_is_refused(models):
    edit_weights(models, "encoder", lambda w: w.update({n: t + 1 for n, t in w.items()}))
    parts.load_checkpoint(models, "encoder", FS)
    with pytest.raises(InputError, match="adaptor was trained on another encoder"):
        parts.load_checkpoint(models, "adaptor", FS)


def test_weights_that_are_not_those_noted_are_refused(models):
    note = models / "adaptor" / "checkpoint.json"
    before = note.read_text(encoding="utf-8")
    edit_weights(models, "adaptor", lambda w: w.update({n: t + 1 for n, t in w.items()}))
    note.write_text(before, encoding="utf-8")
    with pytest.raises(InputError, match=r"adaptor.checkpoint\.json"):
        parts.load_checkpoint(models, "adaptor", FS)


@pytest.mark.parametrize("stage", ["encoder", "adaptor", "lora"])
@pytest.mark.parametrize("name", ["weights", "checkpoint.json"])
def test_a_missing_checkpoint_says_what_to_run(models, stage, name):
    (models / stage / (parts.WEIGHTS[stage] if name == "weights" else name)).unlink()
    with pytest.raises(InputError, match=f"dvc repro train_{stage}"):
        parts.load_checkpoint(models, "lora", FS)


def remove_one(weights: dict) -> None:
    del weights[sorted(weights)[0]]


def add_one(weights: dict) -> None:
    name = sorted(weights)[0]
    weights[name.replace("weight", "surplus").replace("bias", "surplus")] = weights[name].clone()


def reshape_one(weights: dict) -> None:
    name = sorted(weights)[0]
    weights[name] = weights[name][:-1].clone()


@pytest.mark.parametrize("stage", ["encoder", "adaptor", "lora"])
@pytest.mark.parametrize("change", [remove_one, add_one, reshape_one])
def test_a_checkpoint_that_is_not_exactly_its_part_is_refused(models, stage, change):
    edit_weights(models, stage, change)
    for later in STACKED[STACKED.index(stage) + 1 :]:
        shutil.rmtree(models / later)
    with pytest.raises(InputError, match=re.escape(str(models / stage))):
        parts.load_checkpoint(models, stage, FS)


def test_an_encoder_trained_without_its_ctc_branch_leaves_that_of_the_base(models):
    for name in ("encoder", "adaptor", "lora"):
        shutil.rmtree(models / name)
    after = make_checkpoint(models, "encoder")
    loaded = parts.load_checkpoint(models, "encoder", FS).model.state_dict()
    base = load(models / "base").model.state_dict()
    assert all(torch.equal(loaded[name], after[name]) for name in loaded)
    assert all(torch.equal(loaded[n], base[n]) for n in base if n.startswith(CTC_BRANCH))
