"""What the report is made of, and what changed from one checkpoint to the next.

Whether a change is more than noise is decided in one place, `differences.verdict`, from the
interval of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from telephone_asr.report.differences import of_transcripts, verdict
from telephone_asr.scoring.options import Scoring

# Test sets, in the order of the report.
SETS = {
    "telecall": "telephone calls",
    "simulated": "simulated telephone speech",
    "wideband": "wideband speech",
}
# Checkpoints, in the order in which they are made of each other. The last is the model that ships,
# stage 3 merged and exported: the report, the review and the gate speak of it.
CHECKPOINTS = {
    "base": "base",
    "encoder": "stage 1 (encoder)",
    "adapter": "stage 2 (adapter)",
    "lora": "stage 3 (LoRA)",
    "final": "final (stage 3, merged)",
}
BASE, *STAGES, FINAL = CHECKPOINTS
UNMERGED = STAGES[-1]
# Those with a column or a point of their own: the two last are the same but for rounding.
COLUMNS = {name: label for name, label in CHECKPOINTS.items() if name != UNMERGED}


@dataclass(frozen=True)
class Check:
    """One limit of the gate against what was found, or what it lacks to be checked."""

    ok: bool | None  # None: it lacks something, which gate.accept names
    sentence: str  # plain text


@dataclass(frozen=True)
class StageState:
    """A stage of the pipeline as its lock file knows it."""

    name: str
    about: str
    ran: bool
    outs: Mapping[str, int]  # path: bytes


@dataclass(frozen=True)
class Findings:
    """Everything that the report tells, as the other stages wrote it."""

    metrics: Mapping[str, dict]  # checkpoint: test set: CER and its parts
    transcripts: Mapping[str, Sequence[dict]]  # checkpoint: one dictionary an utterance
    data: Mapping[str, dict]  # corpus: what became of its utterances
    checkpoints: Mapping[str, dict]  # stage: its checkpoint.json
    export: Mapping[str, int | float | dict]  # metrics/export.json
    synthetic: frozenset[str]  # of SETS: those that no person spoke
    seed: int
    costs: Mapping[str, dict] = field(default_factory=dict)  # stage or checkpoint: time, memory
    stages: Sequence[StageState] = ()
    gate: Sequence[Check] = ()  # empty: nobody checked it
    scoring: Scoring = field(
        default_factory=Scoring
    )  # what the counts of the transcripts were made with


@dataclass(frozen=True)
class Change:
    """What one checkpoint changed against another on the same utterances; rates, not per cent."""

    before: str
    after: str
    test_set: str
    cer_before: float
    cer_after: float
    low: float  # 95 % interval of the difference
    high: float
    p: float  # how often chance alone makes as large a difference

    @property
    def difference(self) -> float:
        return self.cer_after - self.cer_before

    @property
    def verdict(self) -> str:
        return verdict(self.low, self.high)


def compare(transcripts: Mapping[str, Sequence[dict]], seed: int) -> list[Change]:
    """Each checkpoint against the one before it, and the last against base, on every test set.

    Merging is a step of its own only where it changed a text.
    """
    pairs = [*pairwise(CHECKPOINTS), (BASE, FINAL)]
    return [
        _change(name, before, after, transcripts, seed)
        for name in SETS
        for before, after in pairs
        if (before, after) != (UNMERGED, FINAL) or rewritten(transcripts, name)
    ]


def rewritten(transcripts: Mapping[str, Sequence[dict]], test_set: str) -> int:
    """How many texts of the model that ships are others than before it was merged."""
    own = {line["key"]: line["text"] for line in lines_of(transcripts, UNMERGED, test_set)}
    shipped = lines_of(transcripts, FINAL, test_set)
    return sum(line["text"] != own.get(line["key"]) for line in shipped)


def _change(
    test_set: str, before: str, after: str, transcripts: Mapping[str, Sequence[dict]], seed: int
) -> Change:
    lines_a, lines_b = (lines_of(transcripts, name, test_set) for name in (before, after))
    if [line["key"] for line in lines_a] != [line["key"] for line in lines_b]:
        raise ValueError(f"{before} and {after} are not of the same utterances of {test_set}")
    one = of_transcripts(lines_a, lines_b, seed)
    return Change(before, after, test_set, one.before, one.after, one.low, one.high, one.p)


def lines_of(transcripts: Mapping[str, Sequence[dict]], checkpoint: str, test_set: str) -> list:
    return [line for line in transcripts[checkpoint] if line["source"] == test_set]


def speakers_of(transcripts: Mapping[str, Sequence[dict]], test_set: str) -> set[str]:
    return {line["speaker"] for line in lines_of(transcripts, FINAL, test_set)}
