"""`telephone-asr data thresholds` and `suspects`: which labels to trust, and which transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError

if TYPE_CHECKING:
    from telephone_asr.scoring.cer import ErrorRate
    from telephone_asr.unlabelled.labels import Label

FEW = 100  # turns that say little


def thresholds(pseudo: Path, target_cer: float) -> Iterator[str]:
    """Yields limits that reach a CER on the validation calls, as YAML, and what they rest on.

    Raises InputError where no limits reach it.
    """
    from telephone_asr.params import load_params
    from telephone_asr.scoring.cer import ErrorRate
    from telephone_asr.scoring.compare import FEWEST_GROUPS, bootstrap_interval
    from telephone_asr.unlabelled.keep import errors_of
    from telephone_asr.unlabelled.labels import read_labels
    from telephone_asr.unlabelled.thresholds import propose

    params, path = load_params(), pseudo / "valid.jsonl"
    if not params.unlabelled.rounds and not path.is_file():
        raise InputError(
            "params.yaml: unlabelled.rounds is 0, so nothing is labelled: set it to 1, or run "
            "`telephone-asr profile unlabelled`, and then `dvc repro pseudo_label`."
        )
    labels = list(read_labels(path))
    found = propose(labels, target_cer, params.unlabelled.keep, params.scoring)
    if found is None:
        raise InputError(
            f"--target-cer {target_cer:g}: no limits reach it on the {len(labels)} validation "
            f"calls of {path}; raise it."
        )
    errors = [errors_of(label, params.scoring) for label in found.kept]
    groups = [label.speaker for label in found.kept]
    low, high = bootstrap_interval(errors, groups, params.seed)
    every = sum((errors_of(label, params.scoring) for label in labels), ErrorRate())
    speakers, total_s = len(set(groups)), sum(label.speech_s for label in labels)
    of_whom = f"{speakers} speakers" if speakers > 1 else "one speaker"
    share = sum(label.speech_s for label in found.kept) / total_s
    yield f"# Of {len(labels)} validation calls (CER {_percent(every)}), with these limits:"
    yield (
        f"# {len(found.kept)} are kept, {share:.0%} of the speech, CER {_percent(found.error)} "
        f"({100 * low:.1f} to {100 * high:.1f}, 95 %, of {of_whom})."
    )
    if found.held_out.length:
        yield (
            f"# Each speaker by limits chosen on the others: {found.held_out_s / total_s:.0%} of "
            f"the speech, CER {_percent(found.held_out)}: expect that."
        )
    if len(found.kept) < FEW or speakers < FEWEST_GROUPS:
        yield (
            f"# They rest on {found.error.errors} wrong characters in {len(found.kept)} turns of "
            f"{of_whom}, which is little: label more validation calls."
        )
    yield "unlabelled:"
    yield "  keep:"
    for name, value in vars(found.keep).items():
        yield f"    {name}: {_yaml(value)}"


def _percent(error: ErrorRate) -> str:
    return f"{100 * error.rate:.1f} %"


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    return (
        f"[{', '.join(f'{one:g}' for one in value)}]" if isinstance(value, tuple) else f"{value:g}"
    )


def suspects(model: Path, first: int, marked: bool) -> Iterator[str]:
    """Yields the calls whose transcripts are most likely wrong, the worst first, tab between.

    Killed and run again it goes on. marked: rank those too that are marked as wrong, and end with
    how many of them are among the first.
    """
    from telephone_asr.unlabelled.suspects import suspicion

    sets, wrong = _transcripts(marked)
    labels = sorted(_labels(model, sets), key=lambda label: (-suspicion(label), label.id))
    yield "suspicion\tid\tset\ttranscript\tmodel\tCTC branch"
    for label in labels[:first]:
        place, texts = sets[label.id][0], (label.reference, label.text, label.ctc_text)
        yield "\t".join([f"{suspicion(label):.2f}", label.id, place, *map(str, texts)])
    if marked:
        among = sum(label.id in wrong for label in labels[:first])
        yield (
            f"{among} of the {len(wrong)} that are marked as wrong are among the first {first} of "
            f"{len(labels)}"
        )


def _transcripts(marked: bool) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """Returns the set and the transcript of each call that is in one, by id, and the ids of those
    that are marked as wrong, which are added where they are asked for."""
    from telephone_asr.manifests.messages import read_manifest
    from telephone_asr.manifests.split import SPLITS
    from telephone_asr.manifests.text import clean_transcript
    from telephone_asr.params import load_params
    from telephone_asr.paths import MANIFESTS, TELECALL
    from telephone_asr.shards import read_cuts

    own = {
        example.key: (split, example.text)
        for split in SPLITS
        for example in read_manifest(MANIFESTS / "telecall" / f"{split}.jsonl")
    }
    wrong = {}
    for cut in read_cuts(TELECALL) if marked else ():
        supervision = cut["supervisions"][0]
        if supervision["custom"]["annotation_error"] and cut["id"] not in own:
            text, _ = clean_transcript(supervision["text"], load_params().text.english)
            wrong[cut["id"]] = ("marked", text)
    return own | wrong, set(wrong)


def _labels(model: Path, sets: Mapping[str, tuple[str, str]]) -> list[Label]:
    """Labels the calls by a model, as if nobody had written them down."""
    from telephone_asr.calls.api import load_model
    from telephone_asr.commands.arguments import check_model
    from telephone_asr.manifests.messages import is_written, prompt_for
    from telephone_asr.params import load_params
    from telephone_asr.paths import SCRATCH, TELECALL
    from telephone_asr.scratch import Scratch, files_identity, fingerprint
    from telephone_asr.unlabelled.labelling import Turns, label_shards, labelled

    check_model(model)
    params, nano = load_params(), load_model(model)
    if not nano.has_ctc:
        raise InputError(f"--model: {model} has no CTC branch, which aligns: name one that has.")
    texts = {id_: text for id_, (_, text) in sets.items()}
    prompt = prompt_for(sum(map(is_written, texts.values())) / max(1, len(texts)))
    key = [files_identity(model), files_identity(TELECALL), repr(texts), repr(params.decode)]
    scratch = Scratch(SCRATCH, "suspects", fingerprint(key, []))
    turns = Turns("calls", TELECALL, prompt, texts)
    label_shards(nano, turns, params.decode, params.scoring, scratch.directory)
    labels = list(labelled(turns, params.scoring, scratch.directory))
    scratch.close(remove=True)
    return labels
