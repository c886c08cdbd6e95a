"""Do the CTC branch's timestamps still hold? Its borders between characters, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROW_MS = 60
CLOSE_MS = 120  # two rows


def displacement(
    found: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]
) -> dict[str, float | int]:
    """Measures how far borders are from where they should be, both in rows of 60 ms.

    An utterance that could not be aligned on one of the sides counts in `unaligned` alone. The
    first border and the last are the utterance's ends and say nothing.

    >>> displacement([[0, 3, 5, 9], []], [[0, 4, 5, 9], [0, 2, 4]])
    {'borders': 2, 'mean_ms': 30.0, 'within_120_ms': 1.0, 'unaligned': 1}
    """
    pairs = list(zip(found, expected, strict=True))
    aligned = [(a[1:-1], b[1:-1]) for a, b in pairs if a and b]
    content: dict[str, float | int] = {"borders": sum(len(a) for a, _ in aligned)}
    if content["borders"]:
        errors = [ROW_MS * np.abs(np.subtract(a, b)) for a, b in aligned if len(a)]
        errors_ms = np.concatenate(errors)
        content["mean_ms"] = round(float(errors_ms.mean()), 3)
        content[f"within_{CLOSE_MS}_ms"] = round(float(np.mean(errors_ms <= CLOSE_MS)), 6)
    return {**content, "unaligned": len(pairs) - len(aligned)}
