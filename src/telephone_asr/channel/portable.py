"""Arithmetic that gives the same bits on every x86-64 processor.

+, -, *, / and square roots are rounded alike everywhere (IEEE 754), element by element, and NumPy
adds in one order. exp, log, powers, sin and tanh are not: NumPy and the C library have several of
each and choose by what the processor can do, and BLAS (`@`, `np.dot`) adds in an order of its own
on each. Their results differ by the last bit, and a sample that is then rounded to 16 bits by one.

Hence two rules. What samples are multiplied with (gains, responses, tables) is derived in float64
by whatever function, and rounded before it is used: by `rounded`, or by float32, which does the
same. What happens to the samples themselves is made of +, -, *, / and what is in this module.

Rounding makes a difference improbable, not impossible: values that differ by 1e-16 fall on the two
sides of a boundary between steps of 1e-9 once in ten million. docs/reproducible.md says what was
compared, and what is beyond this: other libraries' code, and processors that are not x86-64.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Real = TypeVar("Real", float, np.ndarray)

_LARGEST = 9.0  # tanh of it is 1 in float32
_TERMS = 12  # of the continued fraction: within 3e-7 up to there


def random_numbers(entropy: int | Sequence[int]) -> np.random.Generator:
    """Returns the generator that every draw of this project comes from: SFC64."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy)))


def generator(seed: int, utterance_id: str, copy: int = 0) -> np.random.Generator:
    """Returns the random numbers of one copy of an utterance: they depend on nothing but the seed,
    its id and the copy's number, so the bytes are the same in any order and for any number of
    workers."""
    digest = hashlib.sha256(utterance_id.encode()).digest()[:8]
    later = [copy] if copy else []
    return random_numbers([seed, int.from_bytes(digest, "little"), *later])


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Returns samples on the scale of 16 bits as int16; what is beyond saturates."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def rounded(values: Real, digits: int = 9) -> Real:
    """Returns numbers of about 1, to so many decimals."""
    return round(values, digits) if isinstance(values, float) else np.round(values, digits)


def amplitude(level_db: float) -> np.float32:
    """Returns the factor that changes a level by level_db.

    >>> amplitude(-20.0)
    np.float32(0.1)
    """
    return np.float32(10 ** (level_db / 20))


def decibels(power: float) -> float:
    """Returns 10 log10 of a power, to 0.0001 dB; -inf for none.

    >>> decibels(0.5), decibels(0.0)
    (-3.0103, -inf)
    """
    return round(10 * math.log10(power), 4) if power > 0 else -math.inf


def energy(samples: np.ndarray) -> float:
    """Returns the sum of the squares of samples (n,) or (m, n).

    einsum has one order for all processors, and takes half the time of np.sum(samples**2).
    """
    rows = samples.reshape(1, -1) if samples.ndim == 1 else samples
    return float(np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64))


def tanh(samples: np.ndarray) -> np.ndarray:
    """Returns the hyperbolic tangent of float samples (n,), within 3e-7.

    By Lambert's continued fraction: x / (1 + x² / (3 + x² / (5 + ...))).
    """
    x = np.clip(samples, -_LARGEST, _LARGEST)
    square = x * x
    below = np.full_like(x, 2 * _TERMS + 1)
    for odd in range(2 * _TERMS - 1, 0, -2):
        np.divide(square, below, out=below)
        below += odd
    return np.clip(np.divide(x, below, out=x), -1, 1, out=x)
