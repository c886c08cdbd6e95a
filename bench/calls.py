"""A call of half an hour, transcribed by `telephone_asr` and by FunASR's own `AutoModel`.

    python bench/calls.py [--model models/final] [--corpus simulated] [--minutes 30]

The call has two channels of test utterances (of a corpus as `dvc repro` made it), with pauses,
twenty seconds of hold now and then, and 450 Hz tones in it. For each way: CER of each channel (its
texts after one another against all that was said on it), characters in turns that overlap with
nothing that was said, real-time factor without the loading, and the largest resident memory, also
of a call of a tenth of the length. FunASR's way is
`AutoModel(model=..., vad_model="silero-vad")` on a file of each channel, since it averages them.

Then each channel's text, without times, is aligned with its sound as `telephone-asr data align`
does it: once as it was said, once with the texts of every twentieth turn missing, and a sentence
that nobody says at other places. A turn is right where it has the text of the turns that it
overlaps with; its start and end are held against theirs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 8000
NOISE = 1e-4  # of full scale, in pauses: -80 dB
PAUSE_S = (0.8, 4.0)
HOLD_S, HOLD_SHARE = 20.0, 0.05
TONE_HZ, TONE_S = 450.0, 4.0  # as a Chinese exchange rings
WAYS = ("ours", "funasr")
LENGTHS = ("long", "short")
UNSAID = "今天下午公园里的花都开了我们一起去看看吧"


@dataclass(frozen=True)
class Said:
    """What is said on a channel of a made call."""

    channel: int
    start_s: float
    end_s: float
    text: str


def make_call(
    path: Path,
    utterances: Sequence[tuple[np.ndarray, str]],
    minutes: float,
    seed: int = 0,
    rate_hz: int = RATE_HZ,
) -> list[Said]:
    """Writes a stereo call; returns its turns.

    utterances: float32 samples and their texts, drawn from with replacement.
    """
    rng = np.random.default_rng(seed)
    samples = (NOISE * rng.standard_normal((round(60 * minutes * rate_hz), 2))).astype(np.float32)
    tone = 0.1 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(TONE_S * rate_hz)) / rate_hz)
    samples[: len(tone), 0] += tone[: len(samples)]
    said: list[Said] = []
    at_s, channel = TONE_S + 1, 0
    while True:
        sound, text = utterances[int(rng.integers(len(utterances)))]
        first = round(at_s * rate_hz)
        if first + len(sound) > len(samples):
            break
        samples[first : first + len(sound), channel] += sound
        said.append(Said(channel, at_s, at_s + len(sound) / rate_hz, text))
        hold = rng.random() < HOLD_SHARE
        at_s = said[-1].end_s + (HOLD_S if hold else rng.uniform(*PAUSE_S))
        channel = int(rng.integers(2))
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    return said


def write_lists(folder: Path, name: str, said: Sequence[Said]) -> None:
    """Writes what is said in a call as lists of calls: its turns, and all of each channel's text
    without times, as it was said and damaged."""
    turns = [
        {"id": f"turn-{n:04}", "start": round(one.start_s, 3), "end": round(one.end_s, 3)}
        | {"audio": f"{name}.wav", "channel": one.channel, "text": one.text}
        for n, one in enumerate(said)
    ]
    lists = {"turns": turns, "whole": [], "damaged": []}
    for channel, side in enumerate(("left", "right")):
        own = [one.text for one in said if one.channel == channel]
        head = {"id": side, "audio": f"{name}.wav", "channel": channel}
        lists["whole"].append({**head, "text": "，".join(own)})
        lists["damaged"].append({**head, "text": "，".join(damaged(own))})
    for kind, lines in lists.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{name}-{kind}.jsonl").write_text(text, encoding="utf-8")


def damaged(texts: Sequence[str]) -> Iterator[str]:
    """Leaves out every twentieth text, and puts in a sentence behind others."""
    for n, text in enumerate(texts):
        if n % 20 != 7:
            yield text
        if n % 20 == 13:
            yield UNSAID


def trimmed(samples: np.ndarray, share: float = 0.02) -> np.ndarray:
    """Returns speech without the quiet before and after it."""
    loud = np.flatnonzero(np.abs(samples) > share * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def held_out(corpus: str) -> tuple[list[tuple[np.ndarray, str]], int]:
    """Returns a corpus's test utterances, and their rate in Hz."""
    from telephone_asr.manifests.messages import read_manifest
    from telephone_asr.paths import MANIFESTS, SHARDS
    from telephone_asr.shards import sound_index

    sounds = sound_index(SHARDS[corpus])
    read = [
        (*sounds.read(example.key), example.text)
        for example in read_manifest(MANIFESTS / corpus / "test.jsonl")
    ]
    return [(trimmed(samples / np.float32(32768)), text) for samples, _, text in read], read[0][1]


# --- One way, in a process of its own


def ours(model: Path, path: Path) -> tuple[float, list[Said]]:
    import telephone_asr

    nano = telephone_asr.load_model(model)
    started = time.perf_counter()
    call = telephone_asr.transcribe(path, nano)
    seconds = time.perf_counter() - started
    return seconds, [Said(t.channel or 0, t.start_s, t.end_s, t.text) for t in call.turns]


def funasr(model: Path, path: Path) -> tuple[float, list[Said]]:
    from funasr import AutoModel

    recogniser = AutoModel(
        model=str(model),
        vad_model="silero-vad",
        vad_kwargs={"max_single_segment_time": 20_000},
        **{"disable_update": True, "disable_pbar": True, "device": "cpu", "log_level": "ERROR"},
    )
    seconds, said = 0.0, []
    for channel in (0, 1):
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            samples, rate_hz = soundfile.read(path)
            soundfile.write(file.name, samples[:, channel], rate_hz, "PCM_16")
            started = time.perf_counter()
            (found,) = recogniser.generate(file.name, itn=False) or [{"text": ""}]
            seconds += time.perf_counter() - started
        said.append(Said(channel, 0.0, 0.0, found["text"]))  # one text: it has no turns
    return seconds, said


def align(model: Path, path: Path) -> tuple[float, list[Said]]:
    """path: a list of transcripts."""
    import telephone_asr
    from telephone_asr.calls.align import align
    from telephone_asr.commands.align import MIN_SCORE
    from telephone_asr.corpora.calls import call_items

    nano = telephone_asr.load_model(model)
    started, said = time.perf_counter(), []
    for item in call_items(path):
        parts = align(nano, Path(item.audio), item.channel, item.text)
        said += [
            Said(item.channel or 0, part.start_s or 0.0, part.end_s or 0.0, part.text)
            for part in parts
            if part.score is not None and part.score >= MIN_SCORE
        ]
    return time.perf_counter() - started, said


def one_way(way: str, model: Path, path: Path) -> None:
    seconds, said = globals()[way](model, path)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    found = {"seconds": seconds, "peak_mb": peak_mb, "said": [asdict(one) for one in said]}
    print(json.dumps(found))


# --- All of them


def run(way: str, model: Path, path: Path) -> dict:
    command = [sys.executable, __file__, "--way", way, "--model", str(model), "--call", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "said": [Said(**one) for one in found["said"]]}


def row(way: str, model: Path, folder: Path, calls: dict[str, tuple[float, list[Said]]]) -> str:
    """Returns a line of the table: of the long call, and the memory of the short one."""
    from telephone_asr.scoring.cer import score

    found = {name: run(way, model, folder / f"{name}.wav") for name in calls}
    minutes, truth = calls["long"]
    said = found["long"]["said"]
    cells = [way]
    for channel in (0, 1):
        texts = ("".join(t.text for t in turns if t.channel == channel) for turns in (truth, said))
        reference, heard = texts
        cells.append(f"{score([reference], [heard])[0].rate:.1%}")
    alone = sum(len(t.text) for t in said if not any(overlap(t, other) for other in truth))
    cells.append(str(alone) if way == "ours" else "-")
    cells.append(f"{found['long']['seconds'] / (60 * minutes):.4f}")
    cells += [f"{found[name]['peak_mb']:.0f}" for name in LENGTHS]
    return f"| {' | '.join(cells)} |"


def align_row(kind: str, model: Path, folder: Path, truth: Sequence[Said], minutes: float) -> str:
    """Returns a line of the table of alignments: of the transcripts of the two calls."""
    found = {name: run("align", model, folder / f"{name}-{kind}.jsonl") for name in LENGTHS}
    turns, right, off_s = found["long"]["said"], 0, []
    for turn in turns:
        own = [one for one in truth if overlap(one, turn)]
        if "".join(one.text for one in own) == turn.text.replace("，", ""):
            right += 1
            off_s.append((turn.start_s - own[0].start_s, turn.end_s - own[-1].end_s))
    off = np.abs(off_s)
    times = [f"{np.mean(off[:, n]):.2f}, {np.quantile(off[:, n], 0.95):.2f}" for n in (0, 1)]
    factor = found["long"]["seconds"] / (60 * minutes)
    memory = [f"{found[name]['peak_mb']:.0f}" for name in LENGTHS]
    cells = [kind, str(len(truth)), str(len(turns)), str(right), *times, f"{factor:.4f}", *memory]
    return f"| {' | '.join(cells)} |"


def overlap(one: Said, other: Said) -> bool:
    same = one.channel == other.channel
    return same and one.start_s < other.end_s and other.start_s < one.end_s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/final"))
    parser.add_argument(
        "--corpus", choices=("simulated", "telecall", "wideband"), default="simulated"
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, help="where the calls are kept; default: nowhere")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--way", choices=(*WAYS, "align"), help=argparse.SUPPRESS)
    parser.add_argument("--call", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.way:
        one_way(a.way, a.model, a.call)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = a.folder or Path(temporary)
        utterances, rate_hz = held_out(a.corpus)
        calls = {
            name: (minutes, make_call(folder / f"{name}.wav", utterances, minutes, 0, rate_hz))
            for name, minutes in zip(LENGTHS, (a.minutes, a.minutes / 10), strict=True)
        }
        for name, (_, said) in calls.items():
            write_lists(folder, name, said)
        print("| way | CER left | CER right | in silence | real-time factor | MB | MB, a tenth |")
        print("|:--|--:|--:|--:|--:|--:|--:|")
        for way in a.ways:
            print(row(way, a.model, folder, calls), flush=True)
        print("\n| transcript | turns said | kept | right | start off, s: mean, 95 % | end", end="")
        print(" | real-time factor | MB | MB, a tenth |\n|:--|--:|--:|--:|--:|--:|--:|--:|--:|")
        for kind in ("whole", "damaged"):
            print(align_row(kind, a.model, folder, calls["long"][1], a.minutes), flush=True)


if __name__ == "__main__":
    main()
