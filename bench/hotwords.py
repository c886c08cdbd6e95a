"""What do lists of hotwords in training bring? Models trained with and without, heard with lists.

    dvc repro
    python bench/hotwords.py --seeds 3 --directory ../hotwords

Trains the tiny base and the three stages without lists and with (--share of the batches, 1 to
--most words), in as many steps, for each seed, in copies of the repository under the directory (ten
minutes each on two cores; what is there is not trained again). The last checkpoint hears the test's
calls under each list of `scoring.hotwords.LISTS`. Intervals are bootstrapped by speaker, pooled
over the seeds: of what training with lists changes, and of what a list changes after it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import variants
from telephone_asr.decoding.heard import dataset_of, heard_before, listen
from telephone_asr.names import TEST_SETS, UNMERGED
from telephone_asr.params import load_params
from telephone_asr.paths import SHARDS
from telephone_asr.scoring import hotwords
from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.compare import bootstrap_interval, paired_difference
from telephone_asr.shards import sound_index
from telephone_asr.stages import evaluate

Counts = dict[tuple[str, str], list[ErrorRate]]  # by list and measure, one an utterance


def hear(root: Path) -> tuple[Counts, list[str]]:
    """Returns the counts of the last checkpoint, and each utterance's speaker."""
    here = Path.cwd()
    os.chdir(root)
    try:
        params = load_params()
        nano = evaluate.load_model(UNMERGED, params)
        examples = {name: evaluate.read_examples(name) for name in TEST_SETS}
        calls, words = evaluate.hotword_words(examples, params.scoring)
        sounds = sound_index(SHARDS["telecall"])
        dataset = dataset_of(nano, calls, sounds)
        _, heard = listen(nano, dataset, params.decode, kept={call.key for call in calls})
        again = heard_before(nano, calls, heard, sounds)
        texts = evaluate.hotword_texts(nano, again, words, {}, params.decode)
        counts = evaluate.hotword_counts(calls, words, texts, params.scoring)
    finally:
        os.chdir(here)
    by_measure = {(name, key): own for name, both in counts.items() for key, own in both.items()}
    return by_measure, [call.speaker for call in calls]


# --- The table


def rate(counts: Sequence[ErrorRate], speakers: Sequence[str], scale: float) -> str:
    low, high = bootstrap_interval(counts, speakers, seed=0)
    value = sum(counts, ErrorRate()).rate
    return f"{scale * value:.1f} ({scale * low:.1f} to {scale * high:.1f})"


def change(
    a: Sequence[ErrorRate], b: Sequence[ErrorRate], speakers: Sequence[str], scale: float
) -> str:
    difference, low, high = paired_difference(a, b, speakers, seed=0)
    return f"{scale * difference:+.1f} ({scale * low:+.1f} to {scale * high:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.5, help="train.hotwords.share")
    parser.add_argument("--most", type=int, default=10, help="train.hotwords.most")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a param")
    parser.add_argument("--directory", type=Path, required=True, help="outside the repository")
    arguments = parser.parse_args()
    ways = {"without": 0.0, "with": arguments.share}
    pooled: dict[str, Counts] = {way: {} for way in ways}
    for seed in range(arguments.seeds):
        for way, share in ways.items():
            root = arguments.directory / f"hotwords-{share:g}-{arguments.most}-seed-{seed}"
            lists = (f"train.hotwords.share={share}", f"train.hotwords.most={arguments.most}")
            variants.train(root, (f"seed={seed}", *lists, *arguments.set))
            counts, speakers = hear(root)
            for key, own in counts.items():
                pooled[way].setdefault(key, []).extend(own)
                print(f"seed {seed}, trained {way}, {key}: {sum(own, ErrorRate()).rate:.4f}")
    speakers = speakers * arguments.seeds
    print("\n| | list | trained without | trained with | with less without | list less none |")
    print("|:--|:--|" + "--:|" * 4)
    for measure, factor in hotwords.MEASURES.items():
        scale = max(100, factor)  # per cent, or insertions in 1,000 characters
        for name in hotwords.LISTS:
            without, trained = (pooled[way][name, measure] for way in ways)
            if not sum(without, ErrorRate()).length:  # no word of a list is said
                continue
            cells = [rate(one, speakers, scale) for one in (without, trained)]
            cells.append(change(without, trained, speakers, scale))
            cells.append(change(pooled["with"]["0", measure], trained, speakers, scale))
            print(f"| {measure} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
