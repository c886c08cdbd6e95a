"""Numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Mapping

from telephone_asr.report.differences import Difference
from telephone_asr.report.findings import Change


def plain(text: str) -> str:
    """Somebody else's text in one line, without what a terminal or a page would act on.

    >>> plain("a\\n\\x1b[2Kok\\u202eb  c\\u2028d")
    'a �[2Kok�b c d'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def percent(rate: float | None) -> str:
    """A rate in per cent, without the sign; no rate without a reference.

    >>> percent(0.12345), percent(None)
    ('12.3', '–')
    """
    return "–" if rate is None else f"{100 * rate:.1f}"


def interval(one: Mapping[str, float]) -> str:
    return f"{percent(one['cer_low'])} to {percent(one['cer_high'])}"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def share(part: float) -> str:
    """A share in per cent; 99.99 % must not read as all.

    >>> share(1.0), share(0.9999)
    ('100 %', '99.99 %')
    """
    return f"{100 * part:.4g} %"


def minus(value: float, form: str) -> str:
    """A signed number with a real minus sign, and 0 without a sign.

    >>> minus(-2.04, "+.1f"), minus(-0.04, "+.1f"), minus(3, "+.0f")
    ('−2.0', '0.0', '+3')
    """
    text = format(value, form)
    if not text.strip("+-0."):
        return text.lstrip("+-")
    return text.replace("-", "−")


def size(n_bytes: float) -> str:
    """
    >>> size(1_234), size(5_600_000), size(3_200_000_000)
    ('1.2 kB', '5.6 MB', '3.2 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"


def time(seconds: float) -> str:
    """
    >>> time(7.4), time(95), time(100_000)
    ('7 s', '1 min 35 s', '27 h 46 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def relative(change: Change) -> str:
    """The change and its interval in per cent of the CER before."""
    if change.cer_before == 0:
        return "no relative change from 0"
    difference, low, high = (
        minus(100 * value / change.cer_before, "+.0f")
        for value in (change.difference, change.low, change.high)
    )
    return f"{difference} % (95 % interval {low} to {high} %)"


def points(change: Change) -> str:
    """The change and, in brackets, its 95 % interval in percentage points."""
    difference, between = signed(change)
    return f"{difference} points ({between})"


def signed(change: Change | Difference) -> tuple[str, str]:
    """The change and its 95 % interval in percentage points, without the unit."""
    value, low, high = (
        minus(100 * x, "+.1f") for x in (change.difference, change.low, change.high)
    )
    return value, f"{low} to {high}"


def capital(text: str) -> str:
    return text[0].upper() + text[1:]
