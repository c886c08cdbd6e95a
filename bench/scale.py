"""The data stages on corpora of any size: time, peak memory, files and disk.

    python bench/scale.py corpus DIR [--utterances 100000]    # made in DIR; every data stage on it
    python bench/scale.py manifest [--utterances 1000000]     # a manifest alone, in memory

`corpus` makes a Kaldi directory of 2.5 s utterances in 25 s recordings of noise shaped like speech,
and calls.jsonl with a tenth as many calls, copies this repository's pipeline beside it and runs
`dvc repro manifests` there, stage by stage. Peak memory is that of the largest process of a stage.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
RATE_HZ, SECONDS, IN_A_RECORDING = 16000, 2.5, 10
CHARACTERS = "您好请问是张先生吗一二三四五六七八九十"
STAGES = ("corpus", "simulate", "telecall", "tokenizer", "manifests")


def speech(rng: np.random.Generator, n: int, rate_hz: int) -> np.ndarray:
    """Noise with the spectrum and the syllables of speech, int16."""
    spectrum = np.fft.rfft(rng.standard_normal(n, dtype=np.float32))
    spectrum /= 1 + (np.fft.rfftfreq(n, 1 / rate_hz) / 500) ** 2
    t = np.arange(n) / rate_hz
    sound = np.fft.irfft(spectrum, n) * np.clip(np.sin(2 * np.pi * 4 * t), 0.01, 1)
    return np.rint(12000 * sound / np.abs(sound).max()).astype(np.int16)


def text(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(CHARACTERS), 9))


def make_corpus(directory: Path, utterances: int) -> None:
    """Kaldi tables with segments, and calls.jsonl. The sounds repeat, with a sample changed in each
    so that none is a duplicate: making a million new ones would take longer than reading them."""
    wideband, calls = directory / "wideband", directory / "calls"
    wideband.mkdir(parents=True)
    calls.mkdir()
    rng = np.random.default_rng(0)
    some = [speech(rng, round(SECONDS * IN_A_RECORDING * RATE_HZ), RATE_HZ) for _ in range(20)]
    with (
        open(wideband / "wav.scp", "w") as scp,
        open(wideband / "segments", "w") as segments,
        open(wideband / "text", "w") as texts,
        open(wideband / "utt2spk", "w") as speakers,
    ):
        for r in tqdm(range(utterances // IN_A_RECORDING), "recordings"):
            sound = some[r % len(some)].copy()
            sound[:: round(SECONDS * RATE_HZ)] = r // len(some) % 30000
            soundfile.write(wideband / f"r{r}.wav", sound, RATE_HZ)
            scp.write(f"r{r} r{r}.wav\n")
            for i in range(IN_A_RECORDING):
                key = f"r{r}-{i}"
                segments.write(f"{key} r{r} {i * SECONDS} {(i + 1) * SECONDS}\n")
                texts.write(f"{key} {text(rng)}\n")
                speakers.write(f"{key} speaker-{r % 1000}\n")
    some = [speech(rng, round(SECONDS * 8000), 8000) for _ in range(20)]
    with open(calls / "calls.jsonl", "w") as file:
        for c in tqdm(range(utterances // 10), "calls"):
            sound = some[c % len(some)].copy()
            sound[0] = c // len(some) % 30000
            soundfile.write(calls / f"c{c}.wav", sound, 8000, subtype="PCM_16")
            line = {"id": f"c{c}", "audio": f"c{c}.wav", "text": text(rng)}
            file.write(json.dumps(line | {"speaker": f"caller-{c % 300}"}) + "\n")


def run_corpus(directory: Path, utterances: int) -> None:
    """Makes the corpus and runs the data stages on it, each with its time and peak memory."""
    from ruamel.yaml import YAML

    from telephone_asr.keys import change_key

    repository = directory / "repository"
    if not (directory / "calls" / "calls.jsonl").is_file():
        make_corpus(directory, utterances)
    shutil.rmtree(repository, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, repository], check=True)
    yaml = YAML()
    yaml.width = 4096
    params = yaml.load((repository / "params.yaml").read_text(encoding="utf-8"))
    corpora = {"wideband": ("kaldi", "wideband"), "calls": ("calls", "calls/calls.jsonl")}
    for part, (kind, path) in corpora.items():
        change_key(params, f"corpus.{part}.kind={kind}")
        change_key(params, f"corpus.{part}.path={directory.absolute() / path}")
    change_key(params, "corpus.shard_size=4000")
    with open(repository / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(params, file)

    environment = {**os.environ, "PYTHONPATH": str(repository / "src"), "TQDM_MININTERVAL": "60"}
    cores = os.cpu_count()
    print(
        f"{utterances:,} utterances and {utterances // 10:,} calls of {SECONDS} s, {cores} cores\n"
    )
    print("| stage | time (s) | utterances a second | largest process (MB) |\n|:--|--:|--:|--:|")
    for stage in STAGES:
        before = time.perf_counter()
        command = ["dvc", "repro", "--single-item", "--quiet", stage]
        pid = subprocess.Popen(command, cwd=repository, env=environment).pid
        _, status, used = os.wait4(pid, 0)
        if status:
            sys.exit(f"dvc repro {stage} failed")
        took_s = time.perf_counter() - before
        print(
            f"| {stage} | {took_s:.0f} | {1.1 * utterances / took_s:,.0f} | {peak_mb(used):,.0f} |"
        )
    before = time.perf_counter()
    subprocess.run(
        ["dvc", "repro", "--quiet", *STAGES], cwd=repository, env=environment, check=True
    )
    print(f"\n`dvc repro` with nothing to do: {time.perf_counter() - before:.1f} s")
    outs = [p for name in ("data", "models") for p in (repository / name).rglob("*") if p.is_file()]
    size = sum(path.stat().st_size for path in outs) / 1e6
    print(f"{len(outs)} files under DVC, {size:,.0f} MB")
    print((repository / "metrics" / "data.json").read_text(encoding="utf-8"))


def peak_mb(used: resource.struct_rusage) -> float:
    """Of a process that has ended, or of its largest child, whichever is larger."""
    return used.ru_maxrss / 1000


def run_manifest(lines: int) -> None:
    """Lines of a manifest, and the cuts behind them: read, judged and split on one core."""
    from telephone_asr.manifests.messages import Example, manifest_line, read_manifest
    from telephone_asr.manifests.sorting import (
        Kept,
        Rules,
        decide,
        leave_out_test_sentences,
        survey,
    )
    from telephone_asr.model.frontend import fbank_frames
    from telephone_asr.params import load_params
    from telephone_asr.scoring.normalise import normalise_for_scoring

    params = load_params(ROOT / "params.yaml")
    rules = Rules(
        filter=params.filter,
        split=params.split,
        english=params.text.english,
        count_frames=lambda n, rate_hz: fbank_frames(n, rate_hz, 16000),
        tokenise=lambda texts: [list(map(ord, one)) for one in texts],
        unknown=None,
        compared=normalise_for_scoring,
    )
    rng = np.random.default_rng(0)
    texts = [text(rng) for _ in range(5000)]

    def cuts() -> Iterator[dict]:
        for i in range(lines):
            yield json.loads(cut_line(i, unlike(texts, i)))

    started = time.perf_counter()
    found = survey(cuts, rules, None)
    verdicts = decide(cuts, rules, found, True, Kept())
    leave_out_test_sentences(cuts, rules, verdicts, verdicts.test_sentences)
    kept = sum(set_ is not None for set_ in verdicts.sets)
    report(f"{lines:,} cuts judged and split, {kept:,} kept", started)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        with open(path, "w", encoding="utf-8") as file:
            for i in range(lines):
                example = Example(
                    f"r{i}", unlike(texts, i), "语音转写：", 248, 9, 2.5, f"s{i % 999}", "", "x"
                )
                file.write(manifest_line(example, f"data/unpacked/x/r{i}.wav") + "\n")
        started = time.perf_counter()
        examples = read_manifest(path)
        report(f"{len(examples):,} lines of a manifest read", started)


def unlike(texts: list[str], i: int) -> str:
    """A text that no other i has: a sentence of a test set is not trained on."""
    return texts[i % len(texts)] + "".join(CHARACTERS[int(digit)] for digit in str(i // len(texts)))


def cut_line(i: int, text: str) -> str:
    sha = f'"{i:016x}"'
    return (
        f'{{"id": "r{i}", "duration": 2.5, "recording": {{"num_samples": 40000, '
        f'"sampling_rate": 16000}}, "supervisions": [{{"text": "{text}", "speaker": "s{i % 999}", '
        f'"custom": {{"scene": "", "annotation_error": false}}}}], "custom": {{"measures": '
        f'{{"sha": {sha}, "level_db": -25.1, "activity": 0.8, "snr_db": {i % 40}.5, '
        f'"clipped": 0.0, "dc": 0.001, "high_band_db": -21.5, "pitch_hz": {90 + i % 99}.5}}}}}}'
    )


def report(what: str, started: float) -> None:
    peak = peak_mb(resource.getrusage(resource.RUSAGE_SELF))
    print(f"{what}: {time.perf_counter() - started:.0f} s, peak {peak:,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    corpus = commands.add_parser("corpus")
    corpus.add_argument("directory", type=Path)
    corpus.add_argument("--utterances", type=int, default=100_000)
    manifest = commands.add_parser("manifest")
    manifest.add_argument("--utterances", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.command == "corpus":
        run_corpus(arguments.directory, arguments.utterances)
    else:
        run_manifest(arguments.utterances)


if __name__ == "__main__":
    main()
