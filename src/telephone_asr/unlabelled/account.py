"""Where every second of every channel of a recording went, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from telephone_asr.outs import new_out
from telephone_asr.textfiles import json_lines

KEPT, SILENCE = "speech", "silence"
# Why a recording as a whole, a channel, or a stretch of one is left out.
REASONS = {
    "unusable": "the recording is no sound, damaged, or less than its header promises",
    "too_long": "the recording is longer than corpus.max_hours, or a turn than filter.max_frames",
    "held_out": "the recording has a test or validation call's sound in it",
    "duplicate": "an earlier recording has the same sound",
    "same_channel": "another channel of the recording holds the same",
    "silent_channel": "nothing at all is heard on the channel",
    "music": "music, or tones of the network",
    "not_speech": "it is loud, and the voice activity detector hears nobody speak",
    "too_short": "somebody seems to speak, for less than filter.min_frames or 0.1 s",
}
WHOLE = ("unusable", "too_long", "held_out", "duplicate")  # reasons for a recording as a whole


@dataclass
class Account:
    """The account of one recording; its seconds are whole numbers of samples."""

    id: str
    path: str
    channels: int = 0
    sample_rate_hz: int = 8000
    samples: dict[str, int] = field(default_factory=dict)  # KEPT, SILENCE or a reason: of channels
    turns: int = 0
    reason: str | None = None  # why nothing of it is used
    detail: str = ""
    left_out: list[dict] = field(default_factory=list)  # stretches: channel, start_s, end_s, reason
    probes: list[tuple[str, str]] = field(default_factory=list)  # turns, and words of their sound

    def take_whole(self, reason: str, detail: str) -> None:
        """Puts all of the recording down to one reason."""
        self.samples = {reason: sum(self.samples.values())}
        self.reason, self.detail, self.turns = reason, detail, 0
        self.left_out, self.probes = [], []

    def seconds(self) -> dict[str, float]:
        return {name: n / self.sample_rate_hz for name, n in self.samples.items()}

    def lines(self) -> Iterator[dict]:
        """Yields what of it is left out as left_out.jsonl has it: the recording, or stretches."""
        if self.reason is not None:
            yield {"id": self.id, "reason": self.reason, "detail": self.detail}
        yield from ({"recording": self.id, **one} for one in self.left_out)


def write_accounts(path: Path, accounts: list[Account]) -> None:
    with new_out(path) as new:
        lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in accounts)
        new.write_text("".join(lines), encoding="utf-8", errors="replace")


def read_accounts(path: Path) -> Iterator[Account]:
    for fields in json_lines(path, "delete .scratch and run `dvc repro unlabelled`"):
        yield Account(**fields)


@dataclass
class Total:
    """The account of many recordings, as metrics/unlabelled.json has it."""

    recordings: Counter = field(default_factory=Counter)  # used, or by reason
    seconds: Counter = field(default_factory=Counter)  # of channels
    turns: int = 0

    def add(self, account: Account) -> None:
        self.recordings[account.reason or "used"] += 1
        self.seconds.update(account.seconds())
        self.turns += account.turns

    def metrics(self) -> dict:
        reasons = [*REASONS, SILENCE]
        return {
            "recordings": {
                "all": self.recordings.total(),
                "used": self.recordings["used"],
                **{name: self.recordings[name] for name in reasons if self.recordings[name]},
            },
            "turns": self.turns,
            "channel_hours": {
                "all": round(self.seconds.total() / 3600, 4),
                KEPT: round(self.seconds[KEPT] / 3600, 4),
                **{
                    name: round(self.seconds[name] / 3600, 4)
                    for name in (SILENCE, *REASONS)
                    if self.seconds[name]
                },
            },
        }
