"""Model directories: whole and strictly loaded, or refused in one sentence that says why."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from telephone_asr.errors import InputError
from telephone_asr.model.layout import check_directory
from telephone_asr.model.pretrained import CTC_BRANCH, file_sha256, load


def refusal(directory: Path, **arguments) -> str:
    with pytest.raises(InputError) as caught:
        load(directory, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def change_state(directory: Path, change) -> None:
    state = torch.load(directory / "model.pt", weights_only=True)
    change(state["state_dict"])
    torch.save(state, directory / "model.pt")


def change_config(directory: Path, key: str, value) -> None:
    config = OmegaConf.load(directory / "config.yaml")
    OmegaConf.update(config, key, value)
    OmegaConf.save(config, directory / "config.yaml")


@pytest.mark.parametrize("name", ["model.pt", "config.yaml", "configuration.json"])
def test_a_missing_file_is_named_with_the_directory_and_the_key(own_directory, name):
    (own_directory / name).unlink()
    message = refusal(own_directory)
    assert name in message
    assert str(own_directory) in message
    assert "base.path" in message
    with pytest.raises(InputError, match="--model"):
        check_directory(own_directory, "--model")


def test_a_missing_directory_is_named(tmp_path):
    message = refusal(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "base.path" in message


def test_a_missing_language_model_is_named(own_directory):
    shutil.rmtree(own_directory / "Qwen3-0.6B")
    message = refusal(own_directory)
    assert str(own_directory / "configuration.json") in message
    assert "llm_conf.init_param_path" in message


def test_an_encoder_of_another_input_size_is_refused(own_directory):
    change_config(own_directory, "frontend_conf.n_mels", 40)
    message = refusal(own_directory)
    assert str(own_directory / "config.yaml") in message
    assert "frontend_conf" in message
    assert "40 × 7 = 280" in message
    assert "560" in message


def test_missing_weights_are_counted_and_named(own_directory):
    name = "audio_adaptor.linear1.weight"
    change_state(own_directory, lambda state: state.pop(name))
    message = refusal(own_directory)
    assert str(own_directory / "model.pt") in message
    assert "1 weights missing" in message
    assert name in message


def test_unexpected_weights_are_counted_and_named(own_directory):
    change_state(own_directory, lambda state: state.update(surplus=torch.zeros(3)))
    message = refusal(own_directory)
    assert str(own_directory / "model.pt") in message
    assert "1 unexpected (surplus)" in message


def test_weights_of_another_shape_are_refused(own_directory):
    name = "audio_adaptor.linear1.weight"
    change_state(own_directory, lambda state: state.update({name: state[name][:-1]}))
    message = refusal(own_directory)
    assert str(own_directory / "model.pt") in message
    assert name in message


def test_half_a_ctc_branch_is_refused(own_directory):
    change_state(own_directory, lambda state: state.pop("ctc.ctc_lo.bias"))
    assert "ctc.ctc_lo.bias" in refusal(own_directory)


def test_a_download_that_stopped_half_way_is_refused(own_directory):
    content = (own_directory / "model.pt").read_bytes()
    (own_directory / "model.pt").write_bytes(content[: len(content) // 2])
    assert str(own_directory / "model.pt") in refusal(own_directory)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("configuration.json", "{"), ("configuration.json", "[]")],
        *[("config.yaml", "a: [1\n"), ("config.yaml", ""), ("config.yaml", "model: Paraformer\n")],
        *[("config.yaml", "model: FunASRNano\n"), ("model.pt", "")],
        *[("Qwen3-0.6B/config.json", "{"), ("Qwen3-0.6B/tokenizer.json", "{")],
    ],
)
def test_a_file_that_is_no_such_thing_is_refused(name, content, own_directory):
    (own_directory / name).write_text(content)
    message = refusal(own_directory)
    assert str((own_directory / name).parent) in message
    assert "\n" not in message


def test_weights_that_are_none_are_refused(own_directory):
    torch.save([1, 2], own_directory / "model.pt")
    assert str(own_directory / "model.pt") in refusal(own_directory)


def test_a_model_without_its_tokenizer_is_refused(own_directory):
    for path in (own_directory / "Qwen3-0.6B").glob("tokenizer*"):
        path.unlink()
    assert "Qwen3-0.6B holds no tokenizer" in refusal(own_directory)


def test_a_part_that_funasr_does_not_have_is_refused(own_directory):
    change_config(own_directory, "audio_encoder", "NoSuchEncoder")
    assert str(own_directory / "config.yaml") in refusal(own_directory)


def test_weights_that_would_run_code_are_refused(own_directory, tmp_path):
    class Malice:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was-here",)

    for payload in (Malice(), {"state_dict": Malice()}):
        with open(own_directory / "model.pt", "wb") as file:
            pickle.dump(payload, file)
        with pytest.raises((InputError, pickle.UnpicklingError)):
            load(own_directory)
        torch.save(payload, own_directory / "model.pt")
        with pytest.raises((InputError, pickle.UnpicklingError)):
            load(own_directory)
    assert not (tmp_path / "was-here").exists()


def test_weights_without_the_ctc_branch_work_without_it(own_directory, make_inputs):
    from telephone_asr.decoding.recognise import transcribe

    with_ctc = load(own_directory)

    def drop(state):
        for name in [n for n in state if n.startswith(CTC_BRANCH)]:
            del state[name]

    change_state(own_directory, drop)
    without = load(own_directory)
    assert with_ctc.has_ctc
    assert not without.has_ctc
    texts = [transcribe(n, make_inputs(n), 4, max_tokens=3) for n in (with_ctc, without)]
    assert texts[0] == texts[1]


def test_a_tied_head_may_be_left_out(own_directory):
    whole = load(own_directory).model.state_dict()
    change_state(own_directory, lambda state: state.pop("llm.lm_head.weight"))
    without = load(own_directory).model.state_dict()
    assert torch.equal(without["llm.lm_head.weight"], whole["llm.lm_head.weight"])


def test_weights_outside_of_state_dict_are_found(own_directory):
    whole = load(own_directory).model.state_dict()
    state = torch.load(own_directory / "model.pt", weights_only=True)
    torch.save(state["state_dict"], own_directory / "model.pt")
    again = load(own_directory).model.state_dict()
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_rate_and_dither_are_the_callers_or_the_directorys_own(own_directory):
    change_config(own_directory, "frontend_conf.dither", 0.5)
    frontend = load(own_directory, fs=8000, dither=0.0).config["frontend_conf"]
    assert (frontend["dither"], frontend["fs"]) == (0.0, 8000)
    frontend = load(own_directory).config["frontend_conf"]
    assert (frontend["dither"], frontend["fs"]) == (0.5, 16000)


def test_a_config_without_dither_means_funasrs_default(own_directory):
    """As the published one, which names none."""
    from funasr.frontends.wav_frontend import WavFrontend

    config = OmegaConf.load(own_directory / "config.yaml")
    del config.frontend_conf["dither"]
    OmegaConf.save(config, own_directory / "config.yaml")
    assert load(own_directory).config["frontend_conf"]["dither"] == WavFrontend().dither == 1.0


def test_file_sha256_is_that_of_hashlib(tmp_path):
    import hashlib

    content = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(content)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()
