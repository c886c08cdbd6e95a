"""Takes utterances out of the lists of a corpus, and leaves every other byte as it is."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from telephone_asr.corpora.calls import csv_rows
from telephone_asr.outs import new_out
from telephone_asr.textfiles import json_object

BY_UTTERANCE = ("text", "segments", "utt2spk", "utt2dur", "utt2lang", "utt2num_frames")
BY_RECORDING = ("wav.scp", "reco2dur")


@dataclass(frozen=True)
class Edit:
    """A list with lines of what is to be forgotten, and what it is without them."""

    path: Path
    gone: list[bytes]
    left: bytes

    def write(self) -> None:
        """Puts it in the list's place, packed where that was; links are followed."""
        place = self.path.resolve()
        packed = place.read_bytes()[:2] == b"\x1f\x8b"
        with new_out(place) as new:
            new.write_bytes(gzip.compress(self.left, mtime=0) if packed else self.left)
            shutil.copymode(place, new)


def edits(kind: str, path: Path, ids: Container[str], speakers: Container[str]) -> list[Edit]:
    """Returns what the lists of a corpus hold of these utterances and speakers; a recipe's corpus,
    which is read as it was downloaded, has none that could be edited."""
    if kind == "kaldi":
        files = _kaldi(path, ids, speakers)
    elif kind == "calls" and path.suffix.lower() in (".csv", ".tsv"):
        files = [(path, _split(_rows(path), lambda row: row.get("id") in ids))]
    elif kind == "calls":
        files = [(path, _json_lines(path, ids))]
    elif kind == "lhotse":
        files = _lhotse(path, ids)
    else:
        files = []
    return [Edit(file, gone, b"".join(left)) for file, (gone, left) in files if gone]


Split = tuple[list[bytes], list[bytes]]  # lines that go, and those that stay


def _split(lines: Iterator[tuple[bytes, dict]], goes: Callable[[dict], bool]) -> Split:
    gone: list[bytes] = []
    left: list[bytes] = []
    for raw, fields in lines:
        (gone if fields and goes(fields) else left).append(raw)
    return gone, left


def _kaldi(path: Path, ids: Container[str], speakers: Container[str]) -> list[tuple[Path, Split]]:
    segments = _split(_table(path / "segments"), lambda row: row.get("key") in ids)
    # The second word of a segment's line is its recording.
    lost, used = (
        {line.decode().split()[1] for line in lines if line.strip()} for lines in segments
    )
    recordings = lost - used if (path / "segments").is_file() else ids
    keys = dict.fromkeys(BY_UTTERANCE, ids) | dict.fromkeys(BY_RECORDING, recordings)
    keys["spk2gender"] = speakers
    files = []
    for name, gone in keys.items():
        files.append((path / name, _split(_table(path / name), _names(gone))))
    return [*files, (path / "spk2utt", _without_words(path / "spk2utt", ids))]


def _names(gone: Container[str]) -> Callable[[dict], bool]:
    """Returns what tells whether a line of a table is of one of these."""
    return lambda row: row.get("key") in gone


def _without_words(path: Path, ids: Container[str]) -> Split:
    """Splits spk2utt, where a line goes on without some of its utterances."""
    gone, left = [], []
    for raw, fields in _table(path):
        words = fields.get("rest", "").split()
        if not any(word in ids for word in words):
            left.append(raw)
            continue
        gone.append(raw)
        if stay := [word for word in words if word not in ids]:
            left.append(" ".join([fields["key"], *stay]).encode() + b"\n")
    return gone, left


def _table(path: Path) -> Iterator[tuple[bytes, dict]]:
    for raw in _lines(path):
        words = raw.decode("utf-8-sig", "surrogateescape").split(maxsplit=1)
        yield raw, dict(zip(("key", "rest"), words, strict=False))


def _json_lines(path: Path, ids: Container[str], key: str = "id") -> Split:
    return _split(_parsed(_lines(path)), lambda row: row.get(key) in ids)


def _parsed(lines: Iterable[bytes]) -> Iterator[tuple[bytes, dict]]:
    for raw in lines:
        try:
            yield raw, json_object(raw.removeprefix(b"\xef\xbb\xbf"))
        except (ValueError, RecursionError):  # a line that the import leaves out, too
            yield raw, {}


def _lhotse(path: Path, ids: Container[str]) -> list[tuple[Path, Split]]:
    """Splits a manifest of cuts, or those of supervisions and of the recordings that are theirs."""
    if path.is_file():
        return [(path, _json_lines(path, ids))]
    files = []
    for file in sorted(path.glob("*supervisions*.jsonl*")):
        spoken = _json_lines(file, ids)
        files.append((file, spoken))
        gone, left = ({str(row.get("recording_id")) for _, row in _parsed(side)} for side in spoken)
        beside = file.with_name(file.name.replace("supervisions", "recordings"))
        files.append((beside, _json_lines(beside, gone - left)))
    return files


def _rows(path: Path) -> Iterator[tuple[bytes, dict]]:
    """Yields the lines of each record of a table, with its fields; the header with none."""
    lines, rows = list(_lines(path)), list(csv_rows(path))
    ends = [number - 1 for number, _ in rows] + [len(lines)]
    yield b"".join(lines[: ends[0]]), {}
    for (number, row), end in zip(rows, ends[1:], strict=True):
        yield b"".join(lines[number - 1 : end]), row if isinstance(row, dict) else {}


def _lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a list with their ends, unpacked; none where there is no list."""
    if not path.is_file():
        return
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    yield from io.BytesIO(content)
