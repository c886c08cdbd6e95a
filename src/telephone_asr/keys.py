"""Keys of params.yaml as texts: changed by "key=value", and called otherwise in older files."""

from __future__ import annotations

from typing import Any

from telephone_asr.errors import InputError

RENAMED = {  # keys of older files
    "base.tiny.augment": "train.augment",
    "base.tiny.ctc.max_frames": "base.tiny.ctc.max_batch_rows",
    "base.tiny.llm.max_frames": "base.tiny.llm.max_batch_rows",
    "train.max_frames": "train.max_batch_rows",
    "train.adapter": "train.adaptor",
}


def refuse_old_keys(tree: Any, place: str) -> None:
    """Raises InputError with the new name of a key that `tree` has under an old one."""
    for old, new in RENAMED.items():
        if old.rpartition(".")[2] in _holder(tree, old):
            raise InputError(f"{place}: {old} is now called {new}: rename it.")


def change_key(tree: Any, change: str) -> None:
    """Changes one key in place.

    Args:
        tree: params.yaml as it was loaded.
        change: "key=value" with a dotted key and a YAML value.

    Raises:
        InputError: there is no such key, or the value is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    key, equals, text = change.partition("=")
    for old, new in RENAMED.items():
        if f"{key}.".startswith(f"{old}."):
            raise InputError(f"{change}: {old} is now called {new}: rename it.")
    name, holder = key.rpartition(".")[2], _holder(tree, key)
    if not equals or name not in holder:
        raise InputError(f"{change}: expected KEY=VALUE with a key of params.yaml, {key} is none.")
    try:
        holder[name] = YAML(typ="safe").load(text)
    except YAMLError:
        raise InputError(f"{change}: the value is no valid YAML.") from None


def _holder(tree: Any, key: str) -> dict[str, Any]:
    """Returns the section that has a dotted key, or may have; an empty one where there is none."""
    for name in key.split(".")[:-1]:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}
