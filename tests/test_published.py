"""The published layouts through every stage, FunASR and the commands."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from model_fixtures import make_checkpoint
from published_fixtures import write_published
from repository_fixtures import run_stage, write_params
from speech_fixtures import FS, write_wav
from telephone_asr.calls.many import Work
from telephone_asr.calls.recording import Choice
from telephone_asr.commands.doctor import examine
from telephone_asr.commands.transcribe import transcribe_paths
from telephone_asr.errors import InputError
from telephone_asr.model import layout, parts
from telephone_asr.model.export import export
from telephone_asr.model.pretrained import load, read_weights
from telephone_asr.paths import PSEUDO, TELECALL, UNLABELLED
from telephone_asr.shards import count_shards, read_shard, write_shards
from telephone_asr.unlabelled.labels import label_line, read_labels

STAGES = ("tokenizer", "manifests", "base", "train_encoder", "train_adaptor", "train_lora")


@pytest.fixture(scope="module")
def adapted(published_layout, published_directory, data_repository, tmp_path_factory) -> Path:
    """A repository after every stage, on a published model."""
    path = tmp_path_factory.mktemp(f"adapted-{published_layout}") / "repository"
    shutil.copytree(data_repository.path, path)
    for out in ("models/tokenizer", "data/manifests"):  # DVC deletes outs before it runs a stage
        shutil.rmtree(path / out)
    write_params(
        path,
        {
            **{"base.path": str(published_directory), "base.pins": "model.sha256"},
            **{"train.valid_utterances": 1, "train.evaluations": 1, "train.average": 1},
        },
    )
    for name in STAGES:
        run_stage(path, name)
    run_stage(path, "export")
    for checkpoint in ("base", "lora", "final"):
        run_stage(path, "evaluate", checkpoint)
    return path


def test_every_stage_runs_and_funasr_writes_our_texts(adapted, published_layout):
    metrics = json.loads((adapted / "metrics" / "export.json").read_text(encoding="utf-8"))
    assert metrics["equal"] == metrics["utterances"] > 5
    has_ctc = published_layout == "modelscope"
    for checkpoint in ("lora", "final"):
        path = adapted / "metrics" / f"{checkpoint}.json"
        assert ("timestamps" in json.loads(path.read_text(encoding="utf-8"))) == has_ctc
    encoder = parts.load_checkpoint(adapted / "models", "encoder", FS)
    assert encoder.has_ctc == has_ctc


def test_only_the_files_that_are_used_are_taken(adapted):
    for name in ("base", "final"):
        files = {p.name for p in (adapted / "models" / name).rglob("*") if p.is_file()}
        assert {"config.yaml", "configuration.json", "model.pt", "tokenizer.json"} <= files
        assert not files & {"model.py", "zh.mp3"}


def test_what_is_exported_says_what_its_weights_are(adapted, published_layout):
    config = OmegaConf.load(adapted / "models" / "final" / "config.yaml")
    assert config.llm_conf.llm_dtype == "fp32"
    assert ("ctc_decoder" in config) == (published_layout == "modelscope")
    state = read_weights(adapted / "models" / "final" / "model.pt")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    head, embeddings = state["llm.lm_head.weight"], state["llm.model.embed_tokens.weight"]
    assert head.data_ptr() == embeddings.data_ptr()  # stored once


def test_a_merged_lora_is_what_was_trained_but_for_the_last_digits_of_fp32(
    published_directory, tmp_path
):
    """Merged into bf16, in which the base is published, some percent of it would be lost."""
    models, name = tmp_path / "models", "model.layers.1.self_attn.q_proj"
    shutil.copytree(published_directory, models / "base")
    for stage in ("encoder", "adaptor", "lora"):
        make_checkpoint(models, stage, size=0.02)
    stacked = parts.load_checkpoint(models, "lora", FS)
    module = stacked.peft.base_model.model.get_submodule(name)
    before = module.base_layer.weight.detach().double()
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    delta = (module.scaling["default"] * b.double() @ a.double()).detach()
    export(stacked, models / "final", verbatim=False)
    found = load(models / "final").model.state_dict()[f"llm.{name}.weight"].double() - before
    assert (found - delta).norm() < 1e-4 * delta.norm()
    rounded = (before + delta).bfloat16().double() - before
    assert (rounded - delta).norm() > 1e-3 * delta.norm()


def test_the_commands_take_it(adapted, published_layout, monkeypatch, tmp_path, speech, capsys):
    monkeypatch.chdir(adapted)
    found = {finding.subject: finding for finding in examine()}["base model"]
    assert found.ok, found.text
    assert ("with a CTC branch" in found.text) == (published_layout == "modelscope")
    path = write_wav(tmp_path / "a.wav", speech(1.0, seed=1, rate_hz=8000), 8000)
    with suppress(SystemExit):  # a text that such a model does not end is cut off, and told
        work = Work(adapted / "models" / "base", Choice(whole=True), 1, None)
        transcribe_paths([path], work)
    assert capsys.readouterr().out.startswith(str(path))


def test_calls_without_transcripts_are_labelled_and_trained_on(
    adapted, published_layout, published_directory, tmp_path
):
    """With the model as it was published beside it, for a second text."""
    path = tmp_path / "rounds"
    shutil.copytree(adapted, path)
    shutil.rmtree(path / "models" / "final")
    write_params(
        path, {"unlabelled.rounds": 1, "unlabelled.second_model": str(published_directory)}
    )
    calls = [
        u for i in range(count_shards(path / TELECALL)) for u in read_shard(path / TELECALL, i)
    ]
    turns = [replace(u, id=f"new-{u.id}", text="", speaker=f"new-{u.id}") for u in calls[:5]]
    write_shards(path / UNLABELLED, turns, 3)
    run_stage(path, "pseudo_label")
    labels = list(read_labels(path / PSEUDO / "turns.jsonl"))
    assert len(labels) == 5
    for label in labels:
        assert label.second_text is not None
        assert (label.ctc_text is None) == (published_layout != "modelscope")
    # What so small a model writes of random weights is never trusted: as if it had been sure.
    sure = {"loop": False, "confidence": 1.0, "ctc_confidence": 1.0, "distance": 0.0}
    sure |= {"text": "好的", "second_distance": 0.0, "characters_per_s": 4.0}
    lines = "".join(label_line(replace(label, **sure)) for label in labels)
    (path / PSEUDO / "turns.jsonl").write_text(lines, encoding="utf-8")
    run_stage(path, "self_train")
    assert json.loads((path / "metrics/self_train.json").read_text())["1"]["turns"] == 5
    run_stage(path, "export")
    metrics = json.loads((path / "metrics/export.json").read_text(encoding="utf-8"))
    assert metrics["equal"] == metrics["utterances"] > 5


def test_a_base_without_the_ctc_branch_says_so_once(
    adapted, published_layout, published_directory, capsys
):
    if published_layout == "modelscope":
        pytest.skip("it has the branch")
    shutil.rmtree(adapted / "models" / "base")
    run_stage(adapted, "base")
    shutil.rmtree(adapted / "models" / "encoder")
    run_stage(adapted, "train_encoder")
    said = [line for line in capsys.readouterr().out.splitlines() if "no CTC branch" in line]
    assert len(said) == 2
    assert "adapted without it, and without timestamps" in said[0]
    assert "trained by the language model's loss alone" in said[1]


def test_funasr_itself_loads_what_was_published(published_directory, published_layout):
    """So that the fixture is what FunASR reads, and what we say of it is what FunASR says."""
    from funasr import AutoModel

    model = AutoModel(
        **{"model": str(published_directory), "disable_update": True, "device": "cpu"},
        **{"disable_pbar": True, "log_level": "ERROR", "ncpu": 1},
    ).model
    nano = load(published_directory)
    assert (model.ctc_decoder is not None) == nano.has_ctc == (published_layout == "modelscope")
    theirs, ours = model.state_dict(), nano.model.state_dict()
    assert set(theirs) == set(ours)
    assert all(torch.equal(theirs[name].float(), ours[name]) for name in ours)
    assert {tensor.dtype for tensor in ours.values()} == {torch.float32}


# --- The table of what config.yaml may name


def test_every_name_of_the_published_config_is_in_the_table():
    layout.import_funasr()
    from funasr.register import tables

    config = layout.published()
    registries = {
        **{"audio_encoder": tables.encoder_classes, "audio_adaptor": tables.adaptor_classes},
        **{"ctc_decoder": tables.adaptor_classes, "frontend": tables.frontend_classes},
        **{"tokenizer": tables.tokenizer_classes},
        **{"dataset_conf.ctc_tokenizer": tables.tokenizer_classes},
    }
    assert set(registries) == set(layout.PARTS)
    for name, known in layout.PARTS.items():
        assert OmegaConf.select(OmegaConf.create(config), name) in known
        assert set(known) <= set(registries[name])


@pytest.mark.parametrize("name", layout.PARTS)
def test_an_unknown_name_is_one_sentence(name, modelscope_directory):
    path = modelscope_directory / "config.yaml"
    config = OmegaConf.load(path)
    OmegaConf.update(config, name, "NoSuchPart")
    OmegaConf.save(config, path)
    with pytest.raises(InputError) as caught:
        load(modelscope_directory)
    known = next(iter(layout.PARTS[name]))
    assert str(caught.value) == (
        f"{path}: {name}: expected {known}, as in the published models, got NoSuchPart."
    )


# --- What is no Fun-ASR-Nano, or half of one


def refusal(directory: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory) in message
    return message


@pytest.mark.parametrize("name", ["SenseVoiceSmall", "Paraformer"])
def test_another_model_of_funasrs_is_named(name, tmp_path):
    for file in ("model.pt", "configuration.json"):
        (tmp_path / file).write_text("{}")
    (tmp_path / "config.yaml").write_text(f"model: {name}\nencoder: SANMEncoder\n")
    assert f"another model: expected model: FunASRNano, got model: {name}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"architectures": ["FunAsrNanoForConditionalGeneration"]}, "FunAsrNanoForConditional"),
        ({"model_type": "qwen3_asr"}, "qwen3_asr"),
        ([], "a model"),
    ],
)
def test_a_directory_in_the_format_of_transformers_is_named_with_the_way_to_the_right_one(
    content, name, tmp_path
):
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes(b"")
    message = refusal(tmp_path)
    assert f"holds {name}" in message
    assert "in the format of Transformers" in message
    assert "FunAudioLLM/Fun-ASR-Nano-2512 (not its -hf copy)" in message


def test_half_a_download_is_named(modelscope_directory):
    path = modelscope_directory / "model.pt"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "does not hold the weights of a model" in refusal(modelscope_directory)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    assert "git lfs pull" in refusal(modelscope_directory)
    path.rename(modelscope_directory / "model.pt.incomplete")
    assert "has no model.pt" in refusal(modelscope_directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("audio_encoder_conf.num_blocks", None),
        ("audio_encoder_conf", None),
        ("frontend_conf.lfr_m", None),
        ("ctc_decoder_conf.n_layer", None),
        ("audio_encoder_conf.output_size", "large"),
        ("audio_adaptor_conf.n_layer", 2.5),
        ("llm_conf.freeze", 1),
    ],
)
def test_a_key_that_is_missing_or_ill_typed_is_named(key, value, modelscope_directory):
    path = modelscope_directory / "config.yaml"
    config = OmegaConf.to_container(OmegaConf.load(path))
    *sections, name = key.split(".")
    section = config[sections[0]] if sections else config
    if value is None:
        del section[name]
    else:
        section[name] = value
    OmegaConf.save(OmegaConf.create(config), path)
    message = refusal(modelscope_directory)
    assert f"{key} is missing" in message or f"{key}: expected" in message


def test_what_is_no_key_of_fun_asr_nano_reaches_none_of_funasrs_classes(
    modelscope_directory, capsys
):
    path = modelscope_directory / "config.yaml"
    config = OmegaConf.load(path)
    OmegaConf.update(config, "llm_conf.load_kwargs", {"trust_remote_code": True}, force_add=True)
    OmegaConf.update(config, "audio_encoder_conf.hub", "ms", force_add=True)
    OmegaConf.save(config, path)
    nano = load(modelscope_directory)
    said = capsys.readouterr().out
    for section, key in (("llm_conf", "load_kwargs"), ("audio_encoder_conf", "hub")):
        assert f"{section}.{key} is no key of Fun-ASR-Nano's: not used" in said
        assert key not in nano.config[section] or section == "llm_conf"
    assert "load_kwargs" not in nano.config["llm_conf"]


def test_weights_of_another_size_are_named(modelscope_directory):
    config = OmegaConf.load(modelscope_directory / "config.yaml")
    config.audio_encoder_conf.linear_units = 128
    OmegaConf.save(config, modelscope_directory / "config.yaml")
    message = refusal(modelscope_directory)
    assert "weights of another shape" in message
    assert "feed_forward.w_1.weight: [64, " in message


def test_a_vocabulary_that_is_missing_or_damaged_is_named(modelscope_directory):
    path = modelscope_directory / "multilingual.tiktoken"
    path.write_text("no such line\n")
    assert f"{path} line 1: expected a token in base64" in refusal(modelscope_directory)
    path.unlink()
    assert f"{path} does not exist" in refusal(modelscope_directory)
    assert "the vocabulary of the CTC branch" in refusal(modelscope_directory)


def test_a_bug_of_ours_or_of_funasrs_does_not_blame_the_download(modelscope_directory, monkeypatch):
    layout.import_funasr()
    from funasr.register import tables

    def broken(**_):
        raise TypeError("'NoneType' object is not callable")

    monkeypatch.setitem(tables.model_classes, "FunASRNano", broken)
    with pytest.raises(TypeError, match="NoneType"):
        load(modelscope_directory)


def test_the_vocabulary_may_be_named_at_the_top_of_configuration_json(modelscope_directory):
    path = modelscope_directory / "configuration.json"
    content = json.loads(path.read_text())
    own = content["file_path_metas"].pop("dataset_conf")["ctc_tokenizer_conf"]
    (modelscope_directory / "multilingual.tiktoken").rename(modelscope_directory / "other.tiktoken")
    content["file_path_metas"]["ctc_tokenizer_conf"] = {**own, "vocab_path": "other.tiktoken"}
    path.write_text(json.dumps(content))
    assert load(modelscope_directory).model.ctc_tokenizer.encode("您好")


def test_words_are_single_tokens_as_in_the_published_vocabularies(tmp_path):
    nano = load(write_published(tmp_path / "words" / "model", "modelscope"))
    assert len(nano.tokenizer.encode("您好请问")) < 4
    assert len(nano.model.ctc_tokenizer.encode("APP")) == 1
    assert nano.tokenizer.decode(nano.tokenizer.encode("您好请问APP")) == "您好请问APP"
