"""self_train: the three parts trained anew, on calls that nobody wrote down too, in rounds.

A round keeps what can be trusted of the labels that the model before it wrote, and trains the parts
from where stages 1 to 3 began, on what those had and on these turns. docs/unlabelled.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, manifest_line, read_manifest
from telephone_asr.manifests.reserved import (
    SENTENCE_IN_TEST,
    Reserved,
    assert_not_reserved,
    read_reserved,
)
from telephone_asr.manifests.text import clean_transcript
from telephone_asr.model import parts
from telephone_asr.model.frontend import WIDEBAND_FS, fbank_frames
from telephone_asr.model.layout import plain_tokenizer
from telephone_asr.names import TRAINED
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Params, load_params
from telephone_asr.paths import (
    COST,
    MANIFESTS,
    METRICS,
    MODELS,
    OWN_SCRATCH,
    PSEUDO,
    ROUNDS,
    SCRATCH,
    UNLABELLED,
    UNPACKED,
)
from telephone_asr.program import run
from telephone_asr.scratch import Scratch, fingerprint
from telephone_asr.shards import read_cuts, stored_sound
from telephone_asr.training.plan import UNLABELLED as SOURCE
from telephone_asr.unlabelled.keep import by_filter, reason
from telephone_asr.unlabelled.labels import Label, read_labels

CURVES = METRICS / "train" / "rounds"


def main() -> None:
    params = load_params()
    for out in (MODELS / parts.ROUNDS, ROUNDS, CURVES):
        with new_out(out) as new:
            new.mkdir()
    metrics: dict[str, Any] = {"rounds": params.unlabelled.rounds}
    costs = dict(metrics)  # a file of metrics without a number is none to `telephone-asr gate`
    if params.unlabelled.rounds:
        scratch = open_scratch(params)
        metrics["by_filter"] = filters(params)
        for round_ in range(1, params.unlabelled.rounds + 1):
            metrics[str(round_)] = train_round(round_, params, scratch, costs)
        scratch.close(remove=True)
    write_json(METRICS / "self_train.json", metrics)
    write_json(COST / "self_train.json", costs)


def open_scratch(params: Params) -> Scratch:
    """Opens the directory in which finished trainings wait for those after them, and a kill costs
    none of them; each is named by all that it depends on."""
    return Scratch(SCRATCH, "self_train", fingerprint([repr(params)], [PSEUDO]), spare=OWN_SCRATCH)


def train_round(
    round_: int, params: Params, scratch: Scratch, costs: dict[str, Any]
) -> dict[str, Any]:
    """Runs a round, and returns what it kept and what the parts came to; puts into `costs` what
    they cost."""
    from telephone_asr.stages.pseudo_label import LABELS, label_anew
    from telephone_asr.stages.train import train_again

    print(f"round {round_} of {params.unlabelled.rounds}")
    directory, labels = ROUNDS / str(round_), PSEUDO / "turns.jsonl"
    directory.mkdir(parents=True)
    if round_ > 1:  # by the model of the round before
        labels = directory / LABELS
        label_anew(params, round_)
    row = keep_turns(directory, read_labels(labels), params)
    for part in TRAINED:
        train_again(part, params, round_, scratch.directory)
        row[f"{part}_valid_cer"] = _read(parts.place(MODELS, part, round_) / "checkpoint.json")[
            "valid_cer"
        ]
        costs[f"{round_}_{part}"] = _read(scratch.directory / f"{round_}_{part}.json")
    return row


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def filters(params: Params) -> dict[str, Any]:
    """Returns what each filter keeps, and of labelled validation calls, how much of it is wrong."""
    options = params.unlabelled.keep, params.scoring, params.seed
    return {
        name: by_filter(read_labels(PSEUDO / f"{name}.jsonl"), *options)
        for name in ("turns", "valid")
    }


def keep_turns(directory: Path, labels: Iterable[Label], params: Params) -> dict[str, Any]:
    """Writes the manifest of the turns whose labels can be trusted, and what is left out, each with
    one reason; returns how much of both there is."""
    reserved = read_reserved(MANIFESTS, params.split.short)
    kept, left_out, seconds = [], [], 0.0
    for cut, label in _pairs(labels):
        text, _ = clean_transcript(label.text, params.text.english)
        if why := reason(label, params.unlabelled.keep) or _own_reason(text, reserved):
            left_out.append({"id": label.id, "reason": why, "detail": f"text '{text}'"})
        else:
            kept.append((cut, text))
            seconds += cut["duration"]
    # As they were labelled.
    prompt = read_manifest(MANIFESTS / "telecall" / "valid.jsonl")[0].prompt
    tokenizer = plain_tokenizer(MODELS / "tokenizer")
    tokens = [len(encoding.ids) for encoding in tokenizer.encode_batch([text for _, text in kept])]
    examples = [_example(cut, text, prompt, n) for (cut, text), n in zip(kept, tokens, strict=True)]
    assert_not_reserved(examples, reserved)
    with open(directory / "train.jsonl", "w", encoding="utf-8") as file:
        for example, (cut, _) in zip(examples, kept, strict=True):
            suffix, _ = stored_sound(UNLABELLED, cut)
            audio = UNPACKED / SOURCE / f"{example.key}.{suffix}"
            file.write(manifest_line(example, audio.as_posix()) + "\n")
    with open(directory / "left_out.jsonl", "w", encoding="utf-8") as file:
        for entry in left_out:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    print(f"{directory}: {len(kept)} turns kept, {seconds / 3600:.2f} h, {len(left_out)} left out")
    return {
        "turns": len(kept),
        "hours": round(seconds / 3600, 4),
        "left_out": dict(sorted(Counter(entry["reason"] for entry in left_out).items())),
    }


def _own_reason(text: str, reserved: Reserved) -> str | None:
    """Returns why a text that can be trusted is left out."""
    if not text:  # nothing but tags
        return "no_text"
    return SENTENCE_IN_TEST if reserved.says(text) else None


def _pairs(labels: Iterable[Label]) -> Iterable[tuple[dict, Label]]:
    """Yields the cut of each turn with its label.

    Raises InputError where a turn has no label, or a label no turn.
    """
    by_id = {label.id: label for label in labels}
    for cut in read_cuts(UNLABELLED):
        if (label := by_id.pop(cut["id"], None)) is None:
            raise InputError(f"{PSEUDO} has no label of {cut['id']}: run `dvc repro pseudo_label`.")
        yield cut, label
    if by_id:
        raise InputError(
            f"{PSEUDO} has a label of {min(by_id)}, which is no turn of {UNLABELLED}: run `dvc "
            "repro pseudo_label`."
        )


def _example(cut: dict, text: str, prompt: str, tokens: int) -> Example:
    recording, supervision = cut["recording"], cut["supervisions"][0]
    frames = fbank_frames(recording["num_samples"], recording["sampling_rate"], WIDEBAND_FS)
    return Example(
        key=cut["id"],
        text=text,
        prompt=prompt,
        speech_length=frames,
        text_length=tokens,
        duration_s=cut["duration"],
        speaker=supervision["speaker"],
        scene=supervision["custom"]["scene"],
        source=SOURCE,
    )


if __name__ == "__main__":
    run(main)
