"""`telephone-asr unpack`: the sound of the manifests in files, for FunASR's own trainer."""

from __future__ import annotations

import argparse
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.split import SPLITS
from telephone_asr.paths import MANIFESTS, RAW, SHARDS, TESTS, UNPACKED


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "unpack", help="write the sound of the manifests to the files they name"
    )
    parser.set_defaults(run=lambda _: unpack_sound())


def unpack_sound() -> None:
    """Writes every utterance of the manifests where its line says it is, for FunASR's trainer.

    Simulated training speech that is made in the training is left out, and that is said.

    Raises InputError for a line that names no sound of ours, or a file elsewhere.
    """
    from tqdm import tqdm

    from telephone_asr.commands.data import entries
    from telephone_asr.commands.why import own_tests
    from telephone_asr.params import load_params
    from telephone_asr.shards import sound_index

    made = MANIFESTS / "simulated" / "train.jsonl" if load_params().train.fresh_line else None
    sources = {
        source: (directory, [MANIFESTS / source / f"{name}.jsonl" for name in SPLITS])
        for source, directory in SHARDS.items()
    }
    for own in own_tests(MANIFESTS):
        sources[own.name] = RAW / TESTS / own.name, [own / "test.jsonl"]
    for source, (directory, paths) in sources.items():
        lines = [(path, line) for path in paths if path != made for line in entries(path)]
        sounds = sound_index(directory)
        for path, line in tqdm(lines, f"unpacks {source}", unit="utterance"):
            place = _place(line, path)
            if line["key"] not in sounds:
                raise _wrong(path, line, "names an utterance whose sound is not in the shards")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(sounds.read_file(line["key"]))
    if made:
        print(
            f"{made}: its sound is made in the training (train.fresh_line in params.yaml) and lies "
            "nowhere: set that to false and run `dvc repro manifests` to unpack it too"
        )


def _place(line: dict, manifest: Path) -> Path:
    """Returns where the sound of a manifest's line belongs, which is nowhere but below
    data/unpacked: a manifest may come from anybody."""
    try:
        user = line["messages"][1]["content"]
        place = Path(user.split("<|startofspeech|>!")[1].removesuffix("<|endofspeech|>"))
        inside = place.resolve().is_relative_to(UNPACKED.resolve()) and not place.is_dir()
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OSError):
        raise _wrong(manifest, line, "names no file") from None
    if not inside:
        raise _wrong(manifest, line, f"names a file that is not below {UNPACKED}")
    return place


def _wrong(manifest: Path, line: dict, what: str) -> InputError:
    return InputError(
        f"{manifest}: the line of {line.get('key')!r:.80} {what}: run `dvc repro manifests`."
    )
