"""export: everything merged into models/final, and how far FunASR reads it as we do.

Where there were rounds of self-training, it is the last one's checkpoints.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from telephone_asr.decoding.branch import as_config
from telephone_asr.decoding.limits import find_limits
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM, Example, read_manifest
from telephone_asr.model import parts
from telephone_asr.model.export import export
from telephone_asr.model.frontend import Frontend
from telephone_asr.model.pretrained import load
from telephone_asr.names import UNMERGED
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Export, Params, load_params
from telephone_asr.paths import MANIFESTS, METRICS, MODELS, SHARDS
from telephone_asr.program import run
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.cut_off import count_cut_off
from telephone_asr.scoring.options import Scoring
from telephone_asr.shards import SoundIndex, sound_index

FINAL = MODELS / "final"
CHECKED = 60  # test calls that both decoders transcribe


def main() -> None:
    import torch

    params = load_params()
    examples = read_manifest(MANIFESTS / "telecall" / "test.jsonl")
    verbatim = examples[0].prompt == PROMPT_VERBATIM  # a corpus has one prompt
    last = parts.last_round(MODELS)
    with new_out(FINAL) as new:
        nano = parts.load_checkpoint(MODELS, UNMERGED, **vars(params.frontend), round_=last)
        nano.model.to("cuda" if torch.cuda.is_available() else "cpu")
        limits = find_limits(nano, params)  # a thousand utterances are heard
        nano.model.to("cpu")
        export(nano, new, verbatim, as_config(limits))

    examples += read_manifest(MANIFESTS / "simulated" / "test.jsonl")
    examples = examples[:CHECKED]
    sounds = {name: sound_index(SHARDS[name]) for name in ("telecall", "simulated")}
    # As a user gets them, then without the noise that each side draws for itself.
    results = {}
    for dither in dict.fromkeys((params.frontend.dither, 0.0)):
        ours = our_texts(FINAL, examples, sounds, params, dither)
        theirs = funasr_texts(FINAL, examples, sounds, params.decode.max_tokens, dither)
        results[dither] = agreement([e.text for e in examples], ours, theirs, params.scoring)
        equal = f"{results[dither]['equal']} of {results[dither]['utterances']}"
        print(f"{FINAL}: {equal} texts equal FunASR's own, with a dither of {dither:g}")
    with_noise, without = results[params.frontend.dither], results[0.0]
    write_json(METRICS / "export.json", with_noise | {"without_dither": without})
    if broken := beyond(without, params.export):
        i = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if len(set(pair)) > 1)
        raise InputError(
            f"{FINAL}: funasr.AutoModel writes other texts than our decoder, {broken}; the first, "
            f"{examples[i].key}: '{theirs[i]}', not '{ours[i]}'."
        )


def agreement(
    references: Sequence[str], ours: Sequence[str], theirs: Sequence[str], options: Scoring
) -> dict[str, Any]:
    """Compares both sides' texts; `distance` is FunASR's CER where our texts are the truth."""

    def cer(expected: Sequence[str], found: Sequence[str]) -> float | None:
        return sum(score(expected, found, **vars(options)), ErrorRate()).as_dict()["cer"]

    equal = sum(our == their for our, their in zip(ours, theirs, strict=True))
    rates = {"cer": cer(references, ours), "funasr_cer": cer(references, theirs)}
    return {
        "utterances": len(ours),
        "equal": equal,
        "cut_off": count_cut_off(ours),
        "share_different": round(1 - equal / len(ours), 6),
        **rates,
        "cer_difference": round((rates["funasr_cer"] or 0.0) - (rates["cer"] or 0.0), 6),
        "distance": cer(ours, theirs),
    }


def beyond(result: Mapping[str, Any], limits: Export) -> str:
    """Says which limits FunASR's texts are beyond; empty where they are within both."""
    broken = []
    if result["share_different"] > limits.max_different_share:
        texts = f"{result['utterances'] - result['equal']} of {result['utterances']}"
        broken.append(f"{texts} (export.max_different_share: {limits.max_different_share:g})")
    if abs(result["cer_difference"]) > limits.max_cer_difference:
        rates = f"CER {result['funasr_cer']:.4f}, not {result['cer']:.4f}"
        broken.append(f"{rates} (export.max_cer_difference: {limits.max_cer_difference:g})")
    return " and ".join(broken)


def our_texts(
    model: Path,
    examples: Sequence[Example],
    sounds: Mapping[str, SoundIndex],
    params: Params,
    dither: float,
) -> list[str]:
    """Returns texts in the order of the examples, decoded in batches as in evaluate."""
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.decoding.recognise import transcribe

    nano = load(model, dither=dither)
    inputs = SpeechDataset(examples, sounds, Frontend(nano.config["frontend_conf"]), cache_mb=0)
    return transcribe(nano, inputs, params.decode.batch_size, params.decode.max_tokens)


def funasr_texts(
    model: Path,
    examples: Sequence[Example],
    sounds: Mapping[str, SoundIndex],
    max_tokens: int,
    dither: float,
) -> list[str]:
    """Returns texts in the order of the examples, from funasr.AutoModel on sound files, as a user
    gets them."""
    recogniser = load_funasr(model, dither)
    texts = []
    with tempfile.TemporaryDirectory() as folder:
        for example in examples:
            index = sounds[example.source]
            path = Path(folder) / f"{example.key}.{index.suffix(example.key)}"
            path.write_bytes(index.read_file(example.key))
            options: dict[str, Any] = {"max_length": max_tokens}
            if example.prompt != examples[0].prompt:  # which the directory asks with by itself
                options["itn"] = example.prompt == PROMPT
            texts.append(recogniser.generate(str(path), **options)[0]["text"].strip())
    return texts


def load_funasr(model: Path, dither: float) -> Any:
    """Returns funasr.AutoModel of a directory. It seeds its noise when it is made."""
    import torch
    from funasr import AutoModel

    return AutoModel(
        model=str(model),
        frontend_conf={"dither": dither},
        disable_update=True,
        disable_pbar=True,
        device="cpu",
        log_level="ERROR",
        ncpu=torch.get_num_threads(),  # left to itself it sets four for the whole process
    )


if __name__ == "__main__":
    run(main)
