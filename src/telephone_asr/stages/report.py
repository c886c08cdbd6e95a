"""report: what the run brought, in words, tables, pictures and sound, into report/.

`report/index.html` is one file that opens offline; `report/README.md` says the same in Markdown.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from telephone_asr.corpora import several
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.names import CHECKPOINTS, FINAL, TEST_SETS, TRAINED
from telephone_asr.outs import new_out
from telephone_asr.params import Params, load_params
from telephone_asr.paths import (
    COST,
    MADE_UP,
    MANIFESTS,
    METRICS,
    MODELS,
    NO_SPEECH,
    SHARDS,
    SLICES,
    TRANSCRIPTS,
)
from telephone_asr.program import run
from telephone_asr.report import corpora, figures, sound
from telephone_asr.report.blocks import Block, Document, Pictures
from telephone_asr.report.document import document, titled
from telephone_asr.report.findings import Findings
from telephone_asr.report.lock import read_states
from telephone_asr.report.markdown import markdown
from telephone_asr.report.page import html
from telephone_asr.report.slices import write_plots
from telephone_asr.scoring.difference import Results
from telephone_asr.scoring.evidence import own_metrics, own_text
from telephone_asr.scoring.gate import check
from telephone_asr.scoring.slices import codec_family
from telephone_asr.shards import read_cuts, simulated_id, sound_index
from telephone_asr.textfiles import json_lines
from telephone_asr.titles import TITLES

REPORT = Path("report")
SHOWN_S = 3.0  # about so long are the utterances whose spectrograms are shown
SHEET = 8  # simulated utterances with their spectrograms


def main() -> None:
    findings = read_findings(load_params())
    curves = {name: read_curves(METRICS / "train" / name) for name in figures.TRAININGS}
    contents = {name: corpora.Contents.of(read_cuts(SHARDS[name])) for name in corpora.SHOWN}
    whole = document(
        findings,
        curves,
        blocks_of_corpora(findings, contents),
        blocks_of_line(findings),
        sound_index(SHARDS["telecall"]).read,
        sound_index(NO_SPEECH / "test").read,
    )
    with new_out(REPORT) as new:
        write_report(whole, new)
        write_plots(new / "plots", findings.metrics, findings.transcripts, findings.scoring)
    print(f"{REPORT / 'index.html'}: open it to see what the run brought")


def write_report(whole: Document, directory: Path) -> None:
    """Writes the page, the Markdown and the pictures that it names; all of it or nothing."""
    files = {"README.md": markdown(whole).encode(), "index.html": html(whole).encode()}
    for block in (block for section in whole.sections for block in section.blocks):
        if isinstance(block, Pictures):
            files[f"{block.name}.png"] = figures.png(block.panels, block.title, block.columns)
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


def blocks_of_corpora(findings: Findings, contents: dict) -> list[Block | None]:
    version = findings.data["telecall"]["text"]["version"]
    title = titled("The corpora", findings.synthetic)
    return [
        Pictures("data", title, corpora.panels(contents), columns=2),
        corpora.scene_table(contents),
        corpora.rejection_table(read_accounts("rejected", tuple(SHARDS)), findings.texts),
        corpora.change_table(
            read_accounts("changed", tuple(corpora.SHOWN)), version, findings.texts, findings.names
        ),
        "`telephone-asr data why ID` says what happened to an utterance; docs/data.md has the "
        "limits behind each reason.",
    ]


def blocks_of_line(findings: Findings) -> list[Block]:
    cuts = list(read_cuts(SHARDS["simulated"]))

    def title(text: str, *sets: str) -> str:
        return titled(text, findings.synthetic, sets or TEST_SETS)

    line = Pictures("channel", title("The simulated line", "simulated"), sound.channel(cuts))
    if findings.texts != "all":  # speech can be made of its spectrogram again
        return [line]
    shown = {
        f"{TITLES[name]}: {e.key}": sound_index(SHARDS[name]).read(e.key)
        for name, e in choose_shown().items()
    }
    three = sound.spectrograms("three", [(title, *s) for title, s in shown.items()], 8)
    lines = sound.spectrograms("sheet", examples_of_lines(cuts), 4)
    return [
        line,
        f"Spectrograms: bright is loud, black is {sound.RANGE_DB:.0f} dB under the loudest. The "
        "same sentence before and after the simulated line, and a call:",
        Pictures("spectrograms", title("What the telephone leaves"), three),
        "Simulated utterances, one of each codec, and what their lines did:",
        Pictures("sheet", title("Simulated calls", "simulated"), lines, columns=2),
    ]


def read_findings(params: Params) -> Findings:
    """Reads all numbers of the report, from where the other stages left them."""
    data = own_metrics(METRICS / "data.json")
    kinds = {"telecall": params.corpus.calls.kind, "wideband": params.corpus.wideband.kind}
    kinds["simulated"] = kinds["wideband"]
    for source, kind in kinds.items():
        every = {kind, *(one["kind"] for one in data[source].get("corpora", {}).values())}
        kinds[source] = "synthetic" if every == {several.SEVERAL, "synthetic"} else kind
    metrics = {name: _metrics(name) for name in CHECKPOINTS}
    transcripts = {name: _json_lines(TRANSCRIPTS / f"{name}.jsonl") for name in CHECKPOINTS}
    return Findings(
        metrics=metrics,
        transcripts=transcripts,
        # Of this run alone: what it did to another one is for the review of the change.
        gate=check(Results(metrics, transcripts), None, **vars(params.gate), seed=params.seed),
        data=data,
        checkpoints={name: _json(MODELS / name / "checkpoint.json") for name in TRAINED},
        export=own_metrics(METRICS / "export.json"),
        synthetic=frozenset(name for name, kind in kinds.items() if kind == "synthetic"),
        seed=params.seed,
        costs={path.stem: own_metrics(path) for path in sorted(COST.glob("*.json"))},
        stages=read_states(Path("dvc.yaml"), Path("dvc.lock")),
        made_up=_json_lines(MADE_UP / f"{FINAL}.jsonl"),
        scoring=params.scoring,
        texts=params.report.texts,
        names=params.decode.hotwords,
    )


def read_accounts(name: str, sources: Sequence[str]) -> dict[str, Iterator[dict]]:
    """Yields the entries of rejected.jsonl or changed.jsonl of each corpus, one at a time."""
    advice = "run `dvc repro manifests`"
    return {s: json_lines(MANIFESTS / s / f"{name}.jsonl", advice) for s in sources}


def read_curves(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Reads loss and CER by step of one training; none where it was not done here."""
    curves = {}
    for name in ("loss", "cer"):
        path = directory / "plots" / "metrics" / f"{name}.tsv"
        if path.is_file():
            with open(path, encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            curves[name] = [(int(row["step"]), float(row[name])) for row in rows]
    return curves


def choose_shown() -> dict[str, Example]:
    """Chooses a test utterance, as wideband and as simulated speech, and a call."""
    tests = {name: read_manifest(MANIFESTS / name / "test.jsonl") for name in TEST_SETS}
    simulated = {example.key: example for example in tests["simulated"]}
    # The simulation of an utterance can be missing: each corpus has its own limits of length.
    both = [e for e in tests["wideband"] if simulated_id(e.key) in simulated] or tests["wideband"]
    wideband = _nearest(both)
    shown = {"wideband": wideband}
    if simulated_id(wideband.key) in simulated:
        shown["simulated"] = simulated[simulated_id(wideband.key)]
    return {**shown, "telecall": _nearest(tests["telecall"])}


def _nearest(examples: Sequence[Example]) -> Example:
    return min(examples, key=lambda e: (abs(e.duration_s - SHOWN_S), e.key))


def examples_of_lines(cuts: Sequence[dict]) -> list[tuple[str, np.ndarray, int]]:
    """Reads caption, samples and rate of simulated utterances, of as many codecs as there are."""
    near = sorted(cuts, key=lambda cut: (abs(cut["duration"] - SHOWN_S), cut["id"]))
    first = {codec_family(cut["custom"]["codec"]): cut for cut in reversed(near)}
    others = [cut for cut in near if cut not in first.values()]
    chosen = [*sorted(first.values(), key=lambda cut: cut["id"]), *others][:SHEET]
    sounds = sound_index(SHARDS["simulated"])
    return [(sound.line_caption(cut["custom"]), *sounds.read(cut["id"])) for cut in chosen]


def _metrics(checkpoint: str) -> dict:
    """Reads a checkpoint's metrics, each test set with its slices."""
    found, slices = (own_metrics(place / f"{checkpoint}.json") for place in (METRICS, SLICES))
    return {**found, **{name: {**found[name], **parts} for name, parts in slices.items()}}


def _json(path: Path) -> dict:
    return json.loads(own_text(path))


def _json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in own_text(path).split("\n") if line]


if __name__ == "__main__":
    run(main)
