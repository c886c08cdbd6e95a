"""How well a character's confidence tells whether it is wrong: CTC branch against language model.

    python bench/confidence.py [--model models/final] [--corpus telecall]

Of a corpus's test utterances, as `dvc repro` made it: the characters that are written, which of
them are wrong (by alignment with the reference), which `transcribe --format html` marks, and the
area under the ROC curve of the CTC branch's probability, by which it marks, and of the language
model's token probability.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import torch
from scipy.stats import rankdata

import telephone_asr
from telephone_asr.calls.page import UNCERTAIN
from telephone_asr.calls.times import aligned
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.utterances import recognise_utterances
from telephone_asr.manifests.messages import PROMPT_VERBATIM, read_manifest
from telephone_asr.model.frontend import Frontend
from telephone_asr.model.fun_asr_nano import (
    adapt,
    prompt_embeddings,
    transcript_tokens,
)
from telephone_asr.model.pretrained import FunASRNano
from telephone_asr.paths import MANIFESTS, SHARDS
from telephone_asr.shards import Utterance, sound_index

MAX_TOKENS, BATCH_SIZE = 200, 32
Judged = tuple[bool, float, float]  # right, and how likely by CTC and by the language model


def right_characters(reference: str, text: str) -> list[bool]:
    right = [False] * len(text)
    for chunk in jiwer.process_characters(reference or " ", text).alignments[0]:
        if chunk.type == "equal":
            right[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (
                chunk.hyp_end_idx - chunk.hyp_start_idx
            )
    return right


def by_language_model(nano: FunASRNano, text: str, encoded: torch.Tensor) -> list[float]:
    """Returns for each character the probability of the token that ends it."""
    adapted = adapt(nano, encoded[None], torch.tensor([len(encoded)], device=encoded.device))
    (head,) = prompt_embeddings(nano, [PROMPT_VERBATIM], *adapted)
    tokens = torch.as_tensor(transcript_tokens(nano, [text])[0], device=encoded.device)[:-1]
    llm = nano.model.llm
    inputs = torch.cat([head, llm.get_input_embeddings()(tokens)])[None]
    hidden = llm.get_decoder()(inputs_embeds=inputs).last_hidden_state[0, len(head) - 1 : -1]
    likely = llm.get_output_embeddings()(hidden).float().softmax(-1)
    likely = likely.gather(1, tokens[:, None])[:, 0].tolist()
    characters: list[float] = []
    for count, one in enumerate(likely, start=1):
        written = len(nano.tokenizer.decode(tokens[:count]).rstrip("\ufffd"))
        characters += [one] * (written - len(characters))
    return characters


def judged(nano: FunASRNano, corpus: str) -> list[Judged]:
    """Judges the characters that nobody fails to hear, of what is written of a test set."""
    sounds = sound_index(SHARDS[corpus])
    examples = read_manifest(MANIFESTS / corpus / "test.jsonl")
    utterances = [Utterance(e.key, *sounds.read(e.key), e.text, "") for e in examples]
    found: list[Judged] = []

    @torch.inference_mode()
    def look(indices: Sequence[int], _: object, texts: Sequence[str], encoded: Encoded) -> None:
        for index, text, row, log_probs in zip(
            indices, texts, encoded.rows, encoded.log_probs, strict=True
        ):
            columns = (
                right_characters(examples[index].text, text),
                aligned(nano, text, log_probs.float().cpu())[1],
                by_language_model(nano, text, row[: len(log_probs)]),
            )
            if len({len(column) for column in columns}) == 1:
                found.extend(
                    (right, ctc, llm)
                    for right, ctc, llm in zip(*columns, strict=True)
                    if ctc is not None
                )

    frontend = Frontend(nano.config["frontend_conf"])
    recognise_utterances(
        nano, frontend, utterances, PROMPT_VERBATIM, BATCH_SIZE, MAX_TOKENS, look=look
    )
    return found


def area(right: np.ndarray, likely: np.ndarray) -> float:
    """Returns the share of pairs, one right and one wrong, in which the right one is likelier."""
    ranks, n = rankdata(likely), int(right.sum())
    return (ranks[right].sum() - n * (n + 1) / 2) / (n * (len(right) - n))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/final"))
    parser.add_argument(
        "--corpus", choices=("simulated", "telecall", "wideband"), default="telecall"
    )
    a = parser.parse_args()
    found = judged(telephone_asr.load_model(a.model), a.corpus)
    right, ctc, llm = (np.array(column) for column in zip(*found, strict=True))
    marked = ctc < UNCERTAIN
    print(f"characters: {len(right):,}; wrong: {1 - right.mean():.1%}; marked: {marked.mean():.1%}")
    print(f"of the marked, wrong: {1 - right[marked].mean():.0%}")
    print(f"of the wrong, marked: {marked[~right].mean():.0%}")
    print(f"area under the ROC curve: CTC {area(right, ctc):.2f}, LLM {area(right, llm):.2f}")


if __name__ == "__main__":
    main()
