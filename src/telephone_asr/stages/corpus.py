"""corpus: the two corpora, whatever they come from, into shards of data/raw."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from telephone_asr.channel import line as channel
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import TELEPHONE_RATE_HZ
from telephone_asr.corpora import imported, synthetic
from telephone_asr.errors import InputError
from telephone_asr.params import Params, Source, load_params
from telephone_asr.shards import REJECTED, Rejected, Utterance, write_shards
from telephone_asr.stages import RAW, run

BABBLE_UTTERANCES = 150  # of the calls, spoken once more to talk in the background of the others


def main() -> None:
    params = load_params()
    taken: set[str] = set()
    for part, source in (("wideband", params.corpus.wideband), ("calls", params.corpus.calls)):
        if source.kind == "synthetic":
            total, entries = _synthetic(params, part, Path(source.path))
        else:
            total, entries = _imported(params, part, source)
        _write(params, part, total, entries, taken)


def _imported(params: Params, part: str, source: Source):
    items = imported.list_items(source.kind, Path(source.path), f"corpus.{part}.path")
    items = _sample(items, params)
    return len(items), map(imported.load, items)


def _synthetic(params: Params, part: str, spec: Path):
    options = params.corpus.synthetic
    if not spec.is_file():
        raise InputError(
            f"params.yaml: corpus.{part}.path: {spec} is no file; name the synthetic corpus's "
            f"description, or set corpus.{part}.kind."
        )
    if part == "wideband":
        plan = synthetic.plan(spec, part, options.wideband_minutes, params.seed)
    else:
        wrong = options.wrong_transcripts
        plan = synthetic.plan(spec, part, options.calls_minutes, params.seed, wrong)
    plan = _sample(plan, params)
    return len(plan), _speak(params, part, spec, plan)


def _speak(params: Params, part: str, spec: Path, plan: list) -> Iterator[Utterance]:
    """The sound of the plan; calls come over a telephone line of their own."""
    line, seed, workers = params.corpus.synthetic.line, params.seed, os.cpu_count() or 1
    pool = None
    if part == "calls":
        talking = synthetic.speak(spec, plan[:BABBLE_UTTERANCES], seed, workers)
        voices = ((p.speaker, samples / np.float32(32768)) for p, samples in talking)
        pool = BabblePool.build(voices, line.babble.talkers, seed)
    for planned, samples in synthetic.speak(spec, plan, seed, workers):
        rate_hz, custom = synthetic.SAMPLE_RATE_HZ, {}
        if part == "calls":
            rng = channel.generator(seed, f"{planned.id}/line")
            samples, custom = channel.simulate(samples, rate_hz, line, pool, rng, planned.speaker)
            rate_hz = TELEPHONE_RATE_HZ
        yield Utterance(
            id=planned.id,
            samples=samples,
            sample_rate_hz=rate_hz,
            text=planned.text,
            speaker=planned.speaker,
            scene=planned.scene,
            annotation_error=planned.annotation_error,
            custom=custom,
        )


def _sample(items: list, params: Params) -> list:
    """`sample_size` of the items, spread evenly; all of them where it is null."""
    size = params.corpus.sample_size
    if size is None or size >= len(items):
        return items
    return [items[i * len(items) // size] for i in range(size)]


def _write(params: Params, part: str, total: int, entries, taken: set[str]) -> None:
    """Writes what can be used into shards and the rest, with its reason, into rejected.jsonl."""
    directory = RAW / part
    rejected: list[Rejected] = []
    limit = params.corpus.max_rejected_share * total

    def usable() -> Iterator[Utterance]:
        for entry in tqdm(entries, f"{part} speech", total, unit="utterance"):
            if isinstance(entry, Utterance):
                entry = _with_good_id(entry, taken)
            if isinstance(entry, Utterance):
                yield entry
                continue
            rejected.append(entry)
            if len(rejected) > limit:
                raise InputError(
                    f"params.yaml: corpus.{part}.path: {len(rejected)} of {total} utterances "
                    f"cannot be used, more than corpus.max_rejected_share allows; the last one: "
                    f"{entry.reason}, {entry.detail.rstrip('.')}."
                )

    kept = write_shards(directory, usable(), params.corpus.shard_size)
    if not kept:
        raise InputError(
            f"params.yaml: corpus.{part}.path: none of {total} utterances can be used; the last "
            f"one: {rejected[-1].reason}, {rejected[-1].detail}."
        )
    lines = [json.dumps(vars(r), ensure_ascii=False) + "\n" for r in rejected]
    (directory / REJECTED).write_text("".join(lines), encoding="utf-8")
    assert kept + len(rejected) == total, (kept, len(rejected), total)
    print(f"{directory}: {kept} utterances kept, {len(rejected)} rejected, {total} in all")


def _with_good_id(utterance: Utterance, taken: set[str]) -> Utterance | Rejected:
    """Ids name files and are unique over all corpora."""
    id_ = utterance.id
    if id_ in taken:
        return Rejected(id_, "duplicate_id", f"another utterance is called {id_} too")
    if not id_ or "/" in id_ or id_ != id_.strip() or id_.startswith("."):
        return Rejected(id_, "bad_id", f"'{id_}' cannot be the name of a file")
    taken.add(id_)
    return utterance


if __name__ == "__main__":
    run(main)
