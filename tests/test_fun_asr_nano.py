"""The forward pass against FunASR's own, in padded batches."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from model_fixtures import perturb, write_variant
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.model import fun_asr_nano, parts
from telephone_asr.model.parts import LoraSize
from telephone_asr.model.pretrained import load

TEXTS = ["您好", "请问您是谁", "好的好的再见", "三"]
PROMPTS = [PROMPT_VERBATIM, PROMPT, PROMPT_VERBATIM, PROMPT]
LENGTHS = [9, 40, 23, 16]


@pytest.fixture(scope="module", params=[(8, True), (1, True), (1, False)], ids=str)
def any_nano(request, tiny_directory, tmp_path_factory):
    """Adaptors with and without stacking, with an eighth of their rows given on and with all."""
    rate, low = request.param

    def change(config):
        config["audio_adaptor_conf"] |= {"downsample_rate": rate, "use_low_frame_rate": low}
        config["dataset_conf"] |= {"sys_prompt": rate == 1, "do_think": rate == 8}

    directory = write_variant(tiny_directory, tmp_path_factory.mktemp("variant") / "v", change)
    nano = load(directory)
    nano.model.requires_grad_(True)  # the published config has FunASR freeze all of it
    return nano


def features(lengths=LENGTHS, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    rows = [torch.randn(n, 560, generator=rng) for n in lengths]
    return pad_sequence(rows, batch_first=True), torch.tensor(lengths)


def funasr_batch(nano, prompts, texts, speech, lengths) -> dict:
    """The batch that FunASR's own collator makes."""
    rows, masks, labels, begins, counts = [], [], [], [], []
    for prompt, text, length in zip(prompts, texts, lengths.tolist(), strict=True):
        before, after = fun_asr_nano.chat_tokens(nano.tokenizer, prompt, nano.config)
        count = length
        if nano.model.use_low_frame_rate:
            count = (1 + (1 + (length - 3 + 2) // 2 - 3 + 2) // 2 - 1) // 2 + 1
        target = nano.tokenizer.encode(text + "<|im_end|>")
        row = before + [0] * count + after + target
        rows.append(torch.tensor(row))
        masks.append(torch.ones(len(row), dtype=torch.int64))
        labels.append(torch.tensor([-100] * (len(row) - len(target)) + target))
        begins.append([len(before)])
        counts.append([count])
    padded = [pad_sequence(x, batch_first=True, padding_value=-1) for x in (rows, masks, labels)]
    return {
        "speech": speech.clone(),
        "speech_lengths": lengths,
        "input_ids": padded[0],
        "attention_mask": padded[1],
        "labels_ids": padded[2],
        "fbank_beg": torch.tensor(begins),
        "fake_token_len": torch.tensor(counts),
    }


def funasr_loss(nano, prompts, texts, speech, lengths):
    """FunASR's loss of a padded batch.

    An adaptor that stacks rows stacks the last ones of a short utterance with what the encoder made
    of its padding, so there FunASR's reference is each utterance by itself.
    """
    if nano.config["audio_adaptor_conf"]["downsample_rate"] == 1:
        return nano.model(**funasr_batch(nano, prompts, texts, speech, lengths))[0]
    total, tokens = 0.0, 0
    for i, n in enumerate(lengths.tolist()):
        own = slice(i, i + 1)
        batch = funasr_batch(nano, prompts[own], texts[own], speech[own, :n], lengths[own])
        count = (batch["labels_ids"] >= 0).sum()
        total += nano.model(**batch)[0] * count
        tokens += count
    return total / tokens


def our_loss(nano, prompts, texts, speech, lengths):
    hidden, hidden_lengths = fun_asr_nano.encode(nano, speech, lengths)
    adapted, adapted_lengths = fun_asr_nano.adapt(nano, hidden, hidden_lengths)
    return fun_asr_nano.transcript_loss(nano, prompts, texts, adapted, adapted_lengths)


def gradients(nano, loss) -> dict[str, torch.Tensor]:
    nano.model.zero_grad(set_to_none=True)
    loss.backward()
    return {n: p.grad.clone() for n, p in nano.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("chosen", [[0], [1], [0, 2], [0, 1, 2, 3]], ids=str)
def test_transcript_loss_and_its_gradients_equal_funasr(any_nano, chosen):
    speech, lengths = features([LENGTHS[i] for i in chosen])
    prompts, texts = [PROMPTS[i] for i in chosen], [TEXTS[i] for i in chosen]
    theirs = funasr_loss(any_nano, prompts, texts, speech, lengths)
    ours = our_loss(any_nano, prompts, texts, speech, lengths)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    expected, found = gradients(any_nano, theirs), gradients(any_nano, ours)
    assert set(found) == set(expected)
    assert any("audio_encoder" in name for name in found)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_prompts_read_once_for_the_whole_training_give_the_same_loss(any_nano):
    speech, lengths = features()
    any_nano.model.llm.requires_grad_(False)
    adapted = fun_asr_nano.adapt(any_nano, *fun_asr_nano.encode(any_nano, speech, lengths))
    prefixes, losses = {}, []
    for kept in (None, prefixes, prefixes):
        arguments = (any_nano, PROMPTS, TEXTS, adapted[0].detach().requires_grad_(), adapted[1])
        loss = fun_asr_nano.transcript_loss(*arguments, kept)
        loss.backward()
        losses.append((loss.item(), arguments[3].grad))
    assert len(prefixes) == 1
    for loss, gradient in losses[1:]:
        assert loss == pytest.approx(losses[0][0], abs=1e-6)
        torch.testing.assert_close(gradient, losses[0][1], atol=1e-6, rtol=1e-4)
    any_nano.model.llm.requires_grad_(True)


def test_lora_gets_the_gradients_that_it_gets_from_funasr(tiny_directory):
    """Those through the prompt's keys and values too, although it is read once a batch."""
    nano = load(tiny_directory)
    trained = parts.add_lora(nano, LoraSize(r=4, alpha=8, dropout=0.0), seed=0)
    perturb(trained, seed=1)
    speech, lengths = features([40, 9])
    theirs = funasr_loss(nano, PROMPTS[:2], TEXTS[:2], speech, lengths)
    ours = our_loss(nano, PROMPTS[:2], TEXTS[:2], speech, lengths)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    expected, found = gradients(nano, theirs), gradients(nano, ours)
    assert set(found) == set(expected) == set(trained)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_the_conversation_is_laid_out_as_by_funasr_itself(any_nano, utterances):
    """Against FunASR's own reading of a conversation, from sound to tokens."""
    from funasr.frontends.wav_frontend import WavFrontend

    sound = torch.from_numpy(utterances[5].samples.astype("float32") / 32768)
    frontend = WavFrontend(**any_nano.config["frontend_conf"])
    for prompt in (PROMPT, PROMPT_VERBATIM):
        user = {"role": "user", "content": f"{prompt}<|startofspeech|>!!<|endofspeech|>"}
        talk = [
            {"role": "system", "content": "You are a helpful assistant."},
            user | {"audio": sound},
            {"role": "assistant", "content": "明天还款"},
        ]
        theirs = any_nano.model.data_load_speech(
            any_nano.model.data_template(talk),
            any_nano.tokenizer,
            frontend,
            dataset_conf=any_nano.config["dataset_conf"],
        )
        speech, lengths = theirs["speech"], theirs["speech_lengths"][:, 0]
        ours = funasr_batch(any_nano, [prompt], ["明天还款"], speech, lengths)
        assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
        assert ours["labels_ids"][0].tolist() == theirs["labels_ids"].tolist()
        assert ours["fbank_beg"].tolist() == theirs["fbank_beg"].tolist()
        assert ours["fake_token_len"].tolist() == theirs["fake_token_len"].tolist()


def test_low_rate_tokens_is_funasrs_formula():
    frames = torch.arange(1, 2001)
    expected = []
    for n in frames.tolist():
        olens = 1 + (n - 3 + 2 * 1) // 2
        olens = 1 + (olens - 3 + 2 * 1) // 2
        expected.append((olens - 1) // 2 + 1)
    assert fun_asr_nano.low_rate_tokens(frames).tolist() == expected
    assert min(expected) == 1


def test_no_more_rows_are_given_on_than_the_adaptor_made(any_nano):
    for length in (1, 7, 8, 9, 64, 65):
        hidden, lengths = fun_asr_nano.encode(any_nano, *features([length]))
        adapted, rows = fun_asr_nano.adapt(any_nano, hidden, lengths)
        assert adapted.shape[1] == rows.item() >= 1


@pytest.mark.parametrize("stage", ["encoded", "adapted"])
def test_padding_and_its_content_change_nothing(any_nano, stage):
    def compute(speech, lengths):
        hidden, lengths = fun_asr_nano.encode(any_nano, speech, lengths)
        if stage == "adapted":
            hidden, lengths = fun_asr_nano.adapt(any_nano, hidden, lengths)
        return [row[:n] for row, n in zip(hidden, lengths.tolist(), strict=True)]

    speech, lengths = features()
    with torch.inference_mode():
        together = compute(speech, lengths)
        for i, n in enumerate(LENGTHS):
            alone = compute(speech[i : i + 1, :n], lengths[i : i + 1])[0]
            torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=1e-5)


def test_transcript_loss_of_a_batch_is_the_mean_over_all_tokens(any_nano):
    speech, lengths = features()
    with torch.inference_mode():
        hidden, hidden_lengths = fun_asr_nano.encode(any_nano, speech, lengths)
        adapted, rows = fun_asr_nano.adapt(any_nano, hidden, hidden_lengths)
        together = fun_asr_nano.transcript_loss(any_nano, PROMPTS, TEXTS, adapted, rows)
        total, tokens = 0.0, 0
        for i, text in enumerate(TEXTS):
            alone = fun_asr_nano.transcript_loss(
                any_nano, PROMPTS[i : i + 1], [text], adapted[i : i + 1, : rows[i]], rows[i : i + 1]
            )
            total += alone.item() * (len(text) + 1)  # and the end of turn
            tokens += len(text) + 1
    assert together.item() == pytest.approx(total / tokens, abs=1e-5)


def test_the_encoder_leaves_its_input_as_it_is(nano):
    speech, lengths = features()
    before = speech.clone()
    fun_asr_nano.encode(nano, speech, lengths)
    assert torch.equal(speech, before)


def test_ctc_loss_equals_torch_on_unpadded_utterances(nano):
    speech, lengths = features()
    with torch.inference_mode():
        hidden, hidden_lengths = fun_asr_nano.encode(nano, speech, lengths)
        together = fun_asr_nano.ctc_loss(nano, TEXTS, hidden, hidden_lengths)
        total = 0.0
        for i, text in enumerate(TEXTS):
            own, _ = fun_asr_nano.encode(nano, speech[i : i + 1, : LENGTHS[i]], lengths[i : i + 1])
            decoded, _ = nano.model.ctc_decoder(own, lengths[i : i + 1])
            log_probs = torch.log_softmax(nano.model.ctc.ctc_lo(decoded[0]), dim=-1)
            tokens = torch.tensor(nano.model.ctc_tokenizer.encode(text))
            blank = nano.config["ctc_vocab_size"] - 1
            total += torch.nn.functional.ctc_loss(
                log_probs,
                tokens,
                torch.tensor(len(log_probs)),
                torch.tensor(len(tokens)),
                blank=blank,
                reduction="sum",
            ).item()
    assert together.item() == pytest.approx(total / sum(map(len, TEXTS)), rel=1e-5)


def test_the_ctc_branch_is_trained_on_text_without_punctuation_as_it_was(nano):
    """`text_tn` of FunASR's own results is what it calls normalised."""
    import inspect

    from funasr.models.fun_asr_nano.model import FunASRNano

    assert fun_asr_nano.NO_WORDS in inspect.getsource(FunASRNano.inference_llm)
    assert fun_asr_nano.ctc_text(nano, "您好，APP-2 还款300元。") == "您好APP2 还款300元"
    speech, lengths = features([40])
    hidden, hidden_lengths = fun_asr_nano.encode(nano, speech, lengths)
    with_it, without = (
        fun_asr_nano.ctc_loss(nano, [text], hidden, hidden_lengths)
        for text in ("您好，三。", "您好三")
    )
    assert torch.equal(with_it, without)
    nano.config["dataset_conf"]["ctc_target_normalize"] = False
    assert fun_asr_nano.ctc_text(nano, "您好，三。") == "您好，三。"


def test_a_transcript_longer_than_its_speech_has_no_part_in_the_ctc_loss(nano):
    speech, lengths = features([2, 30])
    hidden, hidden_lengths = fun_asr_nano.encode(nano, speech, lengths)
    loss = fun_asr_nano.ctc_loss(nano, ["请问您是谁", "您好"], hidden, hidden_lengths)
    loss.backward()
    assert torch.isfinite(loss)
    grads = [p.grad for p in nano.model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_where_nobody_speaks_the_turn_ends_or_the_published_sign_of_silence_is_written(
    nano, modelscope_directory
):
    """The tiny tokenizer knows no "/"; one of byte pairs, as the published one, knows all there is,
    and what decoding takes out is what is learnt."""
    published_nano = load(modelscope_directory)
    end = nano.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert fun_asr_nano.transcript_tokens(nano, ["您好", ""])[1] == [end]
    tokens = fun_asr_nano.transcript_tokens(published_nano, ["", "您好"])
    assert published_nano.tokenizer.decode(tokens[0]) == "/sil<|im_end|>"
    assert tokens[1] == published_nano.tokenizer.encode("您好<|im_end|>")


def test_the_ctc_loss_of_nothing_said_is_that_of_blanks(nano):
    """Alone in a batch, and beside speech; each silent utterance counts as one token."""
    nano.model.requires_grad_(True)
    encoded = torch.randn(3, 12, nano.model.audio_encoder.output_size())
    lengths = torch.tensor([12, 7, 9])
    blank = fun_asr_nano.ctc_log_probs(nano, encoded, lengths)[..., nano.model.blank_id]
    expected = -sum(blank[i, :n].sum() for i, n in enumerate(lengths)) / 3
    loss = fun_asr_nano.ctc_loss(nano, ["", "", ""], encoded, lengths)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    spoken = fun_asr_nano.ctc_loss(nano, ["您好"], encoded[1:2, :7], lengths[1:2]) * 2
    mixed = fun_asr_nano.ctc_loss(nano, ["", "您好", ""], encoded, lengths, total=1)
    alone = -(blank[0].sum() + blank[2, :9].sum())
    assert mixed.item() == pytest.approx((alone + spoken).item(), rel=1e-5)
    loss.backward()
    gradients = [p.grad for p in nano.model.ctc_decoder.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def test_the_gradient_does_not_depend_on_how_this_run_hashes_prompts(tiny_directory):
    """With lists of hotwords each prompt is another, and Python salts hashes anew in each run."""

    def gradient(salt: int) -> torch.Tensor:
        class Salted(str):
            __slots__ = ()

            def __hash__(self) -> int:
                return hash((salt, sum(map(ord, self))))

        nano = load(tiny_directory)
        nano.model.llm.requires_grad_(True)
        lists = [f"热词列表：[{a}{b}]\n{PROMPT}" for a in "您好请问是" for b in "谁的再见三"]
        width = nano.model.llm.config.hidden_size
        rows = torch.randn(len(lists), 5, width, generator=torch.Generator().manual_seed(0))
        lengths = torch.full((len(lists),), 5)
        prompts = [Salted(prompt) for prompt in lists]
        texts = [TEXTS[i % len(TEXTS)] for i in range(len(lists))]
        fun_asr_nano.transcript_loss(nano, prompts, texts, rows, lengths).backward()
        return nano.model.llm.get_input_embeddings().weight.grad

    first = gradient(1)
    assert all(torch.equal(gradient(salt), first) for salt in (2, 3, 4))
