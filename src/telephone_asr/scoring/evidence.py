"""Reads what gate and review go by: a revision's files in git, each held against what it must be.

Anybody may have written them, and a merge may have left half of two in one. What is not what it
must be is a `Lack`: it fails the gate, however little of it was needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telephone_asr.errors import InputError
from telephone_asr.names import CHECKPOINTS, OWN, TEST_SETS
from telephone_asr.textfiles import key_twice, one_line

LARGEST_BYTES = 20_000_000  # of one file; the embedded default's are below 100 kB
COUNTS = ("substitutions", "deletions", "insertions", "characters", "utterances")
# In metrics: those that are words, and the only ones that may be.
WORDS = ("split_by", "prompt", "kind", "licence", "band")


@dataclass(frozen=True)
class Lack:
    """A thing that the gate needs and does not have."""

    name: str  # as gate.accept in params.yaml may have it
    why: str
    acceptable: bool  # the other revision's: what lacks here is mended here


@dataclass(frozen=True)
class Side:
    """A revision, as far as it can be read."""

    name: str
    metrics: Mapping[str, dict]  # by file
    stages: Mapping[str, dict]  # of dvc.lock
    params: Mapping[str, Any]  # by dotted key
    unreadable: Mapping[str, str] = field(default_factory=dict)  # by file: why


def lacks(there: Side, here: Side) -> list[Lack]:
    """Returns what cannot be read on either side, or is on one alone."""
    lacking = [Lack(name, f"{why}, in {here.name}", False) for name, why in here.unreadable.items()]
    of_base = {name: why for name, why in there.unreadable.items() if name not in here.unreadable}
    lacking += [Lack(name, f"{why}, in {there.name}", True) for name, why in of_base.items()]
    both = here.metrics.keys() & there.metrics.keys()
    gone = there.metrics.keys() - here.metrics.keys() - here.unreadable.keys()
    new = here.metrics.keys() - there.metrics.keys() - there.unreadable.keys()
    names = [(name, there) for name in sorted(new)] + [(name, here) for name in sorted(gone)]
    for name in sorted(both & {f"metrics/{checkpoint}.json" for checkpoint in CHECKPOINTS}):
        old, now = there.metrics[name], here.metrics[name]
        # A test set of the user's own that is new is told by nothing, one that is gone by its name.
        tests = own_tests(there).keys() ^ own_tests(here).keys()
        told = tests | {f"short_turns.{test_set}" for test_set in tests}
        names += [(f"{name}: {key}", there) for key in _only_in(now, old) if key not in told]
        names += [(f"{name}: {key}", here) for key in _only_in(old, now) if key not in told]
    gone_tests = sorted(own_tests(there).keys() - own_tests(here).keys())
    names += [(test_set, here) for test_set in gone_tests]
    return lacking + [Lack(name, f"is not there, in {side.name}", True) for name, side in names]


def own_tests(side: Side) -> dict[str, float | None]:
    """Returns the limit of each test set of the user's own by its name, as metrics/data.json has
    it; None: its CER may rise."""
    tests = side.metrics.get("metrics/data.json", {}).get(OWN)
    rows = tests.items() if isinstance(tests, dict) else ()
    return {name: one.get("gate") for name, one in rows if isinstance(one, dict)}


def _only_in(a: Mapping, b: Mapping, prefix: str = "") -> list[str]:
    """Returns the keys of a that b lacks, each with those above it; of a missing section its own.

    >>> _only_in({"x": {"y": 1, "z": 2}, "s": {"t": 1}}, {"x": {"y": 3}})
    ['x.z', 's']
    """
    keys = []
    for key, value in a.items():
        if key not in b or isinstance(value, dict) is not isinstance(b[key], dict):
            keys.append(prefix + key)
        elif isinstance(value, dict):
            keys += _only_in(value, b[key], f"{prefix}{key}.")
    return keys


# --- One file each. What is wrong is a ValueError with words that follow the file's name.


def read_metrics(name: str, text: str) -> dict:
    """Returns a file of metrics: an object of numbers, those of a checkpoint with their rates.

    Raises ValueError where it is anything else.
    """
    _refuse_marks(text)
    if not text.strip():
        raise ValueError("is empty")
    try:
        tree = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON (line {error.lineno}: {one_line(error.msg)})") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(tree, dict) or not tree:
        raise ValueError("holds no numbers: expected an object with some")
    _check_numbers(tree, "")
    if name in {f"metrics/{checkpoint}.json" for checkpoint in CHECKPOINTS}:
        for test_set in TEST_SETS:
            _check_rates(test_set, tree.get(test_set))
    return tree


def own_metrics(path: Path) -> dict:
    """Reads a file of metrics that a stage wrote here.

    Raises InputError where it is missing or damaged.
    """
    try:
        return read_metrics(path.as_posix(), own_text(path))
    except ValueError as error:
        raise InputError(f"{path} {error}: `dvc repro` makes it anew.") from None


def own_text(path: Path) -> str:
    """Reads a file that a stage wrote here. Raises InputError where it is missing."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing: `dvc pull` brings it, or `dvc repro` makes it."
        ) from None


def _no_number(word: str) -> None:
    raise ValueError(f"holds {word}, which is no number")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict:
    if (twice := key_twice(pairs)) is not None:
        raise ValueError(f"has the key {one_line(twice)} twice")
    return dict(pairs)


def _check_numbers(value: Any, key: str) -> None:
    if isinstance(value, dict):
        for name, part in value.items():
            _check_numbers(part, f"{key}.{name}" if key else name)
    elif key.rpartition(".")[2] in WORDS:
        if not isinstance(value, str):
            raise ValueError(f"has no word at {one_line(key)}")
    # None is a rate without a reference. Of whole test sets there is none: _check_rates.
    elif value is not None and not (_is_number(value)):
        raise ValueError(f"has no number at {one_line(key)}: {one_line(repr(value))[:40]}")


def _is_number(value: Any) -> bool:
    # A whole number can be too large for isfinite.
    return type(value) in (int, float) and abs(value) < 1e15 and math.isfinite(value)


def _check_rates(test_set: str, rates: Any) -> None:
    """Checks a whole test set of a checkpoint: its counts and the CER that they make."""
    if not isinstance(rates, dict):
        raise ValueError(f"lacks {test_set}")
    missing = [key for key in ("cer", *COUNTS) if not _is_number(rates.get(key))]
    if missing:
        raise ValueError(f"lacks {test_set}.{missing[0]}")
    counts = [rates[key] for key in COUNTS]
    if not all(type(count) is int and count >= 0 for count in counts) or not rates["characters"]:
        raise ValueError(f"has counts at {test_set} that none can be")
    if abs(rates["cer"] - sum(counts[:3]) / rates["characters"]) > 2e-6:  # rounded to 6 places
        raise ValueError(f"has a cer at {test_set} that is not that of its counts")
    low, high = rates.get("cer_low"), rates.get("cer_high")
    if low is None and high is None:
        return
    if low is None or high is None or not (_is_number(low) and _is_number(high) and low <= high):
        raise ValueError(f"has no interval at {test_set}.cer_low and cer_high")


def read_stages(text: str) -> dict[str, dict]:
    """Returns the stages of a dvc.lock. Raises ValueError where they are not what DVC writes."""
    stages = _yaml(text).get("stages")
    if not isinstance(stages, dict) or not stages:
        raise ValueError("names no stages")
    for name, stage in stages.items():
        parts = [stage.get(key) or [] for key in ("deps", "outs")] if type(stage) is dict else []
        if not isinstance(name, str) or not parts or not all(type(part) is list for part in parts):
            raise ValueError(f"has a stage that is none, {one_line(str(name))}")
        for one in (one for part in parts for one in part):
            if not isinstance(one, dict) or not isinstance(one.get("path"), str):
                raise ValueError(f"has files without a path at the stage {one_line(name)}")
    return stages


def read_params(text: str) -> dict[str, Any]:
    """Returns the values of a params.yaml by their dotted keys. Raises ValueError if it is none."""
    return flat(_yaml(text))


def _yaml(text: str) -> dict:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    _refuse_marks(text)
    if not text.strip():
        raise ValueError("is empty")
    try:
        tree = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError("is no YAML" + (f" (line {mark.line + 1})" if mark else "")) from None
    if not isinstance(tree, dict):
        raise ValueError("holds no keys")
    return tree


def _refuse_marks(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ", "||||||| ")) or line.rstrip() == "=======":
            raise ValueError(f"holds the marks of a merge conflict (line {number})")


def flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """Returns the values of a tree by their dotted keys.

    >>> flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3})
    {'a.b': 1, 'a.c.d': 2, 'e': 3}
    """
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


# --- Transcripts, which only sharpen a comparison; they come from a remote.


def read_transcripts(text: str) -> list[dict]:
    """Returns the utterances of a file of data/transcripts. Raises ValueError if it is none."""
    lines = [json.loads(line, parse_constant=_no_number) for line in text.split("\n") if line]
    for line in lines:
        if not isinstance(line, dict) or not all(_fits(line, *one) for one in FIELDS.items()):
            raise ValueError("is not what evaluate writes")
    return lines


FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("key", "source", "speaker", "reference", "text"), (str,)),
    **dict.fromkeys(COUNTS[:4], (int,)),
    **dict.fromkeys(("scene", "codec"), (str, type(None))),
    **dict.fromkeys(("snr_db", "lost_packets"), (int, float, type(None))),
    "duration": (int, float),
}
LATER = ("snr_db", "codec", "lost_packets")  # which the first revisions did not write


def _fits(line: Mapping, name: str, kinds: tuple[type, ...]) -> bool:
    if name not in line:
        return name in LATER
    value = line[name]
    fits = type(value) in kinds and (type(value) not in (int, float) or _is_number(value))
    return fits and (name not in COUNTS or value >= 0)
