"""Model directories that anybody made: none runs code, reaches out, or ends in a traceback."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from hostile_model import make_hostile
from model_fixtures import make_checkpoint
from published_fixtures import write_published
from repository_fixtures import ROOT
from speech_fixtures import write_wav
from telephone_asr.errors import InputError
from telephone_asr.model import allowed, layout, parts, pins
from telephone_asr.model.pretrained import load, read_weights

KEPT = {"config.yaml", "configuration.json", "model.pt", "multilingual.tiktoken", "Qwen3-0.6B"}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """To be read only."""
    return write_published(tmp_path_factory.mktemp("good") / "model", "modelscope")


@pytest.fixture
def model(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


@pytest.fixture(scope="module")
def watched(good, tmp_path_factory, speech) -> tuple[Path, Path, str]:
    """The place, the marker and what was printed, after all was done with a hostile directory."""
    place = tmp_path_factory.mktemp("hostile")
    shutil.copytree(good, place / "good")
    shutil.copytree(good, place / "model")
    marker = place / "marker"
    make_hostile(place / "model", marker)
    sound = write_wav(place / "a.wav", speech(0.6, seed=1, rate_hz=8000), 8000)
    shutil.copyfile(ROOT / "params.yaml", place / "params.yaml")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "SECRET": "hush"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "hostile_model.py"), "model", str(sound)],
        **{"cwd": place, "env": environment, "capture_output": True, "encoding": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place, marker, done.stdout


def test_no_command_runs_code_of_a_model_nor_opens_what_it_has_no_use_for(watched):
    _, marker, printed = watched
    assert "FUNASR: a" in printed  # it came to the end
    assert [line for line in printed.splitlines() if line.startswith("DID")] == []
    assert not marker.exists()


def test_the_watcher_sees_what_funasr_does_by_itself(watched):
    """So that nothing seen is nothing done: FunASR given the directory as it is."""
    place, marker, _ = watched
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from hostile_model import watch\n"
        "from pathlib import Path; from funasr import AutoModel\n"
        "watch(Path('model'), lambda text: print('DID', text, flush=True))\n"
        "import funasr.utils.install_model_requirements as i; i.install_requirements = print\n"
        "AutoModel(model='model', disable_update=True, device='cpu')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "tests")],
        **{"cwd": place, "env": dict(os.environ), "capture_output": True, "encoding": "utf-8"},
    )
    assert "DID opened" in done.stdout
    assert marker.exists()
    marker.unlink()


def test_what_is_copied_and_exported_says_nothing_that_it_may_not(watched):
    place, _, _ = watched
    for name in ("base", "final"):
        written = place / "models" / name
        assert {path.name for path in written.iterdir()} == KEPT
        texts = [p.read_text() for p in written.rglob("*") if p.suffix in (".json", ".yaml")]
        for word in (
            "trust",
            "remote",
            "auto_map",
            "evil",
            "passwd",
            "hub: ms",
            str(place),
            "home",
        ):
            assert not [text for text in texts if word in text], word
        assert load(written).config["llm_conf"]["hub"] == "hf"


# --- One sentence, soon


def refusal(directory: Path) -> str:
    started_s = time.monotonic()
    with pytest.raises(InputError) as caught:
        load(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(directory) in message
    assert time.monotonic() - started_s < 60  # minutes and gigabytes, otherwise
    return message


def change_yaml(directory: Path, key: str, value) -> None:
    path = directory / "config.yaml"
    config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    *sections, name = key.split(".")
    tree = config
    for section in sections:
        tree = tree[section]
    tree[name] = value
    path.write_text(json.dumps(config), encoding="utf-8")  # which is YAML


def change_json(path: Path, key: str, value) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("audio_encoder_conf.num_blocks", 10**9),
        ("audio_encoder_conf.num_blocks", -1),
        ("audio_encoder_conf.num_blocks", "fifty"),
        ("audio_encoder_conf.num_blocks", True),
        ("audio_encoder_conf.num_blocks", [50]),
        ("audio_encoder_conf.num_blocks", 10**400),
        ("audio_encoder_conf.tp_blocks", 10**6),
        ("audio_encoder_conf.output_size", 10**8),
        ("audio_encoder_conf.output_size", 0),
        ("audio_encoder_conf.attention_heads", 0),
        ("audio_encoder_conf.attention_heads", 3),
        ("audio_encoder_conf.linear_units", -5),
        ("audio_encoder_conf.kernel_size", 10**9),
        ("audio_encoder_conf.sanm_shfit", 10**9),
        ("audio_encoder_conf.dropout_rate", 7.0),
        ("audio_encoder_conf.dropout_rate", float("nan")),
        ("audio_encoder_conf.dropout_rate", None),
        ("audio_encoder_conf.input_layer", "conv2d9"),
        ("audio_encoder_conf.selfattention_layer_type", "nosuch"),
        ("audio_encoder_conf", 3),
        ("audio_adaptor_conf.downsample_rate", 10**9),
        ("audio_adaptor_conf.n_layer", 10**9),
        ("audio_adaptor_conf.ffn_dim", 10**9),
        ("ctc_vocab_size", 10**12),
        ("ctc_vocab_size", "many"),
        ("ctc_decoder_conf.n_layer", 10**9),
        ("ctc_decoder_conf", ["a"]),
        ("frontend_conf.fs", 10**12),
        ("frontend_conf.fs", 0),
        ("frontend_conf.n_mels", 10**9),
        ("frontend_conf.frame_shift", 0),
        ("frontend_conf.frame_length", 10**9),
        ("frontend_conf.window", "../../x"),
        ("frontend_conf.window", ["hamming"]),
        ("frontend_conf.cmvn_file", "/etc/passwd"),
        ("frontend_conf.dither", 1e300),
        ("llm_conf", "x"),
        ("llm_conf.use_lora", "yes"),
        ("llm_conf.lora_conf", {"target_modules": [{"a": 1}]}),
        ("llm_conf.llm_dtype", "${oc.env:HOME}"),
        ("dataset_conf", "x"),
        ("dataset_conf.ctc_tokenizer_conf.num_languages", 10**12),
        ("model", ["FunASRNano"]),
        ("frontend", {"WavFrontend": 1}),
    ],
)
def test_values_that_cannot_be_are_one_sentence(key, value, model):
    change_yaml(model, key, value)
    refusal(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocab_size", 10**12),
        ("vocab_size", 10**8),
        ("vocab_size", -3),
        ("vocab_size", None),
        ("vocab_size", "all"),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 1.5),
        ("hidden_size", 10**9),
        ("head_dim", 0),
        ("num_key_value_heads", 3),
        ("num_attention_heads", 0),
        ("model_type", "llama"),
        ("model_type", "evil"),
        ("hidden_act", "os.system"),
        ("torch_dtype", "object"),
        ("rope_scaling", {"rope_type": "yarn", "factor": 1e9}),
        ("rope_parameters", {"rope_type": "nosuch", "rope_theta": 1.0}),
        ("rope_parameters", 3),
        ("layer_types", {"a": 1}),
        ("layer_types", ["full_attention"] * 20_000),
        ("architectures", [["a"]]),
        ("tie_word_embeddings", "no"),
    ],
)
def test_a_language_model_that_cannot_be_is_one_sentence(key, value, model):
    change_json(model / "Qwen3-0.6B" / "config.json", key, value)
    refusal(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer_class", "EvilTokenizer"),
        ("tokenizer_class", ["Qwen2Tokenizer"]),
        ("pad_token", {"content": 3}),
        ("pad_token", [1]),
        ("model_max_length", "long"),
        ("added_tokens_decoder", {"1": 2}),
        ("chat_template", [{"name": "x", "template": "{{ x }}"}]),
    ],
)
def test_a_tokenizer_that_cannot_be_is_one_sentence(key, value, model):
    change_json(model / "Qwen3-0.6B" / "tokenizer_config.json", key, value)
    refusal(model)


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen3-0.6B", "/etc", "../x", "..", ".", "", "a/../../b", "x\0y", 3, ["a"], "~"]
)
@pytest.mark.parametrize("key", ["llm_conf", "tokenizer_conf"])
def test_a_language_model_elsewhere_is_not_looked_for(key, name, model):
    """Of a hub's id it took 47 s to reach for the network."""
    for path in (model / "configuration.json",):
        content = json.loads(path.read_text())
        content["file_path_metas"][key]["init_param_path"] = name
        path.write_text(json.dumps(content))
    if isinstance(name, str):
        assert "init_param_path: expected" in refusal(model)
    else:  # config.yaml still names it
        load(model)


def test_a_vocabulary_elsewhere_is_not_read(model):
    content = json.loads((model / "configuration.json").read_text())
    content["file_path_metas"]["dataset_conf"]["ctc_tokenizer_conf"]["vocab_path"] = "/etc/passwd"
    (model / "configuration.json").write_text(json.dumps(content))
    assert "vocab_path: expected the name of something in the model's" in refusal(model)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "!!python/object/apply:os.system ['true']"),
        ("config.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nmodel: *b\n"),
        ("config.yaml", "model: FunASRNano\nmodel: FunASRNano\n"),
        ("config.yaml", "[" * 5000),
        ("config.yaml", "\0"),
        ("config.yaml", "- 1\n"),
        ("configuration.json", "[" * 100_000),
        ("configuration.json", '{"file_path_metas": [1]}'),
        ("configuration.json", '{"file_path_metas": {"llm_conf": 3}}x'),
        ("Qwen3-0.6B/config.json", "[1]"),
        ("Qwen3-0.6B/tokenizer_config.json", "3"),
        ("Qwen3-0.6B/tokenizer.json", "{}"),
        ("Qwen3-0.6B/tokenizer.json", "null"),
        ("multilingual.tiktoken", "gA== x\n"),
        ("model.pt", "PK\x03\x04"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(name, text, model):
    (model / name).write_text(text, encoding="utf-8")
    refusal(model)


def test_a_bomb_of_aliases_is_one_sentence(model):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    text = (model / "config.yaml").read_text()
    key = "target_modules:"
    assert key in text
    bomb = text.replace("    - q_proj\n", "    - *a11\n", 1)
    (model / "config.yaml").write_text("\n".join(lines) + "\n" + bomb)
    assert "lora_conf.target_modules: expected a list" in refusal(model)


def test_a_file_as_large_as_none_is_one_sentence(model):
    with open(model / "config.yaml", "ab") as file:
        file.truncate(10**10)  # without taking room
    assert "has 10,000,000,000 bytes" in refusal(model)


def test_what_is_no_file_is_missing(model):
    for name in ("config.yaml", "model.pt"):
        (model / name).rename(model / "kept")
        for make in (
            lambda path: path.symlink_to(path),
            lambda path: path.mkdir(),
            lambda path: os.mkfifo(path),
            lambda path: path.symlink_to("/dev/zero"),
        ):
            make(model / name)
            assert f"has no {name}" in refusal(model)
            (model / name).rmdir() if (model / name).is_dir() else (model / name).unlink()
        (model / "kept").rename(model / name)
    shutil.rmtree(model / "Qwen3-0.6B")
    (model / "Qwen3-0.6B").symlink_to("Qwen3-0.6B")
    refusal(model)


@pytest.mark.parametrize(
    "name",
    ["multilingual.tiktoken", "Qwen3-0.6B/generation_config.json", "config.yaml", "model.pt"],
)
def test_a_link_to_somewhere_else_is_not_copied(name, model, tmp_path):
    (tmp_path / "secret").write_bytes(
        (model / name).read_bytes() if (model / name).exists() else b"{}"
    )
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"is a link to .*secret, outside of"):
        pins.model_files(model)


def test_the_snapshots_of_hugging_faces_cache_are_links_and_are_taken(model, tmp_path):
    snapshot = tmp_path / "models--x" / "snapshots" / "1234"
    blobs = tmp_path / "models--x" / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(p for p in sorted(model.rglob("*")) if p.is_file()):
        shutil.copyfile(path, blobs / str(number))
        (snapshot / path.relative_to(model)).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path.relative_to(model)).symlink_to(blobs / str(number))
    assert len(pins.model_files(snapshot)) >= 6


# --- Weights


def save(model: Path, change) -> None:
    state = read_weights(model / "model.pt")
    change(state)
    torch.save({"state_dict": state}, model / "changed.pt")  # what is read is mapped
    (model / "changed.pt").replace(model / "model.pt")


NAME = "audio_adaptor.linear1.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.index_fill(0, torch.tensor([1]), float("nan")), "no finite numbers"),
        (lambda t: t.index_fill(0, torch.tensor([1]), float("-inf")), "no finite numbers"),
        (lambda t: t.to_sparse(), "expected floats"),
        (lambda t: t.to(torch.int8), "expected floats"),
        (lambda t: t.to(torch.complex64), "expected floats"),
        (lambda t: torch.zeros(1).expand(10**6, 10**6), "another shape"),
        (lambda t: t.to("meta"), "expected floats"),
    ],
)
def test_weights_that_are_none_are_one_sentence(change, said, model):
    save(model, lambda state: state.update({NAME: change(state[NAME].float())}))
    assert said in refusal(model)


def test_a_damaged_file_of_weights_is_one_sentence(model):
    """Wherever it is damaged: in the archive, in the pickle."""
    content = (model / "model.pt").read_bytes()
    for at in (0, 30, 70, 200, 900, 2000, len(content) - 20, len(content) - 200):
        damaged = bytearray(content)
        damaged[at : at + 8] = b"\xff" * 8
        (model / "model.pt").write_bytes(damaged)
        with contextlib.suppress(InputError):  # some bytes are of no weight
            load(model)


def test_an_adapter_is_its_size_and_its_weights(good, tmp_path):
    """PEFT would import `megatron_core`, a module by its name: one of the working directory."""
    models = tmp_path / "models"
    shutil.copytree(good, models / "base")
    for stage in ("encoder", "adaptor", "lora"):
        make_checkpoint(models, stage)
    weights = parts.load_checkpoint(models, "lora", 16000).model.state_dict()
    path = models / "lora" / "adapter_config.json"
    evil = {"megatron_config": {"a": 1}, "megatron_core": "telephone_asr_evil", "auto_mapping": {}}
    for key, value in {**evil, "runtime_config": {"x": 1}, "peft_type": "EVIL"}.items():
        change_json(path, key, value)
    found = parts.load_checkpoint(models, "lora", 16000).model.state_dict()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    for key, value in (("r", 10**9), ("r", "4"), ("r", 0), ("target_modules", "(a+)+$"), ("r", 5)):
        good_text = path.read_text()
        change_json(path, key, value)
        with pytest.raises(InputError) as caught:
            parts.load_checkpoint(models, "lora", 16000)
        assert "\n" not in str(caught.value)
        path.write_text(good_text)
    note = models / "lora" / "checkpoint.json"
    for text in ("", "[]", "{}", '{"stands_on": 3}'):
        note.write_text(text)
        with pytest.raises(InputError):
            parts.load_checkpoint(models, "lora", 16000)
    note.unlink()
    file = models / "encoder" / "encoder.safetensors"
    file.write_bytes(b"\xff" * 100)
    content = json.loads((models / "encoder" / "checkpoint.json").read_text())
    from telephone_asr.model.pretrained import file_sha256

    change_json(models / "encoder" / "checkpoint.json", "sha256", file_sha256(file))
    assert content
    with pytest.raises(InputError, match="cannot be read"):
        parts.load_checkpoint(models, "encoder", 16000)


def test_every_published_key_is_allowed(good):
    known = layout.published()
    assert allowed.allow(Path("x"), layout._known(), layout._known()) == layout._known()
    assert set(known) <= set(layout._known())
