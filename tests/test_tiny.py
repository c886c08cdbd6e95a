"""The tiny model directory: FunASR's own layout, loaded by FunASR itself."""

import json

import pytest
import torch

from model_fixtures import TINY
from speech_fixtures import FS, TEXTS
from telephone_asr.model.pretrained import file_sha256, load
from telephone_asr.model.tiny import write_tiny


def test_automodel_loads_the_directory_without_a_network(tiny_directory, nano, monkeypatch):
    import socket

    from funasr import AutoModel

    def refuse(*_):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    theirs = AutoModel(
        model=str(tiny_directory),
        disable_update=True,
        disable_pbar=True,
        device="cpu",
        log_level="ERROR",
        ncpu=1,  # AutoModel sets the threads of the whole process
    ).model.state_dict()
    ours = nano.model.state_dict()
    assert set(theirs) == set(ours)
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_the_model_has_the_size_asked_for(nano):
    encoder = nano.model.audio_encoder
    assert encoder.output_size() == TINY.encoder_dim
    assert len(encoder.encoders0) + len(encoder.encoders) == TINY.encoder_blocks
    assert len(encoder.tp_encoders) == TINY.tp_blocks
    assert nano.model.llm.config.num_hidden_layers == TINY.llm_layers
    assert nano.model.llm.config.hidden_size == TINY.llm_dim
    assert nano.model.use_low_frame_rate
    assert nano.has_ctc
    assert not nano.model.training


def test_every_character_is_one_token_and_the_blank_is_none_of_them(nano):
    for text in TEXTS:
        tokens = nano.tokenizer.encode(text)
        assert len(tokens) == len(text)
        assert nano.tokenizer.decode(tokens) == text
        heard = nano.model.ctc_tokenizer.encode(text)
        assert len(heard) == len(text)
        assert max(heard) < nano.model.blank_id
        assert nano.model.ctc_tokenizer.decode(heard) == text
    assert nano.model.blank_id == nano.config["ctc_vocab_size"] - 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_weights(
    tmp_path, tiny_directory, tokenizer_directory
):
    for name, seed in (("same", 1), ("other", 2)):
        write_tiny(tmp_path / name, TINY, tokenizer_directory, FS, seed)
    for file in ("model.pt", "config.yaml", "configuration.json"):
        assert file_sha256(tmp_path / "same" / file) == file_sha256(tiny_directory / file)
    ours, other = load(tiny_directory), load(tmp_path / "other")
    name = "audio_encoder.encoders0.0.self_attn.linear_out.weight"
    assert not torch.equal(ours.model.state_dict()[name], other.model.state_dict()[name])


def test_the_directory_can_be_moved(tiny_directory):
    files = (p for p in tiny_directory.rglob("*") if p.suffix in (".json", ".yaml"))
    assert not any(str(tiny_directory.parent) in p.read_text(encoding="utf-8") for p in files)


@pytest.mark.parametrize("fs", [8000, 16000])
def test_the_front_end_has_the_rate_and_the_dither_asked_for(fs, tmp_path, tokenizer_directory):
    write_tiny(tmp_path / "m", TINY, tokenizer_directory, fs, seed=1, dither=0.5)
    frontend = load(tmp_path / "m").config["frontend_conf"]
    assert (frontend["fs"], frontend["dither"]) == (fs, 0.5)
    metas = json.loads((tmp_path / "m" / "configuration.json").read_text(encoding="utf-8"))
    assert {"llm_conf", "tokenizer_conf", "init_param"} <= set(metas["file_path_metas"])
