"""Many hours of calls without transcripts, imported and labelled: time, peak memory, and a kill.

    dvc repro
    python bench/hours.py DIRECTORY --hours 10 100

For each of `--hours`, in DIRECTORY: recordings of half an hour, one channel, mu-law, in which the
embedded calls that are trained on are said, by two, over the noise of a line, long pauses between;
a copy of the repository, its data and models; the stages `unlabelled` and `pseudo_label` on them.
The latter is killed (SIGKILL) once half of the shards are labelled, and run again; then the first
`--again` shards are labelled once more, alone, which must give the same bytes. Peak memory is that
of the largest process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

import variants
from scale import peak_mb
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.paths import MANIFESTS, TELECALL, UNLABELLED
from telephone_asr.shards import count_shards, read_shard

RATE_HZ = 8000
MINUTES = 30.0  # of a recording
PAUSE_S = (2.0, 16.0)
NOISE = 8.0  # of int16
LABEL = (sys.executable, "-m", "telephone_asr.stages.pseudo_label")


def make_recordings(folder: Path, hours: float) -> float:
    """Writes the recordings that are not there yet; returns the hours in which somebody speaks.

    A turn is two of the embedded ones, drawn anew each time, so that no two recordings are alike.
    Test and validation calls are not among them: the import would leave such recordings out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = {example.key for example in read_manifest(MANIFESTS / "telecall" / "train.jsonl")}
    calls = (u for i in range(count_shards(TELECALL)) for u in read_shard(TELECALL, i, keys))
    said = [one.samples for one in calls]
    speech = 0
    for number in tqdm(range(round(hours * 60 / MINUTES)), desc="recordings"):
        rng = np.random.default_rng(number)
        samples = NOISE * rng.standard_normal(round(60 * MINUTES * RATE_HZ), dtype=np.float32)
        place = RATE_HZ
        while True:
            turn = np.concatenate([said[i] for i in rng.integers(len(said), size=2)])
            if place + len(turn) > len(samples):
                break
            samples[place : place + len(turn)] += turn
            speech += len(turn)
            place += len(turn) + round(rng.uniform(*PAUSE_S) * RATE_HZ)
        path = folder / f"call-{number:05}.wav"
        if not path.exists():
            whole = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
            soundfile.write(path, whole, RATE_HZ, subtype="ULAW")
    return speech / RATE_HZ / 3600


def measured(
    command: tuple[str, ...], root: Path, kill_at: int | None = None
) -> tuple[float, float]:
    """Runs a stage, and kills it once so many shards are labelled; returns its seconds, and the
    peak memory of its largest process in MB."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "TQDM_MININTERVAL": "60"}
    started_s = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True)
    while kill_at is not None:
        if process.poll() is not None:
            sys.exit(f"{command} ended before it was killed")
        if len(list(root.glob(".scratch/pseudo_label-*/turns.*.labels"))) >= kill_at:
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.2)
    _, status, used = os.wait4(process.pid, 0)
    if status and kill_at is None:
        sys.exit(f"{command} failed")
    return time.perf_counter() - started_s, peak_mb(used)


def try_hours(directory: Path, hours: float, again: int) -> None:
    folder, root = directory / f"{hours:g}h", directory / f"{hours:g}h-repository"
    speech = make_recordings(folder, hours)
    recorded = f"corpus.unlabelled={{kind: recordings, path: {folder.resolve()}}}"
    variants.copy(root, ("unlabelled.rounds=1", recorded), ("docs", "tests", "build"))
    seconds, memory_mb = measured((sys.executable, "-m", "telephone_asr.stages.unlabelled"), root)
    metrics = json.loads((root / "metrics/unlabelled.json").read_text(encoding="utf-8"))
    print(
        f"{hours:g} hours, {speech:.1f} of speech: {metrics['turns']:,} turns, imported in "
        f"{seconds:,.0f} s, {memory_mb:,.0f} MB",
        flush=True,
    )
    shards = count_shards(root / UNLABELLED)
    first = measured(LABEL, root, kill_at=(shards + 1) // 2)
    second = measured(LABEL, root)
    labels = (root / "data/pseudo/turns.jsonl").read_bytes()
    print(
        f"labelled, killed in the middle of {shards} shards: {first[0]:,.0f} s, "
        f"{first[1]:,.0f} MB, and {second[0]:,.0f} s, {second[1]:,.0f} MB",
        flush=True,
    )
    for path in (root / UNLABELLED).glob("*.[0-9]*"):
        if int(path.name.split(".")[1]) >= again:
            path.unlink()
    measured(LABEL, root)
    alone = (root / "data/pseudo/turns.jsonl").read_bytes()
    same = labels.startswith(alone)
    print(
        f"the first {min(again, shards)} shards labelled alone: the same bytes: {same}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--hours", type=float, nargs="+", default=[10, 100])
    parser.add_argument("--again", type=int, default=20, help="shards that are labelled once more")
    a = parser.parse_args()
    for hours in a.hours:
        try_hours(a.directory, hours, a.again)


if __name__ == "__main__":
    main()
