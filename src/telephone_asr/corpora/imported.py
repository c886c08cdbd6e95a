"""Corpora that people bring: Kaldi directories, Lhotse cuts and call recordings in JSONL.

Each reader lists its items; `load` then turns one into an utterance with sound, or into the reason
why it cannot be used. One broken file rejects one utterance, never the corpus.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected, Utterance


@dataclass(frozen=True)
class Item:
    """An utterance whose sound is not yet read; `problem` is set where its entry is broken."""

    id: str
    audio: Path | None = None
    start_s: float = 0.0
    end_s: float | None = None  # None: to the end of the file
    channel: int | None = None  # None: all channels, averaged
    recording: str = ""  # empty: the item is a recording of its own
    text: str = ""
    speaker: str = ""  # empty: unknown, the recording stands for it
    scene: str = ""
    annotation_error: bool = False
    problem: Rejected | None = None


def list_items(kind: str, path: Path, key: str) -> list[Item]:
    """The items of a corpus of a `kind`: kaldi, lhotse or calls.

    Raises:
        InputError: the corpus as a whole cannot be read; `key` is the parameter that named it.
    """
    if not path.exists():
        raise InputError(f"params.yaml: {key}: {path} does not exist; name a {kind} corpus.")
    readers: dict[str, Callable[[Path], list[Item]]] = {
        "kaldi": _kaldi,
        "lhotse": _lhotse,
        "calls": _calls,
    }
    items = readers[kind](path)
    if not items:
        raise InputError(f"params.yaml: {key}: {path} holds no utterances.")
    return items


def load(item: Item) -> Utterance | Rejected:
    """Reads the sound of an item: int16, one channel, at the rate of its file."""
    if item.problem:
        return item.problem
    try:
        with soundfile.SoundFile(item.audio) as file:
            rate_hz = file.samplerate
            first = round(item.start_s * rate_hz)
            last = file.frames if item.end_s is None else round(item.end_s * rate_hz)
            file.seek(min(first, file.frames))
            samples = file.read(max(0, last - first), dtype="float32", always_2d=True)
    # ValueError, TypeError: a path that is none, a file that has no header.
    except (
        soundfile.LibsndfileError,
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        MemoryError,
        OverflowError,
    ) as error:
        return Rejected(item.id, "unreadable_audio", f"{item.audio}: {error}")
    if len(samples) == 0:
        return Rejected(item.id, "empty_audio", f"{item.audio} holds no sound")
    if not np.isfinite(samples).all():
        return Rejected(item.id, "not_finite", f"{item.audio} holds samples that are no numbers")
    if item.channel is not None and not 0 <= item.channel < samples.shape[1]:
        return Rejected(item.id, "no_such_channel", f"{item.audio} has no channel {item.channel}")
    mono = samples.mean(axis=1) if item.channel is None else samples[:, item.channel]
    return Utterance(
        id=item.id,
        samples=np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16),
        sample_rate_hz=rate_hz,
        text=item.text,
        speaker=item.speaker or item.recording or item.id,
        scene=item.scene,
        annotation_error=item.annotation_error,
    )


def _kaldi(path: Path) -> list[Item]:
    """A Kaldi data directory: wav.scp, text, and utt2spk and segments where they exist.

    Lhotse's reader opens every file for its length and stops at the first broken one; here each
    broken one has to be counted, so the four tables are read by hand. Paths in wav.scp are relative
    to the directory. A transcript without audio is an utterance too, one that cannot be used.
    """
    for name in ("wav.scp", "text"):
        if not (path / name).is_file():
            raise InputError(
                f"{path / name} does not exist: a Kaldi directory has wav.scp and text."
            )
    audio, texts = _table(path / "wav.scp"), dict(_table(path / "text"))
    speakers = dict(_table(path / "utt2spk")) if (path / "utt2spk").is_file() else {}
    for recording, place in audio:
        if place.endswith("|"):
            raise InputError(
                f"{path / 'wav.scp'}: {recording} is a command ('{place}'): write files instead."
            )
    if (path / "segments").is_file():
        items = _kaldi_segments(path, dict(audio), texts, speakers)
    else:
        items = [_kaldi_item(path, key, place, texts, speakers) for key, place in audio]
    spoken = {item.id for item in items}
    silent = [key for key in texts if key not in spoken]
    return items + [
        Item(key, problem=Rejected(key, "no_audio", f"{path / 'text'} alone names {key}"))
        for key in silent
    ]


def _kaldi_segments(path: Path, recordings: dict, texts: dict, speakers: dict) -> list[Item]:
    items = []
    for key, segment in _table(path / "segments"):
        try:
            recording, start_s, end_s = segment.split()
            span = {"start_s": _seconds(start_s), "end_s": _seconds(end_s), "recording": recording}
            place = recordings[recording]
        except (ValueError, KeyError):
            detail = (
                f"{path / 'segments'}: '{key} {segment}' names no recording of wav.scp and span"
            )
            items.append(Item(key, problem=Rejected(key, "unreadable_line", detail)))
            continue
        items.append(_kaldi_item(path, key, place, texts, speakers, **span))
    return items


def _kaldi_item(path: Path, key: str, place: str, texts: dict, speakers: dict, **span) -> Item:
    if key not in texts:
        return Item(key, problem=Rejected(key, "no_transcript", f"{path / 'text'} lacks {key}"))
    return Item(key, path / place, text=texts[key], speaker=speakers.get(key, ""), **span)


def _seconds(value: str | float) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"expected a time in seconds, got {value}")
    return seconds


def _table(path: Path) -> list[tuple[str, str]]:
    """A Kaldi table, line by line: a key, white space, the rest of the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}).") from None
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return [(key, rest[0].strip() if rest else "") for key, *rest in pairs]


def _calls(path: Path) -> list[Item]:
    """Call recordings: one JSON object a line; see the README for its fields."""
    if path.is_dir():
        raise InputError(f"{path} is a directory: name the JSONL file in it.")
    items = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            items.append(_call(path, number, line))
    return items


def _call(path: Path, number: int, line: bytes) -> Item:
    """One line of calls.jsonl; a line that cannot be used becomes an item with a problem."""
    place = f"{path.name}:{number}"
    try:
        fields = json.loads(line.decode("utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("expected a JSON object")
        for name, kind in (("id", str), ("audio", str), ("text", str)):
            if not isinstance(fields.get(name), kind):
                raise ValueError(f"expected the field '{name}' with a text")
            fields[name].encode()  # half a character of a pair cannot be written
        if not isinstance(fields.get("annotation_error", False), bool):
            raise ValueError("expected 'annotation_error' to be true or false")
        return Item(
            id=fields["id"],
            audio=path.parent / fields["audio"],
            start_s=_seconds(fields.get("start") or 0.0),
            end_s=None if fields.get("end") is None else _seconds(fields["end"]),
            recording=fields["audio"],
            channel=None if fields.get("channel") is None else int(fields["channel"]),
            text=fields["text"],
            speaker=str(fields.get("speaker") or ""),
            scene=str(fields.get("scene") or ""),
            annotation_error=fields.get("annotation_error", False),
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return Item(place, problem=Rejected(place, "unreadable_line", f"{path}:{number}: {error}"))


def _lhotse(path: Path) -> list[Item]:
    """A Lhotse cut manifest (cuts.jsonl or cuts.jsonl.gz) whose audio lies in files."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return [_lhotse_item(path, number, line) for number, line in enumerate(file, start=1)]
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a Lhotse cut manifest: {error}.") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r}")
    return value


def _lhotse_item(path: Path, number: int, line: bytes) -> Item:
    place = f"{path.name}:{number}"
    try:
        cut = json.loads(line.decode("utf-8"))
        (supervision,), recording, channel = cut["supervisions"], cut["recording"], cut["channel"]
        if not isinstance(channel, int):
            raise ValueError(f"expected one channel, got {channel}")
        if any(t["name"] != "Resample" for t in recording.get("transforms") or []):
            raise ValueError("expected audio without transforms")
        (source,) = (s for s in recording["sources"] if channel in s["channels"])
        if source["type"] != "file":
            raise ValueError(f"expected audio in a file, got {source['type']}")
        custom = supervision.get("custom") or {}
        return Item(
            id=cut["id"],
            audio=path.parent / source["source"],
            start_s=_seconds(cut["start"]),
            end_s=_seconds(cut["start"] + cut["duration"]),
            channel=source["channels"].index(channel) if len(source["channels"]) > 1 else None,
            recording=recording["id"],
            text=_text(supervision.get("text") or ""),
            speaker=supervision.get("speaker") or "",
            scene=custom.get("scene", ""),
            annotation_error=bool(custom.get("annotation_error", False)),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        detail = f"{path}:{number}: no cut with one supervision ({type(error).__name__}: {error})"
        return Item(place, problem=Rejected(place, "unreadable_line", detail))
