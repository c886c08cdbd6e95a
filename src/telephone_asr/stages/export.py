"""export: everything merged into models/final, and proof that FunASR reads it as we do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import PROMPT, Example, read_manifest
from telephone_asr.model import parts
from telephone_asr.model.export import export
from telephone_asr.model.frontend import Frontend
from telephone_asr.model.pretrained import load
from telephone_asr.params import Params, load_params
from telephone_asr.shards import SoundIndex, sound_index
from telephone_asr.stages import MANIFESTS, METRICS, MODELS, SHARDS, run, write_json

FINAL = MODELS / "final"
CHECKED = 60  # test calls that both decoders transcribe


def main() -> None:
    params = load_params()
    shutil.rmtree(FINAL, ignore_errors=True)
    export(parts.load_checkpoint(MODELS, "lora", **vars(params.frontend)), FINAL)

    examples = read_manifest(MANIFESTS / "telecall" / "test.jsonl")
    examples += read_manifest(MANIFESTS / "simulated" / "test.jsonl")
    examples = examples[:CHECKED]
    sounds = [sound_index(SHARDS[name]) for name in ("telecall", "simulated")]
    ours = our_texts(FINAL, examples, sounds, params)
    theirs = funasr_texts(FINAL, examples, sounds, params.decode.max_tokens)
    different = [
        (e.key, ours[e.key], theirs[e.key]) for e in examples if ours[e.key] != theirs[e.key]
    ]
    result = {"utterances": len(examples), "equal": len(examples) - len(different)}
    write_json(METRICS / "export.json", result)
    print(f"{FINAL}: {result['equal']} of {result['utterances']} texts equal FunASR's own")
    if different:
        key, our_text, their_text = different[0]
        raise InputError(
            f"{FINAL}: funasr.AutoModel transcribes {len(different)} of {len(examples)} utterances "
            f"otherwise than our decoder; the first, {key}: '{their_text}', not '{our_text}'."
        )


def our_texts(
    model: Path, examples: Sequence[Example], sounds: Sequence[SoundIndex], params: Params
) -> dict[str, str]:
    """Texts by key, decoded in batches as in evaluate."""
    from telephone_asr.training.batches import Inputs
    from telephone_asr.training.objective import transcribe

    nano = load(model)
    inputs = Inputs(examples, sounds, Frontend(nano.config["frontend_conf"]), cache_mb=0)
    texts = transcribe(nano, inputs, params.decode.batch_size, params.decode.max_tokens)
    return {e.key: text for e, text in zip(examples, texts, strict=True)}


def funasr_texts(
    model: Path, examples: Sequence[Example], sounds: Sequence[SoundIndex], max_tokens: int
) -> dict[str, str]:
    """Texts by key, from funasr.AutoModel on sound files, as a user gets them."""
    from funasr import AutoModel

    recogniser = AutoModel(
        model=str(model), disable_update=True, disable_pbar=True, device="cpu", log_level="ERROR"
    )
    texts = {}
    with tempfile.TemporaryDirectory() as folder:
        for example in examples:
            index = next(s for s in sounds if example.key in s)
            path = Path(folder) / f"{example.key}.{index.suffix(example.key)}"
            path.write_bytes(index.read_file(example.key))
            # FunASR's name for the prompt that asks for digits and punctuation.
            options = {"itn": example.prompt == PROMPT, "max_length": max_tokens}
            texts[example.key] = recogniser.generate(str(path), **options)[0]["text"].strip()
    return texts


if __name__ == "__main__":
    run(main)
