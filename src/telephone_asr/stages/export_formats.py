"""export_formats: the model that ships in other runtimes' formats, each heard on the same calls.

`export.formats` names them; `funasr` is models/final itself, and what the others are compared with.
What a runtime writes is measured by that runtime, on this machine's CPU. docs/exports.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import soundfile

from telephone_asr.errors import InputError
from telephone_asr.exports import hugging_face, sherpa
from telephone_asr.exports.calls import Call, Recognise
from telephone_asr.manifests.messages import PROMPT_VERBATIM, Example, read_manifest
from telephone_asr.model.pretrained import FunASRNano, load
from telephone_asr.names import FINAL, TELEPHONE
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Params, load_params
from telephone_asr.paths import MANIFESTS, METRICS, MODELS, SHARDS
from telephone_asr.program import run
from telephone_asr.shards import SoundIndex, sound_index
from telephone_asr.stages.export import CHECKED, agreement, load_funasr

EXPORTED = MODELS / "exported"
FUNASR, TRANSFORMERS, SHERPA, INT8 = "funasr", "transformers", "sherpa_onnx", "sherpa_onnx_int8"
MODULES = {
    FUNASR: (),
    TRANSFORMERS: (),
    SHERPA: ("onnx", "onnxscript", "sherpa_onnx"),
    INT8: ("onnx", "onnxruntime", "onnxscript", "sherpa_onnx"),
}


def main() -> None:
    params = load_params()
    formats = [name for name in dict.fromkeys(params.export.formats) if name != FUNASR]
    require(formats)
    # One number there must be: a file without is none of metrics to `telephone-asr gate`.
    metrics: dict[str, Any] = {"formats": len(formats)}
    with new_out(EXPORTED) as new:
        new.mkdir(parents=True)
        if formats:
            metrics |= make(new, formats, params)
    write_json(METRICS / "export_formats.json", metrics)


def require(formats: Sequence[str]) -> None:
    """Raises InputError where what makes or reads a format is not installed."""
    for name in formats:
        missing = [module for module in MODULES[name] if find_spec(module) is None]
        if missing:
            raise InputError(
                f"params.yaml: export.formats: {name} needs {' and '.join(missing)}: "
                "`pip install -c constraints.txt -e '.[exports]'`, or take it off the list."
            )


def make(directory: Path, formats: Sequence[str], params: Params) -> dict[str, dict]:
    """Writes each format and has its runtime transcribe the calls.

    Returns what was measured of each, FunASR's first.
    """
    nano = load(MODELS / FINAL, dither=0.0)
    if TRANSFORMERS in formats:
        hugging_face.check(nano)
    examples = [e for name in TELEPHONE for e in read_manifest(MANIFESTS / name / "test.jsonl")]
    examples = examples[:CHECKED]
    sounds = {name: sound_index(SHARDS[name]) for name in TELEPHONE}
    calls = [as_call(e, sounds[e.source]) for e in examples]
    references = [example.text for example in examples]
    max_tokens = params.decode.max_tokens

    theirs, rtf = transcribe(funasr(MODELS / FINAL, max_tokens), calls)
    results = {FUNASR: compare(references, theirs, theirs, MODELS / FINAL, rtf, params)}
    for name in formats:
        path = directory / name
        for variant, recognise in write(name, path, nano, max_tokens):
            texts, rtf = transcribe(recognise, calls)
            results[variant] = compare(references, theirs, texts, path, rtf, params)
    for name, result in results.items():
        print(f"{name}: CER {result['cer']:.4f}, {result['share_different']:.1%} other texts")
    return results


def write(
    name: str, path: Path, nano: FunASRNano, max_tokens: int
) -> Iterator[tuple[str, Recognise]]:
    """Writes a format, and gives its runtime with it, by what that is called."""
    if name == TRANSFORMERS:
        hugging_face.write(nano, path)
        yield name, hugging_face.load(path, max_tokens)
        yield f"{name}_all_rows", hugging_face.load(path, max_tokens, all_rows=True)
    else:
        (sherpa.write_int8 if name == INT8 else sherpa.write)(nano, path)
        yield name, sherpa.load(path, nano, max_tokens)


def transcribe(recognise: Recognise, calls: Sequence[Call]) -> tuple[list[str], float]:
    """Returns texts and the real-time factor, without what the first call takes."""
    texts, started = [recognise(calls[0])], time.perf_counter()
    texts += [recognise(call) for call in calls[1:]]
    seconds = sum(len(call.samples) / call.rate_hz for call in calls[1:])
    return texts, round((time.perf_counter() - started) / seconds, 4) if seconds else 0.0


def compare(
    references: Sequence[str],
    theirs: Sequence[str],
    texts: Sequence[str],
    path: Path,
    rtf: float,
    params: Params,
) -> dict[str, Any]:
    """Compares a runtime's texts with the references and with FunASR's."""
    compared = agreement(references, theirs, texts, params.scoring)
    files = [file for file in path.rglob("*") if file.is_file()]
    return {
        "cer": compared["funasr_cer"],
        **{key: compared[key] for key in ("utterances", "share_different", "distance")},
        "megabytes": round(sum(file.stat().st_size for file in files) / 2**20, 1),
        "real_time_factor": rtf,  # another in every run
    }


def funasr(model: Path, max_tokens: int) -> Recognise:
    """Returns funasr.AutoModel, without dither, on sound files."""
    recogniser = load_funasr(model, dither=0.0)

    def recognise(call: Call) -> str:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            soundfile.write(file.name, call.samples, call.rate_hz)
            options = {"max_length": max_tokens, "itn": not call.verbatim}
            return recogniser.generate(file.name, **options)[0]["text"].strip()

    return recognise


def as_call(example: Example, sounds: SoundIndex) -> Call:
    samples, rate_hz = sounds.read(example.key)
    return Call(samples, rate_hz, example.prompt == PROMPT_VERBATIM)


if __name__ == "__main__":
    run(main)
