"""The simulated line against other ways to make telephone speech, in one run on one core.

    pip install -e '.[bench]'
    python bench/channel.py [--utterances 200] [--rounds 7]

Every way reads utterances of 2.5 s from files of 16 kHz PCM, sets a level, adds white noise, hum
and babble, limits the band, brings it to 8 kHz, codes it with A-law (or the nearest thing it has)
and writes a shard of ours. Ours also adds pink noise and, to half of them, a handset. The floor
reads and writes and does nothing between. Ways whose package or program is not installed are left
out, and said to be.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

import argparse
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, resample_poly, sosfilt
from tqdm import tqdm

from telephone_asr.channel import g711
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.line import simulate
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import generator
from telephone_asr.shards import Utterance, write_shard

RATE_HZ, SECONDS = 16000, 2.5
LEVEL_RMS, WHITE_DB, HUM_DB, BABBLE_DB = 0.06, 30.0, 30.0, 15.0
Way = Callable[[np.ndarray, int], np.ndarray]  # int16 at 16 kHz and a number -> int16 at 8 kHz


def speech(seed: int) -> np.ndarray:
    """Noise with the spectrum, syllables and pauses of speech, int16."""
    rng = np.random.default_rng(seed)
    n = round(SECONDS * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum /= 1 + (np.fft.rfftfreq(n, 1 / RATE_HZ) / 500) ** 2
    t = np.arange(n) / RATE_HZ
    sound = np.fft.irfft(spectrum, n) * np.clip(np.sin(2 * np.pi * 4 * t + seed), 0, 1)
    return np.rint(15000 * sound / np.abs(sound).max()).astype(np.int16)


def ours(line: Line, pool: BabblePool) -> Way:
    return lambda x, i: simulate(x, RATE_HZ, line, pool, generator(0, str(i)), "x")[0]


def plain_scipy(babble: Path) -> Way:
    """What one writes first: everything anew for each utterance, babble read from disk."""
    band = butter(4, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")

    def way(x: np.ndarray, i: int) -> np.ndarray:
        rng = np.random.default_rng(i)
        n, t = len(x), np.arange(len(x)) / RATE_HZ
        y = x / 32768
        y *= LEVEL_RMS / np.sqrt(np.mean(y**2))
        y += LEVEL_RMS * 10 ** (-WHITE_DB / 20) * rng.standard_normal(n)
        hum = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 6))
        y += hum * LEVEL_RMS * 10 ** (-HUM_DB / 20) / np.sqrt(np.mean(hum**2))
        talk, _ = soundfile.read(babble)
        talk = talk[rng.integers(len(talk) - n) :][:n]
        y += talk * LEVEL_RMS * 10 ** (-BABBLE_DB / 20) / np.sqrt(np.mean(talk**2))
        y = resample_poly(sosfilt(band, y), 1, 2)
        return g711.through(np.clip(np.rint(y * 32768), -32768, 32767).astype(np.int16), "alaw")

    return way


def lhotse(babble: Path) -> Way:
    from lhotse.audio.mixer import AudioMixer
    from lhotse.augmentation import Narrowband

    narrow = Narrowband("mulaw", RATE_HZ, restore_orig_sr=False)
    talk = soundfile.read(babble, dtype="float32")[0]

    def way(x: np.ndarray, i: int) -> np.ndarray:
        rng = np.random.default_rng(i)
        n, y = len(x), (x / np.float32(32768))[None]
        start = rng.integers(len(talk) - n)
        mixer = AudioMixer(y, RATE_HZ)
        for noise, snr_db in (
            (talk[None, start : start + n], BABBLE_DB),
            (rng.standard_normal((1, n), dtype=np.float32), WHITE_DB),
        ):
            mixer.add_to_mix(noise, snr=snr_db)
        out = narrow(mixer.mixed_mono_audio, RATE_HZ)[0]
        return np.clip(np.rint(out * 32768), -32768, 32767).astype(np.int16)

    return way


def audiomentations(babble: Path) -> Way:
    from audiomentations import (
        AddBackgroundNoise,
        AddGaussianSNR,
        BandPassFilter,
        Compose,
        Resample,
    )

    chain = Compose(
        [
            AddGaussianSNR(WHITE_DB, WHITE_DB, p=1),
            AddBackgroundNoise(str(babble), BABBLE_DB, BABBLE_DB, p=1),
            BandPassFilter(
                1850, 1850, min_bandwidth_fraction=1.67, max_bandwidth_fraction=1.67, p=1
            ),
            Resample(8000, 8000, p=1),
        ]
    )

    def way(x: np.ndarray, i: int) -> np.ndarray:
        y = chain((x / 32768).astype(np.float32), RATE_HZ)
        return g711.through(np.clip(np.rint(y * 32768), -32768, 32767).astype(np.int16), "alaw")

    return way


def torch_audiomentations(babble: Path) -> Way:
    import torch
    from torch_audiomentations import AddColoredNoise, BandPassFilter, Compose
    from torchaudio.functional import resample

    torch.set_num_threads(1)
    common = {"p": 1.0, "sample_rate": RATE_HZ, "output_type": "tensor"}
    chain = Compose(
        [
            AddColoredNoise(WHITE_DB, WHITE_DB + 0.1, 0.0, 0.01, **common),
            # No babble: what reads it needs a torchaudio before 2.9.
            BandPassFilter(1840, 1860, 1.66, 1.68, **common),
        ],
        output_type="tensor",
    )

    def way(x: np.ndarray, i: int) -> np.ndarray:
        y = chain(torch.from_numpy(x / np.float32(32768))[None, None], RATE_HZ)
        y = resample(y, RATE_HZ, 8000)[0, 0].numpy()
        return g711.through(np.clip(np.rint(y * 32768), -32768, 32767).astype(np.int16), "alaw")

    return way


def sox(babble: Path) -> Way:
    def way(x: np.ndarray, i: int) -> np.ndarray:
        start = f"{i % 20}"
        kind = ["-t", "raw", "-r", "16000", "-e", "signed", "-b", "16", "-c", "1"]
        command = ["sox", "-m", *kind, "-", "-v", "0.2", f"|sox {babble} -p trim {start} 2.5"]
        command += [*kind[:2], "-r", "8000", "-e", "a-law", "-c", "1", "-"]
        command += ["gain", "-6", "sinc", "300-3400", "rate", "8000"]
        done = subprocess.run(command, input=x.tobytes(), capture_output=True, check=True)
        return g711.decode(np.frombuffer(done.stdout, np.uint8), "alaw")[: len(x) // 2]

    return way


def ffmpeg(babble: Path) -> Way:
    def way(x: np.ndarray, i: int) -> np.ndarray:
        graph = "[0]volume=-6dB[a];[1]volume=-15dB[b];[a][b]amix=duration=first,"
        graph += "highpass=f=300:p=2,lowpass=f=3400:p=2,aresample=8000"
        command = ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "-"]
        command += ["-ss", f"{i % 20}", "-t", "2.5", "-i", str(babble)]
        command += ["-filter_complex", graph, "-f", "alaw", "-ar", "8000", "-"]
        done = subprocess.run(command, input=x.tobytes(), capture_output=True, check=True)
        return g711.decode(np.frombuffer(done.stdout, np.uint8), "alaw")[: len(x) // 2]

    return way


def floor(x: np.ndarray, i: int) -> np.ndarray:
    return g711.through(x[::2], "alaw")


def ways(babble: Path, pool: BabblePool) -> dict[str, Way]:
    """All that can be run here, by name."""
    varied = {"alaw": 4.0, "mulaw": 1.0, "amr_nb+alaw": 2.0, "gsm+alaw": 1.0}
    found = {
        "floor: read, A-law, write": floor,
        "ours, G.711": ours(Line(codec={"alaw": 4, "mulaw": 1}, handset=0.5), pool),
        "ours, a quarter AMR-NB, an eighth GSM": ours(Line(codec=varied, handset=0.5), pool),
        "plain SciPy": plain_scipy(babble),
    }
    for make in (lhotse, audiomentations, torch_audiomentations, sox, ffmpeg):
        name = make.__name__.replace("_", "-")
        if make in (sox, ffmpeg) and not shutil.which(name):
            print(f"{name}: not installed")
            continue
        try:
            found[name] = make(babble)
        except ImportError as error:
            print(f"{name}: not installed ({error})")
    return found


def seconds_of(way: Way, paths: list[Path], directory: Path) -> tuple[float, float, int]:
    """Time of reading, way and writing together; of the way alone; bytes written."""
    chain_s, started = 0.0, time.perf_counter()
    made = []
    for i, path in enumerate(paths):
        samples = np.fromfile(path, np.int16)
        before = time.perf_counter()
        out = way(samples, i)
        chain_s += time.perf_counter() - before
        made.append(Utterance(f"u{i:06d}", out, 8000, "您好", "s"))
    write_shard(directory, 0, made)
    whole_s = time.perf_counter() - started
    return whole_s, chain_s, sum(p.stat().st_size for p in directory.iterdir())


def pcm_file(path: Path, seed: int) -> Path:
    speech(seed).tofile(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        paths = [pcm_file(Path(folder) / f"{i}.pcm", i) for i in range(arguments.utterances)]
        voices = [pcm_file(Path(folder) / f"voice{i}.pcm", 1000 + i) for i in range(48)]
        sounds = (np.fromfile(path, np.int16) / np.float32(32768) for path in voices)
        pool = BabblePool.build((str(i % 12), sound) for i, sound in enumerate(sounds))
        babble = Path(folder) / "babble.wav"
        soundfile.write(babble, pool.tracks[0], RATE_HZ)
        every = ways(babble, pool)
        print_table(measure(every, paths, Path(folder), arguments.rounds), arguments)


def measure(every: dict[str, Way], paths: list[Path], folder: Path, rounds: int) -> dict:
    """Rounds of every way in turn, so that a change of the machine's pace touches all alike."""
    results: dict[str, list] = {name: [] for name in every}
    for round_ in tqdm(range(rounds + 1), "rounds"):
        for name, way in every.items():
            few = paths if not name.startswith(("sox", "ffmpeg")) else paths[:20]
            one = seconds_of(way, few, folder / "shard")
            if round_:  # the first warms up
                results[name].append((len(few) / one[0], len(few) / one[1], one[2] / len(few)))
            shutil.rmtree(folder / "shard")
    return results


def print_table(results: dict[str, list], arguments: argparse.Namespace) -> None:
    plain = [whole for whole, _, _ in results["plain SciPy"]]
    bottom = [whole for whole, _, _ in results["floor: read, A-law, write"]]
    print(f"\n{platform.processor() or platform.machine()}, one core; {arguments.utterances} ")
    print(
        f"utterances of {SECONDS} s, median of {arguments.rounds} rounds, ratios round by round\n"
    )
    print(
        "| way | utterances/s | × real time | × plain SciPy | % of the floor | chain alone | MB/h |"
    )
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for name, rows in results.items():
        whole = statistics.median(row[0] for row in rows)
        alone = statistics.median(row[1] for row in rows)
        size = rows[0][2] / SECONDS * 3600 / 1e6
        times = statistics.median(row[0] / p for row, p in zip(rows, plain, strict=True))
        share = statistics.median(row[0] / b for row, b in zip(rows, bottom, strict=True))
        print(
            f"| {name} | {whole:,.0f} | {whole * SECONDS:,.0f} | {times:.1f} | {100 * share:.0f} "
            f"| {alone:,.0f} | {size:.1f} |"
        )


if __name__ == "__main__":
    main()
