"""pseudo_label: what the adapted model makes of calls that nobody wrote down: data/pseudo.

Each turn gets a label (unlabelled/labels.py), and so do the labelled validation calls, whose true
texts say what the labels are worth. docs/unlabelled.md.

The stage self_train runs it as `... pseudo_label ROUND`, from the second round on: the model of the
round before labels the turns anew, into data/rounds.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import telephone_asr
from telephone_asr import processes
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.names import UNMERGED
from telephone_asr.outs import new_out
from telephone_asr.params import Params, load_params
from telephone_asr.paths import (
    MANIFESTS,
    MODELS,
    OWN_SCRATCH,
    PSEUDO,
    ROUNDS,
    SCRATCH,
    TELECALL,
    UNLABELLED,
)
from telephone_asr.program import run
from telephone_asr.scratch import Scratch, files_identity, fingerprint
from telephone_asr.shards import count_shards
from telephone_asr.unlabelled.labels import label_line

if TYPE_CHECKING:
    from accelerate import Accelerator

    from telephone_asr.unlabelled.labelling import Turns

MODULE = "telephone_asr.stages.pseudo_label"
LABELS = "labels.jsonl"  # of a round
CODE = Path(telephone_asr.__file__).parent
VERSIONS = ("torch", "transformers", "funasr", "peft")


def main() -> None:
    params = load_params()
    if len(sys.argv) > 1:
        label_anew(params, int(sys.argv[1]))
        return
    if not count_shards(UNLABELLED):  # unlabelled.rounds is 0
        with new_out(PSEUDO) as new:
            new.mkdir()
        return
    processes.on_processes(MODULE, params, lambda: label(params))


def label_anew(params: Params, round_: int) -> None:
    """Labels the turns for a round of self-training; see `label`."""
    processes.on_processes(MODULE, params, lambda: label(params, round_), [str(round_)])


def label(params: Params, round_: int = 0) -> None:
    """Labels all turns: each process its share of the shards, and the main one writes.

    round_: of self-training, whose turns are labelled by the model of the round before; 0: by stage
    3's, and the validation calls too.
    """
    from telephone_asr.decoding.limits import put_limits
    from telephone_asr.model import parts
    from telephone_asr.model.devices import allow_tf32
    from telephone_asr.model.pretrained import load
    from telephone_asr.unlabelled import labelling

    accelerator = processes.accelerator("fp32")
    share = accelerator.process_index, accelerator.num_processes
    every, decode, options = turns(), params.decode, params.scoring
    if round_:
        every = every[:1]
    before = max(0, round_ - 1)
    scratch = open_scratch(every, params, accelerator, parts.place(MODELS, UNMERGED, before))
    nano = parts.load_checkpoint(MODELS, UNMERGED, **vars(params.frontend), round_=before)
    allow_tf32(nano.config)
    nano.model.to(accelerator.device)
    put_limits(nano, params, accelerator)
    for own in every:
        labelling.label_shards(nano, own, decode, options, scratch.directory, share)
    del nano
    if params.unlabelled.second_model:
        second = load(Path(params.unlabelled.second_model))
        second.model.to(accelerator.device)
        for own in every:
            labelling.second_texts(second, own, decode, scratch.directory, share)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with new_out(ROUNDS / str(round_) / LABELS if round_ else PSEUDO) as new:
            if not round_:
                new.mkdir()
            for own in every:
                path = new if round_ else new / f"{own.name}.jsonl"
                with open(path, "w", encoding="utf-8") as file:
                    labels = labelling.labelled(own, options, scratch.directory)
                    file.writelines(map(label_line, labels))
        scratch.close(remove=True)


def turns() -> list[Turns]:
    """Returns the turns that nobody wrote down, and the labelled validation calls."""
    from telephone_asr.unlabelled.labelling import Turns

    valid = read_manifest(MANIFESTS / "telecall" / "valid.jsonl")
    prompt = valid[0].prompt  # of the whole corpus
    return [
        Turns("turns", UNLABELLED, prompt),
        Turns("valid", TELECALL, prompt, {example.key: example.text for example in valid}),
    ]


def open_scratch(
    every: list[Turns], params: Params, accelerator: Accelerator, checkpoint: Path
) -> Scratch:
    """Opens the directory named by all that the labels depend on; checkpoint: of the model."""
    from accelerate.utils import broadcast_object_list

    second = params.unlabelled.second_model
    texts = [repr(params.decode), repr(params.scoring), repr(params.frontend), str(second)]
    texts += [files_identity(Path(second))] if second else []
    texts += [files_identity(one.shards) + one.prompt + repr(one.references) for one in every]
    # A checkpoint's note has its hash, and those of the checkpoints that it stands on.
    key = fingerprint([*texts, *map(version, VERSIONS)], [checkpoint / "checkpoint.json", CODE])
    scratch = Scratch(SCRATCH, "pseudo_label", key, accelerator.is_main_process, OWN_SCRATCH)
    [scratch.directory] = broadcast_object_list([scratch.directory])
    return scratch


if __name__ == "__main__":
    run(main)
