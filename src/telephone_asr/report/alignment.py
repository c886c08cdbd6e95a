"""Reference and recognised text side by side, and which characters are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import jiwer

from telephone_asr.scoring.normalize import normalize

# Character said, character recognised, and the kind of error: "", "S", "D" or "I" as in sclite.
Column = tuple[str, str, str]

_CHARACTERS = jiwer.ReduceToListOfListOfChars()
_KINDS = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}


def align(reference: str, text: str) -> list[Column]:
    """The texts as they are scored (normalised), with the fewest errors between them.

    >>> align("还款三百", "还三百二")
    [('还', '还', ''), ('款', '', 'D'), ('3', '3', ''), ('0', '2', 'S'), ('0', '0', '')]
    """
    said, heard = normalize(reference), normalize(text)
    chunks = jiwer.process_characters(
        said, heard, reference_transform=_CHARACTERS, hypothesis_transform=_CHARACTERS
    ).alignments[0]
    columns = []
    for chunk in chunks:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for i in range(max(len(left), len(right))):
            columns.append((left[i : i + 1], right[i : i + 1], _KINDS[chunk.type]))
    return columns


def confusions(lines: Iterable[dict]) -> Counter[tuple[str, str]]:
    """How often each character was recognised as another one; "" is no character."""
    return Counter(
        (said, heard)
        for line in lines
        if line["substitutions"] or line["deletions"] or line["insertions"]
        for said, heard, kind in align(line["reference"], line["text"])
        if kind
    )


def occurrences(lines: Iterable[dict]) -> Counter[str]:
    """How often each character is in the references, as they are scored."""
    return Counter(character for line in lines for character in normalize(line["reference"]))
