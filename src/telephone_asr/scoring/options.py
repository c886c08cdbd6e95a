"""The `scoring` section of params.yaml."""

from __future__ import annotations

from typing import Literal

from telephone_asr.sections import Texts, section

Unit = Literal["character", "mixed"]
Erhua = Literal["keep", "fold"]


@section
class Scoring:
    """The options of scoring; rates under different ones cannot be compared."""

    unit: Unit = "character"  # mixed: an English word counts as one, as a hanzi does
    fillers: Texts = ()  # taken out of both texts before they are compared
    erhua: Erhua = "keep"  # fold: 这儿 and 这 are the same
