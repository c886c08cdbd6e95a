"""Decoding: the same text alone, in a batch, from Transformers' generate and from FunASR itself."""

import doctest
import shutil

import pytest
import torch

from speech_fixtures import CALL_RATE_HZ, TEXTS, write_wav
from telephone_asr.dataset.speech import SpeechDataset
from telephone_asr.decoding import recognise as decode
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.decoding.spotting import Lists
from telephone_asr.errors import InputError
from telephone_asr.manifests import hotwords as hotwords_module
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.model import fun_asr_nano
from telephone_asr.model.frontend import Frontend
from telephone_asr.scoring import confusion
from telephone_asr.scoring.cut_off import CutOff, count_cut_off

MAX_TOKENS = 12
HOTWORDS = ["张三", "还款"]


def lists(words: list[str]) -> Lists:
    """The words for each utterance, all in the prompt as FunASR has them."""
    return Lists([words] * len(TEXTS), floor=None)


@pytest.fixture(scope="module")
def recogniser(fitted_directory, tmp_path_factory):
    """FunASR with the same weights: it would round the language model's, as config.yaml says."""
    from funasr import AutoModel

    directory = tmp_path_factory.mktemp("recogniser") / "base"
    shutil.copytree(fitted_directory, directory)
    config = (directory / "config.yaml").read_text(encoding="utf-8")
    assert "llm_dtype: bf16" in config
    text = config.replace("llm_dtype: bf16", "llm_dtype: fp32")
    (directory / "config.yaml").write_text(text, encoding="utf-8")
    return AutoModel(
        model=str(directory),
        disable_update=True,
        disable_pbar=True,
        device="cpu",
        log_level="ERROR",
        ncpu=1,  # AutoModel sets the threads of the whole process
    )


@pytest.mark.parametrize("module", [confusion, hotwords_module])
def test_doctests(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


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
    inputs.precompute(fitted, level, 100, tmp_path / "frozen")
    assert transcribe(fitted, inputs, 12, MAX_TOKENS) == expected


def test_prompts_of_a_batch_may_differ(fitted, make_inputs, tmp_path):
    inputs = make_inputs(fitted)
    inputs.precompute(fitted, "adapted", 100, tmp_path / "frozen")
    batch = inputs.batch([0, 3, 7, 10])
    prompts = [PROMPT, PROMPT_VERBATIM, PROMPT, PROMPT_VERBATIM]
    together = decode.transcripts(fitted, prompts, batch.inputs, batch.lengths, MAX_TOKENS)
    for i, prompt in enumerate(prompts):
        row = batch.inputs[i : i + 1, : batch.lengths[i]]
        alone = decode.transcripts(fitted, [prompt], row, batch.lengths[i : i + 1], MAX_TOKENS)
        assert [together[i]] == alone


def adapted(nano, inputs) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Speech tokens of all utterances, how many each has, and their prompts."""
    batch = inputs.batch(range(len(inputs)))
    with torch.inference_mode():
        encoded = fun_asr_nano.encode(nano, batch.inputs, batch.lengths)
        return *fun_asr_nano.adapt(nano, *encoded), batch.prompts


@pytest.mark.parametrize("beams", [1, 3])
def test_transformers_generate_gives_the_same_texts_one_by_one(fitted, make_inputs, beams):
    speech, lengths, prompts = adapted(fitted, make_inputs(fitted))
    expected = []
    for head in fun_asr_nano.prompt_embeddings(fitted, prompts, speech, lengths):
        tokens = fitted.model.llm.generate(
            inputs_embeds=head[None],
            attention_mask=torch.ones(1, len(head), dtype=torch.long),
            max_new_tokens=MAX_TOKENS,
            num_beams=beams,
            do_sample=False,
        )
        expected += fitted.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    found = decode.transcripts(fitted, prompts, speech, lengths, MAX_TOKENS, beams)
    assert found == [" ".join(text.split()) for text in expected]
    assert len(set(found)) >= 6


def test_more_beams_find_other_texts(fitted, make_inputs):
    """With a prompt that the model has not seen, so that it is less sure of itself."""
    inputs = make_inputs(fitted)
    found = [
        transcribe(fitted, inputs, 12, MAX_TOKENS, beams=beams, hotwords=lists(HOTWORDS))
        for beams in (1, 3)
    ]
    assert found[0] != found[1]


def funasr_texts(recogniser, utterances, folder, field: str = "text", **options) -> list[str]:
    """What AutoModel makes of the utterances as files."""
    texts = []
    for utterance in utterances:
        path = write_wav(folder / f"{utterance.id}.wav", utterance.samples, CALL_RATE_HZ)
        options |= {"itn": False, "max_length": MAX_TOKENS}
        texts.append(recogniser.generate(str(path), **options)[0][field])
    return texts


def test_funasr_gives_the_same_texts_from_sound_files(
    fitted, recogniser, make_inputs, utterances, tmp_path
):
    inputs = make_inputs(fitted)
    for batch_size in (1, 4):
        ours = transcribe(fitted, inputs, batch_size, MAX_TOKENS)
        assert ours == funasr_texts(recogniser, utterances, tmp_path)
    by_ctc = transcribe(fitted, inputs, 4, MAX_TOKENS, by_ctc=True)
    assert by_ctc == funasr_texts(recogniser, utterances, tmp_path, "ctc_text")


def test_funasr_gives_the_same_texts_with_beams(
    fitted, recogniser, make_inputs, utterances, tmp_path
):
    ours = transcribe(fitted, make_inputs(fitted), 5, MAX_TOKENS, beams=3, hotwords=lists(HOTWORDS))
    options = {"llm_kwargs": {"num_beams": 3}, "hotwords": HOTWORDS}
    theirs = funasr_texts(recogniser, utterances, tmp_path, **options)
    assert ours == [text.strip() for text in theirs]


@pytest.mark.parametrize("prompt", [PROMPT, PROMPT_VERBATIM])
@pytest.mark.parametrize("hotwords", [[], ["张三"], ["张三", "VIP 会员", "还款"]])
def test_prompts_with_hotwords_are_funasrs(fitted, prompt, hotwords):
    expected = fitted.model.get_prompt(hotwords, itn=prompt == PROMPT)
    assert hotwords_module.with_hotwords(prompt, hotwords) == expected


def test_funasr_gives_the_same_texts_with_hotwords(
    fitted, recogniser, make_inputs, utterances, tmp_path
):
    inputs = make_inputs(fitted)
    ours = transcribe(fitted, inputs, 5, MAX_TOKENS, hotwords=lists(HOTWORDS))
    theirs = funasr_texts(recogniser, utterances, tmp_path, hotwords=HOTWORDS)
    assert ours == [text.strip() for text in theirs]
    assert ours != transcribe(fitted, inputs, 5, MAX_TOKENS)
    assert {example.prompt for example in inputs.examples} == {PROMPT_VERBATIM}  # for training


@pytest.fixture
def calls(fitted, monkeypatch) -> list[tuple[int, int]]:
    """The (rows, positions) of every call of the language model."""
    sizes = []
    fitted.model.llm.get_decoder().register_forward_pre_hook(
        lambda _, __, options: sizes.append(tuple(options["inputs_embeds"].shape[:2])),
        with_kwargs=True,
    )
    return sizes


def test_the_prompt_is_read_once_and_ended_utterances_leave_the_batch(fitted, make_inputs, calls):
    texts = transcribe(fitted, make_inputs(fitted), 12, max_tokens=30)
    prompt, speech, *steps = calls
    before, _ = fun_asr_nano.chat_tokens(fitted.tokenizer, PROMPT_VERBATIM, fitted.config)
    assert prompt == (1, len(before))
    assert speech[0] == 12
    lengths = [len(fitted.tokenizer.encode(text)) for text in texts]
    assert len(set(lengths)) > 1
    # Whoever has written n tokens took part in n steps: that which wrote the end comes after them.
    assert [rows for rows, _ in steps] == [
        sum(length >= n for length in lengths) for n in range(1, max(lengths) + 1)
    ]


def test_nothing_is_computed_after_the_last_token(fitted, make_inputs, calls):
    transcribe(fitted, make_inputs(fitted), 12, max_tokens=1)
    assert len(calls) == 2  # the prompt and the speech


def test_slices_of_a_batch_are_encoded_alike(fitted, make_inputs, monkeypatch):
    batch = make_inputs(fitted).batch(range(12))
    whole, _ = fun_asr_nano.encode(fitted, batch.inputs, batch.lengths)
    monkeypatch.setattr(decode, "CACHE_ROWS", 60)
    parts, lengths = decode.encode_in_slices(fitted, batch.inputs, batch.lengths)
    assert lengths.tolist() == batch.lengths.tolist()
    for part, row, length in zip(parts, whole, lengths.tolist(), strict=True):
        torch.testing.assert_close(part[:length], row[:length], atol=1e-4, rtol=1e-4)


# --- Batches


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_hold_every_utterance_once_and_similar_ones_together(batch_size, monkeypatch):
    monkeypatch.setattr(decode, "MAX_ROWS", 40)
    lengths = [7, 3, 90, 12, 3, 20, 9, 1, 0, 41]
    found = decode.batches_by_length(lengths, batch_size)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    in_order = [lengths[i] for batch in found for i in batch]
    assert in_order == sorted(lengths)
    for batch in found:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 40


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_shares_of_several_processes_hold_every_text_once(fitted, make_inputs, processes):
    inputs = make_inputs(fitted)
    whole = transcribe(fitted, inputs, 2, MAX_TOKENS)
    assert all(whole)
    shares = [
        transcribe(fitted, inputs, 2, MAX_TOKENS, share=(rank, processes))
        for rank in range(processes)
    ]
    for place, texts in enumerate(zip(*shares, strict=True)):
        assert sorted(texts) == sorted([whole[place], *[""] * (processes - 1)])
    assert sum(any(texts) for texts in shares) == min(processes, 6)


def test_sound_that_is_missing_is_an_input_error(fitted, corpus):
    inputs = SpeechDataset(corpus.examples, {}, Frontend(fitted.config["frontend_conf"]), 0)
    with pytest.raises(InputError, match="no shard holds it"):
        transcribe(fitted, inputs, 2, MAX_TOKENS)


def test_no_utterances_have_no_texts(fitted, make_inputs):
    assert decode.recognise(fitted, make_inputs(fitted).__getitem__, [], [], 4, MAX_TOKENS) == []


def test_a_text_ends_at_the_limit(fitted, make_inputs):
    inputs = make_inputs(fitted)
    full = transcribe(fitted, inputs, 4, MAX_TOKENS)
    cut = transcribe(fitted, inputs, 4, max_tokens=2)
    assert max(map(len, cut)) <= 2 < max(map(len, full))
    assert all(text.startswith(short) for text, short in zip(full, cut, strict=True))
    assert count_cut_off(full) == 0


@pytest.mark.parametrize("beams", [1, 3])
def test_a_text_that_ends_at_the_limit_says_so(fitted, make_inputs, beams):
    inputs = make_inputs(fitted)
    full = transcribe(fitted, inputs, 4, MAX_TOKENS, beams=beams)
    lengths = [len(fitted.tokenizer.encode(text)) for text in full]
    limit = sorted(lengths)[len(lengths) // 2]
    cut = transcribe(fitted, inputs, 4, max_tokens=limit, beams=beams)
    found = [isinstance(text, CutOff) for text in cut]
    # One of as many tokens as there may be was not seen to end.
    assert found == [length >= limit for length in lengths]
    assert True in found
    assert False in found
    assert count_cut_off(transcribe(fitted, inputs, 4, max_tokens=1, by_ctc=True)) == 0


def test_silence_marks_and_runs_of_spaces_are_single_spaces(
    fitted, make_inputs, monkeypatch, tmp_path
):
    inputs = make_inputs(fitted)
    inputs.precompute(fitted, "adapted", 100, tmp_path / "frozen")
    batch = inputs.batch([0])
    monkeypatch.setattr(fitted.tokenizer, "batch_decode", lambda *_, **__: [" 您 好/sil再  见 "])
    assert decode.transcripts(fitted, batch.prompts, batch.inputs, batch.lengths, 3) == [
        "您 好 再 见"
    ]


def test_the_model_goes_back_to_the_mode_it_was_in(fitted, make_inputs):
    fitted.model.audio_adaptor.train()
    before = [module.training for module in fitted.model.modules()]
    transcribe(fitted, make_inputs(fitted, examples=None), 12, max_tokens=1)
    assert [module.training for module in fitted.model.modules()] == before
    assert True in before
    assert False in before
