"""Reference and hypothesis under each other, each error in a column of its own.

jiwer draws alignments too (`visualize_alignment`), but counts characters where a terminal counts
cells: a hanzi takes two, and its columns drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from telephone_asr.scoring.confusion import pairs


@dataclass(frozen=True)
class Column:
    """Holds what was said beside what was recognised, both padded to as many cells."""

    mark: str  # S, D, I or a space
    reference: str
    hypothesis: str

    @property
    def cells(self) -> int:
        return cell_len(self.reference)


def columns(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Column]:
    """Aligns two lists of units with the fewest edits. A gap is filled with asterisks.

    >>> for column in columns("还款三百", "还三百2"):
    ...     print(repr(column.mark), column.reference, column.hypothesis)
    ' ' 还 还
    'D' 款 **
    ' ' 三 三
    ' ' 百 百
    'I' * 2
    """
    return [
        _column(mark or " ", said or None, heard or None)
        for said, heard, mark in pairs(reference, hypothesis)
    ]


def blocks(row: Sequence[Column], width: int) -> list[list[Column]]:
    """Cuts columns into lines of at most `width` cells; a wider one has a line to itself."""
    cut: list[list[Column]] = []
    used = width
    for column in row:
        if not cut or used + column.cells > width:
            cut.append([])
            used = 0
        cut[-1].append(column)
        used += column.cells
    return cut


def _column(mark: str, said: str | None, heard: str | None) -> Column:
    texts = [_visible(text) if mark.strip() else text for text in (said, heard)]
    cells = max(cell_len(text) for text in texts if text is not None)
    said, heard = ("*" * cells if text is None else text for text in texts)
    if cells > 2:  # words stand apart from each other
        cells += 1
    return Column(mark, *(text + " " * (cells - cell_len(text)) for text in (said, heard)))


def _visible(text: str | None) -> str | None:
    """Makes a space that is an error visible."""
    return "␣" if text == " " else text
