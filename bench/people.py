"""Does the embedded speech help on people? A base that learnt recorded words alone, and with it.

    python bench/people.py --wideband DIR --calls FILE --directory ../people

DIR is a Kaldi directory of human speech, FILE the calls.jsonl that goes with it. In each of
`--folds` a share of DIR's speakers is held out; the tiny base learns the others' speech, alone and
together with the embedded wideband corpus, and is scored on those held out. Every training runs in
a copy of the repository under the directory; what is there is not trained again. Intervals are
bootstrapped by speaker, pooled over the folds; the difference is paired.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile
from ruamel.yaml import YAML

from telephone_asr.corpora import spoken
from telephone_asr.params import change_key
from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.compare import bootstrap_interval, paired_difference

EMBEDDED = Path("src/telephone_asr/corpora/speech/wideband")
STAGES = ("corpus", "simulate", "telecall", "tokenizer", "manifests", "base", "evaluate base")
CHANGES = (
    *("corpus.wideband={kind: kaldi, path: people, part: null}", "split.frozen=true"),
    *("split.valid=0.15", "split.test=0.15", "split.seed=19"),
)
# Epochs of CTC and of the language model: so many that more bring nothing on the validation set.
ARMS = {"alone": (24, 60), "with embedded": (16, 40)}


def table(path: Path) -> dict[str, str]:
    """Returns a Kaldi file's second column by its first."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def write_corpus(directory: Path, people: Path, embedded: bool) -> dict[str, str]:
    """Writes a Kaldi directory of the people's speech, and the embedded speech if it is to be.
    Returns the people's speakers by utterance."""
    sounds = {key: people.resolve() / name for key, name in table(people / "wav.scp").items()}
    texts, speakers = table(people / "text"), table(people / "utt2spk")
    own = dict(speakers)
    directory.mkdir()
    if embedded:
        for one, samples in spoken.read(EMBEDDED, spoken.read_index(EMBEDDED)):
            sounds[one.id] = directory.resolve() / f"{one.id}.flac"
            soundfile.write(sounds[one.id], samples, spoken.SAMPLE_RATE_HZ)
            texts[one.id], speakers[one.id] = one.text, one.speaker
    for name, values in (("wav.scp", sounds), ("text", texts), ("utt2spk", speakers)):
        lines = "".join(f"{key} {values[key]}\n" for key in sounds)
        (directory / name).write_text(lines, encoding="utf-8")
    return own


def train(root: Path, people: Path, calls: Path, arm: str, fold: int, folds: int) -> None:
    """Trains a base in a copy of the repository, with a share of the people held out."""
    if (root / "trained").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    ignored = ("data", "models", "metrics", "report", "docs", "tests", "site")
    ignored = shutil.ignore_patterns(".venv", ".dvc", ".git", ".scratch", *ignored)
    shutil.copytree(Path.cwd(), root, ignore=ignored)
    speakers = write_corpus(root / "people", people, arm != "alone")
    held_out = set(sorted(set(speakers.values()))[fold::folds])
    ids = [key for key, speaker in speakers.items() if speaker in held_out]
    (root / "splits").mkdir(exist_ok=True)
    (root / "splits" / "wideband.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    (root / "splits" / "telecall.txt").write_text(_some_calls(calls), encoding="utf-8")
    ctc, llm = ARMS[arm]
    yaml = YAML()
    yaml.width = 4096
    tree = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    source = f"corpus.calls={{kind: calls, path: {calls.resolve()}, part: null}}"
    epochs = (f"base.tiny.ctc.epochs={ctc}", f"base.tiny.llm.epochs={llm}")
    for change in (*CHANGES, source, *epochs, "base.tiny.ctc.max_batch_rows=200"):
        change_key(tree, change)
    with open(root / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "TQDM_MININTERVAL": "60"}
    for name in STAGES:
        command = [sys.executable, "-m", *f"telephone_asr.stages.{name}".split()]
        subprocess.run(command, cwd=root, env=environment, check=True)
    (root / "trained").touch()


def _some_calls(calls: Path) -> str:
    """Returns the ids of a third of the calls' speakers, one a line."""
    lines = [json.loads(line) for line in calls.read_text(encoding="utf-8").splitlines()]
    speakers = set(sorted({line["speaker"] for line in lines})[::3])
    return "".join(f"{line['id']}\n" for line in lines if line["speaker"] in speakers)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wideband", type=Path, required=True)
    parser.add_argument("--calls", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=4)
    a = parser.parse_args()
    lines: dict[str, list[dict]] = {}
    for fold in range(a.folds):
        for arm in ARMS:
            root = a.directory / f"{arm.replace(' ', '-')}-{fold}"
            train(root, a.wideband, a.calls, arm, fold, a.folds)
            text = (root / "data/transcripts/base.jsonl").read_text(encoding="utf-8")
            lines.setdefault(arm, []).extend(map(json.loads, text.splitlines()))
    for source in ("wideband", "simulated"):
        own = {arm: [x for x in lines[arm] if x["source"] == source] for arm in ARMS}
        report(source, own)


def report(source: str, lines: dict[str, list[dict]]) -> None:
    errors = {arm: [errors_of(line) for line in lines[arm]] for arm in ARMS}
    groups = [x["speaker"] for x in lines["alone"]]
    for arm, own in errors.items():
        low, high = bootstrap_interval(own, groups, 0)
        cer = sum(own, ErrorRate()).rate
        print(f"{source}, {arm}: {cer:.3f} ({low:.3f} to {high:.3f}), {len(own)} utterances")
    print(f"{source}: {paired_difference(*errors.values(), groups, 0)}")


if __name__ == "__main__":
    main()
