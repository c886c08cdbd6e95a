"""How much of a list of hotwords is left by each floor, and what the texts are then.

    dvc repro
    python bench/spotting.py

The last checkpoint hears the test's calls once, with lists of 100 words for each (`scoring.
hotwords`): the share of said words that are left, how many of the others are, and CER and recall
with what is left in the prompt, also where nothing of the list is said.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.heard import dataset_of, heard_before, listen
from telephone_asr.decoding.spotting import likely
from telephone_asr.names import FINAL, TEST_SETS
from telephone_asr.params import load_params
from telephone_asr.paths import SHARDS
from telephone_asr.scoring import hotwords
from telephone_asr.shards import sound_index
from telephone_asr.stages import evaluate

FLOORS = (None, -5.0, -4.0, -3.0, -2.0, -1.0)


def main() -> None:
    params = load_params()
    nano = evaluate.load_model(FINAL, params)
    examples = {name: evaluate.read_examples(name) for name in TEST_SETS}
    calls, words = evaluate.hotword_words(examples, params.scoring)
    sounds = sound_index(SHARDS["telecall"])
    dataset = dataset_of(nano, calls, sounds)
    texts, heard = listen(nano, dataset, params.decode, kept={call.key for call in calls})
    again = heard_before(nano, calls, heard, sounds)
    plain = {call.key: text for call, text in zip(calls, texts, strict=True)}
    print("| floor | said words left, % | others left of 100 | CER, recall | none is said: CER |")
    print("|--:|--:|--:|--:|--:|")
    for floor in FLOORS:
        said: list[tuple[int, int]] = []
        others: list[tuple[int, int]] = []
        for call, own in zip(calls, words, strict=True):
            rows = heard[call.key]
            encoded = Encoded(nano, rows[None], torch.tensor([len(rows)]))
            for left, list_ in ((said, own.said), (others, own.others)):
                [kept] = likely(encoded, [list_], floor)
                left.append((len(kept), len(list_)))
        decode = replace(params.decode, hotword_floor=floor)
        listed = evaluate.hotword_texts(nano, again, words, plain, decode)
        counts = evaluate.hotword_counts(calls, words, listed, params.scoring)
        speakers = [call.speaker for call in calls]
        rates = {name: hotwords.rates(own, speakers, 0) for name, own in counts.items()}
        cells = [f"{rates['100'][key] * 100:.1f}" for key in ("cer", "recall")]
        unsaid = f"{rates['100_unsaid']['cer'] * 100:.1f}"
        kept_said, kept_others = (np.sum(one, axis=0) for one in (said, others))
        shares = [100 * kept / total for kept, total in (kept_said, kept_others)]
        name = "none" if floor is None else f"{floor:g}"
        print(f"| {name} | {shares[0]:.0f} | {shares[1]:.1f} | {', '.join(cells)} | {unsaid} |")


if __name__ == "__main__":
    main()
