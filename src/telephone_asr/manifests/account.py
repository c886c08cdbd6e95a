"""Counts what became of a corpus's utterances, of all and of each corpus of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from telephone_asr.manifests.messages import Example
from telephone_asr.manifests.split import SPLITS
from telephone_asr.shards import Rejected


@dataclass
class Tally:
    """Counts the utterances that are kept, and what is known of them."""

    sets: Counter = field(default_factory=Counter)
    silent: list[dict] = field(default_factory=list)  # those in which nobody speaks
    speakers: set[str] = field(default_factory=set)
    seconds: float = 0.0
    frames: int = 0
    tokens: int = 0
    complete: int = 0
    exist: int = 0

    def add(self, set_: str, example: Example, exists: bool) -> None:
        self.sets[set_] += 1
        self.speakers.add(example.speaker)
        self.seconds += example.duration_s
        self.frames += example.speech_length
        self.tokens += example.text_length
        fields = (example.key, example.text, example.prompt, example.speaker, example.speech_length)
        self.complete += all(fields)
        self.exist += exists

    def counts(self) -> dict[str, int | float]:
        return {
            "kept": self.kept,
            **{name: self.sets[name] for name in SPLITS},
            "no_speech": len(self.silent),
            "hours": round(self.seconds / 3600, 4),
            "speakers": len(self.speakers),
        }

    @property
    def spoken(self) -> int:
        return sum(self.sets.values())

    @property
    def kept(self) -> int:
        return self.spoken + len(self.silent)


def reasons_of(rejected: Iterable[Rejected]) -> dict[str, int]:
    """Counts what was left out by its reason."""
    return dict(sorted(Counter(entry.reason for entry in rejected).items()))


def accounts(
    account: Mapping[str, dict], tallies: Mapping[str, Tally], rejected: Sequence[Rejected]
) -> dict[str, dict]:
    """Returns what metrics/data.json says of each corpus of a list."""
    told = {}
    for name, tally in tallies.items():
        reasons = reasons_of(entry for entry in rejected if entry.corpus == name)
        told[name] = {
            **account[name],
            "in": tally.kept + sum(reasons.values()),
            **tally.counts(),
            "rejected": reasons,
        }
    return told
