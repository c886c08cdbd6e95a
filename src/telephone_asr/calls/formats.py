"""A call as a file: text, JSON, subtitles, Praat's TextGrid, a table, a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from telephone_asr.calls.turns import Call, Character, Turn, clock

COLUMNS = ("id", "audio", "channel", "start", "end", "speaker", "text")


def said(turn: Turn) -> str:
    """Returns a turn's text, after who says it."""
    return f"{turn.speaker}: {turn.text}" if turn.speaker else turn.text


def to_txt(call: Call, audio: str) -> str:
    """Writes a line a turn: when it begins, who speaks, and what is said."""
    return "".join(f"[{clock(turn.start_s)}] {said(turn)}\n" for turn in call.turns)


def to_json(call: Call, audio: str) -> str:
    """Writes all that is known; turns have the fields of a corpus of calls."""
    turns = [
        {
            "channel": turn.channel,
            "speaker": turn.speaker,
            "start": turn.start_s,
            "end": turn.end_s,
            "text": turn.text,
            **({"cut_off": True} if turn.cut_off else {}),
            "characters": [[one.text, one.start_s, one.end_s] for one in turn.characters],
            "confidences": [one.confidence for one in turn.characters],
        }
        for turn in call.turns
    ]
    head = {"audio": audio, "duration_s": call.duration_s, "sample_rate_hz": call.sample_rate_hz}
    return json.dumps({**head, "turns": turns}, ensure_ascii=False) + "\n"


def to_srt(call: Call, audio: str) -> str:
    """Writes subtitles, as players show them."""
    return "\n".join(
        f"{number}\n{clock(turn.start_s, ',')} --> {clock(turn.end_s, ',')}\n{said(turn)}\n"
        for number, turn in enumerate(call.turns, start=1)
    )


def to_csv(call: Call, audio: str) -> str:
    """Writes a table that Excel opens, and that is a corpus of calls: corrected by hand, it can be
    scored and trained on."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for number, turn in enumerate(call.turns, start=1):
        channel = "" if turn.channel is None else turn.channel
        key = f"{Path(audio).stem}-{number:04}"
        writer.writerow([key, audio, channel, turn.start_s, turn.end_s, turn.speaker, turn.text])
    return file.getvalue()


def to_textgrid(call: Call, audio: str) -> str:
    """Writes a tier of turns and one of characters for each channel."""
    tiers = [tier for channel in call.channels or {None: ""} for tier in _tiers(call, channel)]
    lines = [
        *('File type = "ooTextFile"', 'Object class = "TextGrid"', ""),
        *("xmin = 0", f"xmax = {call.duration_s}", "tiers? <exists>"),
        *(f"size = {len(tiers)}", "item []:"),
    ]
    for number, (name, intervals) in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f'        name = "{_quoted(name)}"', "        xmin = 0"]
        lines += [f"        xmax = {call.duration_s}"]
        lines += [f"        intervals: size = {len(intervals)}"]
        for place, (start_s, end_s, text) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start_s}"]
            lines += [f"            xmax = {end_s}", f'            text = "{_quoted(text)}"']
    return "\n".join(lines) + "\n"


Interval = tuple[float, float, str]


def _tiers(call: Call, channel: int | None) -> list[tuple[str, list[Interval]]]:
    own = [turn for turn in call.turns if turn.channel == channel]
    turns = [(turn.start_s, turn.end_s, turn.text) for turn in own]
    characters = [one for turn in own for one in _heard(turn.characters)]
    name = call.channels.get(channel) or "call"
    return [
        (name, _without_gaps(turns, call.duration_s)),
        (f"{name}, characters", _without_gaps(characters, call.duration_s)),
    ]


def _heard(characters: Sequence[Character]) -> list[Interval]:
    """Returns intervals; what takes no time is written with what was before it."""
    intervals: list[Interval] = []
    for one in characters:
        if one.end_s > one.start_s or not intervals:
            intervals.append((one.start_s, one.end_s, one.text))
        else:
            start_s, end_s, text = intervals[-1]
            intervals[-1] = (start_s, end_s, text + one.text)
    return intervals


def _without_gaps(intervals: Sequence[Interval], duration_s: float) -> list[Interval]:
    """Puts empty ones between intervals: a tier of Praat's has neither gaps nor empty stretches."""
    whole: list[Interval] = []
    at_s = 0.0
    for start_s, end_s, text in [*intervals, (duration_s, duration_s, "")]:
        start_s = max(start_s, at_s)
        if start_s > at_s:
            whole.append((at_s, start_s, ""))
        if end_s > start_s:
            whole.append((start_s, end_s, text))
        at_s = max(start_s, end_s)
    return whole


def _quoted(text: str) -> str:
    return text.replace('"', '""')


def to_html(call: Call, audio: str) -> str:
    """Writes a page to read and to listen to, with the sound in it.

    Raises SoundError where the recording cannot be read any more.
    """
    from telephone_asr.calls.page import html

    return html(call, audio)


FORMATS: dict[str, Callable[[Call, str], str]] = {
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "textgrid": to_textgrid,
    "csv": to_csv,
    "html": to_html,
}
SUFFIXES = {name: f".{name}" for name in FORMATS} | {"textgrid": ".TextGrid"}
