"""Says what a change did besides the rates of whole test sets: slices, params, data, stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telephone_asr.names import OWN, TEST_SETS
from telephone_asr.report.markdown import code, inert, table
from telephone_asr.report.slices import SLICE_TITLES, name_of
from telephone_asr.scoring.compare import FEWEST_GROUPS
from telephone_asr.scoring.difference import (
    Difference,
    Results,
    of_metrics,
    of_transcripts,
    percent,
    signed,
)
from telephone_asr.scoring.slices import SLICE_KINDS
from telephone_asr.titles import TITLES

COUNTS = ("in", "kept", "train", "valid", "test", "annotation_errors", "hours", "speakers")
# Shares that an evaluation counts besides CER, and whether more of it is better.
CONTENT = {f"{kind}.exact": True for kind in ("digits", "amounts", "dates", "names")}
CONTENT["loops.share"] = False
SHOWN = 8  # slices


@dataclass(frozen=True)
class SliceChange:
    """A slice of a test set, such as calls under 1 s, before and after."""

    test_set: str
    words: str
    change: Difference


def slice_changes(before: Results, after: Results, checkpoint: str, seed: int) -> list[SliceChange]:
    """Compares every slice that both sides have a CER of, on the same speech."""
    slices = []
    for test_set in TEST_SETS:
        old, new = (side.metrics_of(checkpoint, test_set) for side in (before, after))
        lines = before.lines_of(checkpoint, test_set), after.lines_of(checkpoint, test_set)
        for key in new:
            kind, _, name = key.removesuffix(".cer").partition(".")
            if kind not in SLICE_KINDS or not key.endswith(".cer") or key not in old:
                continue
            if lines[0] is None or lines[1] is None:
                change = of_metrics(*(_below(side, f"{kind}.{name}.") for side in (old, new)))
            else:
                change = _slice_change(lines[0], lines[1], kind, name, seed)
            if change is not None:
                words = f"{SLICE_TITLES[kind][0]} {name_of(kind, name)}"
                slices.append(SliceChange(test_set, words, change))
    return slices


def _slice_change(
    before: Sequence[dict], after: Sequence[dict], kind: str, name: str, seed: int
) -> Difference | None:
    """Compares a slice by its transcripts; None where speakers are so few that metrics/slices has
    no interval either."""
    old, new = ([x for x in side if SLICE_KINDS[kind](x) == name] for side in (before, after))
    if len({line["speaker"] for line in new}) < FEWEST_GROUPS:
        return None
    return of_transcripts(old, new, seed)


def _below(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def slice_section(slices: Sequence[SliceChange]) -> str:
    """Returns the slices that got worse beyond noise, the worst first."""
    if not slices:
        return "There are no slices of the same speech before and after."
    worse = [one for one in slices if one.change.verdict == "worse"]
    if not worse:
        kinds = "scene, duration, noise, codec …"
        return f"None of {len(slices)} slices ({kinds}) got worse beyond noise."
    rows = []
    for one in sorted(worse, key=lambda one: -one.change.value)[:SHOWN]:
        value, between = one.change.in_points()
        rates = [percent(one.change.before), percent(one.change.after)]
        where = [TITLES[one.test_set], inert(one.words)]
        rows.append([*where, *rates, f"▲ {value}", between])
    heads = ["test set", "slice", "before", "after", "difference", "95 % interval"]
    shown = f"; the worst {SHOWN}" if len(worse) > SHOWN else ""
    chance = f"by chance alone it would be about {0.025 * len(slices):.1g}"
    text = f"{len(worse)} of {len(slices)} slices got worse beyond noise ({chance}){shown}:"
    return f"{text}\n\n{table(heads, rows, left=2)}"


def content_section(before: Results, after: Results, checkpoint: str) -> str:
    """Returns digits, names, loops and words made up of silence that got worse, noise or not."""
    rows = []
    for test_set in TEST_SETS:
        old, new = (side.metrics_of(checkpoint, test_set) for side in (before, after))
        for key, more_is_better in CONTENT.items():
            was, now = old.get(key), new.get(key)
            if was is None or now is None or was == now or (now > was) is more_is_better:
                continue
            name = f"{key.replace('.', ', ')} (%)"
            rows.append([TITLES[test_set], name, percent(was), percent(now)])
    old, new = (side.metrics_of(checkpoint, "no_speech") for side in (before, after))
    for key in new:
        if new[key] > old.get(key, new[key]):
            name = inert(key.replace(".", ", ").replace("_", " "))
            rows.append(["no speech", name, f"{old[key]:g}", f"{new[key]:g}"])
    if not rows:
        return ""
    return table(["test set", "share or rate", "before", "after"], rows, left=2)


def remeasured(
    before: Mapping[str, dict], after: Mapping[str, dict], changed: Sequence[str]
) -> list[str]:
    """Returns those of the checkpoints whose CER changed that are the same model as before.

    Then it is the test speech, the decoding or the scoring that changed, and no comparison across
    the change says anything of a model.

    Args:
        before, after: the stages of dvc.lock.
        changed: names of checkpoints.
    """

    def model(stages: Mapping[str, dict], name: str) -> str | None:
        deps = stages.get(f"evaluate@{name}", {}).get("deps", ())
        return next((dep.get("md5") for dep in deps if dep["path"] == f"models/{name}"), None)

    return [name for name in changed if model(before, name) == model(after, name) is not None]


def param_section(changed: Mapping[str, tuple]) -> str:
    if not changed:
        return "**Params:** none."
    rows = [[code(key), *map(_value, pair)] for key, pair in changed.items()]
    return "**Params:**\n\n" + table(["param", "before", "after"], rows)


def data_section(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Returns the counts of each corpus that changed, rejected utterances by reason among them.

    Args:
        before, after: metrics/data.json with dotted keys.
    """
    rows = []
    for key in sorted(after.keys() | before.keys(), key=_place):
        corpus, name = _corpus_and_count(key)
        old, new = before.get(key, 0), after.get(key, 0)
        if old != new and (name in COUNTS or name.startswith("rejected.")):
            source, _, own = corpus.partition(", ")
            title = ", ".join(filter(None, (TITLES.get(source, source), own)))
            what = [title, name.replace(".", ": ").replace("_", " ")]
            what = [inert(text) for text in what]
            rows.append([*what, f"{old:,}", f"{new:,}", signed(new - old, "+,.10g")])
    if not rows:
        return "**Data:** the same counts of utterances, kept and rejected."
    return "**Data:**\n\n" + table(["corpus", "count", "before", "after", "change"], rows, left=2)


def _corpus_and_count(key: str) -> tuple[str, str]:
    """Splits a dotted key of metrics/data.json.

    >>> _corpus_and_count("wideband.rejected.dc"), _corpus_and_count("telecall.corpora.a.hours")
    (('wideband', 'rejected.dc'), ('telecall, a', 'hours'))
    """
    corpus, _, name = key.partition(".")
    if corpus == OWN:
        corpus, _, name = name.partition(".")
    if name.startswith("corpora."):
        _, own, name = name.split(".", 2)
        corpus = f"{corpus}, {own}"
    return corpus, name


def _place(key: str) -> tuple:
    """Puts the keys in order, which DVC has in any: by corpus, as COUNTS has them, by reason."""
    corpus, name = _corpus_and_count(key)
    return corpus, COUNTS.index(name) if name in COUNTS else len(COUNTS), name


def changed_stages(before: Mapping[str, dict], after: Mapping[str, dict]) -> dict[str, list[str]]:
    """Returns the stages whose entries in dvc.lock differ, each with what of its inputs did.

    >>> one = {"cmd": "x", "deps": [{"path": "a", "md5": "1"}], "outs": []}
    >>> two = {**one, "deps": [{"path": "a", "md5": "2"}], "params": {"params.yaml": {"seed": 0}}}
    >>> changed_stages({"train": one, "gone": one, "same": one}, {"train": two, "same": one})
    {'train': ['a', 'params'], 'gone': ['the stage is gone']}
    """
    stages = {}
    for name in dict.fromkeys([*after, *before]):
        old, new = before.get(name, {}), after.get(name, {})
        if old == new:
            continue
        if not old or not new:
            stages[name] = ["the stage is gone" if old else "a new stage"]
            continue
        hashes = [{d["path"]: d.get("md5") for d in one.get("deps", ())} for one in (old, new)]
        causes = [
            path
            for path in dict.fromkeys([*hashes[1], *hashes[0]])
            if hashes[0].get(path) != hashes[1].get(path)
        ]
        causes += [part for part in ("cmd", "params") if old.get(part) != new.get(part)]
        stages[name] = causes or ["the same inputs, but another result"]
    return stages


def stage_section(changed: Mapping[str, Sequence[str]]) -> str:
    if not changed:
        return "**Stages:** dvc.lock is the same."
    lines = [f"- {code(name)}: {', '.join(map(inert, causes))}" for name, causes in changed.items()]
    return "**Stages** that ran anew, and what of their inputs changed:\n\n" + "\n".join(lines)


def other_section(changed: Mapping[str, tuple]) -> str:
    """Returns the numbers of other metrics, before and after, without judging them."""
    rows = [[code(key), *map(_value, pair)] for key, pair in changed.items()]
    return table(["metric", "before", "after"], rows) if rows else ""


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else inert(str(value))
