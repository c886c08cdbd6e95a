"""Greedy decoding: the same text alone, in a batch, and from FunASR itself."""

import pytest
import torch

from model_fixtures import CALL_RATE_HZ, TEXTS, write_wav
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.scoring import decode
from telephone_asr.training.objective import total_error, transcribe

MAX_TOKENS = 12


@pytest.fixture(scope="module")
def recogniser(fitted_directory):
    from funasr import AutoModel

    return AutoModel(
        model=str(fitted_directory),
        disable_update=True,
        disable_pbar=True,
        device="cpu",
        log_level="ERROR",
        ncpu=1,  # AutoModel sets the threads of the whole process
    )


def test_the_model_of_these_tests_listens(fitted, make_inputs):
    texts = transcribe(fitted, make_inputs(fitted), 1, MAX_TOKENS)
    assert len(set(texts)) >= 6
    assert sum(text == expected for text, expected in zip(texts, TEXTS, strict=True)) >= 4


@pytest.mark.parametrize("batch_size", [5, 12])
@pytest.mark.parametrize("by_ctc", [False, True])
def test_a_batch_gives_the_texts_of_one_by_one(fitted, make_inputs, batch_size, by_ctc):
    inputs = make_inputs(fitted)
    alone = transcribe(fitted, inputs, 1, MAX_TOKENS, by_ctc)
    assert transcribe(fitted, inputs, batch_size, MAX_TOKENS, by_ctc) == alone


@pytest.mark.parametrize("level", ["encoded", "adapted"])
def test_texts_are_the_same_from_frozen_parts_computed_beforehand(
    fitted, make_inputs, level, tmp_path
):
    inputs = make_inputs(fitted)
    expected = transcribe(fitted, inputs, 1, MAX_TOKENS)
    inputs.advance(fitted, level, 100, tmp_path / "frozen")
    assert transcribe(fitted, inputs, 12, MAX_TOKENS) == expected


def test_prompts_of_a_batch_may_differ(fitted, make_inputs, tmp_path):
    inputs = make_inputs(fitted)
    inputs.advance(fitted, "adapted", 100, tmp_path / "frozen")
    batch = inputs.batch([0, 3, 7, 10])
    prompts = [PROMPT, PROMPT_VERBATIM, PROMPT, PROMPT_VERBATIM]
    together = decode.greedy(fitted, prompts, batch.inputs, batch.lengths, MAX_TOKENS)
    for i, prompt in enumerate(prompts):
        row = batch.inputs[i : i + 1, : batch.lengths[i]]
        alone = decode.greedy(fitted, [prompt], row, batch.lengths[i : i + 1], MAX_TOKENS)
        assert [together[i]] == alone


def test_funasr_gives_the_same_texts_from_sound_files(
    fitted, recogniser, make_inputs, utterances, tmp_path
):
    inputs = make_inputs(fitted)
    ours = transcribe(fitted, inputs, 4, MAX_TOKENS)
    by_ctc = transcribe(fitted, inputs, 4, MAX_TOKENS, by_ctc=True)
    theirs, theirs_by_ctc = [], []
    for utterance in utterances:
        path = write_wav(tmp_path / f"{utterance.id}.wav", utterance.samples, CALL_RATE_HZ)
        result = recogniser.generate(str(path), itn=False, max_length=MAX_TOKENS)[0]
        theirs.append(result["text"])
        theirs_by_ctc.append(result["ctc_text"])
    assert ours == theirs
    assert by_ctc == theirs_by_ctc


def test_a_text_ends_at_the_limit(fitted, make_inputs):
    inputs = make_inputs(fitted)
    full = transcribe(fitted, inputs, 4, MAX_TOKENS)
    cut = transcribe(fitted, inputs, 4, max_tokens=2)
    assert max(map(len, cut)) <= 2 < max(map(len, full))
    assert all(text.startswith(short) for text, short in zip(full, cut, strict=True))


def test_silence_marks_and_runs_of_spaces_are_single_spaces(
    fitted, make_inputs, monkeypatch, tmp_path
):
    inputs = make_inputs(fitted)
    inputs.advance(fitted, "adapted", 100, tmp_path / "frozen")
    batch = inputs.batch([0])
    monkeypatch.setattr(fitted.tokenizer, "batch_decode", lambda *_, **__: [" 您 好/sil再  见 "])
    assert decode.greedy(fitted, batch.prompts, batch.inputs, batch.lengths, 3) == ["您 好 再 见"]


def test_the_model_goes_back_to_the_mode_it_was_in(fitted, make_inputs):
    fitted.model.audio_adaptor.train()
    before = [module.training for module in fitted.model.modules()]
    transcribe(fitted, make_inputs(fitted, examples=None), 12, max_tokens=1)
    assert [module.training for module in fitted.model.modules()] == before
    assert True in before
    assert False in before


def test_errors_are_summed_over_utterances(fitted, make_inputs):
    inputs = make_inputs(fitted)
    assert total_error(inputs, list(TEXTS)).rate == 0.0
    wrong = ["您不", *TEXTS[1:]]
    assert total_error(inputs, wrong).rate == pytest.approx(1 / sum(map(len, TEXTS)))


# --- CTC


def collapsed(fitted, monkeypatch, path: list[int], lengths: list[int]) -> list[str]:
    """Greedy CTC texts of a path of tokens, None for blank; a row an utterance of `lengths`."""
    vocabulary = fitted.model.blank_id + 1
    tokens = [fitted.model.blank_id if t is None else t for t in path]
    row = torch.nn.functional.one_hot(torch.tensor(tokens), vocabulary).float()
    rows = row[None].expand(len(lengths), -1, -1)
    monkeypatch.setattr(decode, "ctc_log_probs", lambda *_: rows)
    return decode.ctc_greedy(fitted, rows, torch.tensor(lengths))


def test_ctc_drops_repetitions_then_blanks(fitted, monkeypatch):
    nin, hao = fitted.tokenizer.encode("您好")
    path = [None, nin, nin, None, nin, hao, hao, None, None, hao]
    found = collapsed(fitted, monkeypatch, path, [10, 9, 7, 5, 1])
    assert found == ["您您好好", "您您好", "您您好", "您您", ""]


def test_ctc_of_nothing_but_blanks_is_no_text(fitted, monkeypatch):
    assert collapsed(fitted, monkeypatch, [None] * 4, [4]) == [""]
