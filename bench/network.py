"""Does a varied network help? CER on calls after stage 1, with G.711 alone and as in params.yaml.

Both from the same base, for the same number of steps, with several seeds.

    dvc repro
    python bench/network.py --seeds 3

Works in a copy of the repository in a temporary directory. Stage 1 trains on no call, so all calls
are scored, not the test set alone. Intervals are bootstrapped by speaker, pooled over the seeds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ruamel.yaml import YAML

import variants
from telephone_asr.keys import change_key
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.compare import paired_difference

NETWORKS: dict[str, list[str]] = {
    "G.711 alone": ["channel.codec={alaw: 4, mulaw: 1}", "channel.loss.share=0"],
    "as in params.yaml": [],
}


def set_params(root: Path, seed: int, changes: list[str]) -> None:
    yaml = YAML()
    yaml.width = 4096
    tree = yaml.load((Path.cwd() / "params.yaml").read_text(encoding="utf-8"))
    for change in (f"seed={seed}", *changes):
        change_key(tree, change)
    with open(root / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def stage(root: Path, name: str) -> None:
    command = [sys.executable, "-m", *f"telephone_asr.stages.{name}".split()]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "TQDM_MININTERVAL": "30"}
    subprocess.run(command, cwd=root, env=environment, check=True)


def score_calls(root: Path) -> tuple[list[ErrorRate], list[str]]:
    """Errors and speaker of every call, by the base with the encoder that was trained in `root`."""
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.decoding.recognise import transcribe
    from telephone_asr.manifests.messages import read_manifest
    from telephone_asr.model import parts
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.params import load_params
    from telephone_asr.shards import sound_index

    params = load_params(root / "params.yaml")
    nano = parts.load_checkpoint(root / "models", "encoder", **vars(params.frontend))
    manifests = root / "data/manifests/telecall"
    calls = [e for s in ("train", "valid", "test") for e in read_manifest(manifests / f"{s}.jsonl")]
    frontend = Frontend(nano.config["frontend_conf"])
    inputs = SpeechDataset(
        calls, {"telecall": sound_index(root / "data/telecall")}, frontend, cache_mb=0
    )
    texts = transcribe(nano, inputs, params.decode.batch_size, params.decode.max_tokens)
    return score([e.text for e in calls], texts), [e.speaker for e in calls]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    pooled: dict[str, list[ErrorRate]] = {name: [] for name in NETWORKS}
    speakers: list[str] = []
    print("| seed | " + " | ".join(NETWORKS) + " |\n|--:|" + "--:|" * len(NETWORKS))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repository"
        ignored = shutil.ignore_patterns(".venv", ".dvc", ".git", "report")
        shutil.copytree(Path.cwd(), root, ignore=ignored)
        for seed in seeds:
            rates = []
            for name, changes in NETWORKS.items():
                set_params(root, seed, changes)
                stage(root, "simulate")
                set_params(root, 0, changes)  # the split that the base was trained with
                stage(root, "manifests")
                set_params(root, seed, changes)
                shutil.rmtree(root / "models/encoder")
                stage(root, "train encoder")
                errors, own = score_calls(root)
                pooled[name] += errors
                rates.append(f"{100 * sum(errors, ErrorRate()).rate:.1f}")
            speakers += own
            print(f"| {seed} | {' | '.join(rates)} |", flush=True)
    intervals = [variants.percent(errors, speakers) for errors in pooled.values()]
    print(f"| all | {' | '.join(intervals)} |")
    one, other = pooled.values()
    difference, low, high = paired_difference(one, other, speakers, seed=0)
    print(
        f"\nCER in %, of {len(speakers) // len(seeds)} calls of {len(set(speakers))} speakers; "
        f"difference {100 * difference:+.1f} points, 95 % {100 * low:+.1f} to {100 * high:+.1f}"
    )


if __name__ == "__main__":
    main()
