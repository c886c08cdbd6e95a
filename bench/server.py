"""FunASR's own OpenAI-compatible server on an exported model: load, long sound, broken uploads.

    pip install -c constraints.txt -e '.[dev]'
    python bench/server.py [--model models/final] [--corpus telecall] [--calls 100]

Starts `funasr-server --model-path` on 127.0.0.1 on a CPU, and calls it with the `openai` package,
with test utterances of a corpus as `dvc repro` made it. Prints how long calls take of which so many
are there at a time; what becomes of sound without pauses for minutes; what becomes of uploads that
are no sound and of clients that go away, and of the call after each; and the CER beside that of
`telephone-asr transcribe --whole`, also of a copy of the model whose config.yaml says `itn: true`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import soundfile

AT_A_TIME = (1, 2, 5, 10)
MINUTES = (1, 3, 10)
START_S, STOP_S, CALL_S = 600, 10, 600  # the longest that is waited for


@dataclass
class Server:
    """A server that runs in another process."""

    url: str
    process: subprocess.Popen

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Returns its resident memory, or the largest so far (VmHWM); Linux has it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 1000

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=CALL_S) as response:
                return response.status == 200
        except OSError:
            return False


@contextlib.contextmanager
def serving(
    model: Path, log: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[Server]:
    """Starts a server on a free port of 127.0.0.1, and ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "funasr.bin.server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--device", "cpu", "--model-path", str(model)]
    with (
        log.open("w") as written,
        subprocess.Popen(
            command, stdout=written, stderr=subprocess.STDOUT, env=dict(environment)
        ) as process,
    ):
        server = Server(f"http://127.0.0.1:{port}", process)
        try:
            end = time.monotonic() + START_S
            while not server.answers():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:  # it hears no signal while it decodes
                process.kill()


# --- Clients


@dataclass(frozen=True)
class Answer:
    """What a client got: a text or the error's class and status, and after how long."""

    seconds: float
    text: str | None
    error: str = ""


def call(server: Server, name: str, content: bytes, **options: Any) -> Answer:
    import openai

    # Without max_retries=0 the package sends what the server cannot read three times.
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=CALL_S
    ) as client:
        started = time.perf_counter()
        try:
            text = client.audio.transcriptions.create(
                model="custom", file=(name, content), **options
            ).text
        except openai.APIStatusError as error:
            return Answer(time.perf_counter() - started, None, f"HTTP {error.status_code}")
        except openai.APIError as error:
            return Answer(time.perf_counter() - started, None, type(error).__name__)
        return Answer(time.perf_counter() - started, text)


def calls(
    server: Server, contents: Sequence[bytes], at_a_time: int, **options: Any
) -> list[Answer]:
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(lambda each: call(server, "call.wav", each, **options), contents))


def leave(server: Server, content: bytes, share: float) -> None:
    """Sends that share of an upload and closes the connection, without waiting for an answer."""
    head = b"--x\r\nContent-Disposition: form-data; "
    body = head + b'name="model"\r\n\r\ncustom\r\n'
    body += head + b'name="file"; filename="call.wav"\r\n\r\n' + content + b"\r\n--x--\r\n"
    request = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname or "", at.port or 0)) as to:
        to.sendall(request + body[: round(share * len(body))])


def broken(sound: bytes) -> dict[str, tuple[str, bytes]]:
    """Returns file names and contents that are no whole sound, by what they are."""
    return {
        "the first half of a WAV": ("call.wav", sound[: len(sound) // 2]),
        "a WAV's header alone": ("call.wav", sound[:44]),
        "20 bytes of a WAV": ("call.wav", sound[:20]),
        "an empty file": ("call.wav", b""),
        "text that is called .wav": ("call.wav", b"call back on Monday"),
        "text that is called .txt": ("notes.txt", b"call back on Monday"),
    }


# --- Sound


def wav(samples: np.ndarray, rate_hz: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, "PCM_16", format="WAV")
    return file.getvalue()


def spread_utterances(corpus: str, count: int) -> tuple[list[tuple[np.ndarray, str]], int]:
    """Returns int16 samples and texts from all over a test set, and their rate in Hz."""
    from telephone_asr.manifests.messages import read_manifest
    from telephone_asr.paths import MANIFESTS, SHARDS
    from telephone_asr.shards import sound_index

    examples = read_manifest(MANIFESTS / corpus / "test.jsonl")
    chosen = examples[:: max(1, len(examples) // count)][:count]
    sounds = sound_index(SHARDS[corpus])
    read = [(*sounds.read(example.key), example.text) for example in chosen]
    return [(samples, text) for samples, _, text in read], read[0][1]


def for_minutes(
    utterances: Sequence[tuple[np.ndarray, str]], minutes: float, rate_hz: int
) -> tuple[np.ndarray, str]:
    """Returns utterances after one another, again and again, and all that is said in them."""
    sound, said, left = [], "", round(60 * minutes * rate_hz)
    while left > 0:
        for samples, text in utterances:
            if left > 0:
                sound.append(samples[:left])
                said, left = said + text, left - len(samples)
    return np.concatenate(sound), said


# --- Tables


def show(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*names: str) -> None:
    print()
    show(*names)
    print("|:--|" + "--:|" * (len(names) - 1))


def load_table(server: Server, contents: Sequence[bytes], sound_s: float) -> None:
    calls(server, contents[:3], 1)  # the first ones are slower
    names = ("calls at a time", "n", "median s", "95 % s", "real-time factor", "errors", "MB")
    head(*names)
    for at_a_time in AT_A_TIME:
        started = time.perf_counter()
        answers = calls(server, contents, at_a_time)
        factor = (time.perf_counter() - started) / sound_s
        seconds = [answer.seconds for answer in answers]
        errors = sum(answer.text is None for answer in answers)
        show(
            *(at_a_time, len(answers), f"{median(seconds):.2f}"),
            *(f"{np.percentile(seconds, 95):.2f}", f"{factor:.3f}", errors),
            f"{server.memory_mb():.0f}",
        )


def length_table(
    server: Server, utterances: Sequence[tuple[np.ndarray, str]], rate_hz: int
) -> None:
    """A long upload; meanwhile another client asks for /health, which does no work."""
    head("minutes", "s", "characters said", "written", "largest MB", "/health waits s")
    for minutes in MINUTES:
        samples, said = for_minutes(utterances, minutes, rate_hz)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(call, server, "call.wav", wav(samples, rate_hz))
            time.sleep(0.5)
            started = time.perf_counter()
            alive = server.answers()
            waited = f"{time.perf_counter() - started:.1f}" if alive else "no answer"
            result = answer.result()
        written = result.error if result.text is None else len(result.text)
        peak = f"{server.memory_mb('VmHWM'):.0f}" if server.process.poll() is None else "ended"
        show(minutes, f"{result.seconds:.1f}", len(said), written, peak, waited)


def breakage_table(server: Server, samples: np.ndarray, rate_hz: int, folder: Path) -> None:
    """What no caller should send, each followed by a call as it should be."""
    sound = wav(samples, rate_hz)
    other = folder / "other.wav"
    other.write_bytes(sound)
    uploads = broken(sound) | {
        "a list (.txt) with a path on the server's disk": ("list.txt", f"x {other}".encode()),
        "a WAV at 16,001 Hz": ("call.wav", wav(samples, 16_001)),
    }
    head("upload", "answer", "s", "largest MB", "the next call")

    def tell(what: str, act: Callable[[], Answer | None]) -> None:
        started = time.perf_counter()
        answer = act()
        seconds = f"{time.perf_counter() - started:.1f}"
        said = "-" if answer is None else answer.error or f"HTTP 200, {answer.text!r}"
        after = call(server, "call.wav", sound)
        next_one = f"{after.error or 'answered'} after {after.seconds:.1f} s"
        show(what, said, seconds, f"{server.memory_mb('VmHWM'):.0f}", next_one)

    for what, (name, content) in uploads.items():
        tell(what, partial(call, server, name, content))
    tell("the client leaves in the middle of its upload", lambda: leave(server, sound, 0.5))
    tell("the client leaves before its answer", lambda: leave(server, sound, 1))


def text_table(
    model: Path, folder: Path, utterances: Sequence[tuple[np.ndarray, str]], rate_hz: int
) -> None:
    from omegaconf import OmegaConf

    from telephone_asr import load_model
    from telephone_asr.calls.recording import Choice
    from telephone_asr.calls.transcriber import transcribe_calls
    from telephone_asr.calls.turns import Call

    written = Path(shutil.copytree(model, folder / "written"))
    config = OmegaConf.load(written / "config.yaml")
    config.itn = True  # asks for digits and punctuation, whatever the model was adapted with
    OmegaConf.save(config, written / "config.yaml")
    paths = [folder / f"{index}.wav" for index in range(len(utterances))]
    for path, (samples, _) in zip(paths, utterances, strict=True):
        path.write_bytes(wav(samples, rate_hz))
    found = transcribe_calls(load_model(model, "cpu"), paths, Choice(whole=True))
    ours = ["".join(turn.text for turn in one.turns) for one in found if isinstance(one, Call)]
    ways = {"telephone-asr transcribe --whole": ours}
    servers: dict[str, tuple[Path, dict[str, str]]] = {
        "served": (model, {}),
        "served, language=zh": (model, {"language": "zh"}),
        "served, `itn: true`": (written, {}),
    }
    for way, (directory, options) in servers.items():
        with serving(directory, folder / "server.log") as server:
            contents = [path.read_bytes() for path in paths]
            ways[way] = [answer.text or "" for answer in calls(server, contents, 1, **options)]
    head("texts", "n", "CER", "as transcribe writes them")
    said = [text for _, text in utterances]
    for way, texts in ways.items():
        same = sum(a == b for a, b in zip(texts, ours, strict=True))
        show(way, len(texts), f"{rate(said, texts):.1%}", same)


def rate(said: Sequence[str], heard: Sequence[str]) -> float:
    from telephone_asr.scoring.cer import ErrorRate, score

    return sum(score(said, heard), ErrorRate()).rate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/final"))
    parser.add_argument(
        "--corpus", choices=("simulated", "telecall", "wideband"), default="telecall"
    )
    parser.add_argument("--calls", type=int, default=100, help="in each row of the first table")
    a = parser.parse_args()
    utterances, rate_hz = spread_utterances(a.corpus, a.calls)
    sound_s = sum(len(samples) for samples, _ in utterances) / rate_hz
    mean_s = sound_s / len(utterances)
    print(f"{len(utterances)} utterances of {mean_s:.1f} s at {rate_hz} Hz, {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with serving(a.model, folder / "server.log") as server:
            load_table(server, [wav(samples, rate_hz) for samples, _ in utterances], sound_s)
            length_table(server, utterances, rate_hz)
        with serving(a.model, folder / "server.log") as server:
            breakage_table(server, utterances[0][0], rate_hz, folder)
        text_table(a.model, folder, utterances, rate_hz)


if __name__ == "__main__":
    main()
