"""One short module for each stage of dvc.yaml: read params, call the library, write outs.

Stages run from the repository's root, as `PYTHONPATH=src python -m telephone_asr.stages.<name>`: an
experiment in a directory of its own then runs its own code, not what is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import telephone_asr
from telephone_asr.errors import InputError, shortage

RAW = Path("data/raw")
SIMULATED = Path("data/simulated")
TELECALL = Path("data/telecall")
MANIFESTS = Path("data/manifests")
UNPACKED = Path("data/unpacked")  # where `telephone-asr unpack` puts the sound
MODELS = Path("models")
TRANSCRIPTS = Path("data/transcripts")
METRICS = Path("metrics")
SLICES = METRICS / "slices"  # in git too, but no metrics to DVC
COST = METRICS / "cost"  # time and memory: what is not the same on every run
# The repository's, as DVC names it, also in an experiment that runs in a directory of its own
# (`--temp`, `--queue`) and is deleted with it: killed and run again, it goes on.
SCRATCH = Path(os.environ.get("DVC_ROOT", ""), ".scratch")
OWN_SCRATCH = Path(".scratch")
IMPORTED = SCRATCH.with_name(".imported")  # see unseen.py
FROZEN_SPLITS = Path("splits")  # the ids of each test set, in git
# Where the sound of each manifest's corpus lies.
SHARDS = {"wideband": RAW / "wideband", "simulated": SIMULATED, "telecall": TELECALL}


def run(main: Callable[[], None]) -> None:
    """Runs a stage or command; a user's mistake, and what the machine lacks, end in one sentence,
    not in a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a terminal in GBK lacks characters of transcripts
        stream.reconfigure(errors="replace")
    try:
        _check_code()
        main()
        return
    except InputError as error:
        sentence = str(error)
    except BrokenPipeError:  # whoever reads it has seen enough, as with `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command again to go on.")
    except Exception as error:
        sentence = shortage(error)
        if sentence is None:
            raise
    # Out here, where the memory of what failed is free again: there is work at exit too.
    sys.exit(f"error: {sentence}")


def _check_code() -> None:
    """Raises InputError in a checkout or experiment whose code is not what runs."""
    here, runs = Path("src/telephone_asr"), Path(telephone_asr.__file__).parent
    if here.is_dir() and not here.samefile(runs):
        raise InputError(
            f"{here.absolute()} is not the code that runs, which is {runs}: put PYTHONPATH=src "
            "before the command."
        )


@contextmanager
def new_out(path: Path) -> Iterator[Path]:
    """Where to make a file or directory that takes the place of `path` once it is whole.

    What lies at `path` may be DVC's: after `dvc pull` its files can be hard links to the cache, and
    what is written into one of them is written into the cache, which DVC then takes for the truth
    and pushes. Where an error ends the work, `path` stays as it was.
    """
    making = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(making)
    try:
        yield making
        _remove(path)
        making.rename(path)
    finally:
        _remove(making)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_places() -> None:
    """Raises InputError where an out would lie outside of the repository, which DVC says only when
    the stage has done its work."""
    root = Path.cwd().resolve()
    for place in (RAW.parent, MODELS, METRICS, Path("report")):
        if not place.resolve().is_relative_to(root):
            raise InputError(
                f"{place} is a link to {place.resolve()}, and DVC keeps nothing that lies outside "
                "of the repository: remove the link, and have DVC's cache on that disk instead "
                "(`dvc cache dir --local DIRECTORY` and `dvc config --local cache.type symlink`)."
            )


def write_json(path: Path, content: dict) -> None:
    """Writes metrics: indented, UTF-8, so that a difference reads well in a pull request."""
    with new_out(path) as new:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        new.write_text(text, encoding="utf-8")
