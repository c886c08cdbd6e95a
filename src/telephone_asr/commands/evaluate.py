"""`telephone-asr evaluate`: the character error rate of any model directory on any corpus."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from telephone_asr.commands.arguments import (
    add_hotwords,
    add_model,
    check_model,
    count,
    read_hotwords,
)
from telephone_asr.commands.left_out import count_left_out, name_left_out
from telephone_asr.errors import InputError
from telephone_asr.outs import new_out

if TYPE_CHECKING:
    from telephone_asr.corpora.items import Item
    from telephone_asr.decoding.corpus import Scored
    from telephone_asr.params import Decode, Params
    from telephone_asr.scoring.options import Scoring
    from telephone_asr.shards import Rejected

CORPORA = ("calls", "whole_calls", "kaldi", "lhotse")
SHOWN = 12  # of the most frequent errors


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("evaluate", help="score a model directory on a corpus")
    add_model(parser)
    corpus = parser.add_mutually_exclusive_group(required=True)
    corpus.add_argument("--calls", type=Path, metavar="FILE", help="recordings in JSONL or CSV")
    corpus.add_argument(
        "--whole-calls", type=Path, metavar="FILE", help="the same, heard as `transcribe` does"
    )
    corpus.add_argument("--kaldi", type=Path, metavar="DIR", help="a Kaldi data directory")
    corpus.add_argument("--lhotse", type=Path, metavar="PATH", help="Lhotse manifests")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write transcripts as JSONL")
    parser.add_argument("--batch-size", type=count, metavar="N", help="instead of params.yaml's")
    parser.add_argument("--beams", type=count, metavar="N", help="instead of params.yaml's")
    add_hotwords(parser, "instead of params.yaml's: ")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from dataclasses import replace

    from telephone_asr.params import load_params

    if arguments.whole_calls and arguments.beams:
        raise InputError("--whole-calls: `transcribe` takes no --beams: drop it.")
    params = load_params()
    params = replace(params, decode=_decode(params.decode, arguments))
    kind = next(kind for kind in CORPORA if getattr(arguments, kind))
    evaluate(arguments.model, kind, getattr(arguments, kind), arguments.output, params)


def _decode(decode: Decode, arguments: argparse.Namespace) -> Decode:
    """Returns params.yaml's decoding, with what the command line says."""
    from dataclasses import replace

    if arguments.batch_size:
        decode = replace(decode, batch_size=arguments.batch_size)
    if arguments.beams:
        decode = replace(decode, beams=arguments.beams)
    if arguments.hotwords:
        decode = replace(decode, hotwords=tuple(read_hotwords(arguments.hotwords)))
    return decode


def evaluate(model: Path, kind: str, path: Path, output: Path | None, params: Params) -> None:
    """Prints the CER of a model on a corpus (of CORPORA) and writes its transcripts.

    What cannot be used is named on stderr, and counted. Raises InputError where there is no such
    model or corpus, or nothing in it can be scored.
    """
    from accelerate import Accelerator
    from tqdm import tqdm

    from telephone_asr.commands.evaluate_calls import evaluate_calls
    from telephone_asr.decoding.corpus import score_items
    from telephone_asr.model import pretrained
    from telephone_asr.model.devices import allow_tf32

    check_model(model)
    items = _items(kind, path)
    if output and not output.absolute().parent.is_dir():
        raise InputError(f"--output: {output.absolute().parent} is no directory: make it first.")
    nano = pretrained.load(model)
    allow_tf32(nano.config)
    nano.model.to(Accelerator().device)
    if kind == "whole_calls":
        with _written(output) as file:
            evaluate_calls(nano, items, path, file, params)
        return
    decode = params.decode
    results = score_items(
        *(nano, items, decode.batch_size, decode.max_tokens, decode.beams),
        hotwords=decode.hotwords,
        hotword_floor=decode.hotword_floor,
        english=params.text.english,
        max_frames=params.filter.max_frames,
        options=params.scoring,
    )
    started = time.perf_counter()
    with _written(output) as file:
        bar = tqdm(results, f"{model.name} on {path.name}", len(items), unit=" utterances")
        lines, rejected = _gather(bar, path.name, file)
        if not lines:
            raise InputError(
                f"--{kind}: {path} holds nothing that can be scored; the first of {len(items)}, "
                f"{rejected[0].id}, is left out ({rejected[0].reason}): {rejected[0].detail}"
            )
    name_left_out(rejected)
    _print_rates(lines, params)
    rate = len(lines) / (time.perf_counter() - started)
    print(f"{count_left_out(rejected)}; {rate:.1f} utterances a second")
    _print_frequent(lines, params.scoring)


@contextmanager
def _written(output: Path | None) -> Iterator[IO[bytes] | None]:
    if output is None:
        yield None
        return
    with new_out(output) as new, open(new, "wb") as file:
        yield file


def _items(kind: str, path: Path) -> list[Item]:
    from telephone_asr.corpora import calls, imported, kaldi, lhotse_sets

    option = f"--{kind.replace('_', '-')}"
    if not os.path.exists(path):
        raise InputError(f"{option}: {path} does not exist.")
    if kind in ("calls", "whole_calls"):
        items = calls.call_items(path)
    elif kind == "kaldi":
        items = kaldi.kaldi_items(path)
    else:
        items = lhotse_sets.manifest_items(path, None)
    if not items:
        raise InputError(f"{option}: {path} holds no utterances.")
    return imported.with_good_ids(items, set())


def _gather(
    results: Iterable[Scored | Rejected], source: str, file: IO[bytes] | None
) -> tuple[list[dict], list[Rejected]]:
    """Returns what was scored, as lines of the file, which it writes; and what was not."""
    from telephone_asr.shards import Rejected

    lines, rejected = [], []
    for result in results:
        if isinstance(result, Rejected):
            rejected.append(result)
            continue
        lines.append(_line(result, source))
        if file:
            file.write((json.dumps(lines[-1], ensure_ascii=False) + "\n").encode())
    return lines, rejected


def _line(result: Scored, source: str) -> dict:
    from telephone_asr.measures import snr_db
    from telephone_asr.scoring.cut_off import CutOff
    from telephone_asr.scoring.transcripts import transcript_line

    utterance = result.utterance
    return transcript_line(
        key=utterance.id,
        source=source,
        speaker=utterance.speaker,
        scene=utterance.scene,
        duration_s=round(len(utterance.samples) / utterance.sample_rate_hz, 4),
        snr_db=snr_db(utterance.samples, utterance.sample_rate_hz),
        reference=utterance.text,
        text=result.text,
        cut_off=isinstance(result.text, CutOff),
        error=result.error,
    )


def _print_rates(lines: Sequence[dict], params: Params) -> None:
    """Prints the CER with its interval, and that of some slices: docs/scoring.md."""
    from telephone_asr.scoring.cer import ErrorRate, errors_of
    from telephone_asr.scoring.slices import summary

    total, n = sum(map(errors_of, lines), ErrorRate()), len({line["speaker"] for line in lines})
    rates: dict[str, Any] = {}
    if total.length:
        rates = summary(lines, params.seed, params.scoring.fillers, params.scoring.erhua)
        by = "speaker" if n > 1 else "utterance, of one speaker"
        between = f"{rates['cer_low']:.2%} to {rates['cer_high']:.2%}"
        print(f"CER {total.rate:.2%}, 95 % interval {between} (by {by})")
    print(
        f"{len(lines)} utterances, {n} speakers, {total.length} characters: "
        f"{total.substitutions} substitutions, {total.deletions} deletions, "
        f"{total.insertions} insertions"
    )
    if cut_off := sum(line["cut_off"] for line in lines):
        print(
            f"{cut_off} of the texts are cut off at {params.decode.max_tokens} tokens: raise "
            "decode.max_tokens in params.yaml if they are not loops"
        )
    for kind in ("scene", "duration_s", "snr_db"):
        slices = rates.get(kind, {}).items()
        if slices:
            parts = (f"{name} {part['cer']:.1%} of {part['characters']}" for name, part in slices)
            print(f"CER by {kind}: {', '.join(parts)}")
    for kind in ("digits", "amounts", "dates", "names"):
        if rates.get(kind):
            print(f"{kind} recognised as a whole: {rates[kind]['exact']:.1%} of {rates[kind]['n']}")


def _print_frequent(lines: Sequence[dict], options: Scoring) -> None:
    from telephone_asr.scoring.confusion import confusions

    counts = [c for c in confusions(lines, options).most_common() if len(set(c[0])) > 1]
    if counts:
        print("most frequent errors:")
    for (said, heard), n in counts[:SHOWN]:
        print(f"{n:6}  {said or '(nothing)'} → {heard or '(nothing)'}")
