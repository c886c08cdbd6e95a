"""The gate: what a change may cost in CER before it is stopped.

A limit is broken when the difference is above it and more than noise: its 95 % interval lies above
0. A difference within noise stops nobody, however the limit is set.
"""

from __future__ import annotations

from collections.abc import Sequence

from telephone_asr.report.differences import Difference, Results, compare
from telephone_asr.report.findings import BASE, CHECKPOINTS, FINAL, SETS, Check
from telephone_asr.report.words import percent, points

TELEPHONE = ("telecall", "simulated")


def check(
    after: Results,
    before: Results | None,
    max_wideband_loss: float,
    max_cer_increase: float,
    seed: int,
) -> list[Check]:
    """The checks of a revision, those against another one only where `before` is given.

    Args:
        max_wideband_loss: CER of the model that ships less that of base, on wideband speech.
        max_cer_increase: CER of the model that ships less the same before, on telephone speech.
        seed: of the paired bootstrap.
    """
    loss = compare("wideband", (after, BASE), (after, FINAL), seed)
    labels = (CHECKPOINTS[BASE], CHECKPOINTS[FINAL])
    checks = [_check("wideband", loss, labels, max_wideband_loss, "gate.max_wideband_loss")]
    if before is not None:
        for test_set in TELEPHONE:
            increase = compare(test_set, (before, FINAL), (after, FINAL), seed)
            limit = (max_cer_increase, "gate.max_cer_increase")
            checks.append(_check(test_set, increase, ("before", "after"), *limit))
    return checks


def passed(checks: Sequence[Check]) -> bool:
    return all(check.ok is not False for check in checks)


def _check(
    test_set: str, found: Difference | None, labels: tuple[str, str], limit: float, key: str
) -> Check:
    about = f"{SETS[test_set]}, {labels[1]} against {labels[0]}"
    if found is None:
        return Check(None, f"{about}: not compared, there are no rates of the same test speech.")
    if found.verdict == "unchanged":
        return Check(True, f"{about}: {percent(found.after)} %, unchanged ({key}).")
    rates = f"{about}: {percent(found.before)} → {percent(found.after)} %, {points(found)}"
    allowed = f"+{100 * limit:g} points allowed ({key})"
    if found.difference <= limit:
        return Check(True, f"{rates}; up to {allowed}.")
    if found.low <= 0:
        return Check(True, f"{rates}; more than the {allowed}, but within noise.")
    return Check(False, f"{rates}; more than noise and more than the {allowed}.")
