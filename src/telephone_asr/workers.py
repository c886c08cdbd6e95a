"""Independent jobs on all cores of this machine, or of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any

AHEAD = 4  # jobs for each of a cluster's cores that are handed out at a time


def run_jobs(
    function: Callable[..., Any], arguments: Iterable[tuple]
) -> Generator[Any, None, None]:
    """Yields `function(*each)` for each of the arguments as it is done, in no order.

    By joblib, on the cores of this machine; where the environment names a Ray cluster
    (RAY_ADDRESS), on that. The function must be importable by name where it runs, and the files
    that it names must be reachable there.
    """
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    jobs = (delayed(function)(*each) for each in arguments)
    if not os.environ.get("RAY_ADDRESS"):
        yield from Parallel(n_jobs=-1, return_as="generator_unordered")(jobs)
        return
    from ray.util.joblib import register_ray

    register_ray()
    # Ray gives results back only when all are there: some at a time, so that progress shows.
    with parallel_config("ray", n_jobs=-1), Parallel() as parallel:
        while some := list(islice(jobs, AHEAD * effective_n_jobs())):
            yield from parallel(some)
