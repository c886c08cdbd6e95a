"""`telephone-asr package`: the model that ships, with its card and licences, to hand over."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.names import CHECKPOINTS, FINAL, TRAINED
from telephone_asr.paths import METRICS, MODELS, SLICES
from telephone_asr.scoring.evidence import own_text

if TYPE_CHECKING:
    from telephone_asr.params import Base
    from telephone_asr.report.card import Facts

LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*")
UP_TO_DATE = "Data and pipelines are up to date"


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "package", help="put models/final, its model card and licences into a new directory"
    )
    parser.add_argument("directory", type=Path, help="its name is the model's")
    parser.set_defaults(run=lambda a: package(a.directory))


def package(directory: Path) -> None:
    """Writes a directory that can be handed over: models/final, README.md, the base's licence.

    Raises InputError where it is there already, or model and metrics are not of one run.
    """
    from telephone_asr.outs import new_out
    from telephone_asr.report.card import model_card

    if directory.exists():
        raise InputError(f"{directory} is there already: name a new directory.")
    check_one_run()
    facts = read_facts(directory.resolve().name)
    card = model_card(facts)
    with new_out(directory) as new:
        shutil.copytree(MODELS / FINAL, new)
        (new / "README.md").write_text(card, encoding="utf-8")
        for path in licence_files(base_directory(facts.params.base)):
            shutil.copyfile(path, new / path.name)
    print(f"{directory}: models/final with its card, README.md; read its licences before it goes")
    if facts.licence == "other":
        print(
            f"{directory / 'README.md'}: license: other; say which it is, as base and corpora allow"
        )


def check_one_run() -> None:
    """Raises InputError unless model, metrics, code and params are of one run, as dvc.lock says."""
    if not (MODELS / FINAL).is_dir():
        raise InputError(f"{MODELS / FINAL} is missing: `dvc pull export` brings it.")
    command = [
        sys.executable,
        "-m",
        "dvc",
        "repro",
        "--dry",
        "--allow-missing",
        f"evaluate@{FINAL}",
        "export_formats",
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if UP_TO_DATE not in done.stdout:
        raise InputError(
            f"{MODELS / FINAL} and its metrics are not of one run of this code and params.yaml: "
            "run `dvc repro`, or check out what it was made with (`dvc repro --dry` says what "
            "differs)."
        )


def read_facts(name: str) -> Facts:
    """Reads what the card tells."""
    from telephone_asr.params import load_params
    from telephone_asr.report.card import Facts

    params = load_params()
    metrics = {}
    for checkpoint in CHECKPOINTS:
        whole, parts = (_json(place / f"{checkpoint}.json") for place in (METRICS, SLICES))
        metrics[checkpoint] = {**whole, **{s: {**whole[s], **own} for s, own in parts.items()}}
    corpora = {"wideband": params.corpus.wideband, "telecall": params.corpus.calls}
    licences = {one: _first_line(Path(source.path)) for one, source in corpora.items()}
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, encoding="utf-8")
    return Facts(
        name=name,
        params=params,
        metrics=metrics,
        data=_json(METRICS / "data.json"),
        checkpoints={one: _json(MODELS / one / "checkpoint.json") for one in TRAINED},
        export=_json(METRICS / "export.json"),
        base_licence=read_licence(base_directory(params.base)),
        licences={one: line for one, line in licences.items() if line},
        commit=git.stdout.strip() or "unknown",
        formats=read_formats(),
    )


def read_formats() -> dict[str, dict]:
    """Reads what each runtime made of the model; empty where none was asked for."""
    measured = _json(METRICS / "export_formats.json")
    return {name: one for name, one in measured.items() if isinstance(one, dict)}


def base_directory(base: Base) -> Path | None:
    """Returns where the base model's files are, if that is on this machine; nothing is fetched."""
    from telephone_asr.model.hub import cached

    if base.is_tiny:
        return None
    return Path(base.path) if base.path is not None else cached(base.kind, base.repo, base.revision)


def read_licence(directory: Path | None) -> str | None:
    """Returns the licence that a model's README.md names in Hugging Face's fields, or None."""
    from huggingface_hub import ModelCard

    if directory is None or not (directory / "README.md").is_file():
        return None
    try:
        data = ModelCard.load(directory / "README.md", ignore_metadata_errors=True).data
    except Exception:  # of a stranger's YAML, whatever its parser raises
        return None
    named = data.license_name if data.license == "other" and data.license_name else data.license
    return named if isinstance(named, str) else None


def licence_files(directory: Path | None) -> list[Path]:
    """Returns the files of a directory that hold its terms."""
    if directory is None:
        return []
    found = (path for pattern in LICENCES for path in directory.glob(pattern))
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _first_line(corpus: Path) -> str:
    """Returns the first line of a corpus's licence, empty where there is none beside it."""
    for path in licence_files(corpus if corpus.is_dir() else corpus.parent):
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = (line.strip() for line in file.read(4000).splitlines())
        return next((line[:100] for line in lines if line), "")
    return ""


def _json(path: Path) -> dict:
    return json.loads(own_text(path))
