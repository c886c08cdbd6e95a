"""How sure a CER is, and whether two of them differ: bootstrap by speaker or call.

Utterances of one speaker or call fail together, so resampling utterances gives intervals that are
too narrow (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
evaluation", ICASSP 2004). Groups are drawn with replacement, their errors and characters added, and
the interval is read off the percentiles of the resampled rates. With fewer than about 20 groups it
is still somewhat too narrow.
"""

from collections.abc import Sequence

import numpy as np

from telephone_asr.scoring.cer import ErrorRate


def bootstrap_interval(
    errors: Sequence[ErrorRate],
    groups: Sequence[str],
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of the CER (errors per character) that holds the share `level` of the resamples.

    `groups` names each utterance's speaker or call. If there is one group only, utterances are
    resampled instead: the interval then speaks for that speaker or call alone.
    """
    counts = np.array([[one.errors, one.length] for one in errors]).reshape(-1, 2)
    wrong, length = _resampled(counts, groups, seed, resamples)
    return _percentiles(_rate(wrong, length), level)


def paired_difference(
    errors_a: Sequence[ErrorRate],
    errors_b: Sequence[ErrorRate],
    groups: Sequence[str],
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """CER of b less CER of a on the same utterances, and the interval of that difference.

    Both sides of a resample are the same draw, so what makes an utterance hard for both cancels. An
    interval below 0 says that b is better. Groups as in `bootstrap_interval`.
    """
    if [one.length for one in errors_a] != [one.length for one in errors_b]:
        raise ValueError("the two lists of errors are not of the same utterances in the same order")
    counts = np.array(
        [[a.errors, b.errors, a.length] for a, b in zip(errors_a, errors_b, strict=True)]
    ).reshape(-1, 3)
    wrong_a, wrong_b, length = _resampled(counts, groups, seed, resamples)
    difference = sum(errors_b, ErrorRate()).rate - sum(errors_a, ErrorRate()).rate
    return difference, *_percentiles(_rate(wrong_b, length) - _rate(wrong_a, length), level)


def _resampled(counts: np.ndarray, groups: Sequence[str], seed: int, resamples: int) -> np.ndarray:
    """Totals of `counts` (utterances × kinds) over each draw of groups: kinds × resamples."""
    if len(counts) != len(groups):
        raise ValueError(f"{len(counts)} utterances but {len(groups)} group names")
    if counts[:, -1].sum() == 0:
        raise ValueError("no characters in any reference: there is no error rate to resample")
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) > 1:
        totals = np.zeros((len(names), counts.shape[1]), dtype=np.int64)
        np.add.at(totals, index, counts)
    else:
        totals = counts
    generator = np.random.default_rng(seed)
    # One draw at a time: all at once would need gigabytes for a hundred thousand utterances.
    draws = (generator.integers(len(totals), size=len(totals)) for _ in range(resamples))
    return np.array([totals[draw].sum(axis=0) for draw in draws]).T


def _rate(errors: np.ndarray, length: np.ndarray) -> np.ndarray:
    # A draw can hold nothing but empty references; one character stands in for none.
    return errors / np.maximum(length, 1)


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
