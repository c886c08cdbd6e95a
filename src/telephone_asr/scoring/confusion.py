"""Reference and recognised text side by side, and which characters are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from telephone_asr.scoring.cer import align, units
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.scoring.options import Scoring

# What was said, what was recognised, and the kind of error: "", "S", "D" or "I" as in sclite.
Pair = tuple[str, str, str]

_MARKS = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}


def pairs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Pairs two lists of units with the fewest errors; "" stands where one has none."""
    found = []
    for chunk in align(reference, hypothesis).alignments[0]:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for i in range(max(len(said), len(heard))):
            pair = ("".join(said[i : i + 1]), "".join(heard[i : i + 1]))
            found.append((*pair, _MARKS[chunk.type]))
    return found


def aligned(reference: str, text: str, options: Scoring) -> list[Pair]:
    """Pairs two texts as they are scored.

    >>> aligned("还款三百", "还三百二", Scoring())
    [('还', '还', ''), ('款', '', 'D'), ('3', '3', ''), ('0', '2', 'S'), ('0', '0', '')]
    """
    said, heard = (
        units(normalise_for_scoring(one, options.fillers, options.erhua), options.unit)
        for one in (reference, text)
    )
    return pairs(said, heard)


def confusions(lines: Iterable[Mapping], options: Scoring) -> Counter[tuple[str, str]]:
    """Counts how often each character was recognised as which, itself too."""
    return Counter(
        (said, heard)
        for line in lines
        for said, heard, _ in aligned(line["reference"], line["text"], options)
    )
