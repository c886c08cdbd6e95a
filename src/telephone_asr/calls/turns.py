"""A call as it is written down: who says what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Channels = Literal["both", "left", "right", "mix"]  # those of a recording that are heard
CHANNELS: tuple[Channels, ...] = ("both", "left", "right", "mix")
NAMES = ("left", "right")


@dataclass(frozen=True)
class Character:
    """A character of a turn; punctuation, which nobody hears, takes no time.

    confidence: 0 to 1, how sure the CTC branch is of it; None of what it does not write.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None


@dataclass(frozen=True)
class Turn:
    """What is said on one channel between two pauses; times are those of the recording."""

    channel: int | None  # None: of all channels, mixed
    speaker: str  # the channel's name; empty where there is but one
    start_s: float
    end_s: float
    text: str
    characters: tuple[Character, ...] = ()  # none where the model has no CTC branch to tell
    cut_off: bool = False  # the text ended at the limit of tokens: the model would have gone on


@dataclass(frozen=True)
class Call:
    """A recording with its turns, in the order in which they begin."""

    path: Path
    duration_s: float
    sample_rate_hz: int
    turns: tuple[Turn, ...] = field(default=())

    @property
    def text(self) -> str:
        """Returns what is said in one line, without who and when."""
        return joined([turn.text for turn in self.turns])

    @property
    def channels(self) -> dict[int | None, str]:
        """Returns the name of each channel on which something is said, in their order."""
        names = {(turn.channel or 0, turn.channel, turn.speaker) for turn in self.turns}
        return {channel: speaker for _, channel, speaker in sorted(names, key=lambda n: n[0])}


def clock(seconds: float, mark: str = ".") -> str:
    """Returns a time as hours, minutes, seconds and thousandths.

    >>> clock(3725.5), clock(0.0004, ",")
    ('01:02:05.500', '00:00:00,000')
    """
    thousandths = round(1000 * seconds)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def joined(texts: Sequence[str]) -> str:
    """Returns texts after one another: as a sentence of Chinese has no spaces, a pause has none.

    >>> joined(["您好，", "", "我是张三", "OK", "yes"])
    '您好，我是张三OK yes'
    """
    line = ""
    for text in filter(None, texts):
        space = " " if _latin(line[-1:]) and _latin(text[0]) else ""
        line += space + text
    return line


def _latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
