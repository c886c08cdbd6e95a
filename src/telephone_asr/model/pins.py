"""Which files a model must be: their SHA-256 in a file that git keeps, as `sha256sum` writes it.

What was published is known for some files alone. The others are recorded when the model is first
seen, and checked from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.model import allowed, layout, writing
from telephone_asr.model.pretrained import file_sha256

WEIGHTS = "model.pt"


def model_files(directory: Path) -> dict[str, Path]:
    """Returns every file of a model directory that is used, by its name in the directory.

    Raises InputError where one leads out of the directory.
    """
    names = ("config.yaml", "configuration.json", WEIGHTS)
    files = {name: directory / name for name in names}
    files |= writing.files_beside(layout.read_config(directory))
    allowed.refuse_links(files, directory)
    return files


def check(files: Mapping[str, Path], pins: Path) -> dict[str, str]:
    """Compares files with their pins and returns the SHA-256 of those that have none.

    Raises:
        InputError: a file is another one, or `pins` is no list of SHA-256 sums.
    """
    known = _read(pins)
    sums = {name: file_sha256(path) for name, path in files.items()}
    for name, own in sums.items():
        if known.get(name, own) != own:
            raise InputError(
                f"{files[name]} is not the file that {pins} pins: its SHA-256 is {own}, not "
                f"{known[name]}: get the version that is pinned, or name another file in base.pins "
                "in params.yaml, which is then written."
            )
    return {name: own for name, own in sums.items() if name not in known}


def record(sums: Mapping[str, str], pins: Path) -> None:
    """Adds sums to a file of pins, and says so."""
    with open(pins, "a", encoding="utf-8") as file:
        file.writelines(f"{own}  {name}\n" for name, own in sums.items())
    print(f"{pins}: now pins {', '.join(sums)} as found here; commit it")


def _read(pins: Path) -> dict[str, str]:
    if not pins.is_file():
        return {}
    known = {}
    for number, line in enumerate(pins.read_text(encoding="utf-8").split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        own, _, name = line.partition("  ")
        if len(own) != 64 or not name:
            raise InputError(f"{pins} line {number}: expected a SHA-256, two spaces and a file.")
        known[name] = own
    return known
