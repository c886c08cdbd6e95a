"""Transcripts that are most likely wrong, by what a model hears: for annotators to listen to."""

from __future__ import annotations

from telephone_asr.unlabelled.labels import Label

MOST = 10.0  # of a log probability per token: a text that no alignment has room for


def suspicion(label: Label) -> float:
    """Returns how likely the transcript of a turn is wrong, from 0 to MOST.

    How unlikely the CTC branch finds the transcript, per token, where both the branch and the
    language model are sure of what they heard: of a bad line or a rare word they are not, and then
    a right transcript is as unlikely. The other ways to rank that docs/unlabelled.md compares find
    fewer.
    """
    score = -MOST if label.reference_score is None else max(-MOST, label.reference_score)
    return -score * label.confidence * (label.ctc_confidence or 0.0)
