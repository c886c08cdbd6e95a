"""Fun-ASR-Nano's forward pass, batch in, loss out; the same numbers as FunASR's own for less work.

The model reads:   prompt | speech | end of turn | transcript
Only the transcript is predicted, so only its positions go through the language model's head; what
all utterances begin with is read once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from telephone_asr.model.prefix import read_prefix, shared_prefix

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

Count = TypeVar("Count", int, torch.Tensor)
Rows = tuple[torch.Tensor, torch.Tensor]  # (B, T, D), padded, and T of each
SYSTEM = "You are a helpful assistant."
PADDED, SPEECH = -1, -2  # in place of a token
KEPT_PREFIXES = 8  # a prompt with hotwords seldom comes again, and megabytes are kept of each
SILENCE = "/sil"
NO_WORDS = r"[^\w\s\u3000\u4e00-\u9fff]+"  # FunASR's, in FunASRNano.inference_llm


@dataclass
class Batch:
    """Holds utterances that go through the model together.

    `inputs` is what the first part that still has to be computed takes: features for the encoder,
    the encoder's output for the adaptor, or the adaptor's output (`dataset.speech.InputStage`).
    """

    keys: list[str]
    inputs: torch.Tensor  # (B, T, D)
    lengths: torch.Tensor  # (B,), rows of `inputs` that are no padding
    prompts: list[str]
    texts: list[str]

    @property
    def rows(self) -> int:
        """Returns the rows of `inputs`, padding counted."""
        return self.inputs.shape[0] * self.inputs.shape[1]


def chat_tokens(tokenizer: Any, prompt: str, config: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Returns the tokens before and after the speech, as FunASR lays out the conversation."""
    dataset = config.get("dataset_conf", {})
    before = f"<|im_start|>user\n{prompt}"
    if dataset.get("sys_prompt", True):
        before = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n{before}"
    after = "<|im_end|>\n<|im_start|>assistant\n"
    if not dataset.get("do_think", True):
        after += "<think>\n\n</think>\n\n"
    return tokenizer.encode(before), tokenizer.encode(after)


def low_rate_tokens(frames: Count) -> Count:
    """Returns how many of the adaptor's rows the language model gets under `use_low_frame_rate`.

    An eighth of the encoder's rows (FunASR's `fake_token_len`): the adaptor has to bring all it
    found into its first rows.
    """
    for _ in range(3):
        frames = (frames - 1) // 2 + 1
    return frames


def adapted_rows(nano: FunASRNano, frames: torch.Tensor) -> torch.Tensor:
    """Returns how many rows the language model is given of so many of the encoder's."""
    if nano.model.use_low_frame_rate:
        return low_rate_tokens(frames)
    return (frames - 1) // nano.model.audio_adaptor.k + 1  # it stacks k rows


def encode(nano: FunASRNano, features: torch.Tensor, lengths: torch.Tensor) -> Rows:
    """Maps features (B, T, 560) to the encoder's output, (B, T, its size) and T of each."""
    # The encoder scales its input in place.
    encoded: Rows = nano.model.audio_encoder(features.clone(), lengths)
    return encoded


def adapt(nano: FunASRNano, encoded: torch.Tensor, lengths: torch.Tensor) -> Rows:
    """Maps (B, T, encoder size) to the speech tokens, (B, S, language model size) and S of each."""
    # An adaptor that stacks rows would mix the last real ones with what the encoder makes of
    # padding; zeros are what it puts behind a single utterance.
    rows = torch.arange(encoded.shape[1], device=encoded.device)
    encoded = torch.where((rows < lengths[:, None])[..., None], encoded, 0.0)
    adapted, _ = nano.model.audio_adaptor(encoded, lengths)
    adapted_lengths = adapted_rows(nano, lengths)
    return adapted[:, : int(adapted_lengths.max())], adapted_lengths


def prompt_embeddings(
    nano: FunASRNano,
    prompts: Sequence[str],
    adapted: torch.Tensor,
    lengths: torch.Tensor,
) -> list[torch.Tensor]:
    """Returns what the language model reads before it writes: one (n, D) tensor an utterance."""
    embed = nano.model.llm.get_input_embeddings()
    parts = {}
    for prompt in dict.fromkeys(prompts):
        around = chat_tokens(nano.tokenizer, prompt, nano.config)
        tokens = [torch.tensor(t, dtype=torch.long) for t in around]
        parts[prompt] = [embed(t.to(adapted.device)) for t in tokens]
    return [
        torch.cat([parts[prompt][0], speech[:length].to(embed.weight.dtype), parts[prompt][1]])
        for prompt, speech, length in zip(prompts, adapted, lengths.tolist(), strict=True)
    ]


def transcript_tokens(nano: FunASRNano, texts: Sequence[str]) -> list[list[int]]:
    """Returns what the language model predicts of each transcript: its tokens and the end of turn.

    An empty one is of sound in which nobody speaks: `nothing_said`. All at once, which takes a
    fraction of the time.
    """
    nothing = "" if all(texts) else nothing_said(nano)
    return nano.tokenizer([f"{text or nothing}<|im_end|>" for text in texts])["input_ids"]


def nothing_said(nano: FunASRNano) -> str:
    """Returns what the language model is to write where nobody speaks.

    FunASR's decoders take "/sil" out of what the published model writes, so it was trained to write
    it, and ours take it out too. Where the tokenizer has no such pieces, as that of the tiny model,
    nothing is written: the turn ends.
    """
    tokens = nano.tokenizer.encode(SILENCE)
    return SILENCE if nano.tokenizer.decode(tokens) == SILENCE else ""


def transcript_loss(
    nano: FunASRNano,
    prompts: Sequence[str],
    texts: Sequence[str],
    adapted: torch.Tensor,
    lengths: torch.Tensor,
    prefixes: dict[tuple[int, ...], Any] | None = None,
    total: float | None = None,
) -> torch.Tensor:
    """Returns the mean cross-entropy of the transcripts' tokens and ends of turn, as in FunASR.

    Args:
        total: the tokens to divide the sum by, those of all batches of a step; None: of this one.
        prefixes: as of `predictions`.
    """
    tokens = transcript_tokens(nano, texts)
    logits = predictions(nano, prompts, tokens, adapted, lengths, prefixes)
    targets = torch.tensor(list(chain(*tokens)), device=logits.device)
    loss = F.cross_entropy(logits.float(), targets, reduction="sum")
    return loss / (len(targets) if total is None else total)


def predictions(
    nano: FunASRNano,
    prompts: Sequence[str],
    tokens: Sequence[Sequence[int]],
    adapted: torch.Tensor,
    lengths: torch.Tensor,
    prefixes: dict[tuple[int, ...], Any] | None = None,
) -> torch.Tensor:
    """Returns the logits of each token of each transcript, from the speech and the tokens before
    it: (all their tokens, vocabulary).

    A batch is laid out on the processor and read by a few kernels: a GPU waits for the processor to
    start them, and a large vocabulary's gradient is summed up once.

    Args:
        adapted: (B, S, D), S of each in `lengths`.
        prefixes: where the beginnings of prompts are kept from batch to batch. Only for a language
            model that does not train; without it they are read once a batch.
    """
    llm, device = nano.model.llm, adapted.device
    embed, decoder = llm.get_input_embeddings(), llm.get_decoder()
    around = {p: chat_tokens(nano.tokenizer, p, nano.config) for p in dict.fromkeys(prompts)}
    common: list[int] = []
    # Where it trains, a GPU needs more time to start another pass than to read so many rows more.
    if prefixes is not None or device.type == "cpu":
        common = shared_prefix([before for before, _ in around.values()])
    rows, first = [], []
    for prompt, length, own in zip(prompts, lengths.tolist(), tokens, strict=True):
        before, after = around[prompt]
        row = [*before[len(common) :], *[SPEECH] * length, *after]
        first.append(len(row) - 1)  # the row before a token predicts it
        rows.append(torch.tensor([*row, *own[:-1]]))  # the last predicts nothing
    asked = pad_sequence(rows, batch_first=True, padding_value=PADDED)
    width = asked.shape[1]
    heard = (torch.arange(adapted.shape[1]) < lengths.cpu()[:, None]).flatten().nonzero()[:, 0]
    speech = adapted.flatten(0, 1)[heard.to(device)].to(embed.weight.dtype)
    places = (asked == SPEECH).flatten().nonzero()[:, 0].to(device)
    embedded = embed(asked.clamp(min=0).to(device))
    inputs = embedded.flatten(0, 1).index_copy(0, places, speech).view_as(embedded)
    seen = F.pad((asked != PADDED).long(), (len(common), 0), value=1)
    hidden = decoder(
        inputs_embeds=inputs,
        attention_mask=seen.to(device),
        past_key_values=_prefix(llm, common, prefixes) if common else None,
        use_cache=bool(common),
    ).last_hidden_state
    predicting = [
        torch.arange(n * width + begin, n * width + begin + len(own))
        for n, (begin, own) in enumerate(zip(first, tokens, strict=True))
    ]
    return llm.get_output_embeddings()(hidden.flatten(0, 1)[torch.cat(predicting).to(device)])


def _prefix(llm: Any, tokens: list[int], prefixes: dict[tuple[int, ...], Any] | None) -> Any:
    if prefixes is None:
        return read_prefix(llm, tokens)
    prefix = prefixes.pop(tuple(tokens), None)
    if prefix is None:
        # A tensor that was made in inference mode could not be used in training.
        with torch.inference_mode(False), torch.no_grad():
            prefix = read_prefix(llm, tokens)
    prefixes[tuple(tokens)] = prefix  # the last is the one that was used last
    if len(prefixes) > KEPT_PREFIXES:
        del prefixes[next(iter(prefixes))]
    return prefix


def ctc_text(nano: FunASRNano, text: str) -> str:
    """Returns what the CTC branch is to write of a transcript.

    Under `ctc_target_normalize` the published one was trained on normalised text, by code that is
    not public. What FunASR calls that (`text_tn` of its results) is a transcript without
    punctuation, which nobody hears and no row of the speech stands for.
    """
    if not nano.config["dataset_conf"].get("ctc_target_normalize"):
        return text
    return re.sub(NO_WORDS, "", text)


def ctc_tokens(nano: FunASRNano, text: str) -> list[int]:
    """Returns the CTC branch's tokens of a transcript."""
    return nano.model.ctc_tokenizer.encode(ctc_text(nano, text))


def ctc_loss(
    nano: FunASRNano,
    texts: Sequence[str],
    encoded: torch.Tensor,
    lengths: torch.Tensor,
    total: float | None = None,
) -> torch.Tensor:
    """Returns the CTC loss per token, of the branch that gives FunASR its timestamps.

    Args:
        total: the tokens to divide the sum by, those of all batches of a step; None: of this one.
            A transcript without any, which is blank from end to end, counts as one.
    """
    tokens = [ctc_tokens(nano, text) for text in texts]
    loss = summed_ctc_loss(
        ctc_log_probs(nano, encoded, lengths), lengths, tokens, nano.model.blank_id
    )
    return loss / (sum(max(1, len(own)) for own in tokens) if total is None else total)


def summed_ctc_loss(
    log_probs: torch.Tensor, lengths: torch.Tensor, tokens: Sequence[Sequence[int]], blank: int
) -> torch.Tensor:
    """Returns the sum of the CTC losses of utterances; 0 of one that has more tokens than rows.

    Args:
        log_probs: (B, T, tokens + blank), T of each in `lengths`.
        tokens: of each.
    """
    device = log_probs.device
    return F.ctc_loss(
        log_probs.transpose(0, 1).float(),
        torch.tensor(list(chain(*tokens)), dtype=torch.long, device=device),
        lengths,
        torch.tensor([len(own) for own in tokens], device=device),
        blank=blank,
        reduction="sum",
        zero_infinity=True,  # a transcript longer than its speech has no alignment
    )


def ctc_log_probs(nano: FunASRNano, encoded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Maps (B, T, encoder size) to (B, T, tokens + blank), one row for each 60 ms."""
    decoded, _ = nano.model.ctc_decoder(encoded, lengths)
    return nano.model.ctc.log_softmax(decoded)
