"""What a change did besides the error rate of whole test sets: slices, params, data, stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.report.differences import Difference, Results, of_transcripts
from telephone_asr.report.findings import SETS
from telephone_asr.report.tables import minus, percent, table

COUNTS = ("in", "kept", "train", "valid", "test", "annotation_errors", "hours", "speakers")
# What else an evaluation counts, and whether more of it is better.
CONTENT = {f"{kind}.exact": True for kind in ("digits", "amounts", "dates", "names")}
CONTENT["loops.share"] = False
WORTH = 0.01  # of CER: from here on a slice is shown that could not be told from noise
SHOWN = 8  # slices


@dataclass(frozen=True)
class Slice:
    """CER of one slice of a test set, such as scene telesales, before and after."""

    test_set: str
    name: str
    before: float
    after: float
    tested: Difference | None  # None: nothing is at hand that could tell it from noise

    @property
    def worse(self) -> bool:
        if self.tested is not None:
            return self.tested.verdict == "worse"
        return self.after - self.before >= WORTH


def slices(before: Results, after: Results, checkpoint: str, seed: int) -> list[Slice]:
    """Every slice that the metrics of both sides have a CER of."""
    found = []
    for test_set in SETS:
        sides = [side.metrics_of(checkpoint, test_set) for side in (before, after)]
        for key in sides[1]:
            name = key.removesuffix(".cer")
            if name == key or key not in sides[0]:
                continue
            own = [
                {part: side.get(f"{name}.{part}") for part in ("cer", "characters", *BOUNDS)}
                for side in sides
            ]
            known = all(None not in side.values() for side in own)
            tested = of_metrics(*own) if known else None
            found.append(Slice(test_set, name.replace(".", " "), *_rates(own), tested))
    return found


def slice_section(found: Sequence[Slice]) -> str:
    """The slices that got worse, the worst first."""
    if not found:
        return "The metrics have no slices that both revisions know."
    worse = sorted((x for x in found if x.worse), key=lambda x: x.before - x.after)
    if not worse:
        return f"None of {len(found)} slices (by scene, noise, codec …) got worse beyond noise."
    rows = []
    for one in worse[:SHOWN]:
        if one.tested:
            low, high = (minus(100 * x, "+.1f") for x in (one.tested.low, one.tested.high))
        interval = f"{low} to {high}" if one.tested else "not tested"
        value = f"▲ {minus(100 * (one.after - one.before), '+.1f')}"
        rates = [percent(one.before), percent(one.after)]
        rows.append([SETS[one.test_set], one.name, *rates, value, interval])
    heads = ["test set", "slice", "before", "after", "difference", "95 % interval"]
    text = f"{len(worse)} of {len(found)} slices got worse"
    text += f"; the {SHOWN} worst:" if len(worse) > SHOWN else ":"
    if any(one.tested is None for one in worse):
        text += (
            f" (Not tested: by {100 * WORTH:g} point or more, and perhaps by chance, because the "
            "utterances are not at hand.)"
        )
    return f"{text}\n\n{table(heads, rows, left=2)}"


def param_section(changed: Mapping[str, tuple]) -> str:
    if not changed:
        return "**Params:** none."
    rows = [[f"`{key}`", *map(_value, pair)] for key, pair in changed.items()]
    return "**Params:**\n\n" + table(["param", "before", "after"], rows)


def data_section(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Counts of each corpus that changed, those of rejected utterances by reason among them.

    Args:
        before, after: metrics/data.json with dotted keys.
    """
    rows = []
    for key in dict.fromkeys([*after, *before]):
        test_set, _, name = key.partition(".")
        if name.startswith("rejected.") or name in COUNTS:
            pair = (before.get(key, 0), after.get(key, 0))
            if pair[0] != pair[1]:
                change = minus(pair[1] - pair[0], "+,.10g")
                rows.append([SETS.get(test_set, test_set), name.replace(".", ": ")])
                rows[-1] += [f"{pair[0]:,}", f"{pair[1]:,}", change]
    if not rows:
        return "**Data:** the same counts of utterances, kept and rejected."
    return "**Data:**\n\n" + table(["corpus", "count", "before", "after", "change"], rows, left=2)


def changed_stages(before: Mapping[str, dict], after: Mapping[str, dict]) -> dict[str, list[str]]:
    """The stages whose entries in dvc.lock differ, each with what of its inputs did.

    A stage with the same inputs and another outcome ran anew and gave another result.

    >>> one = {"cmd": "x", "deps": [{"path": "a", "md5": "1"}], "outs": []}
    >>> two = {**one, "deps": [{"path": "a", "md5": "2"}], "params": {"params.yaml": {"seed": 0}}}
    >>> changed_stages({"train": one, "gone": one, "same": one}, {"train": two, "same": one})
    {'train': ['a', 'params'], 'gone': ['removed']}
    """
    found = {}
    for name in dict.fromkeys([*after, *before]):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if not old or not new:
            found[name] = ["removed" if old else "new"]
            continue
        hashes = [
            {dep["path"]: dep.get("md5") for dep in one.get("deps", ())} for one in (old, new)
        ]
        paths = dict.fromkeys([*hashes[1], *hashes[0]])
        causes = [path for path in paths if hashes[0].get(path) != hashes[1].get(path)]
        causes += [part for part in ("cmd", "params") if old.get(part) != new.get(part)]
        found[name] = causes or ["the same inputs, another result"]
    return found


def stage_section(changed: Mapping[str, Sequence[str]]) -> str:
    if not changed:
        return "**Stages:** dvc.lock is the same."
    lines = [f"- `{name}`: {', '.join(causes)}" for name, causes in changed.items()]
    return "**Stages** that ran anew, and what of their inputs changed:\n\n" + "\n".join(lines)


def other_section(changed: Mapping[str, tuple]) -> str:
    """Numbers of other metrics, before and after, without a judgement of theirs."""
    rows = [[f"`{key}`", *map(_value, pair)] for key, pair in changed.items()]
    return table(["metric", "before", "after"], rows) if rows else ""


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"
