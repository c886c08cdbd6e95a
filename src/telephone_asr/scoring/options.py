"""What may be chosen about scoring: the `scoring` section of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["character", "mixed"]
Erhua = Literal["keep", "fold"]


@dataclass(frozen=True)
class Scoring:
    """Says how texts are compared; rates under different options cannot be."""

    unit: Unit = "character"  # mixed: an English word counts as one, as a hanzi does
    fillers: tuple[str, ...] = ()  # taken out of both texts before they are compared
    erhua: Erhua = "keep"  # fold: 这儿 and 这 are the same
