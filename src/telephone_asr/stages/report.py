"""report: what the run brought, in words, tables and pictures, into report/."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.params import Params, load_params
from telephone_asr.report import corpora, figures, sound
from telephone_asr.report.corpora import Contents
from telephone_asr.report.document import document, titled
from telephone_asr.report.findings import CHECKPOINTS, SETS, Findings
from telephone_asr.shards import read_cuts, sound_index
from telephone_asr.stages import MANIFESTS, METRICS, MODELS, SHARDS, run

REPORT = Path("report")
TRANSCRIPTS = Path("data/transcripts")
SHOWN_S = 3.0  # about so long are the utterances whose spectrograms are shown
SHEET = 8  # simulated utterances on one sheet


def main() -> None:
    params = load_params()
    findings = read_findings(params)
    curves = {name: read_curves(METRICS / "train" / name) for name in figures.TRAININGS}
    cuts = list(read_cuts(SHARDS["simulated"]))
    contents = {name: Contents.of(read_cuts(SHARDS[name])) for name in corpora.SHOWN}
    shown = choose_shown()

    def title(text: str, *sets: str) -> str:
        return titled(text, findings.synthetic, sets or tuple(SETS))

    pictures = {
        "cer": figures.cer(findings.metrics, title("Character error rates")),
        "curves": figures.curves(curves, title("Loss and validation CER")),
        "spectrograms": sound.spectrograms(
            [read_sound(name, example) for name, example in shown.items()],
            title("What the telephone leaves"),
        ),
        "data": corpora.picture(contents, findings.data, title("The corpora")),
        "channel": sound.channel(cuts, title("The simulated line", "simulated")),
        "sheet": sound.sheet(examples_of_lines(cuts), title("Simulated calls", "simulated")),
    }
    REPORT.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (REPORT / f"{name}.png").write_bytes(png)
    texts = [f"{SETS[name]}: {e.key}, {e.text}" for name, e in shown.items()]
    accounts = [
        corpora.rejection_table(read_accounts("rejected", tuple(SHARDS))),
        corpora.change_table(
            read_accounts("changed", tuple(corpora.SHOWN)),
            findings.data["telecall"]["text"]["version"],
        ),
    ]
    (REPORT / "README.md").write_text(document(findings, accounts, texts), encoding="utf-8")
    print(f"{REPORT / 'README.md'}: open it to read what the run brought")


def read_findings(params: Params) -> Findings:
    """All numbers of the report, from where the other stages left them."""
    kinds = {"telecall": params.corpus.calls.kind, "wideband": params.corpus.wideband.kind}
    kinds["simulated"] = kinds["wideband"]
    return Findings(
        metrics={name: _json(METRICS / f"{name}.json") for name in CHECKPOINTS},
        transcripts={name: _json_lines(TRANSCRIPTS / f"{name}.jsonl") for name in CHECKPOINTS},
        data=_json(METRICS / "data.json"),
        checkpoints={
            name: _json(MODELS / name / "checkpoint.json") for name in CHECKPOINTS if name != "base"
        },
        export=_json(METRICS / "export.json"),
        synthetic=frozenset(name for name, kind in kinds.items() if kind == "synthetic"),
        seed=params.seed,
    )


def read_accounts(name: str, sources: Sequence[str]) -> dict[str, Iterator[dict]]:
    """The entries of rejected.jsonl or changed.jsonl of each corpus, one at a time."""

    def entries(path: Path) -> Iterator[dict]:
        with open(path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    return {source: entries(MANIFESTS / source / f"{name}.jsonl") for source in sources}


def read_curves(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Loss and CER by step of one training; empty where it was not done here."""
    curves = {}
    for name in ("loss", "cer"):
        path = directory / "plots" / "metrics" / f"{name}.tsv"
        if path.is_file():
            with open(path, encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            curves[name] = [(int(row["step"]), float(row[name])) for row in rows]
    return curves


def choose_shown() -> dict[str, Example]:
    """A test utterance as wideband and as simulated speech, and a call, by test set."""
    tests = {name: read_manifest(MANIFESTS / name / "test.jsonl") for name in SETS}
    simulated = {example.key: example for example in tests["simulated"]}
    # The simulation of an utterance can be missing: each corpus has its own limits of length.
    both = [e for e in tests["wideband"] if f"sim-{e.key}" in simulated] or tests["wideband"]
    wideband = _nearest(both)
    shown = {"wideband": wideband}
    if f"sim-{wideband.key}" in simulated:
        shown["simulated"] = simulated[f"sim-{wideband.key}"]
    return {**shown, "telecall": _nearest(tests["telecall"])}


def _nearest(examples: Sequence[Example]) -> Example:
    return min(examples, key=lambda e: (abs(e.duration_s - SHOWN_S), e.key))


def examples_of_lines(cuts: Sequence[dict]) -> list[tuple[str, np.ndarray, int]]:
    """Caption, samples and sample rate of simulated utterances, as many codecs as there are."""
    near = sorted(cuts, key=lambda cut: (abs(cut["duration"] - SHOWN_S), cut["id"]))
    first = {cut["custom"]["codec"]: cut for cut in reversed(near)}
    others = [cut for cut in near if cut not in first.values()]
    chosen = [*sorted(first.values(), key=lambda cut: cut["id"]), *others][:SHEET]
    sounds = sound_index(SHARDS["simulated"])
    return [(sound.line_caption(cut["custom"]), *sounds.read(cut["id"])) for cut in chosen]


def read_sound(test_set: str, example: Example):
    """Title, samples and sample rate of one utterance."""
    return (SETS[test_set], *sound_index(SHARDS[test_set]).read(example.key))


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    run(main)
