"""The embedded calls that nobody wrote down, whole: two voices by turns, each over its own line.

What is said in them is known, and no stage reads it: `truth` is for who measures what a transcript
would have been worth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.line import simulate
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import generator
from telephone_asr.corpora import spoken
from telephone_asr.corpora.spoken import SAMPLE_RATE_HZ, Spoken

TURNS = (8, 14)  # of a call
PAUSE_S = (0.3, 2.0)  # between them
EDGE_S = (0.5, 2.0)  # before the first and after the last


@dataclass(frozen=True)
class Turn:
    """An utterance in a call."""

    utterance: Spoken
    channel: int  # 0: the left one, the agent; 1: the customer
    start_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + self.utterance.seconds


@dataclass(frozen=True)
class Conversation:
    """A call between two speakers."""

    id: str
    speakers: tuple[str, str]
    turns: tuple[Turn, ...]
    duration_s: float


def plan(utterances: Sequence[Spoken], seed: int) -> list[Conversation]:
    """Draws calls between the speakers in which each utterance is said once; whoever has nobody
    left to speak with says no more."""
    rng = generator(seed, "conversations")
    unsaid: dict[str, deque[Spoken]] = {}
    for place in rng.permutation(len(utterances)).tolist():
        unsaid.setdefault(utterances[place].speaker, deque()).append(utterances[place])
    calls: list[Conversation] = []
    while len(there := sorted(name for name in unsaid if unsaid[name])) > 1:
        order = [there[place] for place in rng.permutation(len(there)).tolist()]
        for pair in zip(order[::2], order[1::2], strict=False):
            calls.append(_call(f"syn-u-call-{len(calls):04d}", pair, unsaid, rng))
    return calls


def _call(
    id_: str, pair: tuple[str, str], unsaid: Mapping[str, deque[Spoken]], rng: np.random.Generator
) -> Conversation:
    turns: list[Turn] = []
    end_s = float(rng.uniform(*EDGE_S))
    for number in range(int(rng.integers(TURNS[0], TURNS[1], endpoint=True))):
        channel = number % 2
        if not unsaid[pair[channel]]:
            break
        turn = Turn(unsaid[pair[channel]].popleft(), channel, round(end_s, 3))
        turns.append(turn)
        end_s = turn.end_s + float(rng.uniform(*PAUSE_S))
    end_s = turns[-1].end_s + float(rng.uniform(*EDGE_S))
    return Conversation(id_, pair, tuple(turns), round(end_s, 3))


def sound(
    call: Conversation, archives: Path, line: Line, pool: BabblePool | None, seed: int
) -> np.ndarray:
    """Returns what a recorder at the exchange has of a call: int16 (n, 2) at 8 kHz."""
    said = dict(spoken.read(archives, [turn.utterance for turn in call.turns]))
    channels = []
    for channel, speaker in enumerate(call.speakers):
        own = np.zeros(round(call.duration_s * SAMPLE_RATE_HZ), dtype=np.int16)
        for turn in call.turns:
            if turn.channel == channel:
                first = round(turn.start_s * SAMPLE_RATE_HZ)
                own[first : first + turn.utterance.samples] = said[turn.utterance]
        rng = generator(seed, f"{call.id}-{channel}/line")
        channels.append(simulate(own, SAMPLE_RATE_HZ, line, pool, rng, speaker)[0])
    return np.stack(channels, axis=1)


def truth(call: Conversation, channel: int, start_s: float, end_s: float) -> str:
    """Returns what is said on a channel in this time: the utterances whose middle lies in it."""
    return "".join(
        turn.utterance.said
        for turn in call.turns
        if turn.channel == channel and start_s <= (turn.start_s + turn.end_s) / 2 < end_s
    )
