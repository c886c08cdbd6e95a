"""What dvc.lock tells of the stages: which ran, and what they made."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from telephone_asr.report.findings import StageState

_YAML = YAML(typ="safe")


def read_states(pipeline: Path, lock: Path) -> list[StageState]:
    """Every stage of dvc.yaml that comes before the report, in its order.

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
