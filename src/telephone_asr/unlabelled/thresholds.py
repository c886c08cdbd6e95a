"""Thresholds for a target CER, from labelled validation calls that were treated as if they had no
transcripts: of all limits in steps of 0.05 those that keep the most speech.

Limits that are chosen on some turns look better on them than they are. So they are chosen once more
without each speaker (of many, a tenth of them) and tried on that one: the CER of what is kept then
is the one to believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from telephone_asr.params import Keep
from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.options import Scoring
from telephone_asr.unlabelled.keep import LEAST, MOST, errors_of, reason
from telephone_asr.unlabelled.labels import Label

STEP = 0.05
GRID = 21  # limits from the loosest, which is none, to the strictest
FOLDS = 10
ROOM = 1e-9  # for rounding, of steps


@dataclass(frozen=True)
class Proposal:
    """Limits, and what they rest on."""

    keep: Keep
    kept: Sequence[Label]
    error: ErrorRate  # of what is kept
    held_out: ErrorRate  # of what is kept by limits chosen without its speaker
    held_out_s: float  # of speech, kept so


def propose(
    labels: Sequence[Label], target_cer: float, keep: Keep, options: Scoring
) -> Proposal | None:
    """Returns the limits that reach a CER while they keep the most speech; None where none do.

    Args:
        labels: with references.
        keep: limits that are taken over: of `characters_per_s`, and of measures that not all of the
            labels have.
    """
    names = [name for name in (*LEAST, *MOST) if all(_has(label, name) for label in labels)]
    loose = replace(keep, **dict.fromkeys(names))
    labels = [label for label in labels if reason(label, loose) is None]
    errors = [errors_of(label, options) for label in labels]
    best = _search(labels, errors, names, target_cer, loose)
    if best is None:
        return None
    kept = [i for i, label in enumerate(labels) if reason(label, best) is None]
    again: list[int] = []
    for fold in _folds([label.speaker for label in labels]):
        rest = [i for i in range(len(labels)) if i not in fold]
        own = _search(
            *([labels[i] for i in rest], [errors[i] for i in rest], names, target_cer, loose)
        )
        again += [i for i in sorted(fold) if own and reason(labels[i], own) is None]
    return Proposal(
        keep=best,
        kept=[labels[i] for i in kept],
        error=sum((errors[i] for i in kept), ErrorRate()),
        held_out=sum((errors[i] for i in again), ErrorRate()),
        held_out_s=sum(labels[i].speech_s for i in again),
    )


def _folds(speakers: Sequence[str]) -> list[set[int]]:
    names = sorted(set(speakers))
    n = min(FOLDS, len(names))
    fold_of = {name: place % n for place, name in enumerate(names)}
    return [{i for i, one in enumerate(speakers) if fold_of[one] == fold} for fold in range(n)]


def _search(
    labels: Sequence[Label],
    errors: Sequence[ErrorRate],
    names: Sequence[str],
    target_cer: float,
    loose: Keep,
) -> Keep | None:
    """Returns the limits of these measures that keep the most speech at this CER; of several the
    loosest.

    Every combination at once: each label is put where its strictest limits cross, and what lies
    there is added up towards looser ones.
    """
    if not labels:
        return None
    cells = np.array([[_strictest(label, name) for name in names] for label in labels], dtype=int)
    amounts = np.array(
        [(e.errors, e.length, one.speech_s) for e, one in zip(errors, labels, strict=True)]
    )
    kept = np.zeros((*[GRID] * len(names), 3))
    np.add.at(kept, tuple(cells.T), amounts)
    for axis in range(len(names)):
        kept = np.flip(np.cumsum(np.flip(kept, axis), axis), axis)
    wrong, characters, seconds = np.moveaxis(kept, -1, 0)
    reaches = (characters > 0) & (wrong <= target_cer * characters + ROOM)
    if not reaches.any():
        return None
    # The first of the largest is the loosest; added up in another order, equal sums may differ.
    place = np.unravel_index(np.where(reaches, seconds.round(3), -1.0).argmax(), seconds.shape)
    limits: dict[str, Any] = {
        name: _limit(name, int(n)) for name, n in zip(names, place, strict=True)
    }
    return replace(loose, **limits)


def _has(label: Label, name: str) -> bool:
    return getattr(label, name) is not None


def _strictest(label: Label, name: str) -> int:
    """Returns the number of the strictest limit that keeps a label."""
    value = getattr(label, name)
    room = value if name in LEAST else 1 - value
    return min(GRID - 1, int(room / STEP + ROOM))


def _limit(name: str, number: int) -> float | None:
    if number == 0:
        return None
    return round(STEP * number if name in LEAST else 1 - STEP * number, 2)
