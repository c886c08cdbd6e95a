"""`telephone-asr data align`: long transcripts without times become turns to train on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError
from telephone_asr.textfiles import printable

if TYPE_CHECKING:
    from telephone_asr.calls.align import Part
    from telephone_asr.corpora.items import Item
    from telephone_asr.model.pretrained import FunASRNano

MIN_SCORE = -2.5  # log probability per character, of a turn that is kept
LEFT_OUT = ".left-out.jsonl"


def align_list(path: Path, model: Path, output: Path, min_score: float) -> list[str]:
    """Writes a list of turns, and beside it one of what is left out; returns what to say of them.

    A call that cannot be used is named on stderr, and the others are done. Raises InputError where
    there is no such list or model, or no call in it can be used.
    """
    from tqdm import tqdm

    from telephone_asr.calls.api import load_model
    from telephone_asr.commands.arguments import check_model, max_hours
    from telephone_asr.corpora.calls import call_items
    from telephone_asr.corpora.sound import SoundError
    from telephone_asr.outs import new_out

    items = call_items(path)
    if not items:
        raise InputError(f"{path} holds no calls.")
    if not output.absolute().parent.is_dir():
        raise InputError(f"--output: {output.absolute().parent} is no directory: make it first.")
    if output.exists() and output.samefile(path):
        raise InputError(f"--output: {output} would take the place of its own transcripts.")
    check_model(model)
    nano = load_model(model)
    if not nano.has_ctc:
        raise InputError(f"--model: {model} has no CTC branch, which aligns: name one that has.")
    turns: list[dict] = []
    left_out: list[dict] = []
    done = 0
    for item in tqdm(items, "align", unit=" transcripts"):
        try:
            parts = _align(nano, item, max_hours())
        except SoundError as error:
            detail = item.problem.detail if item.problem else f"{item.id}: {error}"
            print(printable(f"left out: {detail} ({error.reason})"), file=sys.stderr)
            continue
        done += 1
        for line in _lines(item, parts, output.parent, min_score):
            (left_out if line.get("reason") else turns).append(line)
    if not done:
        raise InputError(f"{path} holds no transcript that can be aligned.")
    rest = output.with_name(output.stem + LEFT_OUT)
    for target, lines in ((rest, left_out), (output, turns)):
        with new_out(target) as new:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            new.write_text(text, encoding="utf-8")
    return list(_summary(turns, left_out, done, len(items), output, rest))


def _align(nano: FunASRNano, item: Item, max_hours: float) -> list[Part]:
    """Aligns one transcript; raises SoundError, which says why, where it cannot be."""
    from telephone_asr.calls.align import SIDES, align
    from telephone_asr.calls.references import is_timed
    from telephone_asr.corpora.sound import SoundError

    if item.problem:
        raise SoundError(item.problem.detail, item.problem.reason)
    if is_timed(item):
        raise SoundError("it has times: it is a turn already", "has_times")
    if item.annotation_error:
        raise SoundError("its transcript is marked as wrong", "annotation_error")
    if not item.text.strip():
        raise SoundError("its transcript is empty", "empty_text")
    if item.channel not in SIDES:
        raise SoundError(f"channel {item.channel}: expected 0, 1 or none", "no_such_channel")
    return align(nano, Path(item.audio), item.channel, item.text, max_hours)


def _lines(item: Item, parts: Sequence[Part], folder: Path, min_score: float) -> Iterator[dict]:
    """Yields a line for each part, in the form of a list of calls; of one that is left out, with
    the reason."""
    head = {"audio": os.path.relpath(item.audio, folder), "channel": item.channel}
    head |= {"speaker": item.speaker, "scene": item.scene}
    for number, part in enumerate(parts, start=1):
        line = {"id": f"{item.id}-{number:04}", **head, "start": part.start_s, "end": part.end_s}
        line |= {"text": part.text, "score": part.score}
        if part.score is None:
            line["reason"] = "not_said"
        elif part.score < min_score:
            line["reason"] = "low_score"
        yield line


def _summary(
    turns: Sequence[dict], left_out: Sequence[dict], done: int, n: int, output: Path, rest: Path
) -> Iterator[str]:
    minutes = sum(line["end"] - line["start"] for line in turns) / 60
    yield f"{done} of {n} transcripts: {len(turns)} turns, {minutes:.1f} minutes, in {output}"
    for reason in ("not_said", "low_score"):
        own = [line for line in left_out if line["reason"] == reason]
        characters = sum(len(line["text"]) for line in own)
        yield f"{reason}: {len(own)} parts of {characters:,} characters left out, in {rest}"
