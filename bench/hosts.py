"""Several machines on one: they train together, simulate on one Ray cluster, take Slurm's jobs.

    sudo env "PATH=$PATH" python bench/hosts.py train simulate slurm

Each host is a set of Linux namespaces: a network address and a name of its own, its own processes
and shared memory, and under /mnt a disk that the other does not see. Both clone what is committed
here, with `telephone-asr profile smallest`, and what the stages before stage 1 made comes to the
second by `dvc pull` from a WebDAV server, a third host. It needs root, iproute2, util-linux,
`pip install -e '.[cluster,servers]'`, and for `slurm` Debian's slurmctld, slurmd, slurm-client and
munge. Prints a table of what was done and seen. `train power-cut` takes a quarter of an hour more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path(sys.executable)
ADDRESS = {"first": "10.77.0.1", "second": "10.77.0.2", "storage": "10.77.0.9"}
# /etc/hosts of each: gloo looks for its own address there.
HOSTS = "127.0.0.1 localhost\n" + "".join(
    f"{address} {name}\n" for name, address in ADDRESS.items()
)
# Small steps, so that there is a middle to be killed in.
CHANGES = {
    "train.processes": "2",
    "train.batches_per_step": "2",
    "train.max_batch_rows": "60",
    "train.encoder.epochs": "4",
    "train.evaluations": "4",
    "corpus.shard_size": "10",
    "decode.max_tokens": "1",  # so raw a model only gets worse with more, and its base is the best
}
BOOT = """
hostname {name} && mount --bind {disk} /mnt && mount --bind {shared} /mnt/shared &&
mount -t tmpfs hidden {hidden} &&
mount -t tmpfs shm /dev/shm && mount -t tmpfs run /run && mount --bind /mnt/hosts /etc/hosts &&
echo up && exec sleep infinity
"""
HERE = "telephone-asr"  # the clone, on each host's disk
ENVIRONMENT = {
    "HOME": "/mnt",
    "PYTHONPATH": "src",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "CUDA_VISIBLE_DEVICES": "",
    "TQDM_MININTERVAL": "30",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def shell(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


class Host:
    """A machine: commands run on it see its disk, its name and its network alone."""

    def __init__(self, name: str, root: Path):
        self.name, self.root, self.disk = name, root, root / name
        self.repository = self.disk / HERE
        (self.disk / "shared").mkdir(parents=True)
        (self.disk / "hosts").write_text(HOSTS)
        self.namespace = f"asr-{name}"
        shell("ip", "netns", "add", self.namespace)
        self.boot()

    def boot(self) -> None:
        places = {"disk": self.disk, "shared": self.root / "shared", "hidden": self.root}
        boot = BOOT.format(name=self.name, **places)
        unshare = "unshare --mount --uts --ipc --pid --fork --mount-proc --kill-child"
        command = ["ip", "netns", "exec", self.namespace, *unshare.split(), "sh", "-c", boot]
        self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout
        assert self.holder.stdout.readline() == "up\n"
        (self.init,) = psutil.Process(self.holder.pid).children()

    def start(self, *command: object, place: str = f"/mnt/{HERE}", **environment: str) -> Running:
        """Starts a command, in the clone."""
        enter = ["nsenter", "--all", "--target", str(self.init.pid)]
        words = [*enter, f"--wdns={place}", *map(str, command)]
        return Running(self, words, os.environ | ENVIRONMENT | environment)

    def run(self, *command: object, **environment: str) -> str:
        """Runs a command to its end, which must be a good one; returns what it said."""
        running = self.start(*command, **environment)
        code, said = running.end()
        if code:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, command))}: {said[-3000:]}")
        return said

    def kill(self) -> None:
        """SIGKILL to all that runs on it, at once."""
        self.init.kill()
        self.holder.wait()

    def line(self, state: str) -> None:
        """Takes the network line down or up, without a word to those at its other end."""
        shell("ip", "-n", ADDRESS_SPACE, "link", "set", f"to-{self.name}", state)


ADDRESS_SPACE = "asr-storage"  # the switch that all hosts are plugged into lies there


class Running:
    """A command on a host, and what it says."""

    def __init__(self, host: Host, command: list[str], environment: dict[str, str]):
        self.host = host
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - until its end
        self.process = subprocess.Popen(
            command, env=environment, stdout=self.log, stderr=subprocess.STDOUT
        )
        self.started = time.monotonic()

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        own = psutil.Process(self.process.pid)
        for process in [*own.children(recursive=True), own]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def end(self, timeout_s: float = 1800) -> tuple[int, str]:
        """Waits for its end: exit status, and what it said."""
        code = self.process.wait(timeout_s)
        self.log.seek(0)
        return code, self.log.read()


def plug_in(host: Host) -> None:
    """Gives a host its line to the switch."""
    line = f"to-{host.name}"
    shell("ip", "-n", ADDRESS_SPACE, "link", "add", line, "type", "veth", "peer", "name", "eth0",
          "netns", host.namespace)  # fmt: skip
    shell("ip", "-n", ADDRESS_SPACE, "link", "set", line, "master", "switch", "up")
    for device in ("lo", "eth0"):
        shell("ip", "-n", host.namespace, "link", "set", device, "up")
    shell("ip", "-n", host.namespace, "address", "add", f"{ADDRESS[host.name]}/24", "dev", "eth0")


def make_hosts(root: Path) -> tuple[Host, Host]:
    """Makes storage and two machines; the second has all from git and the storage."""
    (root / "shared").mkdir()
    storage = Host("storage", root)
    shell("ip", "-n", ADDRESS_SPACE, "link", "add", "switch", "type", "bridge")
    for device in ("lo", "switch"):
        shell("ip", "-n", ADDRESS_SPACE, "link", "set", device, "up")
    address = f"{ADDRESS['storage']}/24"
    shell("ip", "-n", ADDRESS_SPACE, "address", "add", address, "dev", "switch")
    (storage.disk / "root").mkdir()
    storage.start(
        *(PYTHON, "-m", "wsgidav.server.server_cli", "--host", ADDRESS["storage"]),
        *("--port", "8080", "--root", "/mnt/root", "--auth", "anonymous"),
        place="/mnt",
    )
    first, second = Host("first", root), Host("second", root)
    for host in (first, second):
        plug_in(host)
    shell("git", "clone", "-q", ROOT, first.repository)
    prepare(first)
    shell("git", "clone", "-q", first.repository, second.repository)
    connect(second)
    # The committed dvc.lock names outs of other params too, which are nowhere: by stages.
    print(second.run(PYTHON, "-m", "dvc", "pull", "-q", *MADE))
    return first, second


MADE = ("corpus", "simulate", "telecall", "no_speech", "tokenizer", "manifests", "base")


def connect(host: Host) -> None:
    dvc = (PYTHON, "-m", "dvc", "remote")
    host.run(*dvc, "add", "--local", "--default", "team", f"webdav://{ADDRESS['storage']}:8080/")


def prepare(host: Host) -> None:
    """Makes what comes before stage 1, and brings it to the storage."""
    host.run(PYTHON, "-m", "telephone_asr.cli", "profile", "smallest")
    change = (
        "import sys; from ruamel.yaml import YAML; from telephone_asr.keys import change_key; "
        "yaml = YAML(); yaml.width = 4096; tree = yaml.load(open('params.yaml')); "
        "[change_key(tree, change) for change in sys.argv[1:]]; "
        "yaml.dump(tree, open('params.yaml', 'w'))"
    )
    host.run(PYTHON, "-c", change, *(f"{key}={value}" for key, value in CHANGES.items()))
    connect(host)
    host.run(PYTHON, "-m", "dvc", "repro", "-q", *MADE)
    host.run("git", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qam", "made")
    host.run(PYTHON, "-m", "dvc", "push", "-q", *MADE)


# --- Training


def train(host: Host, rank: int) -> Running:
    """Starts stage 1 on a machine, by accelerate's launcher."""
    return host.start(
        *(PYTHON, "-m", "accelerate.commands.launch", "--multi_gpu", "--quiet"),
        *("--num_machines", 2, "--num_processes", 2, "--machine_rank", rank),
        *("--main_process_ip", ADDRESS["first"], "--main_process_port", 29500),
        *("-m", "telephone_asr.stages.train", "encoder"),
    )


def both(first: Host, second: Host) -> list[tuple[int, str]]:
    """Trains on both, to the end of both."""
    return [one.end() for one in [train(first, 0), train(second, 1)]]


def checked(ends: list[tuple[int, str]]) -> list[str]:
    for code, said in ends:
        if code:
            raise RuntimeError(said[-3000:])
    return [said for _, said in ends]


def made(host: Host) -> str:
    """The hash of the checkpoint and of its curves, in which the loss tells of all weights."""
    note = host.repository / "models/encoder/checkpoint.json"
    if not note.exists():
        return "nothing"
    facts = json.loads(note.read_text())
    assert facts["step"] or facts["averaged"] > 1, "the best is the base: its bytes say nothing"
    return hash_of(note.parent, host.repository / "metrics/train/encoder")


def hash_of(*directories: Path) -> str:
    files = sorted(p for place in directories for p in place.glob("**/*") if p.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def forget(*hosts: Host) -> None:
    for host in hosts:
        for name in ("models/encoder", "metrics/train/encoder"):
            shutil.rmtree(host.repository / name, ignore_errors=True)


def wait_for_state(host: Host) -> None:
    """Returns in the middle: when a state has been saved, with more steps to come."""
    wait_for(host.repository, ".scratch/encoder-*/state.pt")
    time.sleep(1)


def wait_for(directory: Path, pattern: str) -> None:
    while not list(directory.glob(pattern)):
        time.sleep(0.05)


def last_words(said: str) -> str:
    """The sentence that it ended with, or its last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines)[-1]


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |", flush=True)


def scratch_of(host: Host) -> list[str]:
    return sorted(path.name for path in host.repository.glob(".scratch/*"))


def training(first: Host, second: Host, power_cut: bool) -> None:
    alone = first.start(PYTHON, "-m", "telephone_asr.stages.train", "encoder")
    checked([alone.end()])
    expected = made(first)
    row("one machine, two processes", f"the checkpoint {expected}")
    forget(first)

    started = time.monotonic()
    checked(both(first, second))
    row(
        "two machines of one process",
        f"{time.monotonic() - started:.0f} s; first: {same(made(first), expected)}; second: "
        f"{made(second)}; states left: {scratch_of(first)}, {scratch_of(second)}",
    )
    for dies in ("second", "first"):
        forget(first, second)
        row(f"kill -9 of the {dies}'s processes", killed(first, second, dies))
        said = checked(both(first, second))[0]
        row("both started again", f"{goes_on(said)}; {same(made(first), expected)}")
    forget(first, second)
    refused(first, second)
    if power_cut:
        row("the second's line goes dead", cut_off(first, second))
        said = checked(both(first, second))[0]
        row("both started again", f"{goes_on(said)}; {same(made(first), expected)}")


def same(one: str, other: str) -> str:
    return "the same bytes" if one == other else f"other bytes ({one})"


def goes_on(said: str) -> str:
    lines = [line for line in said.splitlines() if "goes on at" in line]
    return lines[0] if lines else "begins anew"


def killed(first: Host, second: Host, dies: str) -> str:
    """Kills one machine's processes in the middle; returns how the other ends."""
    runs = {"first": train(first, 0), "second": train(second, 1)}
    wait_for_state(first)
    runs.pop(dies).kill()
    started = time.monotonic()
    (other,) = runs.values()
    code, said = other.end()
    return (
        f"the other ends after {time.monotonic() - started:.1f} s with {code}: {last_words(said)}"
    )


def cut_off(first: Host, second: Host) -> str:
    """Takes the second's line down, then its processes, which nobody is told of."""
    runs = [train(first, 0), train(second, 1)]
    wait_for_state(first)
    second.line("down")
    started = time.monotonic()
    second.kill()
    code, said = runs[0].end()
    seconds = time.monotonic() - started
    runs[1].end()
    second.line("up")
    second.boot()
    return f"the other ends after {seconds:.0f} s with {code}: {last_words(said)}"


def refused(first: Host, second: Host) -> None:
    """Has the second bring other params, other data, other code."""
    for what, name, old, new in (
        ("another param", "params.yaml", "lr: 1.5e-3", "lr: 1.4e-3"),
        ("a transcript less", "data/manifests/simulated/train.jsonl", None, ""),
        ("other code", "src/telephone_asr/training/steps.py", "SKIPPED = 10", "SKIPPED = 9"),
    ):
        path = second.repository / name
        before = path.read_text(encoding="utf-8")
        old = old or before.splitlines(keepends=True)[-1]
        assert old in before
        # Not into the file itself, which can be a link to the cache.
        path.unlink()
        path.write_text(before.replace(old, new), encoding="utf-8")
        started = time.monotonic()
        ends = both(first, second)
        path.write_text(before, encoding="utf-8")
        codes, words = zip(*((code, last_words(said)) for code, said in ends), strict=True)
        row(
            f"the second has {what}",
            f"both end after {time.monotonic() - started:.0f} s with {codes}: {set(words)}; "
            f"made: {made(first)}",
        )


# --- Simulation on a Ray cluster

RAY = PYTHON.with_name("ray")
RAY_PORT = 6379
SHARED = f"/mnt/shared/{HERE}"  # on a disk that both see


def simulation(first: Host, second: Host) -> None:
    expected = hash_of(first.repository / "data/simulated")
    cluster(first, second)
    place = {"RAY_ADDRESS": f"{ADDRESS['first']}:{RAY_PORT}"}
    stage = (PYTHON, "-m", "telephone_asr.stages.simulate")
    code, said = first.start(*stage, **place).end()
    row("a Ray cluster of two, each its own disk", f"ends with {code}: {last_words(said)}")

    ignored = shutil.ignore_patterns(".dvc", ".scratch", "models", "metrics")
    repository = first.root / "shared" / HERE
    shutil.copytree(first.repository, repository, ignore=ignored)
    alone, one_s = simulated(first.start(*stage, place=SHARED), repository)
    row("one machine", f"{same(alone, expected)} as `dvc repro` made; {one_s:.0f} s")
    both_, two_s = simulated(first.start(*stage, place=SHARED, **place), repository)
    row("a Ray cluster of two, one disk", f"{same(both_, expected)}; {two_s:.0f} s")
    for what in ("kill -9 of all on the second", "the second's line goes dead"):
        running = first.start(*stage, place=SHARED, **place)
        wait_for(repository, ".scratch/simulate-*/shards/cuts.*")
        if "line" in what:
            second.line("down")
        second.kill()
        after, seconds = simulated(running, repository)
        row(f"{what}, in the middle", f"{same(after, expected)}; {seconds:.0f} s")
        second.line("up")
        second.boot()
        second.run(*WORKER)


def simulated(running: Running, repository: Path) -> tuple[str, float]:
    """The hash of what a simulation makes, and how long it took."""
    checked([running.end()])
    directory = repository / "data/simulated"
    result = hash_of(directory)
    shutil.rmtree(directory)
    return result, time.monotonic() - running.started


WORKER = (RAY, "start", "--address", f"{ADDRESS['first']}:{RAY_PORT}", "--num-cpus", 1,
          "--node-ip-address", ADDRESS["second"], "--temp-dir", "/run/ray")  # fmt: skip


def cluster(first: Host, second: Host) -> None:
    """Starts Ray on both: one core each."""
    first.run(
        *(RAY, "start", "--head", "--port", RAY_PORT, "--num-cpus", 1, "--temp-dir", "/run/ray"),
        *("--node-ip-address", ADDRESS["first"], "--include-dashboard", "false"),
    )
    second.run(*WORKER)


# --- Slurm

SLURM = """
ClusterName=asr
SlurmctldHost=first
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=/mnt/slurm
SlurmdSpoolDir=/mnt/slurm
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/mnt/slurm/slurmctld.log
SlurmdLogFile=/mnt/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdTimeout=10
ReturnToService=2
NodeName=first,second CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def slurm(first: Host, second: Host) -> None:
    """Has Slurm run slurm/train.sbatch on both."""
    forget(first, second)
    key = os.urandom(128)
    for host in (first, second):
        (host.disk / "slurm").mkdir()
        (host.disk / "slurm/slurm.conf").write_text(SLURM)
        # The other kind wants systemd.
        (host.disk / "slurm/cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (host.disk / "slurm/munge.key").write_bytes(key)
        (host.disk / "slurm/munge.key").chmod(0o600)
    configuration = {"SLURM_CONF": "/mnt/slurm/slurm.conf"}
    daemons(first, "slurmctld", **configuration)
    daemons(second, **configuration)
    job = ("sbatch", "slurm/train.sbatch", "encoder")
    first.run(*job, **configuration)
    wait_for(first.repository, "models/encoder/checkpoint.json")
    whole = made(first)
    row("slurm/train.sbatch on two nodes", f"the checkpoint {whole}")
    forget(first)
    first.run(*job, **configuration)
    wait_for_state(first)
    second.kill()
    # Back before Slurm has noticed, the node would not be told of the work that it had.
    while "down" not in first.run("sinfo", "-h", "-n", "second", "-o", "%T", **configuration):
        time.sleep(1)
    second.boot()
    daemons(second, **configuration)
    wait_for(first.repository, "models/encoder/checkpoint.json")
    said = (first.repository / "slurm-2.log").read_text()
    row("kill -9 of all on the second node", f"Slurm: {goes_on(said)}; {same(made(first), whole)}")


def daemons(host: Host, *more: str, **environment: str) -> None:
    host.run("mkdir", "-p", "/run/munge")
    host.run("munged", "--force", "--key-file=/mnt/slurm/munge.key", "--seed-file=/run/munge/seed",
             "--log-file=/run/munge/log", "--pid-file=/run/munge/pid")  # fmt: skip
    for daemon in (*more, "slurmd"):
        host.run(daemon, **environment)


CHECKS = ("train", "power-cut", "simulate", "slurm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checks", nargs="+", choices=CHECKS)
    parser.add_argument("--directory", type=Path, help="where the hosts' disks are to lie")
    a = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="hosts-", dir=a.directory))
    try:
        first, second = make_hosts(root)
        row("done", "seen")
        row("---", "---")
        if "train" in a.checks:
            training(first, second, "power-cut" in a.checks)
        if "simulate" in a.checks:
            simulation(first, second)
        if "slurm" in a.checks:
            slurm(first, second)
    finally:
        for name in ADDRESS:
            for pid in subprocess.run(
                ["ip", "netns", "pids", f"asr-{name}"], capture_output=True, text=True
            ).stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "delete", f"asr-{name}"], stderr=subprocess.DEVNULL)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
