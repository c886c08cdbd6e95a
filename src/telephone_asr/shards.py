"""Lhotse Shar shards: `recording.000000.tar.gz` with the sound beside `cuts.000000.jsonl.gz`.

A shard holds a fixed number of utterances, so its bytes do not depend on who wrote it.
Lhotse reads the directories back with `CutSet.from_shar(in_dir=...)`. Its own writer is not used,
for two things it does not do: G.711 speech takes 33 MB an hour as FLAC and 27 as compressed G.711
codes; and every utterance is a gzip member of its own, so that training can read them in any order
(gzip readers take the members as one stream).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from zlib_ng import zlib_ng

from telephone_asr.channel import g711
from telephone_asr.errors import InputError

REJECTED = "rejected.jsonl"


@dataclass(frozen=True)
class Utterance:
    """One utterance with its sound: what every corpus reader yields and every shard holds."""

    id: str
    samples: np.ndarray  # int16, mono
    sample_rate_hz: int
    text: str
    speaker: str
    scene: str = ""
    annotation_error: bool = False
    custom: dict = field(default_factory=dict)  # what was done to it, for the scores by condition


@dataclass(frozen=True)
class Rejected:
    """An utterance that could not be read, and why."""

    id: str
    reason: str
    detail: str


def write_shards(directory: Path, utterances: Iterable[Utterance], shard_size: int) -> int:
    """Writes all of them, `shard_size` to a shard; returns how many there were."""
    utterances = iter(utterances)
    total = 0
    for index in range(1_000_000):
        chunk = list(islice(utterances, shard_size))
        if not chunk:
            break
        write_shard(directory, index, chunk)
        total += len(chunk)
    return total


def write_shard(directory: Path, index: int, utterances: Sequence[Utterance]) -> None:
    """Writes one shard. Both files appear whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    cuts = [_cut(utterance) for utterance in utterances]
    lines = [json.dumps(cut, ensure_ascii=False) + "\n" for cut in cuts]
    sounds = [_tar_members(u, cut["recording"]) for u, cut in zip(utterances, cuts, strict=True)]
    end_of_tar = _gzip(bytes(2 * tarfile.BLOCKSIZE))
    _replace(_tar_path(directory, index), b"".join(sounds) + end_of_tar)
    _replace(_cuts_path(directory, index), _gzip("".join(lines).encode()))


def _tar_path(directory: Path, index: int) -> Path:
    return directory / f"recording.{index:06d}.tar.gz"


def _cuts_path(directory: Path, index: int) -> Path:
    return directory / f"cuts.{index:06d}.jsonl.gz"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name("." + path.name)
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _gzip(content: bytes) -> bytes:
    """One gzip member; zlib, unlike the gzip module, leaves the time of day out of it."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush()


def _gzip_sound(content: bytes) -> bytes:
    """One gzip member. Sound repeats nothing: looking for repetitions costs time, counting codes
    does all there is, and zlib-ng does it faster than zlib, with the same bytes."""
    packer = zlib_ng.compressobj(wbits=31, strategy=zlib_ng.Z_HUFFMAN_ONLY)
    return packer.compress(content) + packer.flush()


def _tar_members(utterance: Utterance, recording: dict) -> bytes:
    """The sound and Lhotse's description of it as two members of a tar, in one gzip member."""
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
    return _gzip_sound(bytes(packed))


def _sound_file(samples: np.ndarray, sample_rate_hz: int) -> tuple[bytes, str]:
    """A WAV of G.711 codes where they give the samples back exactly, FLAC otherwise."""
    for law, encoding in (("mulaw", 7), ("alaw", 6)):
        # A few samples are enough to see that it is not this law.
        if all(np.array_equal(g711.through(s, law), s) for s in (samples[:256], samples)):
            return _g711_wav(g711.encode(samples, law), sample_rate_hz, encoding), "wav"
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue(), "flac"


def _g711_wav(codes: np.ndarray, sample_rate_hz: int, encoding: int) -> bytes:
    """A WAV with these codes as they are (RFC 2361); libsndfile would encode otherwise."""
    n = len(codes)
    fmt = struct.pack("<HHIIHHH", encoding, 1, sample_rate_hz, sample_rate_hz, 1, 8, 0)
    fact = struct.pack("<4sII", b"fact", 4, n)
    data = struct.pack("<4sI", b"data", n) + codes.tobytes() + bytes(n % 2)
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(fmt)) + fmt + fact + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _cut(utterance: Utterance) -> dict:
    """The Lhotse cut (MonoCut) of an utterance, its sound to be found in the tar beside it.

    Written as Lhotse's to_dict() would: making its objects takes longer than all the rest.
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
        **({"custom": utterance.custom} if utterance.custom else {}),
        "type": "MonoCut",
    }


def read_cuts(directory: Path) -> Iterator[dict]:
    """The cuts of a directory of shards as plain dictionaries, in order, without their sound.

    Plain dictionaries, because building Lhotse's objects takes ten times as long as reading them.
    """
    paths = sorted(directory.glob("cuts.*.jsonl.gz"))
    if not paths:
        raise InputError(f"{directory} holds no shards (cuts.*.jsonl.gz): run `dvc repro`.")
    for path in paths:
        yield from _read_lines(path)


def _read_lines(path: Path) -> list[dict]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _damaged(path, str(error)) from None


def read_shard(directory: Path, index: int) -> Iterator[Utterance]:
    """The utterances of one shard, in order, with their sound."""
    sounds = SoundIndex([_tar_path(directory, index)])
    for cut in _read_lines(_cuts_path(directory, index)):
        supervision = cut["supervisions"][0]
        samples, sample_rate_hz = sounds.read(cut["id"])
        yield Utterance(
            id=cut["id"],
            samples=samples,
            sample_rate_hz=sample_rate_hz,
            text=supervision["text"],
            speaker=supervision["speaker"],
            scene=supervision["custom"]["scene"],
            annotation_error=supervision["custom"]["annotation_error"],
            custom=cut.get("custom") or {},
        )


def has_shard(directory: Path, index: int) -> bool:
    """Whether a shard is there, whole: its cuts are written last."""
    return _cuts_path(directory, index).is_file()


def count_shards(directory: Path) -> int:
    return len(list(directory.glob("cuts.*.jsonl.gz")))


class SoundIndex:
    """Random access to the sound in shards, by utterance id.

    Lhotse reads shards from front to back; training in length buckets needs them in any order.
    Making the index reads the tars once; it takes some 200 bytes of memory an utterance.
    """

    def __init__(self, tar_paths: Sequence[Path]):
        self._paths = [str(path) for path in tar_paths]
        self._places: dict[str, tuple[int, int, int, str]] = {}  # id: (tar, offset, bytes, suffix)
        for number, path in enumerate(tar_paths):
            for name, offset, size in _index(path):
                key, suffix = name.rsplit(".", 1)
                self._places[key] = (number, offset, size, suffix)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def read(self, key: str) -> tuple[np.ndarray, int]:
        """Samples (int16, mono) and sample rate in Hz."""
        samples, sample_rate_hz = soundfile.read(io.BytesIO(self.read_file(key)), dtype="int16")
        return samples, sample_rate_hz

    def suffix(self, key: str) -> str:
        """wav or flac."""
        return self._places[key][3]

    def read_file(self, key: str) -> bytes:
        """The sound as the file it is in the shard."""
        number, offset, size, _ = self._places[key]
        with open(self._paths[number], "rb") as file:
            file.seek(offset)
            packed = file.read(size)
        try:
            unpacked = zlib.decompress(packed, wbits=31)
        except zlib.error as error:
            raise _damaged(self._paths[number], f"at utterance {key}, {error}") from None
        member, start = _first_member(unpacked)
        return unpacked[start : start + member.size]


def sound_index(directory: Path) -> SoundIndex:
    """All sound of a directory of shards."""
    return SoundIndex(sorted(directory.glob("recording.*.tar.gz")))


def _index(path: Path) -> Iterator[tuple[str, int, int]]:
    """File name, offset and size of each utterance's gzip member in a tar."""
    if not path.is_file():
        raise _damaged(path, "it is missing")
    packed = path.read_bytes()
    offset, unpacked = 0, b""
    while offset < len(packed):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked = unpacker.decompress(memoryview(packed)[offset:])
        except zlib.error as error:
            raise _damaged(path, str(error)) from None
        if not unpacker.eof:
            raise _damaged(path, "it ends early")
        size = len(packed) - offset - len(unpacker.unused_data)
        if unpacked[:1] != b"\0":  # the end of a tar is zeros
            yield _first_member(unpacked)[0].name, offset, size
        offset += size
    if unpacked[:1] != b"\0":
        raise _damaged(path, "it ends early")


def _first_member(unpacked: bytes) -> tuple[tarfile.TarInfo, int]:
    """The sound's entry and where its bytes begin; a name that is long or not ASCII has a header of
    its own before it."""
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
        member = tar.next()
        return member, member.offset_data


def _damaged(path: Path | str, how: str) -> InputError:
    return InputError(
        f"{path} is damaged ({how}): delete its directory and run `dvc checkout` or `dvc repro`."
    )
