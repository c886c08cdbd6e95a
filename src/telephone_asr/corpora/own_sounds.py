"""A folder of the user's own sound for lines: noise, or impulse responses of rooms."""

from __future__ import annotations

from pathlib import Path

from telephone_asr.corpora.items import Item, load
from telephone_asr.errors import InputError
from telephone_asr.outs import new_out
from telephone_asr.shards import Rejected, Utterance, write_shards

SHARD_SIZE = 100


def import_folder(key: str, folder: Path, target: Path) -> list[str]:
    """Writes all sound of a folder into shards, in the order of the files' names, and returns these
    files; hidden ones count for nothing.

    Raises InputError for a folder that is none, is empty, or holds anything but sound.
    """
    place = f"params.yaml: {key}: {folder}"
    if not folder.is_dir():
        raise InputError(f"{place} is no folder: name one of sound files, or null.")
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if not files:
        raise InputError(f"{place} is empty: put sound files into it, or set it to null.")
    with new_out(target) as new:
        write_shards(new, (_load(place, path) for path in files), SHARD_SIZE)
    print(f"{target}: {len(files)} recordings of {folder}")
    return [str(path) for path in files]


def _load(place: str, path: Path) -> Utterance:
    sound = load(Item(path.name, path))
    if isinstance(sound, Rejected):
        raise InputError(f"{place} holds what is no usable sound ({sound.detail}): take it out.")
    if not sound.samples.any():
        raise InputError(f"{place} holds a silent recording ({path.name}): take it out.")
    return sound
