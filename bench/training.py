"""A training step at full size against FunASR's own trainer: time and memory, for each stage.

    python bench/training.py

Fun-ASR-Nano with its 50 + 20 encoder blocks, adaptor, CTC branch and Qwen3-0.6B, random weights;
the same batches of the same sound, fp32, on this machine's CPU. FunASR's side is its dataset,
its collator, its model's forward pass and `Trainer.train_epoch`, with the freezing its recipes ask
for. Ours is `loop.train` behind the same sound. Each of the two runs in a process of its own, so
that its peak memory is its own; they take turns, `--rounds` times. Weights count in neither.

Give --profile encoder (or adapter, lora) to see where our time goes.
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
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

STAGES = ("encoder", "adapter", "lora")
BATCH = {"encoder": 8, "adapter": 8, "lora": 16}  # utterances
SECONDS = 3.0  # of each utterance
TARGETS = {"encoder": (1.25, 0.85), "adapter": (2.0, 0.75), "lora": (1.75, 0.7)}
TEXT = "您好请问您是张先生吗您在我们公司"  # 16 characters
QWEN_PATTERN = (  # of the Qwen tokenizers: how a text is cut up before its pieces are looked up
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


# --- The model and the sound


def write_full_size(directory: Path) -> None:
    """A model directory with the sizes of Fun-ASR-Nano-2512 and random weights."""
    write_qwen_tokenizer(directory.parent / "tokenizer")
    write_weights(directory, write_configuration(directory, directory.parent / "tokenizer"))


def write_weights(directory: Path, config: dict) -> None:
    import torch

    torch.manual_seed(0)
    torch.save(build(config).state_dict(), directory / "model.pt")


def build(config: dict):
    """FunASR's model, with random weights."""
    from funasr.register import tables

    return tables.model_classes[config["model"]](**config, input_size=560)


def write_configuration(directory: Path, tokenizer: Path) -> dict:
    """All of the directory but its weights; the configuration as FunASR reads it."""
    from omegaconf import OmegaConf
    from transformers import Qwen3Config

    from telephone_asr.model.pretrained import import_funasr, read_config
    from telephone_asr.model.tiny import LLM_DIRECTORY, write_tiny
    from telephone_asr.params import TinyModel, TinyTraining

    import_funasr()
    none = TinyTraining(lr=1e-3, epochs=0, max_frames=1)
    size = TinyModel(1, 1, 16, 1, 16, none, none)
    write_tiny(directory, size, tokenizer, 16000, seed=0)
    llm = directory / LLM_DIRECTORY
    small = Qwen3Config.from_pretrained(llm)
    Qwen3Config(
        **{"vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072},
        **{"num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8},
        **{"head_dim": 128, "max_position_embeddings": 40960, "tie_word_embeddings": True},
        **{"eos_token_id": small.eos_token_id, "pad_token_id": small.pad_token_id},
        architectures=["Qwen3ForCausalLM"],
    ).save_pretrained(llm)
    config = OmegaConf.load(directory / "config.yaml")
    config.audio_encoder_conf.update(
        {
            **{"output_size": 512, "attention_heads": 4, "linear_units": 2048},
            **{"num_blocks": 50, "tp_blocks": 20, "kernel_size": 11},
            **{"dropout_rate": 0.1, "attention_dropout_rate": 0.1},
        }
    )
    config.audio_adaptor_conf.update(
        {
            **{"downsample_rate": 1, "ffn_dim": 2048, "llm_dim": 1024, "encoder_dim": 512},
            **{"attention_heads": 8, "n_layer": 2, "use_low_frame_rate": True},
        }
    )
    config.ctc_decoder_conf.update(
        {
            **{"downsample_rate": 1, "ffn_dim": 2048, "llm_dim": 512, "encoder_dim": 512},
            **{"attention_heads": 8, "n_layer": 5},
        }
    )
    config.ctc_vocab_size = 60515
    config.dataset_conf = {"sys_prompt": True, "do_think": False}
    OmegaConf.save(config, directory / "config.yaml")
    return read_config(directory)


def write_qwen_tokenizer(directory: Path) -> None:
    """Qwen3's own, from the vocabulary that PyPI's dashscope holds: what a prompt costs depends on
    how many tokens it is."""
    from importlib.metadata import distribution

    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    files = distribution("dashscope").files or []
    vocabulary = next(file for file in files if file.name == "qwen.tiktoken").locate()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    converter = TikTokenConverter(
        vocab_file=str(vocabulary), pattern=QWEN_PATTERN, extra_special_tokens=special
    )
    PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(), pad_token=special[0], eos_token=special[2]
    ).save_pretrained(directory)


def write_sound(directory: Path, n: int) -> None:
    """Utterances like speech in shards, their manifest, and files for FunASR."""
    import soundfile

    from telephone_asr.manifests.messages import PROMPT_VERBATIM, Example, manifest_line
    from telephone_asr.model.frontend import fbank_frames
    from telephone_asr.shards import Utterance, write_shards

    rng = np.random.default_rng(0)
    utterances, lines = [], []
    for i in range(n):
        length = int(16000 * SECONDS)
        samples = (3000 * rng.standard_normal(length)).astype(np.int16)
        key = f"u{i:03d}"
        utterances.append(Utterance(key, samples, 16000, TEXT, f"s{i % 4}", ""))
        path = directory / "files" / f"{key}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, 16000)
        frames = fbank_frames(length, 16000, 16000)
        example = Example(
            key, TEXT, PROMPT_VERBATIM, frames, len(TEXT), SECONDS, f"s{i % 4}", "", "telecall"
        )
        lines.append(manifest_line(example, str(path)))
    write_shards(directory / "shards", utterances, shard_size=n)
    (directory / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- One side, one stage, in a process of its own


def steps_of_ours(root: Path, stage: str, steps: int, profile: bool) -> dict:
    """Seconds of each step, and peak memory over the weights."""
    from telephone_asr.manifests.messages import read_manifest
    from telephone_asr.model import parts
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.pretrained import load
    from telephone_asr.shards import sound_index
    from telephone_asr.training import loop
    from telephone_asr.training.batches import Inputs
    from telephone_asr.training.objective import Objective
    from telephone_asr.training.resume import Scratch

    nano = load(root / "model")
    level = {"encoder": "features", "adapter": "encoded", "lora": "adapted"}[stage]
    if stage == "lora":
        trained = parts.add_lora(nano, parts.LoraSize(16, 32, 0.05), seed=0)
    else:
        trained = parts.choose_trained(nano, parts.PREFIXES[stage])
    examples = read_manifest(root / "train.jsonl")
    frontend = Frontend(nano.config["frontend_conf"])
    inputs = Inputs(examples, [sound_index(root / "shards")], frontend, cache_mb=100)
    if level != "features":
        inputs.advance(nano, level, 400, root / "frozen" / level)
    size = BATCH[stage]
    schedule = [list(range(i * size, (i + 1) * size)) for i in range(steps)]
    measured = Steps(settled_memory_mb())

    def batch_at(number: int):
        measured.tick()
        return inputs.batch(schedule[number])

    from accelerate import Accelerator

    loop.SAVE_EVERY_S = 3600.0  # neither side saves while it is measured
    recipe = loop.Recipe(1e-4, 0.1, 5.0, 1, 0, stage)
    with measured.watching(profile):
        loop.train(
            *(Objective(nano, level, 1.0, 0.0), trained, batch_at, steps, [0], lambda: 0.0, recipe),
            *(Scratch(root / "scratch" / str(os.getpid()), stage, "0" * 16), lambda row: None),
            Accelerator(cpu=True),
        )
    return measured.result(len(trained), sum(p.numel() for p in trained.values()))


def steps_of_funasr(root: Path, stage: str, steps: int) -> dict:
    """The same of FunASR's dataset, model and trainer."""
    import torch
    from funasr.models.lora.utils import mark_only_lora_as_trainable
    from funasr.train_utils.trainer_ds import Trainer

    from telephone_asr.model import pretrained

    torch.manual_seed(0)
    nano = pretrained.load(root / "model")
    model = nano.model
    model.ctc_decoder = None  # its forward pass makes no use of it
    if stage == "lora":
        model._apply_lora_to_llm({"lora_conf": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05}})
        mark_only_lora_as_trainable(model)
    else:
        prefix = {"encoder": "audio_encoder.", "adapter": "audio_adaptor."}[stage]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(prefix))
    loader = funasr_batches(root, nano, BATCH[stage], steps)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    measured = Steps(settled_memory_mb())

    class OnCpu(Trainer):
        """FunASR puts batches on GPU 0, whatever device is named; nothing else is changed."""

        device = property(lambda self: "cpu", lambda self, _: None)

    trainer = OnCpu(output_dir=str(root / "funasr"), log_interval=1, grad_clip=5.0)
    with measured.watching(False):
        trainer.train_epoch(
            model=model,
            optim=optimizer,
            scheduler=scheduler,
            scaler=None,
            dataloader_train=Ticking(loader, measured),
            epoch=0,
        )
    return measured.result(len(trained), sum(p.numel() for p in trained))


def funasr_batches(root: Path, nano, size: int, steps: int):
    """FunASR's dataset and collator over the manifest, in its order."""
    import funasr.datasets.fun_asr_datasets.datasets
    import torch
    from funasr.frontends.wav_frontend import WavFrontend
    from funasr.register import tables

    assert funasr.datasets.fun_asr_datasets.datasets  # it registers the dataset
    dataset = tables.dataset_classes["FunASR"](
        str(root / "train.jsonl"),
        frontend=WavFrontend(**nano.config["frontend_conf"]),
        tokenizer=nano.tokenizer,
        index_ds="FunASR",
        do_think=nano.config["dataset_conf"]["do_think"],
        sys_prompt=nano.config["dataset_conf"]["sys_prompt"],
        use_low_frame_rate=True,
        batch_type="example",
        batch_size=size,
    )
    batches = [list(range(i * size, (i + 1) * size)) for i in range(steps + 1)]
    return torch.utils.data.DataLoader(
        dataset, batch_sampler=Batches(batches), collate_fn=dataset.collator
    )


class Batches(list):
    def set_epoch(self, epoch: int) -> None:
        pass


class Ticking:
    """A loader that notes when each batch is asked for."""

    def __init__(self, loader, measured: Steps):
        self._loader, self._measured = loader, measured
        self.batch_sampler = loader.batch_sampler

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self):
        iterator = iter(self._loader)
        while True:
            self._measured.tick()
            try:
                yield next(iterator)
            except StopIteration:
                return


class Steps:
    """Times of steps, and the most memory this process held while they ran."""

    def __init__(self, weights_mb: float):
        self._weights_mb = self._peak_mb = weights_mb
        self._ticks: list[float] = []
        self._peaks_mb: list[float] = []

    def tick(self) -> None:
        self._ticks.append(time.perf_counter())
        self._peaks_mb.append(self._peak_mb)

    @contextmanager
    def watching(self, profile: bool):
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                self._peak_mb = max(self._peak_mb, memory_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with profiled() if profile else nullcontext():
                yield
        finally:
            done.set()
            watcher.join()

    def result(self, tensors: int, parameters: int) -> dict:
        """The first interval is left out: it has what is done once. So is what comes after the last
        tick: there ours saves its state, which FunASR does elsewhere."""
        seconds = np.diff(self._ticks)[1:].tolist()
        return {
            "seconds": seconds,
            "over_weights_mb": self._peaks_mb[-1] - self._weights_mb,
            "weights_mb": self._weights_mb,
            "trained_tensors": tensors,
            "trained_parameters": parameters,
        }


@contextmanager
def profiled():
    """Prints where the time goes, by operator."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        yield
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=18), file=sys.stderr)


def settled_memory_mb() -> float:
    """After what was freed has been given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return memory_mb()


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- Both sides in turn


def measure(root: Path, side: str, stage: str, steps: int) -> dict:
    command = [sys.executable, __file__, "--side", side, "--stage", stage, "--root", str(root)]
    done = subprocess.run(
        [*command, "--steps", str(steps)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{side}, {stage}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4, help="measured in each round")
    parser.add_argument("--profile", choices=STAGES, help="where our time goes")
    parser.add_argument("--side", choices=("ours", "funasr"), help=argparse.SUPPRESS)
    parser.add_argument("--stage", choices=STAGES, help="this one alone")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        if arguments.side == "ours":
            found = steps_of_ours(arguments.root, arguments.stage, arguments.steps, False)
        else:
            found = steps_of_funasr(arguments.root, arguments.stage, arguments.steps)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_full_size(root / "model")
        settled_memory_mb()  # what building it took is given back
        write_sound(root, max(BATCH.values()) * (arguments.steps + 2))
        if arguments.profile:
            steps_of_ours(root, arguments.profile, arguments.steps, True)
            return
        for stage in [arguments.stage] if arguments.stage else STAGES:
            compare(root, stage, arguments)


def compare(root: Path, stage: str, arguments: argparse.Namespace) -> None:
    found: dict[str, list[dict]] = {"funasr": [], "ours": []}
    for _ in range(arguments.rounds):
        for side, results in found.items():
            results.append(measure(root, side, stage, arguments.steps))
    seconds = {
        side: [s for result in results for s in result["seconds"]]
        for side, results in found.items()
    }
    middle = {side: statistics.median(values) for side, values in seconds.items()}
    memory = {
        side: statistics.median(result["over_weights_mb"] for result in results)
        for side, results in found.items()
    }
    counts = {side: results[0]["trained_parameters"] for side, results in found.items()}
    speed, share = TARGETS[stage]
    print(
        f"{stage}: batches of {BATCH[stage]} utterances of {SECONDS:g} s; trains "
        f"{counts['ours']:,} parameters (FunASR {counts['funasr']:,})"
    )
    for side, values in seconds.items():
        print(
            f"  {side:7s} {middle[side]:6.2f} s a step ({min(values):.2f} to {max(values):.2f}, "
            f"n {len(values)}), {memory[side] / 1024:.2f} GB over the weights"
        )
    print(
        f"  {middle['funasr'] / middle['ours']:.2f} x as fast (target {speed}), "
        f"{memory['ours'] / memory['funasr']:.2f} of its memory (target {share})",
        flush=True,
    )


if __name__ == "__main__":
    main()
