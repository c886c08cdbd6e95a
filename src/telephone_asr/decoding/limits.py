"""The limit below which a model's texts are doubted, found by what doubting costs where people
speak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.decoding.branch import SECTION, Limits, as_config, beliefs, short_texts
from telephone_asr.decoding.heard import dataset_of, evenly
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.names import TELEPHONE
from telephone_asr.paths import MANIFESTS, SHARDS
from telephone_asr.processes import of_main
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.shards import sound_index

if TYPE_CHECKING:
    from accelerate import Accelerator

    from telephone_asr.decoding.encoded import Encoded
    from telephone_asr.manifests.messages import Example
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.params import Params, Short

HEARD = 500  # utterances of each of the validation sets, at most: some seconds of a GPU


def find_limits(nano: FunASRNano, params: Params) -> Limits | None:
    """Returns what `decode.branch` comes to for a model.

    Texts are doubted as far as validation calls and simulated speech lose no more than the share
    `doubt` of what is right in them. None where there is nothing to find: no params, no CTC branch.
    """
    branch = params.decode.branch
    if branch is None or not nano.has_ctc:
        return None
    if branch.doubt is None:
        return Limits(None, branch.short)
    sure: list[tuple[float, int]] = []
    right = 0
    for name in TELEPHONE:
        examples = evenly(read_manifest(MANIFESTS / name / "valid.jsonl"), HEARD)
        for belief, error in _judged(nano, examples, SHARDS[name], params, branch.short):
            correct = error.length - error.substitutions - error.deletions
            right += correct
            sure.append((belief, correct))
    return Limits(limit(sure, branch.doubt * right), branch.short)


def put_limits(nano: FunASRNano, params: Params, accelerator: Accelerator) -> None:
    """Puts them into the model's config, where decoding finds them: those of the main process."""
    limits = of_main(lambda: find_limits(nano, params), accelerator)
    nano.config[SECTION] = as_config(limits)


def limit(sure: Sequence[tuple[float, int]], may_be_lost: float) -> float:
    """Returns the largest limit on texts' beliefs below which they have no more right characters
    than may be lost; 1 where that is so of all.

    sure: of each text its belief and how many of its characters are right.
    """
    lost = 0
    for belief, right in sorted(sure):
        lost += right
        if lost > may_be_lost:
            rounded = round(belief, 6)
            return rounded if rounded <= belief else round(rounded - 1e-6, 6)  # never above it
    return 1.0


def _judged(
    nano: FunASRNano,
    examples: Sequence[Example],
    shards: Path,
    params: Params,
    short: Short | None,
) -> list[tuple[float, ErrorRate]]:
    """Returns of each example how sure the judges are of what is written, and its error."""
    found: dict[int, tuple[float, str]] = {}

    def look(
        indices: Sequence[int], prompts: Sequence[str], texts: Sequence[str], encoded: Encoded
    ) -> None:
        none: list[list[str]] = [[]] * len(texts)
        own = short_texts(encoded, texts, none, short)
        judged = zip(beliefs(encoded, prompts, texts, own), own, strict=True)
        found.update(zip(indices, judged, strict=True))

    dataset = dataset_of(nano, examples, sound_index(shards))
    decode = params.decode
    texts = transcribe(
        nano, dataset, decode.batch_size, decode.max_tokens, beams=decode.beams, look=look
    )
    written = [found[i][1] or text for i, text in enumerate(texts)]
    errors = score([example.text for example in examples], written, **vars(params.scoring))
    return [(found[i][0], error) for i, error in enumerate(errors)]
