"""The whole of `dvc repro` with the real model's size, on a CPU: seconds and memory of each stage.

    python bench/full_size.py

A clone of this repository (what is committed) in a temporary directory, Fun-ASR-Nano in its
published layout with random weights, 30 wideband utterances and 30 calls of the embedded corpus,
the profile fun-asr-nano as far as a CPU allows; real DVC, no network. It takes twenty minutes on
two quiet cores, 13 GB of memory and 40 GB of disk. `--small` is the same with a small model, in
minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import full_model
import training

ROOT = Path(__file__).resolve().parents[1]
# In place of `python` in dvc.yaml's commands: runs it and notes what it took. What a stage starts
# counts as far as it is the largest process.
PYTHON = """#!{python}
import json, os, sys, time
started = time.monotonic()
pid = os.posix_spawn({python!r}, [{python!r}, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(pid, 0)
name = " ".join(sys.argv[2:]).replace("telephone_asr.stages.", "")
row = {{"stage": name, "seconds": time.monotonic() - started, "memory_gb": usage.ru_maxrss / 2**20}}
with open({log!r}, "a") as file:
    file.write(json.dumps(row) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""
EMBEDDED = {
    part: {"kind": "synthetic", "path": f"src/telephone_asr/corpora/speech/{part}"}
    for part in ("wideband", "calls")
}
METRICS = ("data", "export")
# What differs from the profile fun-asr-nano.
ON_A_CPU = {
    "corpus": {**EMBEDDED, "sample_size": 30},
    "split": {"valid": 0.2, "test": 0.3},
    "train": {
        "max_batch_rows": 250,
        "batches_per_step": 1,
        "evaluations": 1,
        "valid_utterances": 4,
        "precision": "fp32",
        "processes": 1,
        "workers": 0,
        "encoder": {"epochs": 1},
        "adaptor": {"epochs": 1},
        "lora": {"epochs": 1},
    },
    "decode": {"batch_size": 8, "max_tokens": 10},  # random weights end no transcript
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a small model")
    small = parser.parse_args().small
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # In a process of its own, which gives its gigabytes back.
        writing = multiprocessing.Process(target=write_model, args=(root, small))
        writing.start()
        writing.join()
        if writing.exitcode:
            sys.exit("error: the model could not be written")
        clone = root / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        failed = repro(clone, root / "model", root / "log")
        rows = [json.loads(line) for line in (root / "log").read_text().splitlines()]
        data, export = (json.loads((clone / f"metrics/{n}.json").read_text()) for n in METRICS)
    print_table(rows, data, export, small)
    sys.exit(failed)


def write_model(root: Path, small: bool) -> None:
    if small:
        full_model.write_tokenizers(root / "tokenizer", small)
    else:
        full_model.write_qwen_tokenizer(root / "tokenizer")
    full_model.write_model(root / "model", root / "tokenizer", small)


def repro(clone: Path, model: Path, log: Path) -> str | None:
    """Runs the pipeline in a clone, on a model; `log` gets a line a stage. Returns what failed."""
    bin_ = clone.parent / "bin"
    bin_.mkdir()
    shim = bin_ / "python"
    shim.write_text(PYTHON.format(python=sys.executable, log=str(log)), encoding="utf-8")
    shim.chmod(0o755)
    changes = ON_A_CPU | {"base": {"path": str(model), "pins": None}}
    (clone / "profiles" / "bench.yaml").write_text(json.dumps(changes), encoding="utf-8")
    paths = f"{bin_}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": paths,
        "PYTHONPATH": str(clone / "src"),
        "DVC_NO_ANALYTICS": "1",
    }
    for command in (
        ["telephone-asr", "profile", "fun-asr-nano"],
        ["telephone-asr", "profile", "bench"],
        ["dvc", "repro"],
    ):
        done = subprocess.run(command, cwd=clone, env=environment, stdout=sys.stderr, check=False)
        if done.returncode:
            return f"error: `{' '.join(command)}` ended with {done.returncode}"
    return None


def print_table(rows: list[dict], data: dict, export: dict, small: bool) -> None:
    kept = ", ".join(f"{name} {one['kept']}" for name, one in data.items())
    size = "a small model" if small else "full size, random weights"
    print(f"{training.processor()}; {size}; utterances kept: {kept}\n")
    print("| stage | s | most memory, GB |\n|:--|--:|--:|")
    for row in rows:
        print(f"| {row['stage']} | {row['seconds']:.0f} | {row['memory_gb']:.1f} |")
    seconds, memory = sum(r["seconds"] for r in rows), max(r["memory_gb"] for r in rows)
    print(f"| all | {seconds:.0f} | {memory:.1f} |\n")
    if any(row["stage"] == "export" for row in rows):  # what is committed is another model's
        export = export["without_dither"]
        print(f"export: {export['equal']} of {export['utterances']} texts equal FunASR's own")


if __name__ == "__main__":
    main()
