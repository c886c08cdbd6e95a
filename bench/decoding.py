"""Utterances a second: our decoder against `funasr.AutoModel.generate`, in one process.

    python bench/decoding.py [--model models/final] [--utterances 96]
    python bench/decoding.py --larger [--utterances 24]

Both read the same sound files (test utterances of the simulated corpus) and write texts. The ways
take turns, so that a change of the machine's pace touches all alike; ratios are taken round by
round. AutoModel goes through its utterances one by one; it decodes batches only where the model has
no CTC branch (whose timestamps it then leaves out), which is shown too. One thread, because more of
them wait for each other with models as small as this; `--threads 2` gives both sides more. Ours
computes the features of the next batch beside the model; processor time, in the last ratio, counts
that in full, and is what a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from telephone_asr.decoding.recognise import recognise
from telephone_asr.manifests.messages import PROMPT, Example, read_manifest
from telephone_asr.model import pretrained
from telephone_asr.model.frontend import Frontend, feature_rows
from telephone_asr.params import load_params
from telephone_asr.paths import MANIFESTS, MODELS, SHARDS
from telephone_asr.shards import sound_index

# Of random weights, 60 M parameters: the shares of overhead and of computing are others.
LARGER: dict[str, Any] = {
    "encoder_blocks": 12,
    "tp_blocks": 4,
    "encoder_dim": 256,
    "llm_layers": 12,
}
LARGER |= {"llm_dim": 512}
LARGER_TOKENS = 10  # random weights end no transcript; real ones of this corpus have so many
Way = Callable[[Sequence[Path]], list[str]]


def automodel(model: Path, threads: int, itn: bool, max_tokens: int) -> tuple[Way, Way]:
    """AutoModel.generate as it is, and with batches, which it makes without a CTC branch only."""
    from funasr import AutoModel

    with contextlib.redirect_stdout(io.StringIO()):
        recogniser = AutoModel(
            model=str(model),
            disable_update=True,
            disable_pbar=True,
            device="cpu",
            ncpu=threads,
            log_level="ERROR",
        )
    ctc = recogniser.model.ctc_decoder

    def generate(paths: Sequence[Path], batch_size: int) -> list[str]:
        found = recogniser.generate(
            list(map(str, paths)), batch_size=batch_size, itn=itn, max_length=max_tokens
        )
        return [result["text"].strip() for result in found]

    def in_batches(paths: Sequence[Path]) -> list[str]:
        recogniser.model.ctc_decoder = None
        try:
            return generate(paths, len(paths))
        finally:
            recogniser.model.ctc_decoder = ctc

    return lambda paths: generate(paths, 1), in_batches


def ours(nano: pretrained.FunASRNano, prompt: str, batch_size: int, max_tokens: int) -> Way:
    frontend = Frontend(nano.config["frontend_conf"])

    def way(paths: Sequence[Path]) -> list[str]:
        sounds = map(soundfile.info, paths)
        lengths = [feature_rows(s.frames, s.samplerate, frontend.fs) for s in sounds]
        return recognise(
            nano,
            lambda i: frontend(*soundfile.read(paths[i], dtype="int16")),
            lengths,
            [prompt] * len(paths),
            batch_size,
            max_tokens,
        )

    return way


def write_files(examples: Sequence[Example], folder: Path) -> list[Path]:
    sounds = sound_index(SHARDS["simulated"])
    paths = []
    for example in examples:
        paths.append(folder / f"{example.key}.wav")
        soundfile.write(paths[-1], *sounds.read(example.key))
    return paths


def larger_model(folder: Path) -> Path:
    from telephone_asr.model.tiny import write_tiny

    larger = replace(load_params().base.tiny, **LARGER)
    write_tiny(folder, larger, MODELS / "tokenizer", 16000, seed=0)
    return folder


def measure(
    ways: dict[str, Way], paths: Sequence[Path], rounds: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, list[str]]]:
    """Of each way its (wall, processor) seconds in each round, and its texts."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    texts = {}
    for round_ in tqdm(range(rounds + 1), "rounds"):
        for name, way in ways.items():
            started = time.perf_counter(), time.process_time()
            texts[name] = way(paths if round_ else paths[:4])  # the first warms up
            if round_:
                wall_s, processor_s = time.perf_counter(), time.process_time()
                seconds[name].append((wall_s - started[0], processor_s - started[1]))
    return seconds, texts


def print_table(seconds: dict[str, list[tuple[float, float]]], texts: dict[str, list[str]]) -> None:
    (first, peer), *_ = seconds.items()
    print("| way | utterances/s | times as many (lowest to highest) | by processor time | equal |")
    print("|:--|--:|--:|--:|--:|")
    for name, own in seconds.items():
        rate = len(texts[name]) / statistics.median(wall for wall, _ in own)
        wall, processor = (
            spread([p[i] / s[i] for p, s in zip(peer, own, strict=True)]) for i in (0, 1)
        )
        equal = sum(a == b for a, b in zip(texts[name], texts[first], strict=True))
        print(f"| {name} | {rate:.1f} | {wall} | {processor} | {equal} of {len(texts[name])} |")


def spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODELS / "final")
    parser.add_argument("--larger", action="store_true", help="a random model of 60 M parameters")
    parser.add_argument("--utterances", type=int, default=None, help="default: 96, larger: 24")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    n = arguments.utterances or (24 if arguments.larger else 96)
    decode = load_params().decode
    max_tokens = LARGER_TOKENS if arguments.larger else decode.max_tokens
    examples = read_manifest(MANIFESTS / "simulated" / "test.jsonl")[:n]
    prompt = examples[0].prompt
    with tempfile.TemporaryDirectory() as folder:
        model = larger_model(Path(folder) / "larger") if arguments.larger else arguments.model
        paths = write_files(examples, Path(folder))
        nano = pretrained.load(model)
        theirs, theirs_in_batches = automodel(
            model, arguments.threads, prompt == PROMPT, max_tokens
        )
        ways = {
            "AutoModel.generate": theirs,
            f"AutoModel.generate without CTC, batch {n}": theirs_in_batches,
            "ours, batch 1": ours(nano, prompt, 1, max_tokens),
            f"ours, batch {decode.batch_size}": ours(nano, prompt, decode.batch_size, max_tokens),
        }
        seconds, texts = measure(ways, paths, arguments.rounds)
    import torch

    size = sum(p.numel() for p in nano.model.parameters()) / 1e6
    print(
        f"\n{'larger random model' if arguments.larger else model}, {size:.1f} M parameters; "
        f"{len(paths)} utterances of {sum(e.duration_s for e in examples) / len(paths):.1f} s on "
        f"average; {arguments.rounds} rounds; {torch.get_num_threads()} threads on "
        f"{os.cpu_count()} cores ({platform.processor() or platform.machine()})\n"
    )
    print_table(seconds, texts)


if __name__ == "__main__":
    main()
