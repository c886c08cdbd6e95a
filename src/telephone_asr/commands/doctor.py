"""`telephone-asr doctor`: is everything here that a long run needs?"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.commands.credentials import check_credentials
from telephone_asr.corpora import unwatched
from telephone_asr.errors import InputError
from telephone_asr.names import OWN
from telephone_asr.outs import check_places
from telephone_asr.paths import RAW, SCRATCH, SHARDS

if TYPE_CHECKING:
    from telephone_asr.corpora.several import Corpus, OwnTest
    from telephone_asr.params import Params, Source

ENOUGH_GB = 20  # of free disk; less is worth a word


@dataclass(frozen=True)
class Finding:
    """A line of what doctor says."""

    subject: str
    ok: bool
    text: str


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("doctor", help="check model, data and devices before a long run")
    parser.set_defaults(run=lambda _: consult())


def consult() -> None:
    """Prints what is there, a line each; exits with 1 where something is wrong."""
    healthy = True
    for finding in examine():
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.subject}: {finding.text}", flush=True)
        healthy = healthy and finding.ok
    if not healthy:
        sys.exit(1)


def examine() -> Iterator[Finding]:
    """Yields one finding after the other; the later ones need valid params."""
    from telephone_asr.params import load_params

    try:
        params = load_params()
    except InputError as error:
        yield Finding("params", False, str(error))
        return
    yield Finding("params", True, "params.yaml is valid")
    for subject, check in (
        ("devices", _devices),
        ("disk", _disk),
        ("remotes", _remotes),
        ("wideband corpus", lambda p: _corpus("wideband", p.corpus.wideband)),
        ("call corpus", lambda p: _corpus("calls", p.corpus.calls)),
        ("test sets", _test_sets),
        ("data", _data),
        ("base model", _base),
    ):
        yield _finding(subject, check, params)
    if not params.base.is_tiny:
        yield from _forecast(params)


def _finding(subject: str, check: Callable[[Params], str], params: Params) -> Finding:
    try:
        return Finding(subject, True, check(params))
    except InputError as error:
        return Finding(subject, False, str(error))


def _forecast(params: Params) -> Iterator[Finding]:
    """Yields what each stage will take, a line each; nothing that could be wrong."""
    import torch

    from telephone_asr.commands import forecast

    gpu = torch.cuda.is_available()
    machine = torch.cuda.get_device_name(0) if gpu else platform.processor()
    rates, said = forecast.read_rates(machine, gpu)
    try:
        speech = {part: forecast.corpus_speech(part, params) for part in ("wideband", "calls")}
    except InputError as error:
        yield Finding("forecast", True, str(error))
        return
    yield Finding("forecast", True, f"{said}; a guess, to a factor of two:")
    for stage in forecast.forecast(params, speech, rates):
        yield Finding("forecast", True, str(stage))


def _devices(params: Params) -> str:
    import torch

    from telephone_asr.processes import check_processes

    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    gpus = [f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)" for gpu in devices]
    check_processes(params.train, len(gpus))
    # As torch.cuda.is_bf16_supported has it, for each GPU; older ones emulate it, slowly.
    old = [gpu.name for gpu in devices if gpu.major < 8 and not torch.version.hip]
    if params.train.precision == "bf16" and old:
        raise InputError(
            f"params.yaml: train.precision: {old[0]} does not compute in bf16: set it to fp32."
        )
    return (
        f"{os.cpu_count()} CPU cores, {', '.join(gpus) or 'no GPU: everything runs on the CPU'}; "
        f"train.processes {params.train.processes}, train.precision {params.train.precision}; "
        f"torch {torch.__version__}"
    )


def _disk(_: Params) -> str:
    place = Path(".").absolute()
    if not os.access(place, os.W_OK):
        raise InputError(f"{place} cannot be written to: make it writable.")
    check_places()
    free_gb = shutil.disk_usage(place).free / 1e9
    note = "" if free_gb > ENOUGH_GB else ", which is little"
    return f"{free_gb:.0f} GB free{note}; states of unfinished work in {place / SCRATCH}"


def _remotes(_: Params) -> str:
    check_credentials()
    return "no credentials in .dvc/config, which git keeps"


def _corpus(part: str, source: Source) -> str:
    from telephone_asr.corpora import several

    path = Path(source.path)
    if not path.exists():
        raise InputError(f"params.yaml: corpus.{part}.path: {path} does not exist.")
    if changed := unwatched.changes(part, source.path):
        raise InputError(f"{changed}.")
    key = f"corpus.{part}"
    return "; ".join(
        (f"{one.name}: " if one.name else "")
        + _one_corpus(one, *several.place_of(one, source.path, key))
        for one in several.corpora(**vars(source), key=key)
    )


def _test_sets(params: Params) -> str:
    from telephone_asr.corpora import several

    if (path := params.corpus.test_sets) is None:
        return "those of the corpora"
    sets = several.test_sets(path)
    if changed := unwatched.changes(OWN, path):
        raise InputError(f"{changed}.")
    return "; ".join(f"{one.name}: {_one_corpus(one, path, one.name)}" for one in sets)


def _one_corpus(one: Corpus | OwnTest, file: str, key: str) -> str:
    path = Path(one.path)
    if one.kind not in ("kaldi", "calls", "lhotse"):  # a recipe takes minutes to prepare
        return f"{one.kind}, {path}"
    from telephone_asr.corpora.imported import list_items
    from telephone_asr.corpora.items import load
    from telephone_asr.shards import Rejected

    items = list_items(one.kind, path, key, one.part, file)
    broken = [item.problem for item in items if item.problem]
    shown = list(map(load, items[:: max(1, len(items) // 20)]))
    unread = [entry for entry in shown if isinstance(entry, Rejected)]
    text = f"{len(items):,} entries in {path}, {len(broken):,} of them broken"
    text += f"; of {len(shown)} opened, {len(unread)} cannot be used"
    return text + (f" ({unread[0].reason}: {unread[0].detail})" if unread else "")


def _data(_: Params) -> str:
    from telephone_asr.shards import count_shards

    counts = {name: count_shards(directory) for name, directory in SHARDS.items()}
    if not any(counts.values()):
        return f"nothing in {RAW.parent} yet: `dvc repro` or `dvc pull` brings it"
    return ", ".join(f"{name} {n:,} shards" for name, n in counts.items())


def _base(params: Params) -> str:
    base = params.base
    if base.is_tiny:
        return "the tiny one is trained here"
    import torch

    from telephone_asr.manifests.messages import PROMPT
    from telephone_asr.model import pins
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.model.hub import locate
    from telephone_asr.model.pretrained import load

    directory = locate(base.kind, base.path, base.repo, base.revision)
    files, unknown = pins.model_files(directory), {}
    if base.pins is not None:
        unknown = pins.check(files, Path(base.pins))
    nano = load(directory, **vars(params.frontend))
    samples = torch.arange(params.frontend.fs).sin().mul(3000).short().numpy()
    width = Frontend(nano.config["frontend_conf"])(samples, params.frontend.fs).shape[1]
    tokens = nano.tokenizer.encode(PROMPT)
    if nano.tokenizer.decode(tokens, skip_special_tokens=True) != PROMPT:
        raise InputError(f"{directory}: its tokenizer does not give '{PROMPT}' back.")
    size = sum(p.numel() for p in nano.model.parameters())
    ctc = "with" if nano.has_ctc else "without"
    pinned = f"{len(files) - len(unknown)} of {len(files)} files pinned" if base.pins else "no pins"
    return (
        f"{directory}: {size / 1e6:,.1f} M parameters, {ctc} a CTC branch, {width} values a row, "
        f"{pinned}"
    )
