"""What a command leaves out: each named with its reason, then counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from telephone_asr.textfiles import printable

if TYPE_CHECKING:
    from telephone_asr.shards import Rejected


def name_left_out(rejected: Iterable[Rejected]) -> None:
    """Prints a line on stderr for each."""
    for entry in rejected:
        said = f"left out: {entry.id} ({entry.reason}): {entry.detail}"
        print(printable(said), file=sys.stderr)


def count_left_out(rejected: Iterable[Rejected]) -> str:
    """Returns how many there are of each reason, as a line begins with it."""
    reasons = Counter(entry.reason for entry in rejected)
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"left out: {counted or 'none'}"
