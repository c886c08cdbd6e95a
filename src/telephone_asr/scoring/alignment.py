"""Reference and hypothesis under each other, each error in a column of its own.

jiwer draws alignments too (`visualize_alignment`), but counts characters where a terminal counts
cells: a hanzi takes two, and its columns drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from telephone_asr.scoring.cer import align

MARKS = {"equal": " ", "substitute": "S", "delete": "D", "insert": "I"}


@dataclass(frozen=True)
class Column:
    """What was said beside what was recognised, both padded to the same number of cells."""

    mark: str  # one of MARKS' values
    reference: str
    hypothesis: str

    @property
    def cells(self) -> int:
        return cell_len(self.reference)


def columns(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Column]:
    """The alignment with the fewest edits of two lists of units. A gap is filled with asterisks.

    >>> for column in columns("还款三百", "还三百2"):
    ...     print(repr(column.mark), column.reference, column.hypothesis)
    ' ' 还 还
    'D' 款 **
    ' ' 三 三
    ' ' 百 百
    'I' * 2
    """
    found = []
    for chunk in align(reference, hypothesis).alignments[0]:
        said = list(reference[chunk.ref_start_idx : chunk.ref_end_idx])
        heard = list(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx])
        for i in range(max(len(said), len(heard))):
            pair = (said[i] if said else None, heard[i] if heard else None)
            found.append(_column(MARKS[chunk.type], *pair))
    return found


def blocks(row: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns cut into lines of at most `width` cells; a wider one has a line to itself."""
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
    """A space that is an error must be seen."""
    return "␣" if text == " " else text
