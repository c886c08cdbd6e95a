"""What Lhotse knows: its manifests, and the corpora that its recipes prepare.

A manifest is read a line at a time through Lhotse's own classes, so that a line that cannot be used
rejects one utterance; Lhotse's readers stop at it.
"""

from __future__ import annotations

import gzip
import inspect
import json
import pkgutil
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.corpora.items import Item, seconds
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected

if TYPE_CHECKING:  # importing Lhotse takes two seconds
    from lhotse import Recording, SupervisionSegment

_BAD_LINE = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)


def manifest_items(path: Path, part: str | None) -> list[Item]:
    """The utterances of a cut manifest (cuts.jsonl, cuts.jsonl.gz), or of a directory of recording
    and supervision manifests as `lhotse prepare` leaves them; of these those of a `part` ("train",
    "S"), if one is named.

    Raises InputError where there are none, or a file cannot be read.
    """
    if path.is_file():
        return [_cut_item(path, number, line) for number, line in _lines(path)]
    ending = rf"_{re.escape(part)}\.jsonl(\.gz)?$" if part else r"\.jsonl(\.gz)?$"
    files = sorted(p for p in path.iterdir() if re.search(ending, p.name))
    supervisions = [p for p in files if "supervisions" in p.name]
    recordings = {p.name: p for p in files if "recordings" in p.name}
    items = []
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
    """The utterances of a corpus as it was downloaded, by Lhotse's recipe of this name.

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


def _pair_items(recordings_path: Path, supervisions_path: Path) -> Iterator[Item]:
    from lhotse import Recording, SupervisionSegment

    recordings = {}
    for number, line in _lines(recordings_path):
        try:
            recording = Recording.from_dict(json.loads(line.decode("utf-8")))
        except _BAD_LINE as error:
            raise InputError(f"{recordings_path}:{number} is no recording ({error}).") from None
        recordings[recording.id] = recording
    for number, line in _lines(supervisions_path):
        place = f"{supervisions_path}:{number}"
        try:
            supervision = SupervisionSegment.from_dict(json.loads(line.decode("utf-8")))
        except _BAD_LINE as error:
            yield _problem(place, error)
            continue
        yield _supervision_item(supervision, recordings, supervisions_path.parent, place)


def _supervision_item(
    supervision: SupervisionSegment, recordings: dict[str, Recording], folder: Path, place: str
) -> Item:
    try:
        if supervision.recording_id not in recordings:
            raise ValueError(f"there is no recording {supervision.recording_id}")
        recording = recordings[supervision.recording_id]
        end_s = supervision.start + supervision.duration
        return _item(supervision, recording, supervision.channel, supervision.start, end_s, folder)
    except _BAD_LINE as error:
        return _problem(place, error, supervision.id)


def _cut_item(path: Path, number: int, line: bytes) -> Item:
    from lhotse.serialization import deserialize_item

    place = f"{path}:{number}"
    try:
        cut = deserialize_item(json.loads(line.decode("utf-8")))
        (supervision,) = cut.supervisions
        start_s, end_s = cut.start, cut.start + cut.duration
        item = _item(supervision, cut.recording, cut.channel, start_s, end_s, path.parent)
        return replace(item, id=cut.id)
    except (*_BAD_LINE, AssertionError) as error:
        return _problem(place, error)


def _item(
    supervision: SupervisionSegment,
    recording: Recording,
    channel: int | list[int],
    start_s: float,
    end_s: float,
    folder: Path,
) -> Item:
    """Raises one of _BAD_LINE for what is not one utterance in one channel of a file."""
    if isinstance(channel, list) and len(channel) == 1:
        channel = channel[0]
    if not isinstance(channel, int):
        raise ValueError(f"expected one channel, got {channel}")
    if any(_name(t) != "Resample" for t in recording.transforms or []):
        raise ValueError("expected audio without transforms")
    (source,) = (s for s in recording.sources if channel in s.channels)
    if source.type != "file":
        raise ValueError(f"expected audio in a file, got {source.type}")
    custom = supervision.custom or {}
    if not isinstance(supervision.text or "", str):
        raise ValueError(f"expected a text, got {supervision.text!r}")
    # Relative paths are those of the manifest's folder, or of where `lhotse prepare` was run.
    beside = folder / source.source
    return Item(
        id=supervision.id,
        audio=str(beside if beside.exists() else source.source),
        start_s=seconds(start_s),
        end_s=seconds(end_s),
        channel=source.channels.index(channel) if len(source.channels) > 1 else None,
        recording=recording.id,
        text=supervision.text or "",
        speaker=supervision.speaker or "",
        scene=custom.get("scene", ""),
        annotation_error=bool(custom.get("annotation_error", False)),
    )


def _name(transform: object) -> str:
    return transform["name"] if isinstance(transform, dict) else type(transform).__name__


def _problem(place: str, error: Exception, id_: str = "") -> Item:
    """Where an entry has no usable id, its file and line stand for it."""
    id_ = id_ or Path(place).name
    detail = f"{place}: no utterance in one file ({type(error).__name__}: {error})"
    return Item(id_, problem=Rejected(id_, "unreadable_line", detail))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            yield from enumerate(file, start=1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a Lhotse manifest: {error}.") from None
