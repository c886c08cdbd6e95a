"""Reads from dvc.lock which stages ran, and what they made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

_YAML = YAML(typ="safe")


@dataclass(frozen=True)
class StageState:
    """A stage of the pipeline as its lock file knows it."""

    name: str
    about: str
    ran: bool
    outs: Mapping[str, int]  # path: bytes


def read_states(pipeline: Path, lock: Path) -> list[StageState]:
    """Returns every stage of dvc.yaml that comes before the report, in its order.

    Empty where there is no lock file, since nothing is known then. The report is no stage of its
    own account: DVC writes down that it ran once it has.
    """
    if not lock.is_file():
        return []
    locked = _YAML.load(lock)["stages"] or {}
    states = []
    for name, stage in _YAML.load(pipeline)["stages"].items():
        if name == "report":
            continue
        # A matrix over one word, as dvc.yaml has it: evaluate@base, evaluate@encoder, ...
        [words] = stage["matrix"].values() if "matrix" in stage else [None]
        for full in [f"{name}@{word}" for word in words] if words else [name]:
            outs = {out["path"]: out["size"] for out in locked.get(full, {}).get("outs", ())}
            states.append(StageState(full, stage.get("desc", ""), full in locked, outs))
    return states
