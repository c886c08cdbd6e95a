"""What `train.fresh_line` costs: the readers alone, and stage 1 of the tiny model with and without.

    python bench/fresh_line.py --workers 0 1 2

Run it in a repository after `dvc repro` with `train.fresh_line: false`: the disk's side needs the
training set in data/simulated. Readers are measured in processor time of one core, over G.711 and
over the line of params.yaml; steps in wall time, both sides by turns, on the same batches.
`python bench/training.py --stage encoder --fresh-line` takes steps at full size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.params import Params, load_params
from telephone_asr.paths import MANIFESTS, MODELS, SHARDS
from telephone_asr.shards import sound_index
from telephone_asr.simulation import FreshLine

WARM_UP = 10  # utterances, and steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=300)
    parser.add_argument("--steps", type=int, default=40, help="measured in each round; 0: none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    params = load_params()
    examples = read_manifest(MANIFESTS / "simulated" / "train.jsonl")[: arguments.utterances]
    with tempfile.TemporaryDirectory() as folder:
        print_readers(params, examples, Path(folder))
        if arguments.steps:
            print("| readers | from disk, steps/s | fresh, steps/s | of the steps |")
            print("|--:|--:|--:|--:|")
        for workers in arguments.workers if arguments.steps else ():
            print_steps(params, workers, arguments.steps, arguments.rounds, Path(folder))


def print_readers(params: Params, examples: Sequence[Example], folder: Path) -> None:
    """Prints how many times faster than it is spoken one core reads speech, features included."""
    import torch

    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import load

    torch.set_num_threads(1)  # as a process that reads ahead has
    frontend = Frontend(load(MODELS / "base").config["frontend_conf"])
    disk, pool = sound_index(SHARDS["simulated"]), folder / "babble.npz"
    ways: dict[str, Callable[[Example], Any]] = {"disk": lambda e: disk.read(e.key)}
    for name, line in (
        ("fresh, G.711", replace(params.channel, codec="alaw")),
        ("fresh, the line of params.yaml", params.channel),
    ):
        fresh = FreshLine(SHARDS["wideband"], line, params.seed)
        fresh.save_babble(pool)
        ways[name] = partial(simulated, fresh.sounds(pool))
    print(
        "| sound from | × real time a core | with features | ms an utterance |\n|:--|--:|--:|--:|"
    )
    seconds = sum(example.duration_s for example in examples)
    for name, way in ways.items():
        sound_s = processor_s(way, examples)
        whole_s = processor_s(partial(with_features, way, frontend), examples)
        each_ms = 1000 * sound_s / len(examples)
        print(f"| {name} | {seconds / sound_s:,.0f} | {seconds / whole_s:,.0f} | {each_ms:.2f} |")


def simulated(sounds: Any, example: Example) -> Any:
    return sounds.read(example.key, example.speaker, 1)


def with_features(way: Callable[[Example], Any], frontend: Any, example: Example) -> Any:
    return frontend(*way(example))


def processor_s(way: Callable[[Example], Any], examples: Sequence[Example]) -> float:
    for example in examples[:WARM_UP]:
        way(example)
    started = time.process_time()
    for example in examples:
        way(example)
    return time.process_time() - started


def print_steps(params: Params, workers: int, steps: int, rounds: int, folder: Path) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for is_fresh, own in rates.items():
            changes = replace(params.train, fresh_line=is_fresh, workers=workers)
            own.append(steps_a_second(replace(params, train=changes), steps, folder))
    disk, fresh = (statistics.median(own) for own in rates.values())
    shares = [b / a for a, b in zip(*rates.values(), strict=True)]
    spread = f"{np.median(shares):.2f} ({min(shares):.2f}–{max(shares):.2f})"
    print(f"| {workers} | {disk:.2f} | {fresh:.2f} | {spread} |", flush=True)


def steps_a_second(params: Params, steps: int, folder: Path) -> float:
    """Takes the first steps of stage 1."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from telephone_asr.dataset.batching import schedule
    from telephone_asr.model import parts
    from telephone_asr.model.pretrained import CTC_BRANCH
    from telephone_asr.scratch import Scratch
    from telephone_asr.stages.train import stage_plan
    from telephone_asr.training import loop
    from telephone_asr.training.inputs import Inputs
    from telephone_asr.training.objective import Objective

    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True)
    nano = parts.load_checkpoint(MODELS, "base", **vars(params.frontend))
    plan = stage_plan("encoder", params)
    trained = parts.choose_trained(nano, parts.PREFIXES["encoder"] + CTC_BRANCH)
    scratch = Scratch(folder, "steps", "0" * 16)
    dataset, _, clips = Inputs(plan, params, nano, accelerator).sets("", scratch.directory)
    batches = schedule(dataset.lengths, plan.max_batch_rows, plan.rounds, 0, of=clips)
    ticks: list[float] = []
    loop.SAVE_EVERY_S = 3600.0

    class Ticking(Objective):
        def forward(self, *arguments: Any) -> Any:
            ticks.append(time.perf_counter())
            return super().forward(*arguments)

    objective = Ticking(nano, "features", plan.llm_weight, plan.ctc_weight)
    options = replace(params.train, evaluations=1, average=1, batches_per_step=1)
    loop.train(
        *(
            objective,
            trained,
            lambda n: dataset.batch(batches[n]),
            WARM_UP + steps,
            [],
            lambda: 0.0,
        ),
        *(plan, options, scratch, lambda row: None, accelerator),
    )
    scratch.close(remove=True)
    return (steps - 1) / (ticks[-1] - ticks[WARM_UP])


if __name__ == "__main__":
    main()
