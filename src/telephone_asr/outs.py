"""Writing a stage's outs: new files that are put in place when they are whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.paths import METRICS, MODELS, RAW


@contextmanager
def new_out(path: Path) -> Iterator[Path]:
    """Gives a path to make what takes the place of `path` once it is whole.

    What lies at `path` may be DVC's: after `dvc pull` its files can be hard links to the cache, and
    what is written into one of them is written into the cache, which DVC then takes for the truth
    and pushes. Where an error ends the work, `path` stays as it was.
    """
    making = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(making)
    try:
        yield making
        _remove(path)
        making.rename(path)
    finally:
        _remove(making)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_places() -> None:
    """Raises InputError where an out would lie outside of the repository, which DVC says only when
    the stage has done its work."""
    root = Path.cwd().resolve()
    for place in (RAW.parent, MODELS, METRICS, Path("report")):
        if not place.resolve().is_relative_to(root):
            raise InputError(
                f"{place} is a link to {place.resolve()}, and DVC keeps nothing that lies outside "
                "of the repository: remove the link, and have DVC's cache on that disk instead "
                "(`dvc cache dir --local DIRECTORY` and `dvc config --local cache.type symlink`)."
            )


def write_json(path: Path, content: dict) -> None:
    """Writes metrics: indented, UTF-8, so that a difference reads well in a pull request."""
    with new_out(path) as new:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        new.write_text(text, encoding="utf-8")
