"""The checks of bench/gpu.py, each run in a process of its own: `run(name, root, small, out)`.

What trains or scores does so as the stages of dvc.yaml do, in a small repository of its own.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import full_model
import training
from full_model import Sample

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("wideband", "simulated", "telecall")
LOSSES_AGREE = 0.02  # bf16 against fp32, relative
RESUMED_AGREE = 1e-3  # on a GPU sums are added up in an order that changes
WORKERS = 6  # train.workers of the profile
READER_MB = 25  # that a process that reads ahead has of its own
TEXTS_EQUAL = 0.9  # in a batch, of random weights


@dataclass(frozen=True)
class Size:
    """What a check runs on."""

    batch: int  # utterances of 3 s in a timed step: 80 are the profile's train.max_batch_rows
    steps: int
    decoded: int  # utterances
    limit_mb: int  # of memory, that is to run out
    validation_mb: int  # the same of the small model's validation
    long_s: float  # an utterance that this does not decode
    texts: tuple[int, int]  # utterances, characters: a batch whose logits it does not hold
    small: bool = False


FULL = Size(80, 6, 32, limit_mb=9 * 1024, validation_mb=4096, long_s=1200.0, texts=(90, 160))
SMALL = Size(4, 2, 4, limit_mb=1500, validation_mb=1500, long_s=900.0, texts=(80, 300), small=True)
# What a stage runs on beside the keys that a check sets.
PARAMS = {
    "train.max_batch_rows": 400,
    "train.batches_per_step": 2,
    "train.evaluations": 1,
    "train.valid_utterances": 4,
    "train.mix": 0.0,
    "train.lr": 1e-4,
    "train.encoder": {"lr": None, "epochs": 2, "ctc_weight": 0.3},
    "train.adaptor.lr": None,
    "train.lora.lr": None,
    "decode.batch_size": 8,
    "decode.max_tokens": 8,
}
# DVCLive needs half of DVC to write down losses.
STAGE = """
import contextlib, json
from telephone_asr.training import curves

@contextlib.contextmanager
def losses(directory, writes, *_):
    rows = []
    yield rows.append
    if writes:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "rows.json").write_text(json.dumps(rows))

curves.curves = losses
{before}
from telephone_asr.program import run
from telephone_asr.stages import {module}
if __name__ == "__main__":
    run({module}.main)
"""
# NCCL refuses two processes on one GPU; and each is to take the first, whichever it is itself.
GLOO = """
import os, torch
torch.distributed.init_process_group("gloo")
os.environ["LOCAL_RANK"] = "0"
"""
# So that a kill finds a state to go on from.
SAVES_OFTEN = """
from telephone_asr.training import loop
loop.SAVE_EVERY_S, loop.SAVE_SHARE = 0.3, 1.0
"""
LIMITED = """
import torch
if torch.cuda.is_available():
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction({limit_mb} * 2**20 / total)
else:
    import resource
    import peft
    from telephone_asr.model.layout import import_funasr
    import_funasr()
    pages = int(open("/proc/self/statm").read().split()[0])
    room = pages * resource.getpagesize() + {limit_mb} * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
"""
# As if another program had taken the GPU's memory when the model has been loaded: PyTorch has some
# left of its own, cuBLAS and the loading of kernels find none.
FILLED = """
import ctypes, torch
from telephone_asr.training import loop
real = loop.train
def train(*arguments):
    held = torch.empty(512 * 2**20, dtype=torch.uint8, device="cuda")
    name = next(line.split()[-1] for line in open("/proc/self/maps") if "libcudart" in line)
    runtime, size, place = ctypes.CDLL(name), 2**30, ctypes.c_void_p()
    while size >= 2**16:
        if runtime.cudaMalloc(ctypes.byref(place), ctypes.c_size_t(size)):
            runtime.cudaGetLastError()
            size //= 2
    del held
    return real(*arguments)
loop.train = train
"""


def run(name: str, root: Path, small: bool, out: Path) -> dict[str, Any]:
    """Runs a check; returns its row: ok (None: not here), text, and numbers."""
    size = SMALL if small else FULL
    if name == "rates":
        return rates(out)
    if name in training.STAGES:
        return steps(root, name, size)
    return globals()[name](root, size)


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def device() -> str:
    return "cuda" if on_gpu() else "cpu"


def verdict(ok: bool | None, text: str, **numbers: Any) -> dict[str, Any]:
    return {"ok": ok, "text": text} | numbers


# --- What the others run on


def model(root: Path, size: Size) -> dict[str, Any]:
    """Models in both published layouts, a small one for what size does not change, and sound; and
    which machine this is."""
    import torch

    from telephone_asr.model import parts

    small = size.small
    full_model.write_tokenizers(root / "tokenizer", small)
    full_model.write_model(root / "models" / "base", root / "tokenizer", small)
    full_model.write_without_ctc(root / "models-hf" / "base", root / "models" / "base")
    full_model.write_tokenizers(root / "small-tokenizer", small=True)
    full_model.write_model(root / "models-small" / "base", root / "small-tokenizer", small=True)
    nano = training.loaded(root / "models-small" / "base")
    for stage in ("encoder", "adaptor"):  # what stage 3 stands on
        trained = parts.choose_trained(nano, parts.PREFIXES[stage])
        parts.save_checkpoint(root / "models-small" / stage, stage, nano, trained, {"step": 0})
    most = max(one.batch * (one.steps + 1) for one in (size, larger_size(size)))
    training.write_inputs(root, most)
    machine = training.processor()
    if on_gpu():
        found = torch.cuda.get_device_properties(0)
        machine = f"{found.name} ({found.total_memory / 2**30:.0f} GiB), {machine}"
    megabytes = (root / "models" / "base" / "model.pt").stat().st_size / 1e6
    versions = f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}"
    return verdict(True, f"model.pt of {megabytes:,.0f} MB; {versions}", machine=machine)


class Repository:
    """A directory that stages run in."""

    def __init__(
        self,
        path: Path,
        models: Path,
        changes: Mapping[str, Any],
        train: Sequence[Sample] | None = None,
        valid: Sequence[Sample] | None = None,
        rate_hz: int = full_model.RATE_HZ,
    ):
        from telephone_asr.shards import Utterance, write_shards

        self.path = path
        sets = {
            "train": train or samples("train", 48),
            "valid": valid or samples("valid", 4),
            "test": samples("test", 12),
        }
        shards = path / "data" / "simulated"
        full_model.write_samples(shards, list(itertools.chain(*sets.values())), rate_hz)
        (path / "data" / "raw").mkdir()
        for other in ("telecall", "raw/wideband"):
            (path / "data" / other).symlink_to(shards)
        for source, (split, chosen) in itertools.product(SOURCES, sets.items()):
            manifest = path / "data" / "manifests" / source / f"{split}.jsonl"
            full_model.write_manifest(manifest, chosen, source, rate_hz)
        silence = np.zeros(rate_hz, dtype=np.int16)
        for split in ("train", "test"):
            kind = {"kind": "silence"}
            nobody = Utterance(f"silence-{split}", silence, rate_hz, "", "", custom=kind)
            write_shards(path / "data" / "no_speech" / split, [nobody], 1)
        (path / "models").mkdir()
        for directory in models.iterdir():
            (path / "models" / directory.name).symlink_to(directory)
        self.change(PARAMS | {"train.precision": "bf16" if on_gpu() else "fp32"} | dict(changes))

    def change(self, changes: Mapping[str, Any]) -> None:
        """Changes keys of params.yaml, at first of the repository's."""
        from ruamel.yaml import YAML

        yaml, path = YAML(), self.path / "params.yaml"
        with open(path if path.exists() else REPOSITORY / "params.yaml", encoding="utf-8") as file:
            tree = yaml.load(file)
        for key, value in changes.items():
            *sections, name = key.split(".")
            section = tree
            for part in sections:
                section = section[part]
            section[name] = section[name] | value if isinstance(value, dict) else value
        with open(path, "w", encoding="utf-8") as file:
            yaml.dump(tree, file)

    def start(
        self, module: str, argument: str, before: str = "", processes: int = 1
    ) -> subprocess.Popen:
        own = self.path / "models" / argument
        if module == "train" and own.is_symlink():  # not written into: others stand on it
            own.unlink()
        script = self.path / f"{module}.py"
        script.write_text(STAGE.format(before=before, module=module), encoding="utf-8")
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *(launcher if processes > 1 else ["-u"]), str(script)]
        with open(self.path / "log", "wb") as log:
            return subprocess.Popen(
                [*command, argument], cwd=self.path, stdout=log, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        """What the last stage said."""
        return (self.path / "log").read_text(encoding="utf-8", errors="replace")

    def run(self, *arguments: Any, **options: Any) -> tuple[int, str]:
        """Exit status, and what it said."""
        status = self.start(*arguments, **options).wait()
        return status, self.said()

    def train(self, stage: str, *arguments: Any, **options: Any) -> tuple[list[float], str]:
        """Runs a training anew: its losses, step by step as far as they are noted."""
        for directory in (self.path / "models" / stage, self.path / "metrics"):
            shutil.rmtree(directory, ignore_errors=True)
        status, said = self.run("train", stage, *arguments, **options)
        if status:
            raise RuntimeError(f"{stage}: {' '.join(said.splitlines()[-3:])}")
        return self.losses(stage), said

    def losses(self, stage: str) -> list[float]:
        path = self.path / "metrics" / "train" / stage / "rows.json"
        return [row["loss"] for row in json.loads(path.read_text()) if "loss" in row]


def samples(name: str, n: int, seconds: float | None = None, text: str = "") -> list[Sample]:
    """n utterances, of 1 to 3 s where nothing is said."""
    lengths = [seconds or 1 + 2 * i / n for i in range(n)]
    text = text or full_model.TEXT
    return [Sample(f"{name}-{i:04d}", length, text) for i, length in enumerate(lengths)]


def furthest(found: Sequence[float], expected: Sequence[float]) -> float:
    """The largest relative difference."""
    if not expected or len(found) != len(expected):
        return float("inf")
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


def refused(status: int, said: str, *words: str) -> bool:
    """Whether it ended in one sentence with these words."""
    return status == 1 and "Traceback" not in said and all(word in said for word in words)


def last_error(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    return (lines or said.strip().splitlines() or ["nothing said"])[-1][:300]


# --- Against FunASR


def steps(root: Path, stage: str, size: Size) -> dict[str, Any]:
    """Steps of ours in bf16 and in fp32, and FunASR's, on the same batches."""
    nano = training.loaded(root / "models" / "base")
    workers = WORKERS if on_gpu() else 0
    work = training.Run(root, stage, size.steps, size.batch, device(), "bf16", workers=workers)
    ours = training.steps_of_ours(work, nano)
    _without_lora(nano)
    exact = training.steps_of_ours(replace(work, precision="fp32"), nano)
    _without_lora(nano)
    planned, notes = ours, []
    if stage == "encoder":
        planned = training.steps_of_ours(replace(work, ctc_weight=training.CTC_WEIGHT), nano)
        notes = [f"with the CTC branch {training.told(planned)}"]
    peer = work if on_gpu() else replace(work, precision="fp32")
    theirs = training.steps_of_funasr(peer, nano)
    faster, memory = training.ratios(ours, theirs)
    apart = furthest(ours["losses"], exact["losses"])
    notes = [
        f"ours {training.told(ours)}",
        f"FunASR {training.told(theirs)}: {faster:.2f} x as fast, {memory:.2f} of its memory",
        f"fp32 {statistics.median(exact['seconds']):.3g} s a step, losses {apart:.1e} apart",
        *notes,
        f"{work.batch * training.ROWS} rows a step, {workers} processes read ahead on either side",
    ]
    # A small model's steps are all overhead, and a CPU emulates bf16: there they only have to run.
    ok = apart < LOSSES_AGREE and (size.small or faster > 1)
    found = {"rates": training.rates(work, planned), "ours": ours, "fp32": exact, "funasr": theirs}
    return verdict(ok, "; ".join(notes), **found)


def larger_size(size: Size) -> Size:
    return replace(size, batch=3 * size.batch, steps=3)


def larger_batch(root: Path, size: Size) -> dict[str, Any]:
    """Stage 1 with batches of three times as many rows, which keep a large GPU busier."""
    return steps(root, "encoder", larger_size(size))


def _without_lora(nano: Any) -> None:
    if nano.peft is not None:
        nano.model.llm = nano.peft.unload()
        nano.peft = None


def decoding(root: Path, size: Size) -> dict[str, Any]:
    """Ours against AutoModel.generate, without a CTC branch: timestamps need torchaudio."""
    from telephone_asr.model import layout, pretrained
    from telephone_asr.shards import sound_index

    layout.import_funasr()  # before the rest of FunASR, or it would import every model it has
    from funasr import AutoModel

    chosen = samples("decoded", size.decoded)
    full_model.write_samples(root / "decoded", chosen)
    files = full_model.write_files(root / "decoded" / "files", root / "decoded", chosen)
    sounds, max_tokens = sound_index(root / "decoded"), training.TOKENS
    options = {"disable_update": True, "disable_pbar": True, "log_level": "ERROR"}
    options |= {"frontend_conf": {"dither": 0.0}}  # theirs is another in every run
    theirs = AutoModel(model=str(root / "models-hf" / "base"), device=device(), **options)
    nano = pretrained.load(root / "models-hf" / "base", dither=0.0)
    nano.model.to(device())

    def generate(paths: Sequence[Path]) -> list[str]:
        found = theirs.generate(list(map(str, paths)), itn=True, max_length=max_tokens)
        return [result["text"].strip() for result in found]

    def own(batch_size: int, paths: Sequence[Path]) -> list[str]:
        keys = [path.stem for path in paths]
        return training.recognised(nano, sounds, keys, max_tokens, batch_size)

    found = {}
    for name, way in (
        ("funasr", generate),
        ("ours one by one", partial(own, 1)),
        ("ours", partial(own, 32)),
    ):
        way(files[:2])  # what is done once
        started = time.perf_counter()
        texts = way(files)
        found[name] = texts, len(files) / (time.perf_counter() - started)
    (their_texts, slow), (texts, fast) = found["funasr"], found["ours"]
    # In a batch sums are added up in another order, and random weights' likeliest tokens are close.
    alone, alone_s = found["ours one by one"]
    equal, equal_alone = (
        sum(a == b for a, b in zip(own_texts, their_texts, strict=True))
        for own_texts in (texts, alone)
    )
    text = (
        f"ours {fast:.1f} utterances/s in batches of 32, {alone_s:.1f} one by one, "
        f"AutoModel.generate {slow:.1f}: {fast / slow:.1f} and {alone_s / slow:.1f} x as many; "
        f"{equal} and {equal_alone} of {len(files)} texts equal, {len(set(texts))} texts"
    )
    seconds = sum(sample.seconds for sample in chosen)
    speech = {"seconds_a_second": round(fast * seconds / len(files), 1), "tokens": max_tokens}
    close = equal_alone == len(files) and equal >= TEXTS_EQUAL * len(files)
    ok = close and (size.small or fast > slow)
    others = [pair for pair in zip(texts, their_texts, strict=True) if len(set(pair)) > 1]
    return verdict(ok, text, rates=speech, others=others[:3])


# --- What a long run has to survive


def resume(root: Path, size: Size) -> dict[str, Any]:
    """Stage 3 undisturbed, and killed after a state was saved and run again."""
    place = Repository(
        root / "resume", root / "models-small", {"train.lora.epochs": 8, "train.evaluations": 2}
    )
    expected, _ = place.train("lora", SAVES_OFTEN)
    checkpoint = place.path / "models" / "lora" / "adapter_model.safetensors"
    undisturbed = checkpoint.read_bytes()
    for directory in ("models/lora", "metrics"):
        shutil.rmtree(place.path / directory)
    process = place.start("train", "lora", SAVES_OFTEN)
    while process.poll() is None and not list(place.path.glob(".scratch/lora-*/state.pt")):
        time.sleep(0.01)
    if process.poll() is not None:
        return verdict(False, f"ended before it could be killed: {last_error(place.said())}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    losses, said = place.train("lora", SAVES_OFTEN)
    apart, same = furthest(losses, expected), checkpoint.read_bytes() == undisturbed
    went_on = [line for line in said.splitlines() if "goes on at step" in line]
    text = (
        f"killed in stage 3, then: {went_on[0] if went_on else 'began anew'}; losses "
        f"{apart:.1e} apart, {'the same' if same else 'other'} bytes"
    )
    return verdict(bool(went_on) and apart <= RESUMED_AGREE, text)


def processes(root: Path, size: Size) -> dict[str, Any]:
    """Stage 1 in one process, and in two on the same device, by gloo."""
    place = Repository(root / "processes", root / "models-small", {"train.precision": "fp32"})
    one, _ = place.train("encoder")
    two, _ = place.train("encoder", GLOO, processes=2)
    apart = furthest(two, one)
    return verdict(apart <= RESUMED_AGREE, f"losses of two processes {apart:.1e} from those of one")


def frozen(root: Path, size: Size) -> dict[str, Any]:
    """Stage 3 keeps its frozen outputs in little more room than they take, and computes them as
    training does."""
    from telephone_asr.model.frontend import feature_rows

    train, valid = samples("train", 48), samples("valid", 4)
    dim = full_model.language_model(small=True)["hidden_size"]
    rows = [feature_rows(int(16000 * s.seconds), 16000, 16000) for s in (*train, *valid)]
    kept_gb = sum(-(-n // 8) for n in rows) * dim * 4 / 1e9  # the language model is given an eighth
    changes = {"train.cache_frozen_gb": 1.2 * kept_gb, "train.lora.epochs": 0}
    outputs = {}
    for precision in ("bf16", "fp32"):
        place = Repository(
            *(root / f"frozen-{precision}", root / "models-small"),
            changes | {"train.precision": precision},
            *(train, valid),
        )
        status, said = place.run("train", "lora")
        if status:
            return verdict(False, last_error(said))
        files = sorted(place.path.glob(".scratch/frozen/adapted-*/*[0-9].npy"))
        if len(files) < 2:
            return verdict(False, f"not kept in 1.2 x the {kept_gb * 1000:.1f} MB that they take")
        outputs[precision] = {len(rows): rows for rows in map(np.load, files)}
    largest = max(outputs["fp32"])
    exact, found = outputs["fp32"][largest], outputs["bf16"][largest]
    apart = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    text = (
        f"kept in 1.2 x the {kept_gb * 1000:.1f} MB that they take; in bf16 {apart:.1e} from fp32"
    )
    return verdict(1e-4 < apart < 0.1, text)


def first_batch(root: Path, size: Size) -> dict[str, Any]:
    """A batch of long texts takes more memory than one with more rows: it is tried before any."""
    n, characters = size.texts
    texts = samples("texts", n, 0.6, full_model.TEXT * (characters // len(full_model.TEXT)))
    changes: dict[str, Any] = {"train.max_batch_rows": 1000, "train.batches_per_step": 1}
    changes |= {"train.encoder": {"epochs": 3, "ctc_weight": 0.0}}
    place = Repository(
        *(root / "first-batch", root / "models", changes), samples("train", 32, 3.0) + texts
    )
    status, said = place.run("train", "encoder", LIMITED.format(limit_mb=size.limit_mb))
    begun = "encoder: " in said and "| 0/" in said  # the progress bar
    ok = refused(status, said, "memory ran out", "train.max_batch_rows") and not begun
    return verdict(
        ok, ("in the midst of it: " if begun else "before any step: ") + last_error(said)
    )


def validation(root: Path, size: Size) -> dict[str, Any]:
    """Memory that runs out in a validation."""
    valid = samples("valid", 1, size.long_s)
    changes = {"train.encoder": {"epochs": 1, "ctc_weight": 0.0}, "train.max_batch_rows": 100}
    place = Repository(root / "validation", root / "models-small", changes, valid=valid)
    status, said = place.run("train", "encoder", LIMITED.format(limit_mb=size.validation_mb))
    return verdict(refused(status, said, "memory ran out", "decod"), last_error(said))


def full_gpu(root: Path, size: Size) -> dict[str, Any]:
    """Memory that another program has taken, so that cuBLAS or the driver find none."""
    if not on_gpu():
        return verdict(None, "needs a GPU")
    place = Repository(root / "full-gpu", root / "models-small", {"train.encoder": {"epochs": 1}})
    status, said = place.run("train", "encoder", FILLED)
    if status == 0:
        return verdict(True, "nothing more was asked for")
    return verdict(refused(status, said, "memory ran out"), last_error(said))


def evaluate(root: Path, size: Size) -> dict[str, Any]:
    """The scores of one process and of two on the same device, by gloo."""
    # At 8 kHz, as the sounds without speech are: resampling needs torchaudio, and timestamps do.
    changes = {"frontend": {"fs": 8000, "filters": "native"}}
    place = Repository(root / "evaluate", root / "models-hf", changes, rate_hz=8000)
    found = []
    for options in ({}, {"before": GLOO, "processes": 2}):
        status, said = place.run("evaluate", "base", **options)
        if status:
            return verdict(False, last_error(said))
        written = [place.path / "metrics" / "base.json", place.path / "data/transcripts/base.jsonl"]
        found.append([path.read_bytes() for path in written])
        for path in written:
            path.unlink()
    same = found[0] == found[1]
    return verdict(same, f"scores and texts of two processes {'as' if same else 'NOT as'} of one")


def readers(root: Path, size: Size) -> dict[str, Any]:
    """Processes that read ahead do not each fill train.cache_mb."""
    cache_mb, workers, n, epochs = (64, 6, 600, 10) if size is FULL else (8, 2, 100, 2)
    changes: dict[str, Any] = {"train.cache_mb": cache_mb, "train.workers": workers}
    changes |= {"train.max_batch_rows": 1000, "train.batches_per_step": 1}
    changes |= {"train.encoder": {"epochs": epochs}}
    train = samples("train", n, 3.0)  # features of 0.11 MB each
    place = Repository(root / "readers", root / "models-small", changes, train)
    process = place.start("train", "encoder")
    first: dict[int, float] = {}
    most: dict[int, float] = {}
    while process.poll() is None:
        for pid in children(process.pid):
            now = private_mb(pid)
            first.setdefault(pid, now)
            most[pid] = max(most.get(pid, 0.0), now)
        time.sleep(0.1)
    if process.returncode:
        return verdict(False, last_error(place.said()))
    grown = sum(sorted((most[pid] - first[pid] for pid in most), reverse=True)[:workers])
    text = f"{workers} readers grew by {grown:.0f} MB together, train.cache_mb {cache_mb}"
    return verdict(len(most) >= workers and grown < cache_mb + READER_MB * workers, text)


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended, or the system does not tell
        return []


def private_mb(pid: int) -> float:
    """Memory that a process alone has."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    kb = [int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")]
    return sum(kb) / 1024


def doctor(root: Path, size: Size) -> dict[str, Any]:
    """Compares train.processes with the GPUs that there are."""
    place = Repository(root / "doctor", root / "models-small", {})
    found = []
    for n in (1, 64):
        place.change({"train.processes": n, "train.batches_per_step": n})
        command = [sys.executable, "-c", "from telephone_asr.cli import main; main()", "doctor"]
        done = subprocess.run(command, cwd=place.path, capture_output=True, text=True, check=False)
        found += [line for line in done.stdout.splitlines() if " devices: " in line]
    text = f"{'; '.join(found)}"[:400]
    if not on_gpu():
        return verdict(None if len(found) == 2 else False, f"needs a GPU; here {text}")
    ok = len(found) == 2 and found[0].startswith("ok") and found[1].startswith("WRONG")
    return verdict(ok and "train.processes" in found[1], text)


# --- For a forecast


def rates(out: Path) -> dict[str, Any]:
    """Writes rates.yaml from what the timed checks found."""
    results = json.loads((out / "gpu.json").read_text(encoding="utf-8"))
    names = (*training.STAGES, "decoding")
    found = {n: results["checks"].get(n, {}).get("rates") for n in names}
    kept = {name: rates for name, rates in found.items() if rates}
    training.write_rates(out / "rates.yaml", results["machine"], device(), "bf16", kept)
    return verdict(True, f"{out / 'rates.yaml'}")
