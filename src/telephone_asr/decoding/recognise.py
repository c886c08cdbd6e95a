"""Features to text, in batches: the texts that funasr.AutoModel gives, in a fraction of the time.

Time goes into the encoder and, without batches, into the language model's single steps; see
`bench/decoding.py`. A batch begins with the prompt's keys and values computed once, which halves
the work behind FunASR's long system prompt. Greedy transcripts are written by a loop of our own,
because `generate` of Transformers keeps utterances that have ended until all have: where one of 32
loops for 100 tokens, it takes 2.7 times as long (12 layers of 512). Beam search is `generate`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from telephone_asr.decoding.branch import Limits, settled
from telephone_asr.decoding.confidence import ctc_greedy
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.spotting import Lists, likely
from telephone_asr.manifests.hotwords import with_hotwords
from telephone_asr.model.devices import enough_memory
from telephone_asr.model.fun_asr_nano import (
    Rows,
    adapt,
    chat_tokens,
    encode,
    prompt_embeddings,
)
from telephone_asr.model.prefix import shared_prefix
from telephone_asr.scoring.cut_off import CutOff

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import InputStage, SpeechDataset
    from telephone_asr.model.pretrained import FunASRNano

T = TypeVar("T")
R = TypeVar("R")
Sound = Callable[[int], tuple[np.ndarray, int]]
Look = Callable[[Sequence[int], Sequence[str], Sequence[str], Encoded], None]
MAX_ROWS = 20_000  # of 60 ms a batch, padding counted: 20 minutes, a few gigabytes in the encoder
LOWER_BATCH_SIZE = "lower decode.batch_size in params.yaml (of a command: --batch-size)"
CACHE_ROWS = 500  # so many of the encoder's rows stay in a processor's cache


def recognise(
    nano: FunASRNano,
    rows: Callable[[int], torch.Tensor],
    lengths: Sequence[int],
    prompts: Sequence[str],
    batch_size: int,
    max_tokens: int,
    input_stage: InputStage = "features",
    by_ctc: bool = False,
    beams: int = 1,
    share: tuple[int, int] = (0, 1),
    look: Look | None = None,
    hotwords: Lists | None = None,
    branch: Limits | None = None,
    sound: Sound | None = None,
) -> list[str]:
    """Returns the texts of utterances, in their order, from a model in eval mode.

    Args:
        rows: maps an utterance's number to (T, D); called in another thread, a batch ahead.
        lengths: T of each (or near it), by which utterances are put together.
        batch_size: utterances in a batch; fewer where they are long.
        max_tokens: a transcript longer than this is cut off, and comes as a CutOff.
        input_stage: says what `rows` are: features, the encoder's output (encoded) or the adaptor's
            (adapted).
        by_ctc: from the CTC branch instead of the language model.
        beams: 1 is greedy.
        share: (rank, of how many processes): every so many batches are decoded, beginning with
            that of the rank; the texts of the others stay empty.
        look: shown the numbers, prompts and texts of each batch of the language model's, and what
            the encoder made of it.
        hotwords: put into the prompts, as far as they may be in the sound.
        branch: what the CTC branch may change of a text; not where `rows` are the adaptor's.
        sound: maps an utterance's number to samples (int16, mono) and sample rate in Hz; needed for
            a `branch` that doubts.
    """
    texts = [""] * len(lengths)
    rank, processes = share
    own = batches_by_length(lengths, batch_size)[rank::processes]
    for indices, loaded in zip(own, _ahead(lambda i: list(map(rows, i)), own), strict=True):
        own_prompts = [prompts[i] for i in indices]
        own_hotwords = hotwords and replace(hotwords, words=[hotwords.words[i] for i in indices])
        found = _recognise_batch(
            *(nano, loaded, own_prompts, max_tokens, input_stage, by_ctc, beams),
            look and partial(look, indices),
            *(own_hotwords, branch, sound and partial(_of_batch, sound, indices)),
        )
        for index, text in zip(indices, found, strict=True):
            texts[index] = text
    return texts


def _of_batch(sound: Sound, indices: Sequence[int], place: int) -> tuple[np.ndarray, int]:
    return sound(indices[place])


def transcribe(
    nano: FunASRNano,
    dataset: SpeechDataset,
    batch_size: int,
    max_tokens: int,
    by_ctc: bool = False,
    share: tuple[int, int] = (0, 1),
    beams: int = 1,
    hotwords: Lists | None = None,
    look: Look | None = None,
    branch: Limits | None = None,
) -> list[str]:
    """Returns the texts of a dataset, in its order, from the language model or the CTC branch.

    The model is in eval mode meanwhile and goes back to what it was.

    Args:
        share: (rank, of how many processes): every so many batches are decoded, beginning with
            that of the rank; the texts of the others stay empty.
        hotwords, look, branch: as in `recognise`.
    """
    was_training = [module for module in nano.model.modules() if module.training]
    nano.model.eval()
    prompts = [example.prompt for example in dataset.examples]
    texts = recognise(
        *(nano, dataset.__getitem__, dataset.lengths, prompts, batch_size, max_tokens),
        input_stage=dataset.input_stage,
        by_ctc=by_ctc,
        beams=beams,
        share=share,
        look=look,
        hotwords=hotwords,
        branch=branch,
        sound=dataset.sound,
    )
    for module in was_training:
        module.training = True
    return texts


@torch.inference_mode()
def _recognise_batch(
    nano: FunASRNano,
    rows: Sequence[torch.Tensor],
    prompts: Sequence[str],
    max_tokens: int,
    input_stage: InputStage,
    by_ctc: bool,
    beams: int,
    look: Callable[[Sequence[str], Sequence[str], Encoded], None] | None,
    hotwords: Lists | None,
    branch: Limits | None,
    sound: Sound | None,
) -> list[str]:
    device = next(nano.model.parameters()).device
    inputs = pad_sequence(list(rows), batch_first=True)
    with enough_memory("decoding", inputs, LOWER_BATCH_SIZE):
        hidden = inputs.to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        if input_stage == "features":
            hidden, lengths = encode_in_slices(nano, hidden, lengths)
        encoded = Encoded(nano, hidden, lengths, sound)
        if by_ctc:
            return [ctc_greedy(nano, log_probs)[0] for log_probs in encoded.log_probs]
        lists: Sequence[Sequence[str]] = [()] * len(rows)
        if hotwords:
            lists = likely(encoded, hotwords.words, hotwords.floor)
            prompts = [with_hotwords(*both) for both in zip(prompts, lists, strict=True)]
        if input_stage != "adapted":
            hidden, lengths = adapt(nano, hidden, lengths)
        texts = transcripts(nano, prompts, hidden, lengths, max_tokens, beams)
        if branch and input_stage != "adapted":
            texts = settled(encoded, prompts, texts, lists, branch)
        if look:
            look(prompts, texts, encoded)
        return texts


def _ahead(function: Callable[[T], R], arguments: Iterable[T]) -> Iterator[R]:
    """Yields the results in order, the next one being computed while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for argument in arguments:
            coming = pool.submit(function, argument)
            if waiting:
                yield waiting.result()
            waiting = coming
        if waiting:
            yield waiting.result()


def batches_by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Puts utterances of similar length together: at most `batch_size`, and MAX_ROWS rows."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        room = min(batch_size, MAX_ROWS // max(1, lengths[index]))  # it is the longest so far
        if not batches or len(batches[-1]) >= room:
            batches.append([])
        batches[-1].append(index)
    return batches


def encode_in_slices(nano: FunASRNano, features: torch.Tensor, lengths: torch.Tensor) -> Rows:
    """Encodes a batch by slices that a processor's cache holds, which takes half the time there; a
    GPU is given the whole."""
    step = len(features)
    if features.device.type == "cpu":
        step = max(1, CACHE_ROWS // features.shape[1])
    encoded = features.new_zeros(*features.shape[:2], nano.model.audio_encoder.output_size())
    for first in range(0, len(features), step):
        own = slice(first, first + step)
        longest = int(lengths[own].max())
        encoded[own, :longest], _ = encode(nano, features[own, :longest], lengths[own])
    return encoded, lengths


@torch.inference_mode()
def transcripts(
    nano: FunASRNano,
    prompts: Sequence[str],
    adapted: torch.Tensor,
    lengths: torch.Tensor,
    max_tokens: int,
    beams: int = 1,
) -> list[str]:
    """Returns what the language model writes for each of a batch of speech tokens (B, S, D)."""
    heads = prompt_embeddings(nano, prompts, adapted, lengths)
    asked = [
        chat_tokens(nano.tokenizer, prompt, nano.config)[0] for prompt in dict.fromkeys(prompts)
    ]
    search = _greedy if beams == 1 else partial(_beam_search, beams=beams)
    common = len(shared_prefix(asked)) if len(heads) > 1 else 0
    tokens = search(nano, heads, common, max_tokens)
    end = _end_of_turn(nano)
    kinds = [str if end in row or len(row) < max_tokens else CutOff for row in tokens]
    texts = nano.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [
        kind(" ".join(text.replace("/sil", " ").split()))
        for kind, text in zip(kinds, texts, strict=True)
    ]


def _greedy(
    nano: FunASRNano, heads: Sequence[torch.Tensor], common: int, max_tokens: int
) -> list[list[int]]:
    """Takes the likeliest token after the other, until the end of turn."""
    llm, end = nano.model.llm, _end_of_turn(nano)
    inputs, mask = _left_pad(heads, common)
    cache = _prompt_cache(llm, inputs[:1, :common], len(heads))
    inputs = inputs[:, common:]
    positions = (mask.cumsum(dim=1) - 1)[:, common:].clamp(min=0)
    seen = mask.long()
    written: list[list[int]] = [[] for _ in heads]
    going = list(range(len(heads)))  # which of them the batch still holds
    for _ in range(max_tokens):
        state = llm.get_decoder()(
            inputs_embeds=inputs,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        best = llm.get_output_embeddings()(state.last_hidden_state[:, -1]).argmax(dim=-1)
        tokens = best.tolist()
        kept = [i for i, token in enumerate(tokens) if token != end]
        for i in kept:
            written[going[i]].append(tokens[i])
        if not kept:
            break
        if len(kept) < len(going):
            going = [going[i] for i in kept]
            chosen = torch.tensor(kept, device=best.device)
            best, mask, positions = best[chosen], mask[chosen], positions[chosen]
            cache.batch_select_indices(chosen)
        inputs = llm.get_input_embeddings()(best)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
        seen = mask[:, None, None]  # a mask of four dimensions is used as it is
    return written


def _beam_search(
    nano: FunASRNano, heads: Sequence[torch.Tensor], common: int, max_tokens: int, beams: int
) -> list[list[int]]:
    inputs, mask = _left_pad(heads, common)
    written = nano.model.llm.generate(
        inputs_embeds=inputs,
        attention_mask=mask.long(),
        past_key_values=_prompt_cache(nano.model.llm, inputs[:1, :common], len(heads) * beams),
        max_new_tokens=max_tokens,
        num_beams=beams,
        do_sample=False,
        pad_token_id=nano.tokenizer.pad_token_id,
        eos_token_id=_end_of_turn(nano),
    )
    return written.tolist()


def _prompt_cache(llm: Any, prompt: torch.Tensor, rows: int) -> DynamicCache:
    """Computes the keys and values of a prompt (1, n, D) once, for every row of a batch."""
    cache = DynamicCache(config=llm.config)
    if prompt.shape[1]:
        llm.get_decoder()(inputs_embeds=prompt, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache


def _left_pad(heads: Sequence[torch.Tensor], common: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads between the `common` rows, with which all begin, and each one's own.

    Returns (B, n, D), which all end where transcripts start, and a mask (B, n), false where padded.
    """
    inputs = pad_sequence([head[common:] for head in heads], True, padding_side="left")
    inputs = torch.cat([heads[0][:common].expand(len(heads), -1, -1), inputs], dim=1)
    sizes = torch.tensor([len(head) for head in heads], device=inputs.device)[:, None]
    places = torch.arange(inputs.shape[1], device=inputs.device)
    return inputs, (places < common) | (places >= inputs.shape[1] - sizes + common)


def _end_of_turn(nano: FunASRNano) -> int:
    return nano.tokenizer.convert_tokens_to_ids("<|im_end|>")
