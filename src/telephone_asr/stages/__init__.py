"""One short module for each stage of dvc.yaml: read params, call the library, write outs.

Stages run from the repository's root, as `PYTHONPATH=src python -m telephone_asr.stages.<name>`: an
experiment in a directory of its own then runs its own code, not what is installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import telephone_asr
from telephone_asr.errors import InputError

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
TEST_SETS = Path("splits")  # frozen: the ids of each test set, in git
# Where the sound of each manifest's corpus lies.
SHARDS = {"wideband": RAW / "wideband", "simulated": SIMULATED, "telecall": TELECALL}


def run(main: Callable[[], None]) -> None:
    """Runs a stage or command; a user's mistake ends in one sentence, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a terminal in GBK lacks characters of transcripts
        stream.reconfigure(errors="replace")
    try:
        _check_code()
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # whoever reads it has seen enough, as with `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command again to go on.")


def _check_code() -> None:
    """Raises InputError in a checkout or experiment whose code is not what runs."""
    here, runs = Path("src/telephone_asr"), Path(telephone_asr.__file__).parent
    if here.is_dir() and not here.samefile(runs):
        raise InputError(
            f"{here.absolute()} is not the code that runs, which is {runs}: put PYTHONPATH=src "
            "before the command."
        )


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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
