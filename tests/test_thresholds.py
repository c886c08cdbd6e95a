"""Limits that reach a CER, and how honest what is said of them is."""

from itertools import product

import numpy as np
import pytest

from label_fixtures import label
from telephone_asr.params import Keep
from telephone_asr.scoring.cer import ErrorRate
from telephone_asr.scoring.options import Scoring
from telephone_asr.unlabelled.keep import errors_of, reason
from telephone_asr.unlabelled.thresholds import propose

KEEP = Keep(0.5, 0.4, 0.3, 0.2, (0.5, 12.0))
SAID = "我明天还款谢谢您再见"


def drawn(n: int, speakers: int, seed: int = 0) -> list:
    """Labels that are the more often wrong the less sure they are."""
    rng = np.random.default_rng(seed)
    labels = []
    for i in range(n):
        confidence, far = rng.uniform(0.2, 1.0), rng.uniform(0, 0.6)
        wrong = int(rng.binomial(len(SAID), (1 - confidence) * far))
        labels.append(
            label(
                id=f"turn-{i}",
                speaker=f"speaker-{i % speakers}",
                text="错" * wrong + SAID[wrong:],
                reference=SAID,
                confidence=round(confidence, 4),
                distance=round(far, 4),
                ctc_text=None,
                ctc_confidence=None,
                speech_s=round(rng.uniform(1, 3), 2),
            )
        )
    return labels


def rate(labels) -> float:
    return sum((errors_of(one, Scoring()) for one in labels), ErrorRate()).rate


@pytest.mark.parametrize("target", [0.02, 0.05, 0.08])
def test_no_other_limits_keep_more_speech_at_the_target(target):
    labels = drawn(60, 6)
    found = propose(labels, target, KEEP, Scoring())
    kept = [one for one in labels if reason(one, found.keep) is None]
    assert list(found.kept) == kept
    assert rate(kept) <= target
    most_s = 0.0
    for confidence, distance in product(range(20), range(21)):
        keep = Keep(round(0.05 * confidence, 2), None, round(1 - 0.05 * distance, 2), None, None)
        own = [one for one in labels if reason(one, keep) is None]
        if own and rate(own) <= target:
            most_s = max(most_s, sum(one.speech_s for one in own))
    assert sum(one.speech_s for one in kept) == pytest.approx(most_s)


def test_where_all_reach_it_there_are_no_limits():
    found = propose(drawn(30, 5), 1.0, KEEP, Scoring())
    # Limits of what these labels do not measure stay as they are.
    assert found.keep == Keep(None, 0.4, None, 0.2, KEEP.characters_per_s)
    assert len(found.kept) == 30


def test_a_target_that_nothing_reaches():
    labels = [label(text="错", reference="对", confidence=c / 10) for c in range(10)]
    assert propose(labels, 0.5, KEEP, Scoring()) is None
    assert propose([], 0.5, KEEP, Scoring()) is None


def test_luck_is_not_held_out():
    """Measures that say nothing: limits that look good on these turns are no good on others."""
    rng = np.random.default_rng(3)
    labels = [
        label(
            speaker=f"speaker-{i % 8}",
            text=SAID if rng.random() < 0.5 else "错" * len(SAID),
            reference=SAID,
            confidence=round(rng.random(), 4),
            distance=round(rng.random(), 4),
        )
        for i in range(80)
    ]
    found = propose(labels, 0.5, KEEP, Scoring())
    assert found.error.rate <= 0.5 < found.held_out.rate
