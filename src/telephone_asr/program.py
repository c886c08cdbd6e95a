"""How a stage or a command runs: its own code, and a refusal that is a sentence."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import telephone_asr
from telephone_asr.errors import InputError, shortage


def run(main: Callable[[], None]) -> None:
    """Runs a stage or command; a user's mistake, and what the machine lacks, end in one sentence,
    not in a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a terminal in GBK lacks characters of transcripts
        if isinstance(stream, io.TextIOWrapper):
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
        if (lacks := shortage(error)) is None:
            raise
        sentence = lacks
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
