"""Lhotse Shar shards: `recording.000000.tar.gz` with the sound beside `cuts.000000.jsonl.gz`.

A shard holds a fixed number of utterances, so its bytes do not depend on who wrote it.
Lhotse reads the directories back with `CutSet.from_shar(in_dir=...)`. Its own writer is not used,
for two things it does not do: G.711 speech takes 33 MB an hour as FLAC and 27 as compressed G.711
codes; and every utterance is a gzip member of its own (gzip readers take the members as one stream)
whose place its cut knows (custom: stored), so that training can read them in any order.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import tarfile
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from zlib_ng import zlib_ng

from telephone_asr.channel import g711
from telephone_asr.errors import InputError
from telephone_asr.outs import new_out

REJECTED = "rejected.jsonl"
SIMULATED_PREFIX = "sim-"
CORPUS = "corpus"  # in the custom fields of a cut: its corpus's name, where there are several


@dataclass(frozen=True)
class Utterance:
    """An utterance with its sound, as every corpus reader yields and every shard holds it."""

    id: str
    samples: np.ndarray  # int16, mono
    sample_rate_hz: int
    text: str
    speaker: str
    scene: str = ""
    annotation_error: bool = False
    custom: dict = field(default_factory=dict)  # what was done to it, for the scores by condition


def simulated_id(id_: str) -> str:
    """Returns the id of an utterance's simulation over the line."""
    return SIMULATED_PREFIX + id_


def recorded_id(id_: str) -> str:
    """Returns the id of the utterance that a simulation was made of."""
    return id_.removeprefix(SIMULATED_PREFIX)


@dataclass(frozen=True)
class Rejected:
    """An utterance that could not be read, and why."""

    id: str
    reason: str
    detail: str
    corpus: str = ""  # its name, where there are several

    def fields(self) -> dict[str, str]:
        """Returns what a list of them says of it."""
        return {name: value for name, value in vars(self).items() if value or name != "corpus"}


def write_shards(directory: Path, utterances: Iterable[Utterance], shard_size: int) -> int:
    """Writes all of them, `shard_size` to a shard; returns how many there were."""
    utterances = iter(utterances)
    total = 0
    for index in range(1_000_000):
        first = next(utterances, None)
        if first is None:
            break
        total += write_shard(directory, index, chain([first], islice(utterances, shard_size - 1)))
    return total


def write_shard(directory: Path, index: int, utterances: Iterable[Utterance]) -> int:
    """Writes one shard, an utterance at a time; returns how many there were. Both files appear
    whole or not at all."""
    lines = []
    with new_out(_tar_path(directory, index)) as new, open(new, "wb") as tar:
        for utterance in utterances:
            cut = _cut(utterance)
            packed, suffix = _tar_members(utterance, cut["recording"])
            place = {"offset": tar.tell(), "bytes": len(packed)}
            stored = {"suffix": suffix, "shard": index, **place}
            cut["custom"] = utterance.custom | {"stored": stored}
            tar.write(packed)
            lines.append(json.dumps(cut, ensure_ascii=False) + "\n")
        tar.write(_end_of_tar())
    with new_out(_cuts_path(directory, index)) as new:
        new.write_bytes(_gzip("".join(lines).encode()))
    return len(lines)


def _tar_path(directory: Path, index: int) -> Path:
    return directory / f"recording.{index:06d}.tar.gz"


def _cuts_path(directory: Path, index: int) -> Path:
    return directory / f"cuts.{index:06d}.jsonl.gz"


def _gzip(content: bytes, strategy: int = zlib_ng.Z_DEFAULT_STRATEGY) -> bytes:
    """Returns one gzip member, without the time of day, by the zlib-ng that is installed with its
    version: Python's own zlib is whichever the system has, and they pack alike no more."""
    packer = zlib_ng.compressobj(wbits=31, strategy=strategy)
    return packer.compress(content) + packer.flush()


@cache
def _end_of_tar() -> bytes:
    return _gzip(bytes(2 * tarfile.BLOCKSIZE))


def _tar_members(utterance: Utterance, recording: dict) -> tuple[bytes, str]:
    """Returns the sound and Lhotse's description of it as two members of a tar, in one gzip member;
    and what kind of file the sound is."""
    sound, suffix = _sound_file(utterance.samples, utterance.sample_rate_hz)
    description = json.dumps(recording).encode() + b"\n"
    packed = bytearray()
    for name, content in (
        (f"{utterance.id}.{suffix}", sound),
        (f"{utterance.id}.json", description),
    ):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        packed += member.tobuf(tarfile.PAX_FORMAT)
        packed += content + bytes(-len(content) % tarfile.BLOCKSIZE)
    # Sound repeats nothing: looking for repetitions costs time, counting codes does all there is.
    return _gzip(bytes(packed), zlib_ng.Z_HUFFMAN_ONLY), suffix


def _sound_file(samples: np.ndarray, sample_rate_hz: int) -> tuple[bytes, str]:
    """Returns a WAV of G.711 codes where they give the samples back exactly, FLAC otherwise."""
    for law, encoding in (("mulaw", 7), ("alaw", 6)):
        # A few samples are enough to see that it is not this law.
        if all(np.array_equal(g711.through(s, law), s) for s in (samples[:256], samples)):
            return _g711_wav(g711.encode(samples, law), sample_rate_hz, encoding), "wav"
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue(), "flac"


def _g711_wav(codes: np.ndarray, sample_rate_hz: int, encoding: int) -> bytes:
    """Returns a WAV with these codes as they are (RFC 2361); libsndfile would encode otherwise."""
    n = len(codes)
    fmt = struct.pack("<HHIIHHH", encoding, 1, sample_rate_hz, sample_rate_hz, 1, 8, 0)
    fact = struct.pack("<4sII", b"fact", 4, n)
    data = struct.pack("<4sI", b"data", n) + codes.tobytes() + bytes(n % 2)
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(fmt)) + fmt + fact + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _cut(utterance: Utterance) -> dict:
    """Returns the Lhotse cut (MonoCut) of an utterance, its sound to be found in the tar beside it.

    It is what Lhotse's to_dict() would give: making its objects takes longer than all the rest.
    """
    duration_s = len(utterance.samples) / utterance.sample_rate_hz
    recording = {
        "id": utterance.id,
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": utterance.sample_rate_hz,
        "num_samples": len(utterance.samples),
        "duration": duration_s,
        "channel_ids": [0],
    }
    supervision = {
        "id": utterance.id,
        "recording_id": utterance.id,
        "start": 0.0,
        "duration": duration_s,
        "channel": 0,
        "text": utterance.text,
        "language": "Chinese",
        "speaker": utterance.speaker,
        "custom": {"scene": utterance.scene, "annotation_error": utterance.annotation_error},
    }
    return {
        "id": utterance.id,
        "start": 0.0,
        "duration": duration_s,
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "custom": utterance.custom,
        "type": "MonoCut",
    }


def read_cuts(directory: Path) -> Iterator[dict]:
    """Yields the cuts of a directory of shards, in order, without their sound: as plain
    dictionaries, because building Lhotse's objects takes ten times as long as reading them.
    """
    require_shards(directory)
    for path in sorted(directory.glob("cuts.*.jsonl.gz")):
        yield from _read_lines(path)


def shard_cuts(directory: Path, index: int) -> list[dict]:
    """Returns the cuts of one shard."""
    return _read_lines(_cuts_path(directory, index))


def is_without_speech(cut: dict) -> bool:
    """Returns whether its corpus says that nobody speaks in it."""
    wrong = cut["supervisions"][0]["custom"]["annotation_error"]
    return cut["custom"].get("no_speech", False) and not wrong


def _read_lines(path: Path) -> list[dict]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _damaged(path, str(error)) from None


def read_shard(
    directory: Path, index: int, only: Container[str] | None = None
) -> Iterator[Utterance]:
    """Yields the utterances of one shard, in order, with their sound; of these ids alone, if they
    are given."""
    tar = _tar_path(directory, index)
    cuts = _read_lines(_cuts_path(directory, index))
    _check_tar(tar, cuts)
    with open(tar, "rb") as file:
        for cut in cuts:
            if only is not None and cut["id"] not in only:
                continue
            supervision = cut["supervisions"][0]
            custom = dict(cut["custom"])
            stored = custom.pop("stored")
            content = _unpack(file, stored["offset"], stored["bytes"], tar, cut["id"])
            samples, sample_rate_hz = _decode(content)
            yield Utterance(
                id=cut["id"],
                samples=samples,
                sample_rate_hz=sample_rate_hz,
                text=supervision["text"],
                speaker=supervision["speaker"],
                scene=supervision["custom"]["scene"],
                annotation_error=supervision["custom"]["annotation_error"],
                custom=custom,
            )


def stored_sound(directory: Path, cut: dict) -> tuple[str, bool]:
    """Returns whether the sound of one of `read_cuts` is wav or flac, and whether it is there."""
    stored = cut["custom"]["stored"]
    size = _tar_size(_tar_path(directory, stored["shard"]))
    return stored["suffix"], stored["offset"] + stored["bytes"] <= size


@lru_cache(maxsize=1)  # cuts come shard by shard
def _tar_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def has_shard(directory: Path, index: int) -> bool:
    """Returns whether a shard is there, whole: its cuts are written last."""
    return _cuts_path(directory, index).is_file()


def count_shards(directory: Path) -> int:
    return len(list(directory.glob("cuts.*.jsonl.gz")))


def require_shards(directory: Path) -> int:
    """Returns how many shards a directory holds; raises InputError where it holds none."""
    if not (shards := count_shards(directory)):
        raise InputError(f"{directory} holds no shards (cuts.*.jsonl.gz): run `dvc repro`.")
    return shards


class SoundIndex:
    """An index by utterance id of the sound in directories of shards.

    Lhotse reads shards from front to back; training in length buckets needs them in any order.
    It takes some 200 bytes of memory an utterance.
    """

    def __init__(self, directories: Sequence[Path]):
        self._tars: list[Path] = []
        self._places: dict[str, tuple[int, int, int, str]] = {}  # id: (tar, offset, bytes, suffix)
        for directory in directories:
            for index in range(count_shards(directory)):
                cuts = _read_lines(_cuts_path(directory, index))
                self._tars.append(_tar_path(directory, index))
                _check_tar(self._tars[-1], cuts)
                for cut in cuts:
                    place = cut["custom"]["stored"]
                    place = place["offset"], place["bytes"], sys.intern(place["suffix"])
                    self._places[cut["id"]] = (len(self._tars) - 1, *place)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def read(self, key: str) -> tuple[np.ndarray, int]:
        """Returns samples (int16, mono) and sample rate in Hz."""
        return _decode(self.read_file(key))

    def suffix(self, key: str) -> str:
        """Returns wav or flac."""
        return self._places[key][3]

    def read_file(self, key: str) -> bytes:
        """Returns the sound as the file it is in the shard."""
        number, offset, size, _ = self._places[key]
        with open(self._tars[number], "rb") as file:
            return _unpack(file, offset, size, self._tars[number], key)


def sound_index(directory: Path) -> SoundIndex:
    """Returns an index of all sound in a directory of shards."""
    return SoundIndex([directory])


def _check_tar(path: Path, cuts: Sequence[dict]) -> None:
    """Raises InputError unless the tar is as long as what its cuts say is in it."""
    places = [cut["custom"]["stored"] for cut in cuts]
    end = places[-1]["offset"] + places[-1]["bytes"] if places else 0
    if not path.is_file():
        raise _damaged(path, "it is missing")
    size, expected = path.stat().st_size, end + len(_end_of_tar())
    if size != expected:
        raise _damaged(path, f"it has {size} bytes, not {expected}")


def _unpack(file: IO[bytes], offset: int, size: int, path: Path, key: str) -> bytes:
    """Returns the sound of an utterance, as the file that lies in the tar."""
    file.seek(offset)
    try:
        unpacked = zlib.decompress(file.read(size), wbits=31)
    except zlib.error as error:
        raise _damaged(path, f"at utterance {key}, {error}") from None
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
        sound = next(
            iter(tar)
        )  # a name that is long or not ASCII has a header of its own before it
    return unpacked[sound.offset_data : sound.offset_data + sound.size]


def _decode(content: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(content), dtype="int16")


def _damaged(path: Path | str, how: str) -> InputError:
    return InputError(
        f"{path} is damaged ({how}): delete its directory and run `dvc checkout` or `dvc repro`."
    )
