"""The blocks and sections that the report is made of; markdown.py and page.py write them out.

Prose and the cells of tables are inline Markdown: **bold**, `code` and backslash escapes. Text from
the corpora goes through `markdown.literal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from telephone_asr.report.figures import Panel
from telephone_asr.scoring.confusion import Pair

FEW_CHARACTERS = 50  # with fewer in a reference, an error rate says next to nothing


@dataclass(frozen=True)
class Table:
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    left: int = 1  # so many columns are words; the others are numbers, to the right


@dataclass(frozen=True)
class Cell:
    """A cell of a heat map: errors among the characters of so many utterances."""

    errors: int
    characters: int
    utterances: int

    @property
    def few(self) -> bool:
        return self.characters < FEW_CHARACTERS

    @property
    def rate(self) -> float:
        return self.errors / max(self.characters, 1)


@dataclass(frozen=True)
class HeatMap:
    """A table of CERs by two properties; None where no utterance has both."""

    caption: str
    corner: str  # what the rows and the columns are
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell | None]]]


@dataclass(frozen=True)
class Pictures:
    """Panels that belong together: side by side on the page, one PNG beside README.md."""

    name: str
    title: str
    panels: Sequence[Panel]
    columns: int = 3  # of the PNG


@dataclass(frozen=True)
class Answer:
    """A question that a reviewer asks, and its answer in one look."""

    question: str
    headline: str
    tone: str  # good | bad | neutral (within noise) | unknown
    text: str = ""
    points: Sequence[tuple[str, str]] = ()  # each with its tone


@dataclass(frozen=True)
class Utterance:
    """An utterance with what was recognised, character by character, and its sound."""

    key: str
    about: str  # scene, duration, line
    cer: str
    counts: str
    reference: str
    text: str
    columns: Sequence[Pair]
    audio: str | None = ""  # a data: URI; empty: there was no room left; None: not to be shown


@dataclass(frozen=True)
class Utterances:
    utterances: Sequence[Utterance]


Block = str | Table | HeatMap | Pictures | Utterances


@dataclass(frozen=True)
class Section:
    id: str
    short: str  # title, for the list of sections
    title: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Document:
    title: str
    lead: str
    answers: Sequence[Answer]
    notes: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=list)
