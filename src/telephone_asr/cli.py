"""`telephone-asr`: what people do that is no stage of the pipeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.split import SPLITS
from telephone_asr.stages import MANIFESTS, MODELS, RAW, SHARDS, TEST_SETS, run

PROFILES = Path("profiles")


def main() -> None:
    parser = argparse.ArgumentParser(prog="telephone-asr", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    profile = commands.add_parser("profile", help="write a profile's keys into params.yaml")
    profile.add_argument("name", help="a file of profiles/, without .yaml")
    profile.set_defaults(run=lambda a: write_profile(PROFILES / f"{a.name}.yaml"))

    unpack = commands.add_parser(
        "unpack", help="write the sound of the manifests to the files they name"
    )
    unpack.set_defaults(run=lambda _: unpack_sound())

    transcribe = commands.add_parser("transcribe", help="print the text of sound files")
    transcribe.add_argument("files", nargs="+", type=Path)
    transcribe.add_argument("--model", type=Path, default=MODELS / "final")
    transcribe.set_defaults(run=lambda a: transcribe_files(a.files, a.model))

    simulate = commands.add_parser("simulate", help="put one file through the telephone line")
    simulate.add_argument("source", type=Path)
    simulate.add_argument("target", type=Path)
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument(
        *("--set", "-S"),
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value of params.yaml, such as channel.codec=amr_nb; may be given several times",
    )
    simulate.add_argument(
        "--picture", type=Path, metavar="PNG", help="spectrograms before and after"
    )
    simulate.set_defaults(
        run=lambda a: simulate_file(a.source, a.target, a.seed, a.changes, a.picture)
    )

    doctor = commands.add_parser("doctor", help="check model, data and devices before a long run")
    doctor.set_defaults(run=lambda _: consult_doctor())

    _add_data_commands(commands.add_parser("data", help="what became of the corpora's utterances"))

    arguments = parser.parse_args()
    run(lambda: arguments.run(arguments))


def _add_data_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="data_command", required=True)
    why = commands.add_parser("why", help="what happened to an utterance")
    why.add_argument("id")
    why.set_defaults(run=lambda a: _print_accounts("why", a.id))

    rejected = commands.add_parser("rejected", help="list what was left out, and why")
    rejected.add_argument("--reason", help="of this reason alone, such as clipped")
    rejected.set_defaults(run=lambda a: _print_accounts("rejected", a.reason))

    freeze = commands.add_parser("freeze", help="keep the ids of the test sets in splits/, for git")
    freeze.set_defaults(run=lambda _: _print_accounts("freeze", TEST_SETS))


def consult_doctor() -> None:
    """Prints what is there, a line each; exits with 1 where something is wrong."""
    from telephone_asr.doctor import examine

    healthy = True
    for finding in examine():
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.subject}: {finding.text}", flush=True)
        healthy = healthy and finding.ok
    if not healthy:
        sys.exit(1)


def _print_accounts(name: str, *arguments: object) -> None:
    from telephone_asr import accounts

    for line in getattr(accounts, name)(MANIFESTS, *arguments):
        print(line)


def write_profile(profile: Path, params: Path = Path("params.yaml")) -> None:
    """Sets the keys of a profile in params.yaml; its other keys and its comments stay.

    Raises:
        InputError: there is no such profile, or it has a key that params.yaml does not know.
    """
    from ruamel.yaml import YAML, YAMLError

    from telephone_asr.params import load_params

    if not profile.is_file():
        known = ", ".join(sorted(p.stem for p in profile.parent.glob("*.yaml"))) or "none"
        raise InputError(f"{profile} does not exist; the profiles here are: {known}.")
    yaml = YAML()
    yaml.width = 4096  # ruamel would fold long lines, and write null as nothing
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    before = params.read_text(encoding="utf-8")
    tree = yaml.load(before)
    try:
        changes = yaml.load(profile.read_text(encoding="utf-8")) or {}
    except YAMLError as error:
        raise InputError(f"{profile} is no valid YAML: {getattr(error, 'problem', '')}.") from None
    _merge(tree, changes, str(profile))
    with open(params, "w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    try:
        load_params(params)
    except InputError:
        params.write_text(before, encoding="utf-8")
        raise
    print(f"{params}: now with the keys of {profile}")


def _merge(tree, changes, place: str) -> None:
    if not (isinstance(tree, dict) and isinstance(changes, dict)):
        raise InputError(f"{place}: expected what params.yaml has there, a section or a value.")
    for key, value in changes.items():
        if key not in tree:
            raise InputError(f"{place}: {key}: params.yaml has no such key.")
        if isinstance(value, dict):
            _merge(tree[key], value, f"{place}: {key}")
        else:
            tree[key] = value


def unpack_sound() -> None:
    """Writes every utterance of the manifests where its line says it is, for FunASR's trainer."""
    from tqdm import tqdm

    from telephone_asr.accounts import entries
    from telephone_asr.shards import sound_index

    for source, directory in SHARDS.items():
        lines = [line for name in SPLITS for line in entries(MANIFESTS / source / f"{name}.jsonl")]
        sounds = sound_index(directory)
        for line in tqdm(lines, f"unpacks {source}", unit="utterance"):
            user = line["messages"][1]["content"]
            path = Path(user.split("<|startofspeech|>!")[1].removesuffix("<|endofspeech|>"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sounds.read_file(line["key"]))


def transcribe_files(files: list[Path], model: Path) -> None:
    """Prints file and text, a line each."""
    from telephone_asr.corpora.items import Item, load
    from telephone_asr.manifests.messages import PROMPT_VERBATIM
    from telephone_asr.model import fun_asr_nano, pretrained
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.scoring.decode import greedy
    from telephone_asr.shards import Rejected

    pretrained.check_directory(model, "telephone-asr transcribe: --model")
    nano = pretrained.load(model)
    frontend = Frontend(nano.config["frontend_conf"])
    import torch

    failed = False
    for path in files:
        sound = load(Item(path.stem, path))
        if isinstance(sound, Rejected):
            print(f"error: {sound.detail}", file=sys.stderr)
            failed = True
            continue
        features = frontend(sound.samples, sound.sample_rate_hz)
        with torch.inference_mode():
            lengths = torch.tensor([len(features)])
            hidden, lengths = fun_asr_nano.encode(nano, features[None], lengths)
            hidden, lengths = fun_asr_nano.adapt(nano, hidden, lengths)
        print(f"{path}\t{greedy(nano, [PROMPT_VERBATIM], hidden, lengths, max_tokens=200)[0]}")
    if failed:
        sys.exit(1)


def simulate_file(
    source: Path, target: Path, seed: int, changes: Sequence[str], picture: Path | None
) -> None:
    """Writes a file as a telephone would carry it, by the `channel` section of params.yaml."""
    import soundfile

    from telephone_asr.channel import line as channel
    from telephone_asr.channel.band import TELEPHONE_RATE_HZ
    from telephone_asr.corpora.items import Item, load
    from telephone_asr.params import load_params
    from telephone_asr.shards import Rejected
    from telephone_asr.simulation import babble_pool

    line = load_params(changes=changes).channel
    sound = load(Item(source.stem, source))
    if isinstance(sound, Rejected):
        raise InputError(f"{sound.detail}.")
    rng = channel.generator(seed, source.stem)
    corpus = RAW / "wideband"
    pool = babble_pool(corpus, line, seed) if corpus.is_dir() else None
    samples, done = channel.simulate(sound.samples, sound.sample_rate_hz, line, pool, rng, "")
    try:
        soundfile.write(target, samples, TELEPHONE_RATE_HZ)
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{target} cannot be written ({error}): name a .wav file.") from None
    print(f"{target}: {', '.join(f'{k} {v}' for k, v in done.items() if v not in (None, False))}")
    if pool is None:
        print(f"no babble, since {corpus} holds no talkers: run `dvc repro corpus` for it.")
    if picture is not None:
        from telephone_asr.report.sound import line_caption, spectrograms

        before = (source.name, sound.samples, sound.sample_rate_hz)
        after = (line_caption(done), samples, TELEPHONE_RATE_HZ)
        _write_picture(picture, spectrograms([before, after], f"{source.name} by telephone"))
        print(f"{picture}: spectrograms before and after")


def _write_picture(path: Path, png: bytes) -> None:
    try:
        path.write_bytes(png)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}).") from None


if __name__ == "__main__":
    main()
