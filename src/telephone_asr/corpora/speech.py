"""Hanzi into pinyin, and pinyin into audio with espeak-ng.

Run as a module, this file is the synthesiser that `synthesise` starts: one JSON request a line on
standard input, one utterance on standard output for each. espeak-ng carries state from one
utterance to the next, so that the same text twice in one process gives different bytes. Each
utterance is therefore spoken by a fork of a process that has initialised espeak-ng and never
spoken; that process is one of our own because forking a parent with threads is not safe.
"""

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
import soxr

from telephone_asr.channel.portable import amplitude

SAMPLE_RATE_HZ = 16_000

_ESPEAK_VOICE = "cmn-latn-pinyin"
_ESPEAK_RATE_HZ = 22_050
# Numbers of speak_lib.h.
_SYNCHRONOUS, _CHARS_UTF8, _RATE, _PITCH, _RANGE = 2, 1, 1, 3, 4
_SILENCE_DB = -50.0  # below the peak: under the weakest initial of any voice, above its noise
_IN_FLIGHT = 8  # requests sent ahead to one process; few enough to fit the pipe's buffer


@dataclass(frozen=True)
class Request:
    """An utterance to speak, and how."""

    pinyin: str  # syllables with tone numbers, parted by spaces
    variant: str  # a file of espeak-ng-data/voices/!v
    pitch: int  # espeak's 0-99
    pitch_range: int  # espeak's 0-99
    rate: int  # words a minute
    tract: float  # factor on all frequencies; > 1 is a shorter vocal tract
    level_db: float  # peak, relative to full scale
    before_s: float  # silence
    after_s: float


def pinyin(text: str, readings: dict[str, str]) -> list[str]:
    """Returns the syllables of `text` as they are spoken, tones 1-5, ü as v.

    `readings` overrides the dictionaries of pypinyin phrase by phrase, longer phrases last. Then
    tone sandhi: 不 before a fourth tone is bu2, and in a run of third tones only the last is one.
    """
    import pypinyin  # takes a while to import, and only the planning side needs it

    syllables = pypinyin.lazy_pinyin(
        text,
        style=pypinyin.Style.TONE3,
        neutral_tone_with_five=True,
        errors=list,  # type: ignore[arg-type] # its annotation leaves out that it takes lists
    )
    for phrase in sorted(readings, key=len):
        start = text.find(phrase)
        while start >= 0:
            syllables[start : start + len(phrase)] = readings[phrase].split()
            start = text.find(phrase, start + len(phrase))
    for i, syllable in enumerate(syllables[:-1]):
        following = syllables[i + 1][-1]
        if syllable == "bu4" and following == "4":
            syllables[i] = "bu2"
        elif syllable[-1] == "3" and following == "3":
            syllables[i] = syllable[:-1] + "2"
    return syllables


def variants() -> set[str]:
    """Returns the names of the voice variants that espeak-ng has."""
    return set(os.listdir(Path(espeakng_loader.get_data_path()) / "voices" / "!v"))


def synthesise(requests: Iterable[Request], workers: int = 1) -> Iterator[np.ndarray]:
    """Yields the audio of each request in order: mono int16 at SAMPLE_RATE_HZ.

    The bytes depend on the request alone, not on the order or on the number of `workers`.
    """
    with ExitStack() as stack:
        pool = [stack.enter_context(_Synthesiser()) for _ in range(workers)]
        busy: deque[_Synthesiser] = deque()
        for i, request in enumerate(requests):
            if len(busy) == workers * _IN_FLIGHT:
                yield busy.popleft().receive()
            synthesiser = pool[i % workers]
            synthesiser.send(request)
            busy.append(synthesiser)
        while busy:
            yield busy.popleft().receive()


class _Synthesiser:
    """A process that speaks requests one after another."""

    def __enter__(self) -> "_Synthesiser":
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # One thread: a process with threads must not fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None  # it is a pipe
        assert self._process.stdout is not None
        self._requests, self._spoken = self._process.stdin, self._process.stdout
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever stops early leaves audio unread, which the process would wait on for ever.
        self._process.kill()
        self._requests.close()
        self._spoken.close()
        self._process.wait()

    def send(self, request: Request) -> None:
        self._requests.write(json.dumps(asdict(request)).encode() + b"\n")
        self._requests.flush()

    def receive(self) -> np.ndarray:
        size = self._spoken.read(4)
        data = self._spoken.read(*struct.unpack("<I", size)) if len(size) == 4 else b""
        if not data:
            raise RuntimeError("espeak-ng ended without speaking; its message is above.")
        return np.frombuffer(data, "<i2").copy()  # writable, as torch wants it


def _serve() -> None:
    """Answers the requests of standard input until it ends."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly when nobody listens any more
    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    if espeak.espeak_Initialize(_SYNCHRONOUS, 0, data, 0) != _ESPEAK_RATE_HZ:
        raise RuntimeError("espeak-ng does not initialise at 22,050 Hz.")
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else seeded with the time of day
    espeak.espeak_ListVoices(None)  # which each fork would do, reading some hundred files
    for line in sys.stdin:
        request = Request(**json.loads(line))
        if not (child := os.fork()):
            samples = _finish(_speak(espeak, request), request).tobytes()
            sys.stdout.buffer.write(struct.pack("<I", len(samples)) + samples)
            sys.stdout.buffer.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError(f"espeak-ng failed on {request}.")


def _speak(espeak: ctypes.CDLL, request: Request) -> np.ndarray:
    """Returns what espeak-ng says, int16 at its own 22,050 Hz."""
    chunks: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def receive(samples: int | None, count: int, _events: int) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on

    espeak.espeak_SetSynthCallback(receive)
    espeak.espeak_SetVoiceByName(f"{_ESPEAK_VOICE}+{request.variant}".encode())
    espeak.espeak_SetParameter(_RATE, request.rate, 0)
    espeak.espeak_SetParameter(_PITCH, request.pitch, 0)
    espeak.espeak_SetParameter(_RANGE, request.pitch_range, 0)
    text = request.pinyin.encode() + b"\0"
    espeak.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 0, 0, _CHARS_UTF8, None, None)
    return np.frombuffer(b"".join(chunks), "<i2")


def _finish(spoken: np.ndarray, request: Request) -> np.ndarray:
    """Brings speech to 16 kHz, to its margins of silence and to its level."""
    # Played faster than it was spoken, all frequencies rise together: a shorter vocal tract.
    # Pitch and rate rise with them.
    samples = soxr.resample(
        spoken.astype(np.float32), _ESPEAK_RATE_HZ * request.tract, SAMPLE_RATE_HZ
    )
    peak = np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > peak * amplitude(_SILENCE_DB))
    samples = samples[loud[0] : loud[-1] + 1] * (32_767 * amplitude(request.level_db) / peak)
    margins = [round(s * SAMPLE_RATE_HZ) for s in (request.before_s, request.after_s)]
    return np.pad(np.rint(samples).astype("<i2"), margins)


if __name__ == "__main__":
    _serve()
