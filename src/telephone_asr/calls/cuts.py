"""Where a long transcript is cut for the segments of its recording, by what is heard in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from telephone_asr.scoring.cer import align

UNSAID = 5  # characters one after another for which nothing is heard: nobody said them
GROUP_S = 60.0  # of speech after which a pause will do that is not sure


@dataclass(frozen=True)
class Group:
    """Segments one after another, and which characters of the transcript are said in them."""

    segments: range
    characters: list[int]


def cut(heard: Sequence[str], written: Sequence[str], seconds: Sequence[float]) -> list[Group]:
    """Cuts a transcript where it is sure what was said before a pause and what behind it.

    What nobody said is in no group: a run of UNSAID characters for which nothing is heard.

    Args:
        heard: the text of each segment, by a recogniser that makes errors.
        written: the transcript's characters.
        seconds: how long each segment is.

    >>> [(g.segments, g.characters) for g in cut(["您好吗", "好的"], list("您好吗好的"), [1, 1])]
    [(range(0, 1), [0, 1, 2]), (range(1, 2), [3, 4])]
    """
    match, unsaid = _matches("".join(heard), written)
    kept = [n for n in range(len(written)) if n not in unsaid]
    place = {n: k for k, n in enumerate(kept)}
    match = [-1 if n < 0 else place[n] for n in match]
    ends = list(accumulate(map(len, heard)))
    groups: list[Group] = []
    first = begin = 0  # segment and character of the next group
    unsure: list[tuple[int, int, int]] = []  # characters in doubt, segment, character
    for segment, end in enumerate(ends, start=1):
        doubt, character = _border(match, end, len(kept))
        border = segment, character
        if segment == len(ends):
            border = segment, len(kept)
        elif not _is_sure(match, end):
            unsure.append((doubt, segment, character))
            if sum(seconds[first:segment]) <= GROUP_S:
                continue
            border = min(unsure)[1:]
        groups.append(Group(range(first, border[0]), kept[begin : border[1]]))
        first, begin = border
        unsure = [one for one in unsure if one[1] > first]
    return groups


def _matches(heard: str, written: Sequence[str]) -> tuple[list[int], set[int]]:
    """Returns which character of the transcript each that is heard is, -1 where it is none; and
    those of the transcript that nobody said."""
    match = [-1] * len(heard)
    unsaid: set[int] = set()
    for part in align(written, list(heard)).alignments[0]:
        there = range(part.ref_start_idx, part.ref_end_idx)
        if part.type == "equal":
            match[part.hyp_start_idx : part.hyp_end_idx] = there
        elif part.type == "delete" and len(there) >= UNSAID:
            unsaid.update(there)
    return match, unsaid


def _border(match: Sequence[int], end: int, length: int) -> tuple[int, int]:
    """Returns how many characters may be said on either side of a pause, and the middle of them."""
    before = next((n for n in reversed(match[:end]) if n >= 0), -1)
    after = next((n for n in match[end:] if n >= 0), length)
    return after - before - 1, (before + 1 + after) // 2


def _is_sure(match: Sequence[int], end: int) -> bool:
    """Returns whether what is heard on both sides of a pause follows each other in the transcript,
    a third character with it."""
    if not 0 < end < len(match) or min(match[end - 1], match[end]) < 0:
        return False
    around = [
        match[n] - n for n in range(max(0, end - 2), min(len(match), end + 2)) if match[n] >= 0
    ]
    return match[end] - match[end - 1] == 1 and around.count(match[end] - end) >= 3
