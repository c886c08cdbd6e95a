"""What does each of the means of the three stages bring? The same training with and without it.

    dvc repro
    python bench/means.py --seeds 3 --directory ../means

Trains the three stages on the base that is there, as params.yaml says and with one param changed,
for each seed, in copies of the repository under the directory, and evaluates what comes out (five
to eight minutes each on two cores; what is there is not trained again). The number of steps is the
same but for what the means itself adds to an epoch. Differences are paired and bootstrapped by
speaker, pooled over the seeds; the last column is the mean over the seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import variants
from telephone_asr.names import TEST_SETS
from telephone_asr.scoring.cer import errors_of

STAGES = ("train encoder", "train adaptor", "train lora", "evaluate lora")
MEANS = {
    "as params.yaml": (),
    "train.no_speech 0": ("train.no_speech=0.0",),
    "train.hotwords.share 0": ("train.hotwords={share: 0.0, most: 100}",),
    "train.pad.share 0.3": ("train.pad={share: 0.3, most_s: 2.0}",),
    "train.fresh_line true": ("train.fresh_line=true",),
}
SHORT = 3  # characters, of a short turn


def train(root: Path, changes: Sequence[str]) -> None:
    if (root / "trained").exists():
        return
    variants.copy(root, changes)
    variants.run(root, STAGES)
    (root / "trained").touch()


def lines(root: Path) -> dict[str, list[dict]]:
    """Returns the transcripts' lines by test set, and those of calls' short turns."""
    text = (root / "data/transcripts/lora.jsonl").read_text(encoding="utf-8")
    own = [json.loads(line) for line in text.splitlines()]
    sets = {name: [one for one in own if one["source"] == name] for name in TEST_SETS}
    short = [one for one in sets["telecall"] if 0 < one["characters"] <= SHORT]
    return {**sets, "short turns of calls": short}


def measured(root: Path) -> tuple[float, float]:
    """Returns characters a minute where nobody speaks, the kinds' mean, and the CER of calls under
    lists of 100 hotwords."""
    metrics = json.loads((root / "metrics/lora.json").read_text(encoding="utf-8"))
    kinds = metrics["no_speech"].values()
    made_up = np.mean([kind["insertions_per_minute"] for kind in kinds])
    return float(made_up), metrics["hotwords"]["100"]["cer"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--directory", type=Path, required=True, help="outside the repository")
    a = parser.parse_args()
    pooled: dict[str, dict[str, list[dict]]] = {name: {} for name in MEANS}
    beside: dict[str, list[tuple[float, float]]] = {name: [] for name in MEANS}
    for seed in range(a.seeds):
        for number, (name, changes) in enumerate(MEANS.items()):
            root = a.directory / f"{number}-seed-{seed}"
            train(root, (f"seed={seed}", *changes))
            for test_set, own in lines(root).items():
                pooled[name].setdefault(test_set, []).extend(own)
            beside[name].append(measured(root))
    first = next(iter(MEANS))
    print(f"| | {' | '.join(pooled[first])} | characters a minute | under 100 hotwords |")
    print("|:--|" + "--:|" * (len(pooled[first]) + 2))
    for name, sets in pooled.items():
        cells = []
        for test_set, own in sets.items():
            errors, speakers = [errors_of(one) for one in own], [one["speaker"] for one in own]
            if name == first:
                cells.append(variants.percent(errors, speakers))
            else:
                before = [errors_of(one) for one in pooled[first][test_set]]
                cells.append(variants.change(before, errors, speakers))
        made_up, listed = np.mean(beside[name], axis=0)
        print(f"| {name} | {' | '.join(cells)} | {made_up:.1f} | {100 * listed:.1f} |")


if __name__ == "__main__":
    main()
