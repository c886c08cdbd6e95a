"""`telephone-asr simulate`: one file through the telephone line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.paths import RAW


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("simulate", help="put one file through the telephone line")
    parser.add_argument("source", type=Path, metavar="IN", help="a recording of any kind")
    parser.add_argument("target", type=Path, metavar="OUT", help="a .wav file")
    parser.add_argument("--seed", type=int, default=0, help="another one draws another line")
    parser.add_argument(
        *("--set", "-S"),
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value of params.yaml, such as channel.codec=amr_nb; may be given several times",
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="spectrograms before and after")
    parser.set_defaults(
        run=lambda a: simulate_file(a.source, a.target, a.seed, a.changes, a.picture)
    )


def simulate_file(
    source: Path, target: Path, seed: int, changes: Sequence[str], picture: Path | None
) -> None:
    """Writes a file as a telephone would carry it, by the `channel` section of params.yaml."""
    import soundfile

    from telephone_asr.channel.band import TELEPHONE_RATE_HZ
    from telephone_asr.channel.line import simulate
    from telephone_asr.channel.portable import generator
    from telephone_asr.corpora.items import Item, load
    from telephone_asr.params import load_params
    from telephone_asr.shards import Rejected
    from telephone_asr.simulation import babble_pool

    line = load_params(changes=changes).channel
    sound = load(Item(source.stem, source))
    if isinstance(sound, Rejected):
        raise InputError(f"{sound.detail}.")
    rng = generator(seed, source.stem)
    corpus = RAW / "wideband"
    pool = babble_pool(corpus, line, seed) if corpus.is_dir() else None
    samples, done = simulate(sound.samples, sound.sample_rate_hz, line, pool, rng, "")
    try:
        soundfile.write(target, samples, TELEPHONE_RATE_HZ)
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{target} cannot be written ({error}): name a .wav file.") from None
    print(f"{target}: {', '.join(f'{k} {v}' for k, v in done.items() if v not in (None, False))}")
    if pool is None:
        print(f"no babble, since {corpus} holds no talkers: run `dvc repro corpus` for it.")
    if picture is not None:
        from telephone_asr.report.figures import png
        from telephone_asr.report.sound import line_caption, spectrograms

        before = (source.name, sound.samples, sound.sample_rate_hz)
        after = (line_caption(done), samples, TELEPHONE_RATE_HZ)
        panels = spectrograms("simulate", [before, after], top_khz=8)
        _write_picture(picture, png(panels, f"{source.name} by telephone", columns=1))
        print(f"{picture}: spectrograms before and after")


def _write_picture(path: Path, png: bytes) -> None:
    try:
        path.write_bytes(png)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}).") from None
