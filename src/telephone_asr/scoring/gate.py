"""The gate, which stops a change that costs too much in CER.

A limit is broken when the difference is above it and more than noise: its 95 % interval lies above
0. A difference within noise stops nobody, however the limit is set. What cannot be read or compared
stops the change too, unless it is the other revision that lacks it and gate.accept names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from telephone_asr.names import BASE, FINAL, TELEPHONE, TEST_SETS
from telephone_asr.scoring.difference import Difference, Results, compare, percent
from telephone_asr.scoring.evidence import Lack, flat
from telephone_asr.scoring.slices import SHORT, is_short
from telephone_asr.textfiles import one_line
from telephone_asr.titles import TITLES, title_of

NONE: Mapping[str, float | None] = MappingProxyType({})  # test sets of the user's own


@dataclass(frozen=True)
class Check:
    """A limit of the gate and how it was kept, or what is lacking to tell."""

    ok: bool | None  # None: something is lacking, which gate.accept names
    sentence: str  # plain text


def check(
    after: Results,
    before: Results | None,
    max_wideband_loss: float,
    max_cer_increase: float,
    accept: Sequence[str],
    seed: int,
    lacks: Sequence[Lack] = (),
    max_no_speech: float | None = None,
    max_short_turns_increase: float = 0.0,
    own: Mapping[str, float | None] = NONE,
) -> list[Check]:
    """Returns the checks of a revision, those against another one only where `before` is given.

    Args:
        max_wideband_loss: CER of the model that ships less that of base, on wideband speech.
        max_cer_increase: CER of the model that ships less the same before, on telephone speech.
        accept: names of what the other revision lacks, or that cannot be compared with it.
        seed: of the paired bootstrap.
        lacks: what cannot be read.
        max_no_speech: characters a minute that the model that ships may write where nobody speaks,
            on the worst kind; None: any.
        max_short_turns_increase: as max_cer_increase, of turns of a few characters alone.
        own: by its name, the limit of each test set of the user's own; None: it may rise. One that
            is new has no check: its metrics are lacking before, which says so.
    """
    loss = compare("wideband", (after, BASE), (after, FINAL), seed)
    labels = (TITLES[BASE], TITLES[FINAL])
    checks = [_check(TITLES["wideband"], loss, labels, max_wideband_loss, "gate.max_wideband_loss")]
    if max_no_speech is not None:
        checks.append(_no_speech(after.metrics_of(FINAL, "no_speech"), max_no_speech))
    if before is None:
        return checks
    lacks = list(lacks)
    old = [name for name in own if before.metrics_of(FINAL, name)]
    for test_set in (*TEST_SETS, *old):
        increase = compare(test_set, (before, FINAL), (after, FINAL), seed)
        why = _another_test(test_set, increase, before, after)
        if why:
            lacks.append(Lack(test_set, why, acceptable=True))
        if test_set in TELEPHONE and increase is not None:
            limit = (max_cer_increase, "gate.max_cer_increase")
            checks.append(_check(TITLES[test_set], increase, ("before", "after"), *limit))
        elif (most := own.get(test_set)) is not None and increase is not None:
            limit = (most, f"gate of {test_set}")
            checks.append(_check(test_set, increase, ("before", "after"), *limit))
    checks += _short_turns(after, before, max_short_turns_increase, seed)
    checks += [_lacking(lack, accept, (*TEST_SETS, *old)) for lack in lacks]
    needed = {lack.name for lack in lacks if lack.acceptable}
    unused = [name for name in dict.fromkeys(accept) if name not in needed]
    return checks + [
        Check(None, f"gate.accept names {one_line(name)}, which nothing needs: take it out.")
        for name in unused
    ]


def passed(checks: Sequence[Check]) -> bool:
    return bool(checks) and all(check.ok is not False for check in checks)


def _another_test(test_set: str, change: Difference | None, before: Results, after: Results) -> str:
    """Says why a test set is not the one of before; empty where it is."""
    if change is None:
        return f"{title_of(test_set)}: there are no rates of the same test speech"
    sizes = [side.metrics_of(FINAL, test_set).get("utterances") for side in (before, after)]
    if change.utterances is None and len(set(sizes)) == 1:
        return ""
    if change.utterances is not None and {change.utterances} == set(sizes):
        return ""
    return (
        f"{title_of(test_set)}: another test set, of {sizes[0]} utterances before and {sizes[1]} "
        f"after, of which {change.utterances} are the same"
    )


def _lacking(lack: Lack, accept: Sequence[str], sets: Sequence[str]) -> Check:
    name, why = one_line(lack.name), one_line(lack.why)
    what = why if lack.name in sets else f"{name} {why}"
    if not lack.acceptable:
        return Check(False, f"{what}: mend it here.")
    if lack.name in accept:
        return Check(None, f"{what}: accepted by gate.accept ({name}).")
    return Check(False, f"{what}: where that is meant, add {name} to gate.accept in params.yaml.")


def _no_speech(metrics: Mapping, limit: float) -> Check:
    """Returns the check of what is written where nobody speaks, with hotwords and without."""
    key = "gate.max_no_speech"
    rates = {k: rate for k, rate in flat(metrics).items() if k.endswith("insertions_per_minute")}
    if not rates:
        return Check(False, f"Nobody speaks: there are no rates of the final model ({key}).")
    worst = max(rates, key=lambda name: (rates[name], name))
    kind = one_line(worst.removesuffix(".insertions_per_minute").replace(".", " with "))
    said = f"Nobody speaks, {TITLES[FINAL]}: up to {rates[worst]:.1f} characters a minute ({kind})"
    return Check(rates[worst] <= limit, f"{said}; {limit:g} allowed ({key}).")


def _short_turns(after: Results, before: Results, limit: float, seed: int) -> list[Check]:
    """Returns the checks of turns of a few characters, which are lost in a whole test set's CER;
    none where the two have none in common."""
    old, new = ((_of_short_turns(one), FINAL) for one in (before, after))
    changes = {test_set: compare(test_set, old, new, seed) for test_set in TELEPHONE}
    end = ("before", "after"), limit, "gate.max_short_turns_increase"
    return [
        _check(f"{TITLES[test_set]}, turns of up to {SHORT} characters", change, *end)
        for test_set, change in changes.items()
        if change is not None
    ]


def _of_short_turns(results: Results) -> Results:
    """Returns the rates and transcripts of the final model's short turns, as of whole test sets."""
    rates: dict[str, dict] = {test_set: {} for test_set in TEST_SETS}
    for name, value in flat(results.metrics_of(FINAL, "short_turns")).items():
        test_set, _, key = name.partition(".")
        rates.setdefault(test_set, {})[key] = value
    if (own := results.transcripts.get(FINAL)) is None:
        return Results({FINAL: rates}, {})
    return Results({FINAL: rates}, {FINAL: [line for line in own if is_short(line)]})


def _check(
    title: str, change: Difference | None, labels: tuple[str, str], limit: float, key: str
) -> Check:
    about = f"{title}, {labels[1]} against {labels[0]}"
    if change is None:
        return Check(False, f"{about}: there are no rates of the same test speech ({key}).")
    if change.unchanged:
        return Check(True, f"{about}: {percent(change.after)} %, unchanged ({key}).")
    rates = f"{about}: {percent(change.before)} → {percent(change.after)} %, {change}"
    allowed = f"+{100 * limit:g} points allowed ({key})"
    if change.value <= limit:
        return Check(True, f"{rates}; up to {allowed}.")
    if change.low <= 0:
        return Check(True, f"{rates}; more than the {allowed}, but within noise.")
    return Check(False, f"{rates}; more than noise and more than the {allowed}.")
