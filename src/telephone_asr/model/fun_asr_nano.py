"""Fun-ASR-Nano's forward pass, batch in, loss out; the same numbers as FunASR's own for less work.

The model reads:   prompt | speech | end of turn | transcript
Only the transcript is predicted, so only its positions go through the language model's head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

SYSTEM = "You are a helpful assistant."
IGNORED = -100


@dataclass
class Batch:
    """Utterances that go through the model together.

    `inputs` is what the first part that still has to be computed takes: features for the encoder,
    the encoder's output for the adaptor, or the adaptor's output, see `Stage`.
    """

    keys: list[str]
    inputs: torch.Tensor  # (B, T, D)
    lengths: torch.Tensor  # (B,), rows of `inputs` that are no padding
    prompts: list[str]
    texts: list[str]


def chat_tokens(tokenizer: Any, prompt: str, config: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Tokens before and after the speech, as FunASR lays out the conversation."""
    dataset = config.get("dataset_conf", {})
    before = f"<|im_start|>user\n{prompt}"
    if dataset.get("sys_prompt", True):
        before = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n{before}"
    after = "<|im_end|>\n<|im_start|>assistant\n"
    if not dataset.get("do_think", True):
        after += "<think>\n\n</think>\n\n"
    return tokenizer.encode(before), tokenizer.encode(after)


def low_rate_tokens(frames: torch.Tensor) -> torch.Tensor:
    """How many of the adaptor's rows the language model is given under `use_low_frame_rate`.

    An eighth of the encoder's rows (FunASR's `fake_token_len`): the adaptor has to bring all it
    found into its first rows.
    """
    for _ in range(3):
        frames = (frames - 1) // 2 + 1
    return frames


def encode(nano: FunASRNano, features: torch.Tensor, lengths: torch.Tensor):
    """(B, T, 560) features -> (B, T, encoder size). The encoder scales its input in place."""
    return nano.model.audio_encoder(features.clone(), lengths)


def adapt(nano: FunASRNano, encoded: torch.Tensor, lengths: torch.Tensor):
    """(B, T, encoder size) -> (B, S, language model size) and S of each: the speech tokens."""
    # An adaptor that stacks rows would mix the last real ones with what the encoder makes of
    # padding; zeros are what it puts behind a single utterance.
    rows = torch.arange(encoded.shape[1], device=encoded.device)
    encoded = torch.where((rows < lengths[:, None])[..., None], encoded, 0.0)
    adapted, adapted_lengths = nano.model.audio_adaptor(encoded, lengths)
    if nano.model.use_low_frame_rate:
        adapted_lengths = low_rate_tokens(lengths)
    return adapted[:, : int(adapted_lengths.max())], adapted_lengths


def prompt_embeddings(
    nano: FunASRNano, prompts: Sequence[str], adapted: torch.Tensor, lengths: torch.Tensor
) -> list[torch.Tensor]:
    """What the language model reads before it writes: one (n, D) tensor an utterance."""
    embed = nano.model.llm.get_input_embeddings()
    parts = {}
    for prompt in set(prompts):
        tokens = chat_tokens(nano.tokenizer, prompt, nano.config)
        parts[prompt] = [embed(torch.tensor(t, device=adapted.device)) for t in tokens]
    return [
        torch.cat([parts[prompt][0], speech[:length].to(embed.weight.dtype), parts[prompt][1]])
        for prompt, speech, length in zip(prompts, adapted, lengths.tolist(), strict=True)
    ]


def transcript_loss(
    nano: FunASRNano,
    prompts: Sequence[str],
    texts: Sequence[str],
    adapted: torch.Tensor,
    lengths: torch.Tensor,
) -> torch.Tensor:
    """Mean cross-entropy of the transcripts' tokens (with the end of turn), as in FunASR."""
    llm = nano.model.llm
    embed = llm.get_input_embeddings()
    heads = prompt_embeddings(nano, prompts, adapted, lengths)
    targets = [
        torch.tensor(nano.tokenizer.encode(f"{text}<|im_end|>"), device=adapted.device)
        for text in texts
    ]
    rows = [torch.cat([head, embed(t)]) for head, t in zip(heads, targets, strict=True)]
    sizes = torch.tensor([len(row) for row in rows], device=adapted.device)
    inputs = pad_sequence(rows, batch_first=True)
    mask = torch.arange(inputs.shape[1], device=inputs.device)[None] < sizes[:, None]
    hidden = llm.get_decoder()(inputs_embeds=inputs, attention_mask=mask.long()).last_hidden_state
    # The token before a target predicts it: its positions are one to the left.
    predicting = torch.cat(
        [
            hidden[i, len(head) - 1 : len(head) - 1 + len(target)]
            for i, (head, target) in enumerate(zip(heads, targets, strict=True))
        ]
    )
    logits = llm.get_output_embeddings()(predicting)
    return F.cross_entropy(logits.float(), torch.cat(targets))


def ctc_loss(
    nano: FunASRNano, texts: Sequence[str], encoded: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """CTC loss of the transcripts per character, of the branch that gives FunASR its timestamps."""
    log_probs = ctc_log_probs(nano, encoded, lengths)
    tokens = [torch.tensor(nano.model.ctc_tokenizer.encode(text)) for text in texts]
    sizes = torch.tensor([len(t) for t in tokens])
    loss = F.ctc_loss(
        log_probs.transpose(0, 1).float(),
        torch.cat(tokens).to(encoded.device),
        lengths,
        sizes.to(encoded.device),
        blank=nano.model.blank_id,
        reduction="sum",
        zero_infinity=True,  # a transcript longer than its speech has no alignment
    )
    return loss / sizes.sum()


def ctc_log_probs(nano: FunASRNano, encoded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, T, encoder size) -> (B, T, tokens + blank), one row for each 60 ms."""
    decoded, _ = nano.model.ctc_decoder(encoded, lengths)
    return nano.model.ctc.log_softmax(decoded)
