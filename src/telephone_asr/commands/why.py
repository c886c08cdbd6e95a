"""What happened to one utterance, turn or recording: `telephone-asr data why ID`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.split import SPLITS
from telephone_asr.paths import MANIFESTS, PSEUDO, ROUNDS, SHARDS, TESTS, UNLABELLED
from telephone_asr.textfiles import byte_lines

LABELS = "turns.jsonl"  # in PSEUDO
TRAINED, LEFT_OUT = "train.jsonl", "left_out.jsonl"  # of a round; the latter of UNLABELLED too


def why(id_: str, root: Path = Path()) -> list[str]:
    """Tells what happened to an utterance, a line for each corpus that it is in; to a turn that
    nobody wrote down, a line for its label and one for each round; or to a recording of such turns.

    Args:
        root: the repository, whose data are read.

    Raises InputError for an id that no manifest, label or account has.
    """
    from telephone_asr.shards import simulated_id  # it imports NumPy, for which no --help waits

    if fates := [*_labelled(root / PSEUDO / LABELS, id_), *_trained_on(root / ROUNDS, id_)]:
        return fates
    for source in SHARDS:
        # What was simulated has a prefix; an id of the corpus may begin with it too.
        names = (simulated_id(id_), id_) if source == "simulated" else (id_,)
        for own in names:
            fates += _fates(root / MANIFESTS / source, own)
    for directory in own_tests(root / MANIFESTS):
        fates += _fates(directory, id_)
    fates += _recording(root, id_)
    if not fates:
        raise InputError(
            f"{id_}: no manifest names it; ids are those of the corpus, or file:line of its list "
            "where a line could not be used."
        )
    return fates


def own_tests(manifests: Path) -> list[Path]:
    """Returns the directories of the user's own test sets."""
    return sorted(path.parent for path in (manifests / TESTS).glob("*/test.jsonl"))


def manifest_there(path: Path) -> Path:
    """Returns a file of the manifests; raises InputError where it does not exist."""
    if not path.is_file():
        raise InputError(f"{path} does not exist: run `dvc repro manifests`.")
    return path


def _fates(directory: Path, own: str) -> Iterator[str]:
    from telephone_asr.manifests.quality import REASONS
    from telephone_asr.manifests.sorting import NO_SPEECH_LIST

    before = next(_entries(manifest_there(directory / "changed.jsonl"), own), None)
    lists = {split: directory / f"{split}.jsonl" for split in SPLITS}
    if directory.parent.name == TESTS:
        lists = {"test": lists["test"]}
    for split, path in lists.items():
        for entry in _entries(manifest_there(path), own):
            line = f"{directory.name}: {own} is in {split}, {entry['duration']} s, "
            line += f"speaker {entry['speaker']}, '{entry['messages'][2]['content']}'"
            if before:
                line += f"; in the corpus '{before['before']}' ({', '.join(before['rules'])})"
            yield line
    for _ in _entries(directory / NO_SPEECH_LIST, own):
        yield f"{directory.name}: nobody speaks in {own}, its corpus says: it is in data/no_speech"
    for entry in _entries(manifest_there(directory / "rejected.jsonl"), own):
        yield (
            f"{directory.name}: {own} is left out, because {REASONS[entry['reason']]} "
            f"({entry['reason']}: {entry['detail']})"
        )


def _labelled(path: Path, id_: str) -> Iterator[str]:
    """Yields what became of a turn that nobody wrote down, by the limits of params.yaml as it is
    now; nothing where there is no label of it."""
    from telephone_asr.params import load_params
    from telephone_asr.unlabelled.keep import verdict
    from telephone_asr.unlabelled.labels import Label

    for entry in _entries(path, id_):
        label = Label(**entry)
        texts = {"the CTC branch": label.ctc_text, "the second model": label.second_text}
        said = [f"'{label.text}'"]
        said += [f"by {name} '{text}'" for name, text in texts.items() if text is not None]
        fate = verdict(label, load_params().unlabelled.keep)
        yield f"unlabelled: {id_}, {label.speech_s} s of speech, {', '.join(said)}; it {fate}"


def _trained_on(rounds: Path, id_: str) -> Iterator[str]:
    """Yields for each round of self-training whether the turn was trained on."""
    for directory in sorted(rounds.glob("[1-9]*"), key=lambda path: int(path.name)):
        name = f"round {directory.name}"
        for entry in _entries(directory / TRAINED, id_):
            yield f"{name}: trained on as '{entry['messages'][2]['content']}'"
        for entry in _entries(directory / LEFT_OUT, id_):
            yield f"{name}: left out ({entry['reason']}: {entry['detail']})"


def _recording(root: Path, id_: str) -> Iterator[str]:
    """Yields what became of a whole recording that nobody wrote down."""
    from telephone_asr.unlabelled.account import REASONS

    directory = root / UNLABELLED
    seconds: Counter[str] = Counter()
    for entry in _entries(directory / LEFT_OUT, id_, ("id", "recording")):
        if "recording" not in entry:
            yield (
                f"unlabelled: {id_} is left out, because {REASONS[entry['reason']]} "
                f"({entry['reason']}: {entry['detail']})"
            )
            return
        seconds[entry["reason"]] += entry["end_s"] - entry["start_s"]
    turns = sum(1 for _ in _cuts_of(directory, id_))
    if turns or seconds:
        left_out = ", ".join(f"{name} {total:.1f} s" for name, total in sorted(seconds.items()))
        yield (
            f"unlabelled: {turns} turns of {id_} are used; left out: {left_out or 'silence alone'}"
        )


def _cuts_of(directory: Path, recording: str) -> Iterator[dict]:
    from telephone_asr.shards import read_cuts

    if (directory / LEFT_OUT).is_file():
        for cut in read_cuts(directory):
            if cut["custom"]["recording"] == recording:
                yield cut


def _entries(path: Path, id_: str, keys: tuple[str, ...] = ("key", "id")) -> Iterator[dict]:
    """Yields the lines of a file that one of these keys gives this id; none where it is not."""
    quoted = json.dumps(id_, ensure_ascii=False).encode(errors="replace")
    for _, line in byte_lines(path) if path.is_file() else ():
        if quoted in line:  # parsing a million lines to find one would take half a minute
            entry = json.loads(line)
            if id_ in map(entry.get, keys):
                yield entry
