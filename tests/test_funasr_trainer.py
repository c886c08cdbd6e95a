"""FunASR's own dataset and trainer take the manifests as they are."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from repository_fixtures import run_stage
from telephone_asr.commands.unpack import unpack_sound
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.manifests.split import SPLITS

# FunASR 1.4 puts batches on GPU 0, whatever device is named; nothing else of it is changed.
TRAIN_ON_CPU = """
import funasr.bin.train_ds as train_ds

class Trainer(train_ds.Trainer):
    device = property(lambda self: "cpu", lambda self, device: None)

train_ds.Trainer = Trainer
train_ds.main_hydra()
"""
OPTIONS = {
    "disable_update": "true",
    "device": "cpu",
    "dataset": "FunASR",
    "dataset_conf.index_ds": "FunASR",
    "dataset_conf.batch_sampler": "BatchSampler",
    "dataset_conf.batch_type": "token",
    "dataset_conf.batch_size": 500,
    "dataset_conf.sort_size": 64,
    "dataset_conf.num_workers": 0,
    "dataset_conf.data_split_num": 1,
    "optim_conf.lr": 1e-4,
    "train_conf.max_epoch": 1,
    "train_conf.log_interval": 1,
    "train_conf.resume": "false",
    # As FunASR's finetune.sh: the published config.yaml freezes everything and asks for DeepSpeed.
    "train_conf.use_deepspeed": "false",
    "train_conf.effective_save_name_excludes": "None",
    "llm_conf.freeze": "false",
}


@pytest.fixture
def unpacked(repository) -> Path:
    unpack_sound()
    return repository


def test_funasr_reads_every_line_and_counts_what_we_count(unpacked):
    import funasr.datasets.fun_asr_datasets.datasets
    from funasr.frontends.wav_frontend import WavFrontend
    from funasr.register import tables
    from transformers import AutoTokenizer

    assert funasr.datasets.fun_asr_datasets.datasets
    tokenizer = AutoTokenizer.from_pretrained("models/tokenizer")
    frontend = WavFrontend(
        **{"fs": 16000, "n_mels": 80, "lfr_m": 7, "lfr_n": 6, "window": "hamming", "dither": 0.0}
    )
    total = 0
    for source in ("wideband", "simulated", "telecall"):
        for split in SPLITS:
            path = Path("data/manifests") / source / f"{split}.jsonl"
            examples = read_manifest(path)
            dataset = tables.dataset_classes["FunASR"](
                str(path),
                index_ds="FunASR",
                frontend=frontend,
                tokenizer=tokenizer,
                do_think=False,
                batch_type="example",
                batch_size=1,
                retry=1,
            )
            assert len(dataset) == len(examples)
            for index, example in enumerate(examples):
                sample = dataset[index]
                assert sample["speech_lengths"][0] == -(-example.speech_length // 6), example.key
                target = [i for i in sample["labels_ids"].tolist() if i != -100]
                assert len(target) == example.text_length + 1, example.key  # and the end
                assert tokenizer.decode(target[:-1]) == example.text
                total += 1
    metrics = json.loads(Path("metrics/data.json").read_text())
    assert total == sum(one["kept"] for one in metrics.values())


@pytest.mark.slow
def test_funasr_trains_on_them(unpacked, tmp_path):
    run_stage(unpacked, "base")
    options = OPTIONS | {
        "model": unpacked / "models" / "base",
        "train_data_set_list": unpacked / "data/manifests/telecall/train.jsonl",
        "valid_data_set_list": unpacked / "data/manifests/telecall/valid.jsonl",
        "output_dir": tmp_path / "out",
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            TRAIN_ON_CPU,
            *(f"++{key}={value}" for key, value in options.items()),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    log = done.stdout + done.stderr
    losses = [float(x) for x in re.findall(r"train, rank: 0.*?\(loss_avg_rank: ([\d.]+)\)", log)]
    assert len(losses) >= 2
    assert all(0 < loss < 20 for loss in losses)
    assert (tmp_path / "out" / "model.pt.ep1").is_file()
