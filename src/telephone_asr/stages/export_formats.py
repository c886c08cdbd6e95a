"""export_formats: the model that ships in other runtimes' formats, each heard on the same calls.

`export.formats` names them; `funasr` is models/final itself, and what the others are compared with.
What a runtime writes is measured by that runtime, on this machine's CPU. docs/exports.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from telephone_asr.errors import InputError
from telephone_asr.exports import hugging_face, sherpa
from telephone_asr.exports.calls import Call
from telephone_asr.manifests.messages import PROMPT_VERBATIM, Example, read_manifest
from telephone_asr.model.pretrained import FunASRNano, load
from telephone_asr.names import FINAL, TELEPHONE
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Params, load_params
from telephone_asr.paths import COST, MANIFESTS, METRICS, MODELS, SHARDS
from telephone_asr.program import run
from telephone_asr.shards import SoundIndex, sound_index
from telephone_asr.stages.export import CHECKED, agreement, funasr_texts

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
    metrics: dict[str, Any] = {"formats": len(formats)}  # a number, without which it is no metrics
    costs = dict(metrics)
    with new_out(EXPORTED) as new:
        new.mkdir(parents=True)
        if formats:
            measured = make(new, formats, params)
            metrics |= {name: result for name, (result, _) in measured.items()}
            costs |= {name: {"real_time_factor": rtf} for name, (_, rtf) in measured.items()}
    write_json(METRICS / "export_formats.json", metrics)
    write_json(COST / "export_formats.json", costs)


def require(formats: Sequence[str]) -> None:
    """Raises InputError where what makes or reads a format is not installed."""
    for name in formats:
        missing = [module for module in MODULES[name] if find_spec(module) is None]
        if missing:
            raise InputError(
                f"params.yaml: export.formats: {name} needs {' and '.join(missing)}: "
                "`pip install -c constraints.txt -e '.[exports]'`, or take it off the list."
            )


def make(directory: Path, formats: Sequence[str], params: Params) -> dict[str, tuple[dict, float]]:
    """Writes each format and has its runtime transcribe the calls.

    Returns what was measured of each, FunASR's first, and its real-time factor.
    """
    nano = load(MODELS / FINAL, dither=0.0)
    if TRANSFORMERS in formats:
        hugging_face.check(nano)
    examples = [e for name in TELEPHONE for e in read_manifest(MANIFESTS / name / "test.jsonl")]
    examples = examples[:CHECKED]
    sounds = {name: sound_index(SHARDS[name]) for name in TELEPHONE}
    calls = [as_call(e, sounds[e.source]) for e in examples]
    seconds = sum(len(call.samples) / call.rate_hz for call in calls)
    tokens = params.decode.max_tokens
    references = [example.text for example in examples]
    results = {}

    def measure(name: str, path: Path, texts: Callable[[], list[str]]) -> list[str]:
        started = time.perf_counter()
        written = texts()
        taken = time.perf_counter() - started
        megabytes = sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) / 2**20
        compared = agreement(references, theirs or written, written, params.scoring)
        kept = {key: compared[key] for key in ("utterances", "share_different", "distance")}
        result = {"cer": compared["funasr_cer"], **kept, "megabytes": round(megabytes, 1)}
        results[name] = result, round(taken / seconds, 4)
        print(f"{name}: CER {result['cer']:.4f}, {kept['share_different']:.0%} of the texts differ")
        return written

    theirs: list[str] = []
    theirs = measure(
        *(FUNASR, MODELS / FINAL),
        lambda: funasr_texts(MODELS / FINAL, examples, sounds, tokens, dither=0.0),
    )
    for name in formats:
        for variant, texts in write(name, directory, nano).items():
            measure(variant, directory / name, lambda texts=texts: texts(calls, tokens))
    return results


Texts = Callable[[Sequence[Call], int], list[str]]


def write(name: str, directory: Path, nano: FunASRNano) -> dict[str, Texts]:
    """Writes a format, and returns how its runtime is run, by what that is called."""
    path = directory / name
    if name == TRANSFORMERS:
        hugging_face.write(nano, path)
        return {
            name: lambda calls, tokens: hugging_face.texts(path, calls, tokens),
            f"{name}_all_rows": lambda c, n: hugging_face.texts(path, c, n, all_rows=True),
        }
    if name == INT8:
        sherpa.write_int8(nano, path)
    else:
        sherpa.write(nano, path)
    return {name: lambda calls, tokens: sherpa.texts(path, nano, calls, tokens)}


def as_call(example: Example, sounds: SoundIndex) -> Call:
    samples, rate_hz = sounds.read(example.key)
    return Call(samples, rate_hz, example.prompt == PROMPT_VERBATIM)


if __name__ == "__main__":
    run(main)
