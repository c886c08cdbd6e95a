"""A training step of the embedded model beside two busy programs, against alone.

    python bench/contention.py

OpenMP's threads wait for each other at the end of every operator. Left to themselves they wait
spinning, and where other programs want the cores they spin away the time of the very thread that
they wait for. `telephone_asr` has them spin for a fifth of a millisecond and sleep then. Steps of
stage 1, with random features in batches as params.yaml has them; one process for each row of the
table, which take turns, alone and beside two Python programs that only count. Run it on a quiet
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE

BUSY = 2  # programs
WAITS: dict[str, dict[str, str]] = {
    "spinning": {},
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "0.2 ms, then asleep": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"},
}
OURS = "0.2 ms, then asleep"
LARGEST_RATIO = 3  # the target
ROWS = 43  # of 60 ms an utterance, the mean of the embedded corpus
TEXT = "您好请问您是张先生吗"


# --- In a process of its own


def serve() -> None:
    """Answers each line of standard input, `steps seconds`, with the times of so many steps, or of
    as many as fit into so many seconds."""
    import torch  # before our package, which would set the policy

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as folder:
        take = stepper(Path(folder))
    for number in range(5):
        take(number)
    print("[]", flush=True)
    for line in sys.stdin:
        steps, limit_s = map(float, line.split())
        times: list[float] = []
        started = time.perf_counter()
        while len(times) < steps and time.perf_counter() - started < limit_s:
            before = time.perf_counter()
            take(len(times))
            times.append(time.perf_counter() - before)
        print(json.dumps(times), flush=True)


def stepper(folder: Path) -> Callable[[int], object]:
    """A function that takes a step of stage 1."""
    import torch
    from accelerate import Accelerator

    from telephone_asr.dataset.batching import collate
    from telephone_asr.manifests.messages import PROMPT_VERBATIM
    from telephone_asr.model import parts
    from telephone_asr.model.pretrained import CTC_BRANCH, load
    from telephone_asr.model.tiny import write_tiny
    from telephone_asr.model.tokenizer import build_tokenizers
    from telephone_asr.params import load_params
    from telephone_asr.training.objective import Objective
    from telephone_asr.training.plan import Plan
    from telephone_asr.training.steps import Stepper

    params = load_params()
    build_tokenizers([TEXT], folder / "tokenizer")
    write_tiny(folder / "base", params.base.tiny, folder / "tokenizer", 16000, seed=0)
    nano = load(folder / "base")
    trained = parts.choose_trained(nano, parts.PREFIXES["encoder"] + CTC_BRANCH)
    size = params.train.max_batch_rows // ROWS
    batch = collate(
        keys=[str(i) for i in range(size)],
        rows=[torch.randn(ROWS, 560) for _ in range(size)],
        prompts=[PROMPT_VERBATIM] * size,
        texts=[TEXT] * size,
    )
    accelerator, weight = Accelerator(cpu=True), params.train.encoder.ctc_weight
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-4, fused=True)
    objective = Objective(nano, "features", 1 - weight, weight)
    wrapped, optimizer = accelerator.prepare(objective, optimizer)
    plan = Plan("contention", (), (), "features", 1e-4, 0, 1, 0, 1 - weight, weight)
    taken = Stepper(
        *(accelerator, wrapped, objective.tokens, trained, optimizer, plan, params.train)
    )
    return lambda number: taken.take(number, iter([batch]))


# --- All of them in turn


@contextmanager
def busy(programs: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(programs):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


@contextmanager
def server(threads: int, waits: str) -> Iterator[subprocess.Popen]:
    own = {name: value for name, value in os.environ.items() if name not in WAITS[OURS]}
    environment = {**own, "OMP_NUM_THREADS": str(threads), **WAITS[waits]}
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, env=environment, text=True, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # it is ready
        yield process


def times_s(process: subprocess.Popen, steps: int, limit_s: float) -> list[float]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{steps} {limit_s}\n")
    process.stdin.flush()
    times: list[float] = json.loads(process.stdout.readline())
    return times


def shown(values: list[float]) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{1e3 * middle:.0f} ({1e3 * low:.0f}–{1e3 * high:.0f}, n {len(values)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="in each round")
    parser.add_argument("--limit", type=float, default=8.0, help="seconds, for fewer steps")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    rows = [(1, "asleep"), *((os.cpu_count() or 1, waits) for waits in WAITS)]
    found: dict[tuple[int, str], tuple[list[float], list[float]]]
    found = {row: ([], []) for row in rows}
    with ExitStack() as stack:
        servers = {row: stack.enter_context(server(*row)) for row in rows}
        for _ in range(arguments.rounds):
            for place, programs in enumerate((0, BUSY)):
                for row, process in servers.items():
                    with busy(programs):
                        found[row][place].extend(times_s(process, arguments.steps, arguments.limit))
        for process in servers.values():
            assert process.stdin
            process.stdin.close()
    print(f"| threads of {os.cpu_count()} cores | wait | alone, ms | beside {BUSY}, ms | ratio |")
    print("|--:|---|--:|--:|--:|")
    for (threads, waits), (alone, beside) in found.items():
        ratio = statistics.median(beside) / statistics.median(alone)
        print(f"| {threads} | {waits} | {shown(alone)} | {shown(beside)} | **{ratio:.1f}** |")
    print(f"\nTarget: at most {LARGEST_RATIO}, as {OURS}.")


if __name__ == "__main__":
    main()
