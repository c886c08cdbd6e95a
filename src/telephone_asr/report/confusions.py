"""Reference and recognised text side by side, and which characters are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from telephone_asr.scoring import cer
from telephone_asr.scoring.normalize import normalize
from telephone_asr.scoring.options import Scoring

# What was said, what was recognised, and the kind of error: "", "S", "D" or "I" as in sclite.
Column = tuple[str, str, str]

_KINDS = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}


def align(reference: str, text: str, options: Scoring) -> list[Column]:
    """The texts as they are scored (normalised), with the fewest errors between them.

    >>> align("还款三百", "还三百二", Scoring())
    [('还', '还', ''), ('款', '', 'D'), ('3', '3', ''), ('0', '2', 'S'), ('0', '0', '')]
    """
    said, heard = (
        cer.units(normalize(one, options.fillers, options.erhua), options.unit)
        for one in (reference, text)
    )
    columns = []
    for chunk in cer.align(said, heard).alignments[0]:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for i in range(max(len(left), len(right))):
            pair = ("".join(left[i : i + 1]), "".join(right[i : i + 1]))
            columns.append((*pair, _KINDS[chunk.type]))
    return columns


def confusions(lines: Iterable[dict], options: Scoring) -> Counter[tuple[str, str]]:
    """How often each character was recognised as which; "" is no character."""
    return Counter(
        (said, heard)
        for line in lines
        for said, heard, _ in align(line["reference"], line["text"], options)
    )
