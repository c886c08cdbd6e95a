"""What calls that nobody wrote down are worth, and text alone: CER of the test sets.

    python bench/unlabelled.py build/unlabelled --seeds 0 1 2

Takes the data and the models of the working directory (of a `dvc repro` with unlabelled.rounds
above 0, whose data/unlabelled it then has) and trains the three stages, for each seed:

- without: on the labelled calls alone
- pseudo: on what can be trusted of the unlabelled ones' labels too
- scripts: on the labelled calls, with sentences beside them
- both
- ceiling: on all of the unlabelled calls, with their true transcripts

What is said in the embedded calls is known; for others, `--truth FILE` has it (JSON lines with id
and text). With `--half`, half of the speakers of the labelled calls lose their transcripts instead:
these are the unlabelled calls, and their truth is known. With `--folds N` all of this is done N
times, and each of the calls' speakers but those validated on is in a test set once. `--conditions`
knows one more: `twice`, which is pseudo in two rounds. Prints what each filter keeps, with its CER
on the validation calls and on the turns themselves; and a table of what is written and of what the
CTC branch alone hears, with 95 % intervals over the speakers, and less `without`, paired: over the
speakers, and over the trainings.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from scipy.special import stdtrit

import variants
from telephone_asr.corpora import conversations, spoken
from telephone_asr.decoding.heard import dataset_of
from telephone_asr.decoding.limits import find_limits
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.manifests.split import write_frozen
from telephone_asr.model import parts
from telephone_asr.names import TEST_SETS
from telephone_asr.params import load_params
from telephone_asr.paths import (
    FROZEN_SPLITS,
    MANIFESTS,
    MODELS,
    PSEUDO,
    SHARDS,
    TELECALL,
    UNLABELLED,
)
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.shards import count_shards, read_cuts, read_shard, sound_index, write_shards
from telephone_asr.unlabelled.keep import by_filter
from telephone_asr.unlabelled.labels import Label, label_line, read_labels

SCRIPTS = 0.5  # sentences for each utterance of stage 3
SHARD = 200  # utterances
# Of a test set, and whose text it is: each utterance's speaker and errors.
Errors = dict[tuple[str, str], list[tuple[str, ErrorRate]]]
RATES = ("cer", "cer_low", "cer_high")
WRITTEN, HEARD = "written", "the branch's"
# Of each condition: what it changes, and whose stages are run in a copy of `without`.
CONDITIONS: dict[str, tuple[dict[str, float], list[str]]] = {
    "pseudo": ({}, ["self_train"]),
    "scripts": ({"unlabelled.scripts": SCRIPTS}, ["train lora"]),
    "both": ({"unlabelled.scripts": SCRIPTS}, ["self_train"]),
    "ceiling": ({}, ["self_train"]),
    "twice": ({"unlabelled.rounds": 2}, ["self_train"]),
}
USUAL = ["pseudo", "scripts", "both", "ceiling"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=USUAL)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    a = parser.parse_args()
    if not (a.half or a.truth or load_params().corpus.unlabelled.kind == "synthetic"):
        parser.error("name the true transcripts (--truth), or take some away (--half)")
    runs: dict[str, list[Errors]] = {}
    roots: list[Path] = []
    for seed, fold in product(a.seeds, range(a.folds) if a.folds else [None]):
        root = a.root.resolve() / (str(seed) if fold is None else f"{seed}-fold-{fold}")
        roots.append(root)
        for name, own in train_and_test(root, seed, fold, a).items():
            runs.setdefault(name, []).append(own)
    report_filters([root / "without" for root in roots])
    report(runs)


def train_and_test(
    root: Path, seed: int, fold: int | None, a: argparse.Namespace
) -> dict[str, Errors]:
    """Trains all conditions of a seed, and of a fold where there are any, those that are not there
    yet; returns the test errors."""
    changes = [f"seed={seed}", "unlabelled.rounds=1", *a.set]
    if fold is not None:
        changes.append("split.frozen=true")
    without = root / "without"
    if not (without / "done").exists():
        # What is said in the calls depends on the seed that made them: this directory's.
        truth = read_truth(a.truth) if a.truth else {} if a.half else embedded_truth()
        variants.copy(without, changes, ("build",))
        with inside(without):
            if fold is not None:
                hold_out(fold, a.folds)
            truth = half() if a.half else truth
            Path("truth.json").write_text(json.dumps(truth, ensure_ascii=False))
        variants.run(without, ["train encoder", "train adaptor", "train lora", "pseudo_label"])
        (without / "done").touch()
    with inside(without):
        errors = {"without": test_errors()}
    for name in a.conditions:
        own, stages = CONDITIONS[name]
        place = root / name
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            with inside(without):
                variants.copy(place, [f"{key}={value}" for key, value in own.items()])
            if name == "ceiling":
                with inside(place):
                    label_truly(json.loads(Path("truth.json").read_text()))
            variants.run(place, stages)
            (place / "done").touch()
        with inside(place):
            errors[name] = test_errors()
    return errors


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def read_truth(path: Path) -> dict[str, str]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {line["id"]: line["text"] for line in lines}


def embedded_truth() -> dict[str, str]:
    """Returns what is said in each turn of the embedded calls."""
    params = load_params()
    archives = Path(params.corpus.unlabelled.path)
    calls = {one.id: one for one in conversations.plan(spoken.read_index(archives), params.seed)}
    truth = {}
    for cut in read_cuts(UNLABELLED):
        place = cut["custom"]
        end_s = place["start_s"] + cut["duration"]
        channel = "ab".index(place["channel"])
        call = calls[place["recording"]]
        truth[cut["id"]] = conversations.truth(call, channel, place["start_s"], end_s)
    return truth


def hold_out(fold: int, folds: int) -> None:
    """Makes a fold of the calls' speakers, without those of the validation set, the test set."""
    paths = [MANIFESTS / "telecall" / f"{name}.jsonl" for name in ("train", "test")]
    calls = [example for path in paths for example in read_manifest(path)]
    tested = sorted({example.speaker for example in calls})[fold::folds]
    ids = [example.key for example in calls if example.speaker in tested]
    write_frozen(FROZEN_SPLITS / "telecall.txt", ids)
    wideband = read_manifest(MANIFESTS / "wideband" / "test.jsonl")
    write_frozen(FROZEN_SPLITS / "wideband.txt", [example.key for example in wideband])
    variants.run(Path.cwd(), ["manifests"])


def half() -> dict[str, str]:
    """Takes the transcripts from every other speaker of the training's calls; returns them."""
    path = MANIFESTS / "telecall" / "train.jsonl"
    examples = read_manifest(path)
    speakers = sorted({example.speaker for example in examples})[::2]
    taken = {e.key: e.text for e in examples if e.speaker in speakers}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    stays = [line for line, e in zip(lines, examples, strict=True) if e.key not in taken]
    path.write_text("".join(stays), encoding="utf-8")
    calls = (u for i in range(count_shards(TELECALL)) for u in read_shard(TELECALL, i))
    shutil.rmtree(UNLABELLED, ignore_errors=True)
    turns = (replace(u, id=f"u-{u.id}", text="") for u in calls if u.id in taken)
    write_shards(UNLABELLED, turns, SHARD)
    return {f"u-{key}": text for key, text in taken.items()}


def label_truly(truth: dict[str, str]) -> None:
    """Writes labels that are true, and that no filter leaves out where there is a truth."""
    labels = [
        Label(
            id=cut["id"],
            speaker=cut["supervisions"][0]["speaker"],
            text=truth.get(cut["id"], ""),
            confidence=1.0,
            ctc_text=None,
            ctc_confidence=None,
            distance=None,
            loop=False,
            characters_per_s=4.0,
            speech_s=1.0,
        )
        for cut in read_cuts(UNLABELLED)
    ]
    path = PSEUDO / "turns.jsonl"
    path.write_text("".join(map(label_line, labels)), encoding="utf-8")


def test_errors() -> Errors:
    """Transcribes the test sets with the last checkpoint of the working directory."""
    params = load_params()
    decode, errors = params.decode, {}
    last = parts.last_round(MODELS)
    nano = parts.load_checkpoint(MODELS, "lora", **vars(params.frontend), round_=last)
    limits = find_limits(nano, params)
    for name in TEST_SETS:
        examples = read_manifest(MANIFESTS / name / "test.jsonl")
        dataset = dataset_of(nano, examples, sound_index(SHARDS[name]))
        sizes = decode.batch_size, decode.max_tokens
        texts = transcribe(nano, dataset, *sizes, beams=decode.beams, branch=limits)
        heard = transcribe(nano, dataset, *sizes, by_ctc=True)
        references = [example.text for example in examples]
        speakers = [example.speaker for example in examples]
        for whose, said in ((WRITTEN, texts), (HEARD, heard)):
            own = score(references, said, **vars(params.scoring))
            errors[name, whose] = list(zip(speakers, own, strict=True))
    return errors


def report_filters(places: list[Path]) -> None:
    """Prints what each limit of the working directory keeps of all labels, and how wrong it is."""
    params = load_params()
    valid: list[Label] = []
    turns: list[Label] = []
    for place in places:
        truth = json.loads((place / "truth.json").read_text())
        valid += read_labels(place / PSEUDO / "valid.jsonl")
        # Of turns of which nobody said what is in them, no CER is known.
        own = read_labels(place / PSEUDO / "turns.jsonl")
        turns += [replace(label, reference=truth.get(label.id) or None) for label in own]
    options = params.unlabelled.keep, params.scoring
    tables = [by_filter(labels, *options) for labels in (turns, valid)]
    print(f"| filter | of {len(turns)} turns | of the speech, % | CER, validation | CER, turns |")
    print("|---|--:|--:|--:|--:|")
    whole_hours = tables[0]["all"]["kept"]["hours"]
    for name, part in tables[0].items():
        kept, known = part["kept"], tables[1][name]["kept"]
        rates = [
            "{:.1f} ({:.1f} to {:.1f})".format(*(100 * (one[key] or 0) for key in RATES))
            for one in (known, kept)
        ]
        share = 100 * kept["hours"] / whole_hours
        print(f"| {name} | {kept['turns']} | {share:.0f} |", " | ".join(rates), "|")


def report(runs: dict[str, list[Errors]]) -> None:
    first = runs["without"]
    columns = list(first[0])
    print("| CER, % |", " | ".join(f"{name}, {whose}" for name, whose in columns), "|")
    print("|---|" + "--:|" * len(columns))
    for condition, own in runs.items():
        pooled = [[one for run in own for one in run[of]] for of in columns]
        rates = [variants.percent(_rates(errors), _speakers(errors)) for errors in pooled]
        print(f"| {condition} |", " | ".join(rates), "|")
        if condition == "without":
            before = pooled
            continue
        less = [
            variants.change(_rates(one), _rates(other), _speakers(one))
            for one, other in zip(before, pooled, strict=True)
        ]
        print("| by speaker |", " | ".join(less), "|")
        print("| by training |", " | ".join(by_training(of, first, own) for of in columns), "|")


def by_training(of: tuple[str, str], before: list[Errors], after: list[Errors]) -> str:
    """Returns each training's difference, and where there are three, Student's interval of their
    mean: two trainings on the same data differ, too."""
    points = [
        100 * (_rate(b[of]).rate - _rate(a[of]).rate) for a, b in zip(before, after, strict=True)
    ]
    each = ", ".join(f"{one:+.1f}" for one in points)
    if len(points) < 3:
        return each
    reach = stdtrit(len(points) - 1, 0.975) * stdev(points) / len(points) ** 0.5
    return f"{each}: {mean(points):+.1f} ± {reach:.1f}"


def _rate(errors: list[tuple[str, ErrorRate]]) -> ErrorRate:
    return sum(_rates(errors), ErrorRate())


def _rates(errors: list[tuple[str, ErrorRate]]) -> list[ErrorRate]:
    return [rate for _, rate in errors]


def _speakers(errors: list[tuple[str, ErrorRate]]) -> list[str]:
    return [speaker for speaker, _ in errors]


if __name__ == "__main__":
    main()
