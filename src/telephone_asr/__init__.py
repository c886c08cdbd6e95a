"""Adapt Fun-ASR-Nano to 8 kHz Chinese telephone speech, reproducibly."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telephone_asr.calls.api import load_model as load_model
    from telephone_asr.calls.api import transcribe as transcribe

# OpenMP's threads wait for each other spinning, and beside another busy program spin away the time
# of the very thread they wait for. Put to sleep at once they are woken late: alone, a step takes
# twice as long. So they spin for a fifth of a millisecond (GNU's OpenMP: 20,000 times) and sleep
# then (bench/contention.py). This is read when PyTorch is imported, which nothing does before this
# package; processes that are started inherit it. What the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def __getattr__(name: str) -> Any:
    """Imports what is asked for first: most of the package has no use for a model."""
    if name in ("load_model", "transcribe"):
        from importlib import import_module

        return getattr(import_module("telephone_asr.calls.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
