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
from collections.abc import Sequence
from pathlib import Path

import soundfile

import variants
from telephone_asr.corpora import spoken
from telephone_asr.corpora.calls import call_items
from telephone_asr.corpora.items import Item
from telephone_asr.corpora.kaldi import kaldi_items
from telephone_asr.manifests.split import write_frozen
from telephone_asr.scoring.cer import ErrorRate, errors_of
from telephone_asr.scoring.compare import bootstrap_interval, paired_difference

EMBEDDED = Path("src/telephone_asr/corpora/speech/wideband")
STAGES = (
    *("corpus", "simulate", "telecall", "tokenizer", "no_speech", "manifests"),
    *("base", "evaluate base"),
)
CHANGES = (
    *("corpus.wideband={kind: kaldi, path: people, part: null}", "split.frozen=true"),
    *("split.valid=0.15", "split.test=0.15"),
)
MADE_ANEW = ("data", "models", "metrics", "docs", "tests", "site")
# Epochs of CTC and of the language model, rows a batch of the former: about as many steps each.
ARMS = {"alone": (48, 60, 200), "with embedded": (22, 24, 350)}


def write_corpus(directory: Path, people: Sequence[Item], embedded: bool) -> None:
    """Writes a Kaldi directory of the people's speech, and the embedded speech if it is to be."""
    rows = [(one.id, str(Path(one.audio).resolve()), one.text, one.speaker) for one in people]
    directory.mkdir()
    if embedded:
        for one, samples in spoken.read(EMBEDDED, spoken.read_index(EMBEDDED)):
            sound = directory.resolve() / f"{one.id}.flac"
            soundfile.write(sound, samples, spoken.SAMPLE_RATE_HZ)
            rows.append((one.id, str(sound), one.text, one.speaker))
    for place, name in enumerate(("wav.scp", "text", "utt2spk"), start=1):
        lines = "".join(f"{row[0]} {row[place]}\n" for row in rows)
        (directory / name).write_text(lines, encoding="utf-8")


def train(root: Path, arm: str, fold: int, a: argparse.Namespace) -> None:
    """Trains a base in a copy of the repository, with a share of the people held out."""
    if (root / "trained").exists():
        return
    ctc, llm, rows = ARMS[arm]
    source = f"corpus.calls={{kind: calls, path: {a.calls.resolve()}, part: null}}"
    epochs = (f"base.tiny.ctc.epochs={ctc}", f"base.tiny.llm.epochs={llm}")
    learning = (*epochs, f"base.tiny.ctc.max_batch_rows={rows}")
    variants.copy(root, (*CHANGES, source, *learning, f"split.seed={a.split_seed}"), MADE_ANEW)
    items = kaldi_items(a.wideband)
    write_corpus(root / "people", items, arm != "alone")
    held_out = set(sorted({one.speaker for one in items})[fold :: a.folds])
    ids = [one.id for one in items if one.speaker in held_out]
    (root / "splits").mkdir(exist_ok=True)
    write_frozen(root / "splits" / "wideband.txt", ids)
    write_frozen(root / "splits" / "telecall.txt", _some_calls(a.calls))
    variants.run(root, STAGES)
    (root / "trained").touch()


def _some_calls(calls: Path) -> list[str]:
    """Returns the ids of a third of the calls' speakers."""
    items = call_items(calls)
    speakers = set(sorted({one.speaker for one in items})[::3])
    return [one.id for one in items if one.speaker in speakers]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wideband", type=Path, required=True)
    parser.add_argument("--calls", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=4)
    # Each fold, and the calls, must have speakers left to validate on: `manifests` says if not.
    parser.add_argument("--split-seed", type=int, default=12)
    a = parser.parse_args()
    lines: dict[str, list[dict]] = {}
    for fold in range(a.folds):
        for arm in ARMS:
            root = a.directory / f"{arm.replace(' ', '-')}-{fold}"
            train(root, arm, fold, a)
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
    alone, with_embedded = errors.values()
    print(f"{source}: {paired_difference(alone, with_embedded, groups, 0)}")


if __name__ == "__main__":
    main()
