"""Text alone: sentences that nobody spoke, for the language model to write in stage 3.

Text denoising, after Burdisso et al., "Text-only adaptation in LLM-based ASR through text
denoising" (2026, arXiv 2601.20900): what an adaptor brings is text with faults to the language
model, so a sentence with faults can stand in the place of speech: characters dropped, replaced,
repeated, several to a row. Beside batches of calls, which keep the model listening (Bañeras-Roux et
al., 2026, arXiv 2604.06487). docs/unlabelled.md says what it brought.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import is_written, prompt_for
from telephone_asr.manifests.reserved import Reserved
from telephone_asr.manifests.text import English, clean_transcript
from telephone_asr.model.fun_asr_nano import Rows, Script, adapted_rows
from telephone_asr.textfiles import one_line, read_lines

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.model.pretrained import FunASRNano

# What the conversation with the language model is laid out by, which no sentence may hold.
SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?think>")
LONGEST = 200  # characters of a sentence: a line that is longer is a text, and takes memory
DROPPED, REPLACED, REPEATED = 0.1, 0.1, 0.1  # shares of the tokens
_STREAM = 5  # tells these draws from others by the seed and a step


def read_scripts(path: Path, english: English, reserved: Reserved) -> tuple[list[str], int]:
    """Reads a file of sentences, one a line, as they are trained on, each once.

    Returns them, and how many were left out because a test set has them.

    Raises:
        InputError: a line is no sentence; file and line are named.
    """
    texts: dict[str, None] = {}
    left_out = 0
    for number, line in read_lines(path):
        if special := SPECIAL.search(line):
            raise InputError(
                f"{path}:{number} holds {one_line(special[0])}, which the prompt is laid out by: "
                "take it out."
            )
        text, _ = clean_transcript(line.strip(), english)
        if not 0 < len(text) <= LONGEST:
            raise InputError(
                f"{path}:{number} has {len(text)} characters to write: expected a sentence, 1 to "
                f"{LONGEST} of them."
            )
        if reserved.says(text):
            left_out += 1
        else:
            texts[text] = None
    if not texts:
        raise InputError(f"{path} holds no sentence to train on: expected one a line.")
    assert not any(map(reserved.says, texts))
    return list(texts), left_out


class Scripts:
    """Puts sentences into batches, beside speech.

    Args:
        sentences: what is to be written.
        sizes: of all batches of the training, in their order.
        share: sentences for each utterance. They come evenly, all of them before one comes again.
        tokens_a_row: of the transcripts, for each row of the adaptor.
        always: the numbers of batches that have long ones: those whose memory is tried out.
    """

    def __init__(
        self,
        sentences: Sequence[str],
        tokenise: Callable[[list[str]], list[list[int]]],
        sizes: Sequence[int],
        share: float,
        tokens_a_row: float,
        seed: int,
        always: Collection[int] = (),
    ):
        self._tokens = tokenise(list(sentences))
        self._texts, self._seed, self._tokens_a_row = list(sentences), seed, tokens_a_row
        self._pool = sorted({token for tokens in self._tokens for token in tokens})
        self._ends = np.concatenate([[0], np.round(share * np.cumsum(sizes))]).astype(int)
        written = sum(map(is_written, sentences)) / len(sentences)
        self._prompt = prompt_for(written)
        self._always = always
        self._longest = sorted(range(len(sentences)), key=lambda i: -len(self._tokens[i]))

    def put_into(self, batch: Batch, number: int) -> Batch:
        """Returns a batch with its sentences: a function of the seed and of its number."""
        places = range(self._ends[number], self._ends[number + 1])
        which = [self._at(place) for place in places]
        if number in self._always:
            which = [self._longest[i % len(self._longest)] for i in range(len(places))]
        rng = np.random.default_rng([self._seed, number, _STREAM])
        scripts = [Script(self._texts[i], self._prompt, self._rows(i, rng)) for i in which]
        return replace(batch, scripts=scripts)

    def _at(self, place: int) -> int:
        turn, place = divmod(place, len(self._texts))
        return int(
            np.random.default_rng([self._seed, turn, 0, _STREAM]).permutation(len(self._texts))[
                place
            ]
        )

    def _rows(self, index: int, rng: np.random.Generator) -> tuple[tuple[int, ...], ...]:
        """Returns the tokens of a sentence with faults, in groups as long as the adaptor's rows."""
        faulty: list[int] = []
        for token, chance in zip(
            self._tokens[index], rng.random(len(self._tokens[index])), strict=True
        ):
            if chance < DROPPED:
                continue
            if chance < DROPPED + REPLACED:
                token = int(rng.choice(self._pool))
            faulty += [token] * (2 if chance > 1 - REPEATED else 1)
        n_rows = max(1, round(len(faulty) / self._tokens_a_row * rng.uniform(0.8, 1.2)))
        rows = np.array_split(np.array(faulty, dtype=int), n_rows)
        return tuple(tuple(row.tolist()) for row in rows if len(row))


def tokens_a_row(nano: FunASRNano, dataset: SpeechDataset) -> float:
    """Returns how many tokens of the transcript there are for each row that the adaptor brings."""
    spoken = [i for i, example in enumerate(dataset.examples) if example.text]
    rows = adapted_rows(nano, torch.tensor([dataset.lengths[i] for i in spoken]))
    return sum(dataset.examples[i].text_length for i in spoken) / int(rows.sum())


def beside_speech(nano: FunASRNano, adapted: Rows, scripts: Sequence[Script]) -> Rows:
    """Returns the adaptor's rows, and behind them those that stand for sentences: the means of
    their tokens' embeddings, as long as the adaptor's rows are on average."""
    hidden, lengths = adapted
    embed = nano.model.llm.get_input_embeddings().weight.detach()
    real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    size = hidden.detach()[real].norm(dim=-1).mean()
    own = []
    for script in scripts:
        rows = [embed[list(tokens)].mean(0) for tokens in script.rows]
        rows = torch.stack(rows) if rows else embed.new_zeros((0, embed.shape[1]))
        own.append((rows * (size / rows.norm(dim=-1, keepdim=True))).to(hidden.dtype))
    speech = [row[:n] for row, n in zip(hidden, lengths.tolist(), strict=True)]
    sizes = torch.tensor([len(row) for row in own], device=lengths.device, dtype=lengths.dtype)
    return pad_sequence([*speech, *own], batch_first=True), torch.cat([lengths, sizes])
