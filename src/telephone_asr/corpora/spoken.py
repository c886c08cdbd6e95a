"""Speech that was made once and is kept compressed: a zip of Ogg Opus files for each speaker.

In SPEAKER.zip, `index.json` says what the speaker says, under which licence and by what it was
made; `ID.opus` is the sound of each utterance, mono at SAMPLE_RATE_HZ. `corpora/speak.py` makes
directories of them. A file each, so that another voice does not cost git all of the speech again.

It decodes to the same bytes everywhere, since all frames are of Opus' SILK mode: its decoder
computes in whole numbers, where CELT, Opus' other mode, and most other codecs compute in floating
point. Whole numbers of 16 bits is then what libsndfile gives, and anything else is refused. FFmpeg
has an Opus decoder of its own, in floating point, with other bits on each processor.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import soundfile

from telephone_asr.errors import InputError
from telephone_asr.outs import new_out

SAMPLE_RATE_HZ = 16_000
INDEX = "index.json"
_SCALE = np.float32(32_768)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # else the archive would hold the time of day


@dataclass(frozen=True)
class Spoken:
    """An utterance of the archive, without its sound."""

    id: str
    text: str  # the transcript
    said: str  # differs from `text` only where annotation_error
    scene: str
    speaker: str
    annotation_error: bool
    samples: int
    sha256: str  # of them: int16, little endian

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Archive:
    """The index of one speaker's archive."""

    licence: str
    made_with: dict[str, str]  # versions by name
    utterances: list[Spoken]


def decode(content: bytes) -> np.ndarray:
    """Returns the samples of an Ogg Opus file, int16 (n,).

    Raises ValueError where it is none, or holds frames that processors decode otherwise.
    """
    try:
        samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(str(error)) from None
    whole = samples * _SCALE
    if rate_hz != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise ValueError(f"it is not mono at {SAMPLE_RATE_HZ} Hz")
    if not np.array_equal(whole, np.rint(whole)):
        raise ValueError("it has frames outside of Opus' SILK mode")
    return np.clip(whole, -32_768, 32_767).astype("<i2")


def fingerprint(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def read_index(directory: Path) -> list[Spoken]:
    """Reads what the archives of a directory hold, in the order of the ids.

    Raises InputError where there are none, or one is damaged.
    """
    archives = sorted(directory.glob("*.zip"))
    if not archives:
        raise InputError(f"{directory} holds no archive of speech (SPEAKER.zip).")
    return sorted((one for path in archives for one in read_archive(path).utterances), key=_id)


def read_archive(path: Path) -> Archive:
    """Reads the index of one archive. Raises InputError where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read(INDEX))
        utterances = [Spoken(**one) for one in index["utterances"]]
        if {one.speaker for one in utterances} != {path.stem}:
            raise ValueError("it is not named as the one speaker whose speech it holds")
        return Archive(**{**index, "utterances": utterances})
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from None


def _id(one: Spoken) -> str:
    return one.id


def first(utterances: Sequence[Spoken], minutes: float) -> list[Spoken]:
    """Returns the first of the utterances: `minutes` of them, or all."""
    starts_s = accumulate((one.seconds for one in utterances), initial=0.0)
    return [
        one for one, start_s in zip(utterances, starts_s, strict=False) if start_s < 60 * minutes
    ]


def read(directory: Path, utterances: Sequence[Spoken]) -> Iterator[tuple[Spoken, np.ndarray]]:
    """Yields utterances of a directory with their samples, int16 at SAMPLE_RATE_HZ.

    Raises InputError where one does not decode to the bytes that the index promises.
    """
    with ExitStack() as stack:
        archives: dict[str, zipfile.ZipFile] = {}
        for one in utterances:
            path = directory / f"{one.speaker}.zip"
            if one.speaker not in archives:
                archives[one.speaker] = stack.enter_context(zipfile.ZipFile(path))
            try:
                samples = decode(archives[one.speaker].read(f"{one.id}.opus"))
            except (KeyError, ValueError, zipfile.BadZipFile) as error:
                raise _damaged(path, f"at {one.id}, {error}") from None
            if fingerprint(samples) != one.sha256:
                raise _damaged(path, f"{one.id} decodes to other samples than when it was made")
            yield one, samples


def write(path: Path, index: Archive, sounds: dict[str, bytes]) -> None:
    """Writes an archive, of one .opus file for each utterance; it appears whole or not at all."""
    content = json.dumps(asdict(index), ensure_ascii=False, separators=(",", ":"))
    with new_out(path) as new, zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        packed = zipfile.ZipInfo(INDEX, _LONG_AGO)
        archive.writestr(packed, content, zipfile.ZIP_DEFLATED)
        for one in index.utterances:
            archive.writestr(zipfile.ZipInfo(f"{one.id}.opus", _LONG_AGO), sounds[one.id])


def _damaged(path: Path, how: str) -> InputError:
    return InputError(
        f"{path} is no archive of speech, or damaged ({how.rstrip('.')}): restore it by git, or "
        "make it again with `python -m telephone_asr.corpora.speak`."
    )
