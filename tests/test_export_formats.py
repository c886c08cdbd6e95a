"""Other runtimes' formats: what each runtime itself writes, beside FunASR's texts and ours."""

import json
from pathlib import Path

import pytest
import torch

from repository_fixtures import run_stage, write_params
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.errors import InputError
from telephone_asr.exports import hugging_face, sherpa
from telephone_asr.exports.byte_pairs import byte_letters, read_byte_pairs
from telephone_asr.exports.calls import Call
from telephone_asr.exports.onnx_graphs import EncoderAdaptor, LanguageModel, full_band
from telephone_asr.manifests.messages import PROMPT_VERBATIM
from telephone_asr.model import fun_asr_nano
from telephone_asr.model.pretrained import load
from telephone_asr.stages import export_formats

MAX_TOKENS = 12


@pytest.fixture
def calls(utterances) -> list[Call]:
    return [Call(u.samples, u.sample_rate_hz, verbatim=True) for u in utterances]


def plain(text: str) -> str:
    """A text without control characters, which FunASR takes for spaces."""
    return "".join(c for c in text if c.isprintable() and c != " ")


# --- Byte pairs


def test_byte_pairs_give_the_tokens_of_the_tiny_model(fitted):
    from tokenizers import Tokenizer, models, pre_tokenizers

    directory = fitted.config["tokenizer_conf"]["init_param_path"]
    pairs = read_byte_pairs(Path(directory))
    pieces = {piece for merge in pairs.merges for piece in (*merge, "".join(merge))}
    # Theirs wants every piece to be a token.
    known = {piece: 10_000 + i for i, piece in enumerate(sorted(pieces))} | pairs.vocabulary
    theirs = Tokenizer(models.BPE(known, pairs.merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("请问您是张三", "A1,三三二", "明天还款"):
        assert theirs.encode(text).ids == fitted.tokenizer.encode(text)


def test_every_byte_has_a_letter_of_its_own():
    from tokenizers.pre_tokenizers import ByteLevel

    assert set(byte_letters()) == set(ByteLevel.alphabet())
    assert byte_letters()[ord(" ")] == "Ġ"


# --- sherpa-onnx


def test_the_first_graph_gives_the_model_s_rows(fitted, make_inputs, calls):
    """On frames as FunASR computes them, but for the two more that sherpa-onnx has."""
    from funasr.frontends.wav_frontend import WavFrontend

    graph = EncoderAdaptor(fitted).eval()
    graph.weights.copy_(torch.eye(len(graph.weights)))
    graph.offset = 0.0
    frontend = WavFrontend(**fitted.config["frontend_conf"] | {"lfr_m": 1, "lfr_n": 1})
    inputs = make_inputs(fitted)
    for i in (0, 5, 11):
        rows = inputs.batch([i])
        sound = torch.from_numpy(hugging_face.sound(calls[i], frontend.fs))[None]
        frames, _ = frontend(sound / 32768, torch.tensor([sound.shape[1]]))
        with torch.inference_mode():
            given = graph(torch.cat([frames[:, :1], frames, frames[:, -1:]], 1))
            encoded, lengths = fun_asr_nano.encode(fitted, rows.inputs, rows.lengths)
            expected, lengths = fun_asr_nano.adapt(fitted, encoded, lengths)
        torch.testing.assert_close(given, expected[:, : lengths[0]], atol=1e-4, rtol=1e-4)


def test_the_language_model_does_not_hear_the_place_that_is_left_empty(fitted):
    """Step by step over a cache with a hole behind the prompt, as sherpa-onnx keeps it."""
    llm = fitted.model.llm
    graph, config = LanguageModel(llm).eval(), llm.config
    shape = 1, 32, config.num_key_value_heads, config.head_dim
    cache = [torch.zeros(shape) for _ in range(2 * config.num_hidden_layers)]
    x = torch.randn(1, 9, config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for start, end, place in ((0, 7, 0), (7, 8, 8), (8, 9, 9)):
            count = end - start
            mask = torch.ones(1, place + count, dtype=torch.long)
            logits, *new = graph(x[:, start:end], mask, torch.arange(count) + place, *cache)
            for old, now in zip(cache, new, strict=True):
                old[:, place : place + count] = now
        expected = llm(inputs_embeds=x).logits[:, -1:]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_shorter_filters_are_made_whole():
    weights, offset = full_band(80, 16000)
    torch.testing.assert_close(weights.sum(0), torch.ones(80))
    assert 0 < offset < 0.05
    assert (weights.argmax(0) >= torch.arange(80) - 1).all()


@pytest.mark.parametrize("name", [export_formats.SHERPA, export_formats.INT8])
def test_sherpa_onnx_writes_our_texts(fitted, make_inputs, calls, tmp_path, name):
    for module in export_formats.MODULES[name]:
        pytest.importorskip(module, reason="pip install -e '.[exports]'")
    [(_, recognise)] = export_formats.write(name, tmp_path / name, fitted, MAX_TOKENS)
    theirs = [recognise(call) for call in calls]
    ours = transcribe(fitted, make_inputs(fitted), 4, MAX_TOKENS)
    equal = sum(a == b for a, b in zip(theirs, ours, strict=True))
    assert equal >= 0.75 * len(ours), list(zip(theirs, ours, strict=True))


def test_sherpa_onnx_reads_the_published_layout(published_directory, calls, tmp_path):
    for module in export_formats.MODULES[export_formats.SHERPA]:
        pytest.importorskip(module, reason="pip install -e '.[exports]'")
    nano = load(published_directory, dither=0.0)
    sherpa.write(nano, tmp_path / "onnx")
    recognise = sherpa.load(tmp_path / "onnx", nano, MAX_TOKENS)
    assert all(recognise(call) for call in calls[:3])


# --- Transformers


def test_transformers_writes_funasr_s_texts_of_the_first_rows_alone(
    published_directory, calls, tmp_path
):
    nano = load(published_directory, dither=0.0)
    hugging_face.write(nano, tmp_path / "hf")
    funasr = export_formats.funasr(published_directory, MAX_TOKENS)
    theirs = [plain(funasr(call)) for call in calls[:6]]
    for all_rows in (False, True):
        recognise = hugging_face.load(tmp_path / "hf", MAX_TOKENS, all_rows)
        texts = [plain(recognise(call)) for call in calls[:6]]
        equal = sum(a == b for a, b in zip(texts, theirs, strict=True))
        pairs = list(zip(texts, theirs, strict=True))
        assert equal < 5 if all_rows else equal == 6, pairs


def test_transformers_asks_as_the_model_was_adapted(published_directory, calls, tmp_path):
    from transformers import AutoProcessor

    nano = load(published_directory)
    nano.config["itn"] = False
    hugging_face.write(nano, tmp_path / "hf")
    processor = AutoProcessor.from_pretrained(tmp_path / "hf")
    sound = hugging_face.sound(calls[0], 16000)
    ids = processor.apply_transcription_request(sound)["input_ids"][0].tolist()
    before, after = fun_asr_nano.chat_tokens(nano.tokenizer, PROMPT_VERBATIM, nano.config)
    assert ids[: len(before)] == before
    assert ids[-len(after) :] == after


def test_an_adaptor_that_stacks_rows_is_none_for_transformers(fitted, tmp_path):
    with pytest.raises(InputError, match="stacks 8"):
        hugging_face.write(fitted, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


# --- The stage


def test_nothing_is_written_where_no_other_format_is_asked_for(trained):
    run_stage(trained, "export_formats")
    assert not any((trained / "models" / "exported").iterdir())
    metrics = json.loads((trained / "metrics" / "export_formats.json").read_text())
    assert metrics == {"formats": 0}


def test_a_format_without_its_packages_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setitem(export_formats.MODULES, export_formats.SHERPA, ("no_such_package",))
    with pytest.raises(InputError, match=r"sherpa_onnx needs no_such_package: .*\[exports\]"):
        export_formats.require([export_formats.SHERPA])
    export_formats.require([export_formats.TRANSFORMERS])


def test_the_stage_measures_each_format_beside_funasr(trained):
    for module in export_formats.MODULES[export_formats.SHERPA]:
        pytest.importorskip(module, reason="pip install -e '.[exports]'")
    write_params(trained, {"export.formats": ["funasr", "sherpa_onnx"]})
    run_stage(trained, "export_formats")
    metrics = json.loads((trained / "metrics" / "export_formats.json").read_text())
    assert metrics["funasr"]["share_different"] == 0
    assert metrics["sherpa_onnx"]["cer"] == pytest.approx(metrics["funasr"]["cer"], abs=0.3)
    assert (trained / "models" / "exported" / "sherpa_onnx" / "llm.onnx").is_file()
