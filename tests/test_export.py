"""The merged model: what the checkpoints together compute, in a directory of FunASR's layout."""

import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from model_fixtures import make_checkpoint
from speech_fixtures import CALL_RATE_HZ, FS, write_wav
from telephone_asr.decoding.branch import Limits, as_config, from_config
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.model import fun_asr_nano, parts
from telephone_asr.model.export import export
from telephone_asr.model.pretrained import file_sha256, load, read_weights
from telephone_asr.params import Short
from telephone_asr.stages.export import funasr_texts

MAX_TOKENS = 12


@pytest.fixture(scope="module")
def models(fitted_directory, tmp_path_factory) -> Path:
    """All checkpoints, and all of them merged in `final`."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(fitted_directory, models / "base")
    for stage in ("encoder", "adaptor", "lora"):
        make_checkpoint(models, stage, size=0.02)
    export(parts.load_checkpoint(models, "lora", FS), models / "final", verbatim=False)
    return models


@pytest.fixture
def merged(models):
    return load(models / "final")


@pytest.fixture
def stacked(models):
    return parts.load_checkpoint(models, "lora", FS)


def logits(nano, inputs) -> torch.Tensor:
    batch = inputs.batch(range(len(inputs)))
    with torch.inference_mode():
        hidden, lengths = fun_asr_nano.encode(nano, batch.inputs, batch.lengths)
        ctc = fun_asr_nano.ctc_log_probs(nano, hidden, lengths)
        hidden, lengths = fun_asr_nano.adapt(nano, hidden, lengths)
        heads = fun_asr_nano.prompt_embeddings(nano, batch.prompts, hidden, lengths)
        rows = [nano.model.llm(inputs_embeds=head[None]).logits.flatten() for head in heads]
    return torch.cat([*rows, ctc.flatten()])


def test_the_merged_model_computes_what_the_checkpoints_do(merged, stacked, make_inputs, fitted):
    ours, theirs = (logits(nano, make_inputs(nano)) for nano in (merged, stacked))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert (ours - logits(fitted, make_inputs(fitted))).abs().max() > 0.01  # another than base


def test_the_merged_model_writes_the_same_texts(merged, stacked, make_inputs):
    ours, theirs = (
        transcribe(nano, make_inputs(nano), 4, MAX_TOKENS) for nano in (merged, stacked)
    )
    assert ours == theirs
    assert len(set(ours)) > 3


def test_funasr_writes_the_same_texts(models, merged, make_inputs, utterances, tmp_path):
    from funasr import AutoModel

    recogniser = AutoModel(
        model=str(models / "final"),
        disable_update=True,
        disable_pbar=True,
        device="cpu",
        log_level="ERROR",
        ncpu=1,  # AutoModel sets the threads of the whole process
    )
    theirs = []
    for utterance in utterances:
        path = write_wav(tmp_path / f"{utterance.id}.wav", utterance.samples, CALL_RATE_HZ)
        text = recogniser.generate(str(path), itn=False, max_length=MAX_TOKENS)[0]["text"]
        theirs.append(text.strip())
    assert theirs == transcribe(merged, make_inputs(merged), 4, MAX_TOKENS)


def test_funasrs_own_dither_gives_the_same_texts_again(models, corpus):
    """Drawn anew in each call, but AutoModel seeds torch when it is made: metrics stay the same."""
    plain, once, again = (
        funasr_texts(
            models / "final", corpus.examples, {"telecall": corpus.sounds}, MAX_TOKENS, dither
        )
        for dither in (0.0, 1000.0, 1000.0)  # as loud as the speech
    )
    assert once == again != plain


def test_it_has_the_layout_and_the_weights_of_the_base(models):
    def files(directory):
        return {p.relative_to(directory) for p in directory.rglob("*") if p.is_file()}

    assert files(models / "final") == files(models / "base")
    base, final = (read_weights(models / name / "model.pt") for name in ("base", "final"))
    assert {n: t.shape for n, t in final.items()} == {n: t.shape for n, t in base.items()}
    sizes = [(models / name / "model.pt").stat().st_size for name in ("base", "final")]
    assert sizes[1] < 1.5 * sizes[0]


def test_the_base_stays_as_it_was(models, fitted_directory):
    for name in ("model.pt", "config.yaml", "configuration.json"):
        assert file_sha256(models / "base" / name) == file_sha256(fitted_directory / name)


@pytest.mark.parametrize("fs", [8000, 16000])
@pytest.mark.parametrize("checkpoint", ["base", "adaptor"])
def test_the_front_end_is_that_of_the_training(models, tmp_path, fs, checkpoint):
    nano = parts.load_checkpoint(models, checkpoint, fs)
    export(nano, tmp_path / "final", verbatim=False)
    frontend = OmegaConf.load(tmp_path / "final" / "config.yaml").frontend_conf
    assert (frontend.fs, frontend.dither) == (fs, 0.0)
    state = load(tmp_path / "final").model.state_dict()
    expected = parts.load_checkpoint(models, checkpoint, fs).model.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("verbatim", "prompt"), [(False, PROMPT), (True, PROMPT_VERBATIM)])
def test_funasr_asks_as_the_model_was_adapted(fitted, utterances, tmp_path, verbatim, prompt):
    from funasr import AutoModel

    branch = Limits(0.47, Short(characters=3, ctc=0.7))
    export(fitted, tmp_path / "final", verbatim, as_config(branch))
    assert from_config(load(tmp_path / "final").config) == branch
    options = {"disable_update": True, "device": "cpu", "ncpu": torch.get_num_threads()}
    recogniser = AutoModel(model=str(tmp_path / "final"), log_level="ERROR", **options)
    asked = []
    ask = recogniser.model.get_prompt
    recogniser.model.get_prompt = lambda *a, **k: asked.append(ask(*a, **k)) or asked[-1]
    path = write_wav(tmp_path / "one.wav", utterances[0].samples, CALL_RATE_HZ)
    recogniser.generate(str(path), max_length=2)
    assert asked == [prompt]


def test_no_path_of_this_machine_is_in_it(models):
    for path in (models / "final").rglob("*"):
        if path.is_file() and path.name != "model.pt":
            assert str(models) not in path.read_text(encoding="utf-8")
