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
    if os.environ.get("RAY_ADDRESS"):
        yield from _on_cluster(function, arguments)
        return
    from joblib import Parallel, delayed

    jobs = (delayed(function)(*each) for each in arguments)
    yield from Parallel(n_jobs=-1, return_as="generator_unordered")(jobs)


def _on_cluster(
    function: Callable[..., Any], arguments: Iterable[tuple]
) -> Generator[Any, None, None]:
    """Does it on a Ray cluster, which gives the jobs of a machine that is gone to the others."""
    import ray

    ray.init(logging_level="warning")
    task, arguments = ray.remote(function), iter(arguments)
    at_a_time = AHEAD * int(ray.cluster_resources()["CPU"])
    running = [task.remote(*each) for each in islice(arguments, at_a_time)]
    try:
        while running:
            done, running = ray.wait(running)
            yield from ray.get(done)
            running += [task.remote(*each) for each in islice(arguments, 1)]
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        ray.shutdown()
