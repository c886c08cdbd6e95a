"""A training step at full size against FunASR's own trainer: time and memory, for each stage.

    python bench/training.py

Fun-ASR-Nano with its 50 + 20 encoder blocks, adaptor, CTC branch and Qwen3-0.6B, random weights;
the same batches of the same sound, fp32, on this machine's CPU. FunASR's side is its dataset,
its collator, its model's forward pass and `Trainer.train_epoch`, with the freezing its recipes ask
for. Ours is `loop.train` behind the same sound. Each of the two runs in a process of its own, so
that its peak memory is its own; they take turns, `--rounds` times. Weights count in neither.

Give --profile encoder (or adaptor, lora) to see where our time goes, and --rates FILE to note our
rates there for `telephone-asr doctor`. With --fresh-line ours sends each utterance over a line of
its own as it is read. bench/gpu.py is the same on a GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import full_model
from full_model import Sample

HERE = Path(__file__).resolve().parent
STAGES = ("encoder", "adaptor", "lora")
LEVELS = {"encoder": "features", "adaptor": "encoded", "lora": "adapted"}
BATCH = {"encoder": 8, "adaptor": 8, "lora": 16}  # utterances
SECONDS = 3.0  # of each utterance
ROWS = 50  # of 60 ms
TARGETS = {"encoder": (1.25, 0.85), "adaptor": (2.0, 0.75), "lora": (1.75, 0.7)}
LR = 1e-4
TOKENS = 20  # of a transcript that is decoded: random weights end none
CTC_WEIGHT = 0.3  # of the profile fun-asr-nano


@dataclass(frozen=True)
class Run:
    """What both sides are given."""

    root: Path  # of write_inputs
    stage: str
    steps: int  # that are measured
    batch: int  # utterances
    device: str = "cpu"
    precision: str = "fp32"
    ctc_weight: float = 0.0  # of ours, in the encoder's stage; FunASR's trainer has no such loss
    workers: int = 0  # processes that read ahead
    fresh_line: bool = False  # ours simulates a line as it reads

    @property
    def batches(self) -> list[list[int]]:
        """Of each step, and of one before them, in which is done what is done once."""
        numbers = range(self.steps + 1)
        return [list(range(n * self.batch, (n + 1) * self.batch)) for n in numbers]


def write_inputs(root: Path, utterances: int) -> None:
    """Writes the sound for our side, its manifest, and files for FunASR's."""
    samples = [Sample(f"u{i:04d}", SECONDS) for i in range(utterances)]
    full_model.write_samples(root / "shards", samples)
    full_model.write_manifest(root / "train.jsonl", samples, "telecall")
    full_model.write_files(root / "files", root / "shards", samples)


# --- One side, one stage


def steps_of_ours(run: Run, nano: Any, profile: bool = False) -> dict:
    """Seconds and loss of each step, and memory over the weights; and what the pass took that
    computed the frozen parts' outputs."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from telephone_asr.model import parts
    from telephone_asr.model.devices import frozen_llm_in_bf16
    from telephone_asr.model.pretrained import CTC_BRANCH
    from telephone_asr.params import load_params
    from telephone_asr.scratch import Scratch
    from telephone_asr.training import loop
    from telephone_asr.training.plan import Plan

    AcceleratorState._reset_state()  # there is one a process, and runs may follow one another
    mixed = {"fp32": "no", "bf16": "bf16"}[run.precision]
    accelerator = Accelerator(mixed_precision=mixed, cpu=run.device == "cpu")
    nano.model.to(accelerator.device)
    if run.stage == "lora":
        trained = parts.add_lora(nano, parts.LoraSize(16, 32, 0.05), seed=0)
    else:
        prefixes = parts.PREFIXES[run.stage] + (CTC_BRANCH if run.ctc_weight else ())
        trained = parts.choose_trained(nano, prefixes)
    inputs = _inputs(run, nano)
    started = time.perf_counter()
    if LEVELS[run.stage] != "features":
        with accelerator.autocast():
            place = run.root / "frozen" / f"{run.stage}-{run.precision}-{os.getpid()}"
            inputs.precompute(nano, LEVELS[run.stage], 80 * ROWS, place)
    frozen_s = time.perf_counter() - started
    loop.SAVE_EVERY_S = 3600.0  # neither side saves while it is measured
    scratch = Scratch(run.root / "scratch", f"{run.stage}-{os.getpid()}", "0" * 16)
    plan = Plan(run.stage, (), (), inputs.input_stage, LR, 0, 1, 0, 1.0, run.ctc_weight)
    options = load_params(HERE.parent / "params.yaml").train
    options = replace(options, evaluations=1, workers=run.workers, batches_per_step=1, average=1)
    with frozen_llm_in_bf16(nano, run.precision):
        measured = Steps(run.device)
        objective = _heard(nano, inputs.input_stage, run.ctc_weight, measured)
        with measured.watching(profile):
            loop.train(
                objective,
                trained,
                lambda n: inputs.batch(run.batches[n]),
                len(run.batches),
                [0],
                lambda: 0.0,
                plan,
                options,
                scratch,
                lambda row: None,
                accelerator,
            )
    scratch.close(remove=True)
    losses = [float(loss) for loss in objective.losses[1:]]  # the first only tries the memory out
    found = measured.result(trained.values()) | {"losses": losses}
    if LEVELS[run.stage] != "features":
        found["frozen_rows_a_second"] = len(inputs) * ROWS / frozen_s
    return found


def recognised(
    nano: Any, sounds: Any, keys: Sequence[str], max_tokens: int, batch_size: int = 32
) -> list[str]:
    """Our transcripts."""
    from telephone_asr.decoding.recognise import recognise
    from telephone_asr.manifests.messages import PROMPT
    from telephone_asr.model.frontend import Frontend, feature_rows

    frontend = Frontend(nano.config["frontend_conf"])
    lengths = [feature_rows(len(sounds.read(k)[0]), full_model.RATE_HZ, 16000) for k in keys]
    read = [frontend(*sounds.read(key)) for key in keys].__getitem__
    return recognise(nano, read, lengths, [PROMPT] * len(keys), batch_size, max_tokens)


def decoding_rate(root: Path) -> dict[str, float]:
    """How many seconds of speech are decoded in one."""
    from telephone_asr.shards import sound_index

    nano, sounds = loaded(root / "model"), sound_index(root / "shards")
    keys = [f"u{i:04d}" for i in range(32)]
    recognised(nano, sounds, keys[:2], TOKENS)  # what is done once
    started = time.perf_counter()
    recognised(nano, sounds, keys, TOKENS)
    seconds = time.perf_counter() - started
    return {"seconds_a_second": round(SECONDS * len(keys) / seconds, 2), "tokens": TOKENS}


def start_s(model: Path) -> float:
    """Seconds from the start of a process until the model is there."""
    code = "import sys, pathlib; from telephone_asr.model import pretrained as p; "
    code += "p.load(pathlib.Path(sys.argv[1]))"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(model)], check=True, capture_output=True)
    return round(time.perf_counter() - started, 1)


def _inputs(run: Run, nano: Any) -> Any:
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.manifests.messages import read_manifest
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.shards import sound_index

    examples = read_manifest(run.root / "train.jsonl")[: run.batch * len(run.batches)]
    frontend = Frontend(nano.config["frontend_conf"])
    sounds = {examples[0].source: sound_index(run.root / "shards")}
    fresh = {source: _fresh_sounds(run.root) for source in sounds if run.fresh_line}
    return SpeechDataset(examples, sounds, frontend, cache_mb=100, fresh=fresh)


def _fresh_sounds(root: Path) -> Any:
    from telephone_asr.params import load_params
    from telephone_asr.simulation import FreshLine

    line = FreshLine(root / "shards", load_params(HERE.parent / "params.yaml").channel, 0)
    line.save_babble(root / "babble.npz")
    return line.sounds(root / "babble.npz")


def _heard(nano: Any, level: Any, ctc_weight: float, measured: Steps) -> Any:
    """Our loss, which also keeps what it was, and when it was asked for."""
    from telephone_asr.training.objective import Objective

    class Heard(Objective):
        losses: Sequence[Any] = []

        def forward(self, *arguments: Any) -> Any:
            measured.tick()
            loss = super().forward(*arguments)
            self.losses = [*self.losses, loss.detach()]
            return loss

    return Heard(nano, level, 1.0 - ctc_weight, ctc_weight)


def steps_of_funasr(run: Run, nano: Any) -> dict:
    """The same of FunASR's dataset, model and trainer.

    In bf16 its language model is, weights too, as the published config.yaml asks for, and autocast
    is on for the rest.
    """
    import torch
    from funasr.models.lora.utils import mark_only_lora_as_trainable
    from funasr.train_utils.trainer_ds import Trainer

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True  # as its funasr/bin/train_ds.py does
    model = nano.model
    model.ctc_decoder = None  # its forward pass makes no use of it
    if run.precision == "bf16":
        model.llm.to(torch.bfloat16)
        model.llm_dtype = "bf16"
    if run.stage == "lora":
        model._apply_lora_to_llm({"lora_conf": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05}})
        mark_only_lora_as_trainable(model)
    else:
        prefix = {"encoder": "audio_encoder.", "adaptor": "audio_adaptor."}[run.stage]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(prefix))
    model.to(run.device)
    loader = funasr_batches(run, nano)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    measured = Steps(run.device)

    class Here(Trainer):
        """FunASR puts batches on GPU 0, whatever device is named; nothing else is changed."""

        device = property(lambda self: run.device, lambda self, _: None)

    options = {"log_interval": 1, "grad_clip": 5.0, "use_bf16": run.precision == "bf16"}
    trainer = Here(output_dir=str(run.root / "funasr"), **options)
    with measured.watching():
        trainer.train_epoch(
            model=model,
            optim=optimizer,
            scheduler=scheduler,
            scaler=None,
            dataloader_train=Ticking(loader, measured),
            epoch=0,
        )
    return measured.result(trained)


def funasr_batches(run: Run, nano: Any) -> Any:
    """FunASR's dataset and collator over the manifest, in its order."""
    import funasr.datasets.fun_asr_datasets.datasets
    import torch
    from funasr.frontends.wav_frontend import WavFrontend
    from funasr.register import tables

    assert funasr.datasets.fun_asr_datasets.datasets  # it registers the dataset
    dataset = tables.dataset_classes["FunASR"](
        str(run.root / "train.jsonl"),
        frontend=WavFrontend(**nano.config["frontend_conf"]),
        tokenizer=nano.tokenizer,
        index_ds="FunASR",
        use_low_frame_rate=True,
        batch_type="example",
        batch_size=run.batch,
    )
    return torch.utils.data.DataLoader(
        dataset,
        batch_sampler=Batches(run.batches),
        collate_fn=dataset.collator,
        num_workers=run.workers,
    )


class Batches(list):
    def set_epoch(self, epoch: int) -> None:
        pass


class Ticking:
    """A loader that notes when each batch is asked for."""

    def __init__(self, loader: Any, measured: Steps):
        self._loader, self._measured = loader, measured
        self.batch_sampler = loader.batch_sampler

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        iterator = iter(self._loader)
        while True:
            self._measured.tick()
            try:
                yield next(iterator)
            except StopIteration:
                return


# --- Measuring


class Steps:
    """Times of steps, and the most memory that was held while they ran: of this process, or of a
    GPU."""

    def __init__(self, device: str):
        self._on_gpu = device != "cpu"
        self._weights_mb = self._peak_mb = settled_memory_mb(self._on_gpu)
        self._ticks: list[float] = []
        self._peaks_mb: list[float] = []

    def tick(self) -> None:
        if self._on_gpu:
            import torch

            torch.cuda.synchronize()
            self._peak_mb = torch.cuda.max_memory_allocated() / 2**20
        self._ticks.append(time.perf_counter())
        self._peaks_mb.append(self._peak_mb)

    @contextmanager
    def watching(self, profile: bool = False) -> Iterator[None]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                self._peak_mb = max(self._peak_mb, memory_mb())

        watcher = threading.Thread(target=watch)
        if not self._on_gpu:
            watcher.start()
        try:
            with profiled() if profile else nullcontext():
                yield
        finally:
            done.set()
            if not self._on_gpu:
                watcher.join()

    def result(self, trained: Iterable[Any]) -> dict:
        """The first interval is left out: it has what is done once. So is what comes after the last
        tick: there ours saves its state, which FunASR does elsewhere."""
        return {
            "seconds": np.diff(self._ticks)[1:].tolist(),
            "over_weights_mb": self._peaks_mb[-1] - self._weights_mb,
            "weights_mb": self._weights_mb,
            "trained_parameters": sum(p.numel() for p in trained),
        }


@contextmanager
def profiled() -> Iterator[None]:
    """Prints where the time goes, by operator."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        yield
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=18), file=sys.stderr)


def settled_memory_mb(on_gpu: bool = False) -> float:
    """After what was freed has been given back."""
    gc.collect()
    if on_gpu:
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return memory_mb()


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- Rates


def rates(run: Run, found: Mapping[str, Any]) -> dict[str, float]:
    """What a forecast needs of our side of a stage."""
    rows = run.batch * ROWS
    kept = {
        "rows_a_second": round(rows / statistics.median(found["seconds"]), 1),
        "weights_gb": round(found["weights_mb"] / 1024, 2),
        "gb_a_1000_rows": round(found["over_weights_mb"] / 1.024 / rows, 3),
    }
    if "frozen_rows_a_second" in found:
        kept["frozen_rows_a_second"] = round(found["frozen_rows_a_second"], 1)
    return kept


def write_rates(
    path: Path, machine: str, device: str, precision: str, stages: Mapping[str, Any]
) -> None:
    """Puts a machine's rates into a file of them, in place of its earlier ones."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = None
    rows = yaml.load(path.read_text(encoding="utf-8")) if path.exists() else []
    new = {"machine": machine, "device": device, "precision": precision} | dict(stages)
    same = [n for n, row in enumerate(rows) if row["machine"] == machine]
    same = [n for n in same if rows[n]["precision"] == precision]
    if same:
        rows[same[0]] = dict(rows[same[0]]) | new
    else:
        rows.append(new)
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(rows, file)


# --- Both sides in turn


def measure(side: str, run: Run) -> dict:
    """One side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--stage", run.stage]
    command += ["--root", str(run.root), "--steps", str(run.steps)]
    command += ["--ctc-weight", str(run.ctc_weight), "--workers", str(run.workers)]
    command += ["--fresh-line"] * run.fresh_line
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side}, {run.stage}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="measured in each round")
    parser.add_argument("--profile", choices=STAGES, help="where our time goes")
    parser.add_argument("--rates", type=Path, help="note our rates in this file")
    parser.add_argument("--fresh-line", action="store_true", help="ours simulates as it reads")
    parser.add_argument("--workers", type=int, default=0, help="processes that read ahead, of ours")
    parser.add_argument("--side", choices=("ours", "funasr"), help=argparse.SUPPRESS)
    parser.add_argument("--stage", choices=STAGES, help="this one alone")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ctc-weight", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run = Run(arguments.root, arguments.stage, arguments.steps, BATCH[arguments.stage])
        run = replace(run, ctc_weight=arguments.ctc_weight, workers=arguments.workers)
        run = replace(run, fresh_line=arguments.fresh_line)
        sides = {"ours": steps_of_ours, "funasr": steps_of_funasr}
        print(json.dumps(sides[arguments.side](run, loaded(run.root / "model"))))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        full_model.write_qwen_tokenizer(root / "tokenizer")
        full_model.write_model(root / "model", root / "tokenizer")
        settled_memory_mb()  # what building it took is given back
        write_inputs(root, max(BATCH.values()) * (arguments.steps + 1))
        if arguments.profile:
            run = Run(root, arguments.profile, arguments.steps, BATCH[arguments.profile])
            steps_of_ours(run, loaded(root / "model"), profile=True)
            return
        found: dict[str, Any] = {}
        for stage in [arguments.stage] if arguments.stage else STAGES:
            run = Run(root, stage, arguments.steps, BATCH[stage], workers=arguments.workers)
            run = replace(run, fresh_line=arguments.fresh_line)
            found[stage] = rates(run, compare(run, arguments.rounds))
            if stage == "encoder" and arguments.rates:
                run = replace(run, ctc_weight=CTC_WEIGHT)
                found[stage] = rates(run, measure("ours", run))
        if arguments.rates:
            found |= {"start_s": start_s(root / "model"), "decoding": decoding_rate(root)}
            write_rates(arguments.rates, processor(), "cpu", "fp32", found)


def loaded(directory: Path) -> Any:
    from telephone_asr.model import pretrained

    return pretrained.load(directory)


def processor() -> str:
    """The CPU's name, and how many cores of it there are here."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else 'a CPU'}"


def compare(run: Run, rounds: int) -> dict[str, Any]:
    """Prints both sides of a stage; returns ours."""
    found: dict[str, list[dict]] = {"funasr": [], "ours": []}
    for _ in range(rounds):
        for side, results in found.items():
            results.append(measure(side, run))
    both = {side: together(results) for side, results in found.items()}
    speed, share = TARGETS[run.stage]
    print(
        f"{run.stage}: batches of {run.batch} utterances of {SECONDS:g} s; trains "
        f"{both['ours']['trained_parameters']:,.0f} parameters "
        f"(FunASR {both['funasr']['trained_parameters']:,.0f})"
    )
    for side, result in both.items():
        print(f"  {side:7s} {told(result)}")
    ratio, memory = ratios(both["ours"], both["funasr"])
    print(
        f"  {ratio:.2f} x as fast (target {speed}), {memory:.2f} of its memory (target {share})",
        flush=True,
    )
    return both["ours"]


def together(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several runs of one side as one."""
    seconds = [s for result in results for s in result["seconds"]]
    middle = {
        key: statistics.median(result[key] for result in results)
        for key, value in results[0].items()
        if isinstance(value, (int, float))
    }
    return middle | {"seconds": seconds}


def told(result: Mapping[str, Any]) -> str:
    seconds = result["seconds"]
    return (
        f"{statistics.median(seconds):.3g} s a step ({min(seconds):.3g} to {max(seconds):.3g}, "
        f"n {len(seconds)}), {result['over_weights_mb'] / 1024:.2f} GB over the weights"
    )


def ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[float, float]:
    """How many times as fast ours is, and the share of their memory that it takes."""
    fast, slow = (statistics.median(side["seconds"]) for side in (ours, theirs))
    return slow / fast, ours["over_weights_mb"] / theirs["over_weights_mb"]


if __name__ == "__main__":
    main()
