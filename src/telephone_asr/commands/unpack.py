"""`telephone-asr unpack`: the sound of the manifests in files, for FunASR's own trainer."""

from __future__ import annotations

from pathlib import Path

from telephone_asr.manifests.split import SPLITS
from telephone_asr.stages import MANIFESTS, SHARDS


def add(commands) -> None:
    parser = commands.add_parser(
        "unpack", help="write the sound of the manifests to the files they name"
    )
    parser.set_defaults(run=lambda _: unpack_sound())


def unpack_sound() -> None:
    """Writes every utterance of the manifests where its line says it is, for FunASR's trainer."""
    from tqdm import tqdm

    from telephone_asr.commands.data import entries
    from telephone_asr.shards import sound_index

    for source, directory in SHARDS.items():
        lines = [line for name in SPLITS for line in entries(MANIFESTS / source / f"{name}.jsonl")]
        sounds = sound_index(directory)
        for line in tqdm(lines, f"unpacks {source}", unit="utterance"):
            user = line["messages"][1]["content"]
            path = Path(user.split("<|startofspeech|>!")[1].removesuffix("<|endofspeech|>"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sounds.read_file(line["key"]))
