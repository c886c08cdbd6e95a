"""Texts that end where their tokens were used up."""

from __future__ import annotations

from collections.abc import Iterable


class CutOff(str):
    """A text that ends at the token limit: the model would have gone on.

    It is a text like any other to whoever scores it; whoever counts or shows texts says so.
    """

    __slots__ = ()


def count_cut_off(texts: Iterable[str]) -> int:
    """Returns how many of the texts ended at the limit."""
    return sum(isinstance(text, CutOff) for text in texts)
