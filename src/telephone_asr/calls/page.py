"""A call as one page that opens offline: what was said, when, how surely, and the sound itself.

By page.html.j2, page.js, and page.css after the report's style, whose colours and type it shares.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from markupsafe import Markup

from telephone_asr.calls.playback import FEW_PEAKS, Playback, playback
from telephone_asr.calls.turns import NAMES, Call, Character, Turn, clock
from telephone_asr.pages import templates

HERE = Path(__file__).parent
STYLES = (HERE.parent / "report" / "page.css", HERE / "page.css")
UNCERTAIN = 0.5  # a character of which CTC is less sure is marked
CONTEXT_S = 0.5  # that is heard before a marked one
QUIETEST = 0.05  # of full scale: a channel that is no louder is not drawn as if it were
HALF_HEIGHT = 20  # units of a waveform, above its middle and below
TOGETHER = 600  # peaks of one path: a browser draws those alone that are seen


@dataclass(frozen=True)
class Part:
    """Characters of a turn that are all certain, or all uncertain."""

    text: str
    uncertain: bool = False
    start_s: float = 0.0
    confidence: str = ""


@dataclass(frozen=True)
class Lane:
    """A channel as it is drawn: paths in units of its peaks."""

    name: str
    paths: Sequence[str]
    overview: str
    turns: Sequence[Turn]


def html(call: Call, audio: str) -> str:
    """Returns the page of a call; `audio` names the recording.

    Raises SoundError where the recording cannot be read any more.
    """
    sound = playback(call)
    lanes, peak_s, n_peaks = _lanes(call, sound), sound.peak_s, sound.peaks.shape[1]
    mp3 = Markup(base64.b64encode(sound.mp3).decode())
    del sound  # nothing else grows so with the call
    style = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    environment = templates(HERE)
    environment.filters["clock"] = _short_clock
    environment.filters["parts"] = _parts
    characters = [one for turn in call.turns for one in turn.characters if _is_rated(one)]
    return environment.get_template("page.html.j2").render(
        title=Path(audio).name,
        call=call,
        lanes=lanes,
        sides=_sides(call),
        peaks=n_peaks,
        is_long=n_peaks > 1.1 * FEW_PEAKS,
        peak_s=peak_s,
        half_height=HALF_HEIGHT,
        rated=len(characters),
        marked=sum(map(_is_uncertain, characters)),
        limit=UNCERTAIN,
        style=Markup(style),
        script=Markup(script),
        hashes=[_sha256(text) for text in (style, script)],
        mp3=mp3,
    )


def _sha256(text: str) -> str:
    """Returns a hash as a content security policy names what may run."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _sides(call: Call) -> dict[int | None, int]:
    """Numbers the channels: 0 stands on the left and 1 on the right, whatever is said on others."""
    return {channel: (channel or 0) % 2 for channel in call.channels}


def _lanes(call: Call, sound: Playback) -> list[Lane]:
    count = len(sound.peaks)
    lanes = []
    for channel, peaks in enumerate(sound.peaks):
        name = call.channels.get(channel) or NAMES[channel] if count > 1 else ""
        heights = _heights(peaks)
        size = max(1, -(-len(heights) // FEW_PEAKS))
        coarse = [int(max(heights[i : i + size])) for i in range(0, len(heights), size)]
        paths = [
            _path(heights[first : first + TOGETHER], first)
            for first in range(0, len(heights), TOGETHER)
        ]
        own = [turn for turn in call.turns if count == 1 or turn.channel in (channel, None)]
        lanes.append(Lane(name, paths, _path(coarse, 0, size), own))
    return lanes


def _heights(peaks: np.ndarray) -> np.ndarray:
    """Scales peaks so that all but the loudest hundredth fit: a click makes no voice small."""
    loud = max(QUIETEST, float(np.quantile(peaks, 0.99)))
    return np.rint(HALF_HEIGHT * np.minimum(peaks / loud, 1)).astype(int)


def _path(heights: Sequence[int] | np.ndarray, first: int, width: int = 1) -> str:
    """Returns the outline of bars of a width, around the middle: there above, and back below.

    >>> _path([0, 3], 5)
    'M5 20h1v-3h1v6h-1v-3h-1z'
    """
    above, below, at = [], [], 0
    for height in map(int, heights):
        step = f"h{width}"
        above.append(f"v{at - height}{step}" if height != at else step)
        below.append(f"h-{width}v{at - height}" if height != at else f"h-{width}")
        at = height
    turn = f"v{2 * at}" if at else ""
    return f"M{first} {HALF_HEIGHT}{''.join(above)}{turn}{''.join(reversed(below))}z"


def _is_rated(character: Character) -> bool:
    return character.confidence is not None


def _is_uncertain(character: Character) -> bool:
    return character.confidence is not None and character.confidence < UNCERTAIN


def _parts(turn: Turn) -> Iterator[Part]:
    """Yields a turn's text in parts."""
    if not turn.characters:
        yield Part(turn.text)
    for uncertain, group in groupby(turn.characters, _is_uncertain):
        own = list(group)
        text = "".join(one.text for one in own)
        rates = ", ".join(f"{one.text} {one.confidence or 0:.0%}" for one in own)
        start_s = max(turn.start_s, own[0].start_s - CONTEXT_S)
        yield Part(text, uncertain, round(start_s, 3), rates) if uncertain else Part(text)


def _short_clock(seconds: float, longest_s: float) -> str:
    """Returns a time to a tenth of a second, without the hours where none is reached.

    >>> _short_clock(62.25, 1800), _short_clock(62.25, 3600)
    ('01:02.2', '00:01:02.2')
    """
    return clock(round(seconds, 1))[0 if longest_s >= 3600 else 3 : -2]
