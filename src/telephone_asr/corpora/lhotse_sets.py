"""What Lhotse knows: its manifests, and the corpora that its recipes prepare.

A manifest is read a line at a time through Lhotse's own classes, so that a line that cannot be used
rejects one utterance; Lhotse's readers stop at it.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.corpora import values
from telephone_asr.corpora.items import Item
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected
from telephone_asr.textfiles import byte_lines, json_object

if TYPE_CHECKING:  # importing Lhotse takes two seconds
    from lhotse import MonoCut, Recording, SupervisionSegment

# Lhotse's classes take values as they come and fail in their own ways, some by an assertion.
_BAD_LINE = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError),
    *(ArithmeticError, AssertionError),
)


def manifest_items(path: Path, part: str | None) -> list[Item]:
    """Reads the utterances of a cut manifest (cuts.jsonl, cuts.jsonl.gz), or of a directory of
    recording and supervision manifests as `lhotse prepare` leaves them; of these those of a `part`
    ("train", "S"), if one is named.

    Raises InputError where there are none, or a file cannot be read.
    """
    if path.is_file():
        return [_cut_item(path, number, line) for number, line in byte_lines(path)]
    ending = rf"_{re.escape(part)}\.jsonl(\.gz)?$" if part else r"\.jsonl(\.gz)?$"
    files = sorted(p for p in path.iterdir() if re.search(ending, p.name))
    supervisions = [p for p in files if "supervisions" in p.name]
    recordings = {p.name: p for p in files if "recordings" in p.name}
    items: list[Item] = []
    for file in supervisions:
        beside = recordings.get(file.name.replace("supervisions", "recordings"))
        if beside is None:
            raise InputError(f"{file} has no recordings manifest beside it.")
        items += _pair_items(beside, file)
    if not supervisions:
        wanted = f"*supervisions*_{part}.jsonl.gz" if part else "*supervisions*.jsonl.gz"
        raise InputError(f"{path} holds no {wanted}; name a directory that `lhotse prepare` wrote.")
    return items


def recipe_items(name: str, path: Path, part: str | None) -> list[Item]:
    """Reads the utterances of a corpus as it was downloaded, by Lhotse's recipe of this name.

    Raises InputError where there is no such recipe, or it cannot read the corpus.
    """
    import lhotse.recipes

    prepare = getattr(lhotse.recipes, f"prepare_{name}", None)
    if prepare is None:
        known = sorted(m.name for m in pkgutil.iter_modules(lhotse.recipes.__path__))
        raise InputError(
            f"Lhotse has no recipe '{name}'; expected synthetic, kaldi, lhotse, calls, or one of "
            f"{', '.join(known)}."
        )
    takes_parts = "dataset_parts" in inspect.signature(prepare).parameters
    try:
        prepared = prepare(path, **({"dataset_parts": [part]} if part and takes_parts else {}))
    # A recipe may fail in any way that its corpus is not as it expects.
    except Exception as error:
        raise InputError(
            f"Lhotse's recipe {name} cannot prepare {path} ({type(error).__name__}: {error}): "
            f"run `lhotse prepare` yourself and set the kind to lhotse."
        ) from None
    parts = {"": prepared} if "supervisions" in prepared else prepared
    if part and part not in parts:
        raise InputError(f"{path} has no part '{part}'; it has {', '.join(parts)}.")
    items = []
    for key in [part] if part else parts:
        recordings = {r.id: r for r in parts[key]["recordings"]}
        for supervision in parts[key]["supervisions"]:
            items.append(_supervision_item(supervision, recordings, path, str(path)))
    return items


def _recordings(path: Path) -> tuple[dict[str, Recording], str]:
    """Reads the recordings of a manifest by their ids, and what is wrong with the first line that
    names none, or one that a line before describes otherwise."""
    from lhotse import Recording

    recordings: dict[str, Recording] = {}
    twice, problem = set(), ""
    for number, line in byte_lines(path):
        try:
            recording = Recording.from_dict(json_object(line))
            if recordings.setdefault(recording.id, recording) != recording:
                twice.add(recording.id)
                raise ValueError(f"a line before says something else of {recording.id}")
        except _BAD_LINE as error:
            problem = problem or f" ({path}:{number}: {type(error).__name__}: {error})"
    return {id_: one for id_, one in recordings.items() if id_ not in twice}, problem


def _pair_items(recordings_path: Path, supervisions_path: Path) -> Iterator[Item]:
    from lhotse import SupervisionSegment

    recordings, broken = _recordings(recordings_path)
    for number, line in byte_lines(supervisions_path):
        place = f"{supervisions_path}:{number}"
        try:
            supervision = SupervisionSegment.from_dict(json_object(line))
        except _BAD_LINE as error:
            yield _problem(place, error)
            continue
        yield _supervision_item(supervision, recordings, supervisions_path.parent, place, broken)


def _supervision_item(
    supervision: SupervisionSegment,
    recordings: dict[str, Recording],
    folder: Path,
    place: str,
    broken: str = "",
) -> Item:
    """Makes an item. broken: what is wrong with the recordings that are not among them."""
    try:
        if supervision.recording_id not in recordings:
            raise ValueError(f"there is no recording {supervision.recording_id}{broken}")
        recording = recordings[supervision.recording_id]
        return _item(supervision, recording, supervision, folder)
    except _BAD_LINE as error:
        return _problem(place, error, supervision.id)


def _cut_item(path: Path, number: int, line: bytes) -> Item:
    from lhotse.serialization import deserialize_item

    place = f"{path}:{number}"
    try:
        cut = deserialize_item(json_object(line))
        (supervision,) = cut.supervisions
        item = _item(supervision, cut.recording, cut, path.parent)
        return replace(item, id=values.text(cut.id, "id"))
    except _BAD_LINE as error:
        return _problem(place, error)


def _item(
    supervision: SupervisionSegment,
    recording: Recording,
    span: MonoCut | SupervisionSegment,
    folder: Path,
) -> Item:
    """Makes an item of a span of a recording; raises one of _BAD_LINE for what is not one in one
    channel of a file."""
    channel = span.channel
    if isinstance(channel, list) and len(channel) == 1:
        channel = channel[0]
    channel = values.channel(channel, "channel")
    start_s, lasts_s = (
        values.seconds(span.start, "start"),
        values.seconds(span.duration, "duration"),
    )
    if start_s is None or lasts_s is None:
        raise ValueError("expected a start and a duration in seconds")
    if any(_name(t) != "Resample" for t in recording.transforms or []):
        raise ValueError("expected audio without transforms")
    (source,) = (s for s in recording.sources if channel in s.channels)
    if source.type != "file":
        raise ValueError(f"expected audio in a file, got {source.type}")
    if not isinstance(supervision.text, str | None):
        raise ValueError(f"expected a text, got {supervision.text!r}")
    if not isinstance(supervision.custom, dict | None):
        raise ValueError(f"expected fields in custom, got {supervision.custom!r}")
    custom = supervision.custom or {}
    text = values.text(supervision.text, "text")
    # Relative paths are those of the manifest's folder, or of where `lhotse prepare` was run.
    beside = values.sound_file(source.source, folder)
    return Item(
        id=values.text(supervision.id, "id"),
        audio=beside if os.path.exists(beside) else source.source,
        start_s=start_s,
        end_s=start_s + lasts_s,
        channel=source.channels.index(channel) if len(source.channels) > 1 else None,
        recording=values.text(recording.id, "recording_id"),
        text=text,
        speaker=values.name(supervision.speaker, "speaker"),
        scene=values.name(custom.get("scene"), "scene"),
        annotation_error=values.flag(custom.get("annotation_error"), "annotation_error"),
        no_speech=values.no_speech(custom.get("no_speech"), text),
    )


def _name(transform: object) -> str:
    return transform["name"] if isinstance(transform, dict) else type(transform).__name__


def _problem(place: str, error: Exception, id_: str = "") -> Item:
    """Makes an item with a problem; for an entry without a usable id stand its file and line."""
    id_ = id_ if isinstance(id_, str) and id_ else Path(place).name
    detail = f"{place}: no utterance in one file ({type(error).__name__}: {error})"
    return Item(id_, problem=Rejected(id_, "unreadable_line", detail))
