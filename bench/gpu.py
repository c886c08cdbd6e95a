"""What a GPU would change, run on one in at most eight minutes, without a network.

    python bench/gpu.py [--wheels DIR] [--out DIR]

The three stages at full size (random weights in the published layout, in bf16) against FunASR's own
trainer on the same batches, decoding against `AutoModel.generate`, a kill, two processes on one
GPU, memory that runs out in each of its ways, and what else only a GPU shows (gpu_checks.py). Each
check is a process of its own with a time limit; one that fails says so in its row, and the others
go on. DIR/gpu.json is written after each, DIR/gpu.md and DIR/rates.yaml (for `telephone-asr
doctor`) at the end. `--small` is the same with a small model, on a CPU too, to see that it runs.

It needs PyTorch, torchaudio, Transformers, PEFT and accelerate. Where the rest is missing
and there is no network, bring it as a folder of wheels (47 MB), made elsewhere for that machine's
Python, here 3.12 on x86-64 Linux:

    pip download --no-deps --only-binary=:all: -c constraints.txt -r bench/gpu_wheels.txt \\
        -d wheels --python-version 3.12 --platform manylinux_2_28_x86_64 \\
        --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64
    pip wheel --no-deps -w wheels antlr4-python3-runtime==4.9.3

`--wheels wheels` installs them into a temporary directory, and nothing of what is there changes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
MINUTES = 8.0
SLOWER = 6  # times as much time for a small model on a busy laptop
BESIDE = 6  # checks at a time, of those that measure no time


class Check(NamedTuple):
    """One row of the table: a function of gpu_checks.py."""

    name: str
    limit_s: float
    alone: bool = True  # its times, or its memory, are not to be disturbed


CHECKS = (
    Check("model", 120),  # what the others run on
    Check("encoder", 90),
    Check("adaptor", 90),
    Check("lora", 90),
    Check("decoding", 90),
    Check("larger_batch", 90),
    Check("resume", 150, alone=False),
    Check("processes", 150, alone=False),
    Check("evaluate", 150, alone=False),
    Check("frozen", 120, alone=False),
    Check("first_batch", 90, alone=False),
    Check("validation", 90, alone=False),
    Check("readers", 90, alone=False),
    Check("doctor", 60, alone=False),
    Check("full_gpu", 90),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, help="install what is missing from this folder")
    parser.add_argument("--out", type=Path, default=Path(".scratch/bench"))
    parser.add_argument("--small", action="store_true", help="a small model")
    parser.add_argument("--only", nargs="+", choices=[c.name for c in CHECKS], help="these checks")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.check:
        import gpu_checks

        found = gpu_checks.run(arguments.check, arguments.root, arguments.small, arguments.out)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bench = Bench(root, arguments.out, arguments.small)
        os.environ |= environment(install(arguments.wheels, root / "site"))
        bench.run_all([c for c in CHECKS if c.name in (arguments.only or c.name)])
    table = markdown(bench.results)
    (arguments.out / "gpu.md").write_text(table, encoding="utf-8")
    print(table)
    if not all(row["ok"] is not False for row in bench.results["checks"].values()):
        sys.exit(1)


def install(wheels: Path | None, target: Path) -> list[str]:
    """Puts the wheels into a directory; returns it, or nothing where there are none."""
    if wheels is None:
        return []
    files = sorted(map(str, wheels.glob("*.whl")))
    if not files:
        sys.exit(f"error: {wheels.absolute()} holds no wheels: fill it as bench/gpu.py says.")
    options = ["--no-index", "--no-deps", "--no-compile", "--quiet", "--target", str(target)]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, *files], check=False)
    if done.returncode:
        sys.exit(f"error: the wheels in {wheels.absolute()} are not for {sys.version.split()[0]}.")
    if find_spec("numba") is None:
        # 64 MB, for two functions of FunASR's that are compiled when imported and not used here.
        (target / "numba.py").write_text("def jit(**_):\n    return lambda function: function\n")
    return [str(target)]


def environment(site: list[str]) -> dict[str, str]:
    """Of all checks: this checkout's code, what was installed for them, and no network."""
    paths = [str(HERE.parent / "src"), str(HERE), *site, os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_MININTERVAL": "5",
    }


class Bench:
    """Runs checks and keeps what they found, on disk too."""

    def __init__(self, root: Path, out: Path, small: bool):
        self._root, self._out, self._small = root, out.absolute(), small
        self._minutes, self._patience = MINUTES * SLOWER**small, SLOWER**small
        self._deadline = time.monotonic() + 60 * self._minutes
        self.results: dict[str, Any] = {"machine": "", "small": small, "checks": {}}
        self._writing = Lock()
        out.mkdir(parents=True, exist_ok=True)

    def run_all(self, checks: list[Check]) -> None:
        """The timed ones one after the other, the rest side by side where there is room."""
        beside = BESIDE if (os.cpu_count() or 1) >= 8 else 1
        model, *others = [CHECKS[0], *(check for check in checks if check != CHECKS[0])]
        self.run(model)
        if not self.results["checks"]["model"]["ok"]:
            return
        for check in others:
            if check.alone and check != CHECKS[-1]:
                self.run(check)
        with ThreadPoolExecutor(beside) as pool:
            list(pool.map(self.run, [check for check in others if not check.alone]))
        if CHECKS[-1] in others:  # it leaves no memory to any other
            self.run(CHECKS[-1])
        self.run(Check("rates", 30))

    def run(self, check: Check) -> None:
        left_s = self._deadline - time.monotonic()
        started = time.monotonic()
        row: dict[str, Any] = {"ok": None, "text": f"not run: {self._minutes:g} minutes were up"}
        if left_s > 10 or check.name == "rates":
            row = self._in_a_process(check, min(check.limit_s * self._patience, max(left_s, 10)))
        row["seconds"] = round(time.monotonic() - started, 1)
        with self._writing:
            self.results["machine"] = row.pop("machine", self.results["machine"])
            if check.name != "rates" or not row["ok"]:
                self.results["checks"][check.name] = row
            text = json.dumps(self.results, indent=2, ensure_ascii=False)
            (self._out / "gpu.json").write_text(text + "\n", encoding="utf-8")
        print(f"{check.name}: {row['text']} ({row['seconds']} s)", file=sys.stderr, flush=True)

    def _in_a_process(self, check: Check, limit_s: float) -> dict[str, Any]:
        command = [sys.executable, __file__, "--check", check.name, "--root", str(self._root)]
        command += ["--out", str(self._out), *(["--small"] if self._small else [])]
        log = self._root / f"{check.name}.log"
        with open(log, "wb") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
            try:
                said, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                return {"ok": False, "text": f"not through after {limit_s:.0f} s"}
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)  # and what it has started
                    process.communicate()
        if process.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            named = [line for line in lines if "Error" in line.split(":")[0]] or lines
            return {"ok": False, "text": (named or ["died"])[-1][:300], "log": lines[-30:]}
        return json.loads(said.splitlines()[-1])


def markdown(results: dict[str, Any]) -> str:
    """The table that docs/training.md has."""
    size = "a small model" if results["small"] else "full size, random weights"
    lines = [f"On {results['machine'] or 'a machine that did not say its name'}; {size}.", ""]
    lines += ["| check | | what was found | s |", "|:--|:--|:--|--:|"]
    marks = {True: "ok", False: "FAILED", None: "–"}
    for name, row in results["checks"].items():
        text = row["text"].replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {name} | {marks[row['ok']]} | {text} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
