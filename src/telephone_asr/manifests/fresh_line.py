"""Training speech that is simulated while a model is trained on it (`train.fresh_line`).

data/simulated then holds the validation and the test set alone, and the training set's manifest
lines come from the wideband recordings that their speech is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.split import Sets, Split, read_frozen
from telephone_asr.shards import read_cuts, simulated_id

FS_HZ = 8000  # of simulated speech


def recorded_sets(directory: Path, split: Split, frozen: Path) -> Sets:
    """Reads which set each wideband recording is in. frozen: the list in git, where there is one.

    They are those that `sorting.survey` sees too, so that what is simulated is what the manifests
    hear of.
    """
    sets = Sets(split, read_frozen(frozen) if split.frozen else None)
    for cut in read_cuts(directory):
        sets.see(cut["id"], cut["supervisions"][0]["speaker"])
    return sets


def is_held_out(recorded: dict, sets: Sets) -> bool:
    """Returns whether a recording's simulation lies in data/simulated."""
    return sets.holds_out(recorded["id"], recorded["supervisions"][0]["speaker"])


def with_made(recorded: Iterable[dict], simulated: Iterable[dict], sets: Sets) -> Iterator[dict]:
    """Yields the cut of every recording's simulation, in order: those of data/simulated, and those
    that are made in the training.

    Raises InputError where data/simulated was made by another split.
    """
    lying = iter(simulated)
    for cut in recorded:
        if not is_held_out(cut, sets):
            yield _made(cut)
            continue
        own = next(lying, None)
        if own is None or own["id"] != simulated_id(cut["id"]):
            raise _other_split(simulated_id(cut["id"]))
        yield own
    if (own := next(lying, None)) is not None:
        raise _other_split(own["id"])


def is_made(cut: dict) -> bool:
    """Returns whether a simulated utterance's speech is made in the training."""
    return cut["recording"]["id"] != cut["id"]


def _made(recorded: dict) -> dict:
    """Returns the cut of a simulation, as long as the line makes it; its recording's name and its
    place in the shards stay those of the wideband one."""
    recording = recorded["recording"]
    n = -(-recording["num_samples"] * FS_HZ // recording["sampling_rate"])
    length = {"num_samples": n, "sampling_rate": FS_HZ, "duration": n / FS_HZ}
    return recorded | {
        "id": simulated_id(recorded["id"]),
        "duration": n / FS_HZ,
        "recording": recording | length,
    }


def _other_split(key: str) -> InputError:
    return InputError(
        f"data/simulated was made by another split than params.yaml has, as {key} shows: run "
        "`dvc repro simulate`."
    )
