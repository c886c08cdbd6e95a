"""Error rates of parts of a test set: by who spoke, where, how long, over what line, about what.

Everything is a function of lines as data/transcripts/*.jsonl has them; docs/scoring.md says what
each number means. A field that no line has makes no slice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from telephone_asr.scoring import content
from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.compare import FEWEST_GROUPS, bootstrap_interval
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.scoring.options import Erhua

# Where one band ends and the next begins; the lower end belongs to the band.
DURATION_S = (1, 2, 4, 8)
SNR_DB = (10, 15, 20, 25, 30)
LOST_PERCENT = (1, 3, 5)  # of the packets; none lost is a band by itself
SHORT = 3  # characters
# Said over and over: one to three characters three times in a row, four or more twice.
_LOOP = re.compile(r"(?P<few>.{1,3}?)(?P=few){2}|(?P<many>.{4,}?)(?P=many)")

Lines = Sequence[Mapping]


def summary(
    lines: Lines, seed: int, fillers: Sequence[str] = (), erhua: Erhua = "keep"
) -> dict[str, Any]:
    """Scores the whole test set, with the 95 % interval over speakers, and its slices.

    `fillers` and `erhua` as the counts of the lines were made with. Raises ValueError where no
    reference has a character.
    """
    texts = [
        (
            normalise_for_scoring(line["reference"], fillers, erhua),
            normalise_for_scoring(line["text"], fillers, erhua),
        )
        for line in lines
    ]
    kinds = {kind: by(lines, seed, name_of) for kind, name_of in SLICE_KINDS.items()}
    if not kinds["corpus"]:
        del kinds["corpus"]  # there is one, which has no name
    return {
        **rates(lines, seed),
        "utterances": len(lines),
        "cut_off": sum(line.get("cut_off", False) for line in lines),  # older lines do not tell
        **kinds,
        "short_turns": short_turns(lines, seed),
        "speaker": speakers(lines),
        **{kind: exact_matches(kind, texts) for kind in content.CONTENT_KINDS},
        "loops": loops(texts),
    }


def rates(lines: Lines, seed: int) -> dict[str, float | int | None]:
    """Returns the CER with the counts behind it, and its interval over speakers."""
    errors = [errors_of(line) for line in lines]
    low, high = bootstrap_interval(errors, [line["speaker"] for line in lines], seed)
    whole = sum(errors, ErrorRate()).as_dict()
    return {**whole, "cer_low": round(low, 6), "cer_high": round(high, 6)}


def short_turns(lines: Lines, seed: int) -> dict[str, float | int | None]:
    """Scores the turns of 1 to SHORT characters, such as 喂 and 好的; nothing where none is."""
    short = [line for line in lines if is_short(line)]
    return {"n": len(short), **_slice(short, seed)} if short else {}


def is_short(line: Mapping) -> bool:
    return 0 < line["characters"] <= SHORT


def by(lines: Lines, seed: int, name_of: Callable[[Mapping], str | None]) -> dict[str, dict]:
    """Scores a slice for each name, in ascending order; a line without a name is in none."""
    parts = defaultdict(list)
    for line in lines:
        parts[name_of(line)].append(line)
    names = sorted((name for name in parts if name is not None), key=_natural)
    slices = {name: _slice(parts[name], seed) for name in names}
    return {name: content for name, content in slices.items() if content}


def band(value: float | None, limits: Sequence[float], unit: str = "") -> str | None:
    """Names the band that a value lies in. The lower limit belongs to a band.

    >>> [band(value, DURATION_S) for value in (0.4, 1, 3.9, 8)]
    ['below_1', '1-2', '2-4', '8+']
    """
    if value is None:
        return None
    index = bisect_right(limits, value)
    if index == 0:
        return f"below_{limits[0]}{unit}"
    if index == len(limits):
        return f"{limits[-1]}{unit}+"
    return f"{limits[index - 1]}-{limits[index]}{unit}"


def loss_band(share: float | None) -> str | None:
    """Names the band of a share of lost packets.

    >>> [loss_band(share) for share in (0.0, 0.004, 0.03, 0.2)]
    ['none', 'below_1%', '3-5%', '5%+']
    """
    return "none" if share == 0 else band(share and 100 * share, LOST_PERCENT, "%")


def codec_family(codec: str | None) -> str | None:
    """Takes the bit rate off a codec's name: there are too many to compare.

    >>> codec_family("amr_nb_5900+alaw"), codec_family("g726+alaw")
    ('amr_nb+alaw', 'g726+alaw')
    """
    return codec and re.sub(r"_[0-9]+", "", codec)


# What names the slice of each kind that a line is in.
SLICE_KINDS: dict[str, Callable[[Mapping], str | None]] = {
    "scene": lambda line: line["scene"] or None,
    "duration_s": lambda line: band(line["duration"], DURATION_S),
    "snr_db": lambda line: band(line["snr_db"], SNR_DB),
    "codec": lambda line: codec_family(line["codec"]),
    "lost_packets": lambda line: loss_band(line["lost_packets"]),
    "corpus": lambda line: line.get("corpus"),
}


def speakers(lines: Lines) -> dict[str, float | int]:
    """Returns how the speakers' own CERs are spread: one in two fares worse than the median, one in
    ten worse than p90."""
    totals: defaultdict[str, ErrorRate] = defaultdict(ErrorRate)
    for line in lines:
        totals[line["speaker"]] += errors_of(line)
    rates_ = [total.rate for total in totals.values() if total.length]
    if not rates_:
        return {}
    median, p90 = np.quantile(rates_, [0.5, 0.9])
    return {"n": len(rates_), "median": round(float(median), 6), "p90": round(float(p90), 6)}


def exact_matches(kind: str, texts: Sequence[tuple[str, str]]) -> dict[str, float | int]:
    """Counts the digit strings, amounts, dates or names of the references, and the share that the
    hypotheses have as they are."""
    counts = np.array([content.exact(kind, *pair) for pair in texts]).reshape(-1, 2)
    n, exact = counts.sum(axis=0).tolist()
    return {"n": n, "exact": round(exact / n, 6)} if n else {}


def loops(texts: Sequence[tuple[str, str]]) -> dict[str, float | int]:
    """Counts the hypotheses that repeat what the reference does not, and their share."""
    n = sum(is_loop(*pair) for pair in texts)
    return {"n": n, "share": round(n / len(texts), 6)}


def is_loop(reference: str, hypothesis: str) -> bool:
    """Tells whether something is said over and over that is not said twice in the reference.

    >>> is_loop("您的贷款", "您的贷款您的贷款"), is_loop("喂", "喂喂喂"), is_loop("喂喂", "喂喂喂")
    (True, True, False)
    """
    repeated = (match["few"] or match["many"] for match in _LOOP.finditer(hypothesis))
    return any(2 * piece not in reference for piece in repeated)


def _slice(lines: Lines, seed: int) -> dict[str, float | int | None]:
    """Returns a slice's CER and size, nothing where no reference has a character.

    There is an interval only where there are speakers enough, and errors: resampling none would say
    that there can be none.
    """
    if not sum(line["characters"] for line in lines):
        return {}
    whole = rates(lines, seed)
    keys = ["cer", "characters"]
    if len({line["speaker"] for line in lines}) >= FEWEST_GROUPS and whole["cer"]:
        keys += ["cer_low", "cer_high"]
    return {key: whole[key] for key in keys}


def _natural(name: str) -> tuple:
    """Sorts bands by their limits, other names by the alphabet."""
    number = re.search(r"[0-9]+", name)
    return int(number.group()) if number else -1, not name.startswith("below"), name
