"""Which characters are taken for which."""

from collections import Counter
from collections.abc import Iterator, Sequence

import jiwer

from telephone_asr.scoring.normalize import normalize

_CHARACTERS = jiwer.ReduceToListOfListOfChars()  # as in scoring/cer.py


def confusions(references: Sequence[str], hypotheses: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often a character stands where another should, over all pairs of texts, normalised for
    scoring. Nothing ("") stands for a character that is missing or too many.

    >>> sorted(confusions(["四点还款"], ["十点还了款"]).items())
    [(('', '了'), 1), (('四', '十'), 1)]
    """
    counts: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        counts.update(_of_pair(normalize(reference), normalize(hypothesis)))
    return counts


def _of_pair(reference: str, hypothesis: str) -> Iterator[tuple[str, str]]:
    aligned = jiwer.process_characters(
        reference,
        hypothesis,
        reference_transform=_CHARACTERS,
        hypothesis_transform=_CHARACTERS,
    )
    for chunk in aligned.alignments[0]:
        if chunk.type == "equal":
            continue
        expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        found = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        # One of the two is empty, or they are equally long.
        yield from zip(expected or [""] * len(found), found or [""] * len(expected), strict=True)
