"""evaluate: the CER of one checkpoint on telephone calls, simulated and wideband test speech.

Run as `python -m telephone_asr.stages.evaluate CHECKPOINT`, one of base, encoder, adapter, lora.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.model import parts
from telephone_asr.model.frontend import Frontend
from telephone_asr.params import load_params
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.compare import bootstrap_interval
from telephone_asr.shards import sound_index
from telephone_asr.stages import MANIFESTS, METRICS, MODELS, SHARDS, run, write_json

TRANSCRIPTS = Path("data/transcripts")
TEST_SETS = ("telecall", "simulated", "wideband")


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in parts.CHECKPOINTS:
        raise InputError(f"expected one checkpoint of {', '.join(parts.CHECKPOINTS)}.")
    checkpoint = sys.argv[1]
    params = load_params()
    from accelerate import Accelerator

    nano = parts.load_checkpoint(MODELS, checkpoint, **vars(params.frontend))
    nano.model.to(Accelerator().device)
    metrics, lines = {}, []
    for name in TEST_SETS:
        examples = read_manifest(MANIFESTS / name / "test.jsonl")
        if not examples:
            raise InputError(
                f"{MANIFESTS / name / 'test.jsonl'} is empty: give the test set more of the "
                "speech with split.test in params.yaml."
            )
        texts = _transcribe(nano, name, examples, params.decode)
        errors = score([e.text for e in examples], texts)
        metrics[name] = summary(examples, errors, params.seed)
        lines += [
            transcript_line(e, text, error)
            for e, text, error in zip(examples, texts, errors, strict=True)
        ]
        print(f"{checkpoint} on {name}: CER {metrics[name]['cer']:.4f}")
    write_json(METRICS / f"{checkpoint}.json", metrics)
    TRANSCRIPTS.mkdir(parents=True, exist_ok=True)
    (TRANSCRIPTS / f"{checkpoint}.jsonl").write_text("".join(lines), encoding="utf-8")


def summary(examples: Sequence[Example], errors: Sequence[ErrorRate], seed: int) -> dict:
    """CER with its parts, its 95 % interval over speakers, and the CER of each scene."""
    low, high = bootstrap_interval(errors, [e.speaker for e in examples], seed)
    total = sum(errors, ErrorRate()).as_dict()
    interval = {"cer_low": round(low, 6), "cer_high": round(high, 6)}
    content = {**total, **interval, "utterances": len(examples), "scene": {}}
    for scene in sorted({e.scene for e in examples if e.scene}):
        own = [error for e, error in zip(examples, errors, strict=True) if e.scene == scene]
        content["scene"][scene] = sum(own, ErrorRate()).as_dict()["cer"]
    return content


def transcript_line(example: Example, text: str, error: ErrorRate) -> str:
    """What the report and the comparison of two checkpoints need of an utterance."""
    fields = {
        "key": example.key,
        "source": example.source,
        "speaker": example.speaker,
        "scene": example.scene,
        "reference": example.text,
        "text": text,
        "substitutions": error.substitutions,
        "deletions": error.deletions,
        "insertions": error.insertions,
        "characters": error.length,
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _transcribe(nano, name: str, examples: Sequence[Example], decode) -> list[str]:
    from telephone_asr.training.batches import Inputs
    from telephone_asr.training.objective import transcribe

    frontend = Frontend(nano.config["frontend_conf"])
    inputs = Inputs(examples, [sound_index(SHARDS[name])], frontend, cache_mb=0)
    return transcribe(
        *(nano, inputs, decode.batch_size, decode.max_tokens),
        beams=decode.beams,
        hotwords=decode.hotwords,
    )


if __name__ == "__main__":
    run(main)
