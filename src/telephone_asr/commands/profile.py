"""`telephone-asr profile`: a profile's keys into params.yaml."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from telephone_asr.errors import InputError
from telephone_asr.textfiles import read_text

PROFILES = Path("profiles")


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("profile", help="write a profile's keys into params.yaml")
    parser.add_argument("name", help=f"a file of profiles/, without .yaml: {_known(PROFILES)}")
    parser.set_defaults(run=lambda a: write_profile(PROFILES / f"{a.name}.yaml"))


def write_profile(profile: Path, params: Path = Path("params.yaml")) -> None:
    """Sets the keys of a profile in params.yaml; its other keys and its comments stay.

    Raises:
        InputError: there is no such profile, or it has a key that params.yaml does not know.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from telephone_asr.keys import refuse_old_keys
    from telephone_asr.params import load_params

    if not profile.is_file():
        raise InputError(
            f"{profile} does not exist; the profiles here are: {_known(profile.parent)}."
        )
    yaml = YAML()
    yaml.width = 4096  # ruamel would fold long lines, and write null as nothing
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    before = read_text(params)
    tree = yaml.load(before)
    try:
        changes = yaml.load(read_text(profile)) or {}
    except YAMLError as error:
        raise InputError(f"{profile} is no valid YAML: {getattr(error, 'problem', '')}.") from None
    for name, keys in ((params, tree), (profile, changes)):
        refuse_old_keys(keys, str(name))
    _merge(tree, changes, str(profile))
    with open(params, "w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    try:
        load_params(params)
    except InputError:
        params.write_text(before, encoding="utf-8")
        raise
    print(f"{params}: now with the keys of {profile}")


def _known(profiles: Path) -> str:
    return ", ".join(sorted(path.stem for path in profiles.glob("*.yaml"))) or "none"


def _merge(tree: Any, changes: Any, place: str) -> None:
    if not (isinstance(tree, dict) and isinstance(changes, dict)):
        raise InputError(f"{place}: expected what params.yaml has there, a section or a value.")
    for key, value in changes.items():
        if key not in tree:
            raise InputError(f"{place}: {key}: params.yaml has no such key.")
        if isinstance(value, dict):
            _merge(tree[key], value, f"{place}: {key}")
        else:
            tree[key] = value
