"""evaluate: how well one checkpoint recognises calls, simulated and wideband test speech.

Run as `python -m telephone_asr.stages.evaluate CHECKPOINT`, one of base, encoder, adaptor, lora and
final: the exported directory as it ships, loaded anew and heard through its own front end.
docs/scoring.md says what every number means.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr import processes
from telephone_asr.corpora.several import read_account
from telephone_asr.decoding.branch import SECTION
from telephone_asr.decoding.heard import dataset_of, evenly, heard_before, listen
from telephone_asr.decoding.limits import put_limits
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.measures import snr_db
from telephone_asr.model import parts
from telephone_asr.model.devices import allow_tf32
from telephone_asr.model.pretrained import FunASRNano, load
from telephone_asr.names import CHECKPOINTS, FINAL, TEST_SETS
from telephone_asr.outs import new_out, write_json
from telephone_asr.params import Decode, Params, load_params
from telephone_asr.paths import (
    COST,
    MADE_UP,
    MANIFESTS,
    METRICS,
    MODELS,
    NO_SPEECH,
    RAW,
    SHARDS,
    SLICES,
    TESTS,
    TRANSCRIPTS,
)
from telephone_asr.program import run
from telephone_asr.scoring import hotwords, no_speech
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.cut_off import CutOff
from telephone_asr.scoring.slices import summary
from telephone_asr.scoring.timestamps import displacement
from telephone_asr.scoring.transcripts import transcript_line
from telephone_asr.shards import SoundIndex, read_cuts, recorded_id, sound_index

if TYPE_CHECKING:
    import torch

    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.scoring.options import Scoring

ALIGNED = 500  # utterances whose timestamps are compared
LISTED = 500  # calls that are recognised with each list of hotwords: some seconds of a GPU


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKPOINTS:
        raise InputError(f"expected one checkpoint of {', '.join(CHECKPOINTS)}.")
    checkpoint = sys.argv[1]
    params = load_params()
    processes.on_processes(
        "telephone_asr.stages.evaluate",
        _on_gpus_at_hand(params),
        lambda: evaluate(checkpoint, params),
        [checkpoint],
    )


def _on_gpus_at_hand(params: Params) -> Params:
    """Returns params with no more processes than there are GPUs: the texts are the same, and what
    was trained on two is scored on one without a param that changes."""
    import torch

    n = min(params.train.processes, torch.cuda.device_count() or params.train.processes)
    return replace(params, train=replace(params.train, processes=n))


def evaluate(checkpoint: str, params: Params) -> None:
    """Scores a checkpoint: each process decodes its share, in fp32 (TF32 on GPUs, see allow_tf32),
    and the main one writes."""
    accelerator = processes.accelerator("fp32")
    nano = load_model(checkpoint, params)
    allow_tf32(nano.config)
    nano.model.to(accelerator.device)
    if checkpoint != FINAL:  # which has them from `export`
        put_limits(nano, params, accelerator)
    share = accelerator.process_index, accelerator.num_processes
    own = {name: RAW / TESTS / name for name in read_account(MANIFESTS / TESTS)}
    shards = {**{name: SHARDS[name] for name in TEST_SETS}, **own}
    examples = {name: read_examples(f"{TESTS}/{name}" if name in own else name) for name in shards}
    started_s = time.perf_counter()
    sounds = {name: sound_index(directory) for name, directory in shards.items()}
    of_corpora = {name: examples[name] for name in TEST_SETS}  # own sets change no others' numbers
    calls, words = hotword_words(of_corpora, params.scoring)
    pairs = both_bands(examples) if nano.has_ctc else []
    kept = {"telecall": {e.key for e in calls}, "simulated": {e.key for _, e in pairs}}
    texts, heard = {}, {}
    for name in shards:
        dataset = dataset_of(nano, examples[name], sounds[name])
        texts[name], heard[name] = listen(nano, dataset, params.decode, share, kept.get(name, ()))
    decoding_s = time.perf_counter() - started_s
    heard = {name: processes.gathered(heard[name], share) for name in kept}
    made_up = _made_up(nano, examples["telecall"][0].prompt, params, share)
    keys = [example.key for example in examples["telecall"]]
    plain = {} if params.decode.hotwords else dict(zip(keys, texts["telecall"], strict=True))
    again = heard_before(nano, calls, heard["telecall"], sounds["telecall"])
    listed = hotword_texts(nano, again, words, plain, params.decode, share)
    if not accelerator.is_main_process:
        return
    metrics, slices, lines = {}, {}, []
    for name in shards:
        errors = score([e.text for e in examples[name]], texts[name], **vars(params.scoring))
        of_set = transcript_lines(examples[name], texts[name], errors, sounds[name], shards[name])
        found = summary(of_set, params.seed, params.scoring.fillers, params.scoring.erhua)
        slices[name] = {key: part for key, part in found.items() if isinstance(part, dict)}
        metrics[name] = {key: part for key, part in found.items() if key not in slices[name]}
        lines += of_set
        cut_off = metrics[name]["cut_off"]
        limit = (
            f"; {cut_off} of {len(of_set)} texts cut off at decode.max_tokens" if cut_off else ""
        )
        print(f"{checkpoint} on {name}: CER {metrics[name]['cer']:.4f}{limit * bool(cut_off)}")
    metrics["short_turns"] = {name: slices[name].pop("short_turns") for name in shards}
    metrics["no_speech"] = no_speech.rates(made_up)
    if (doubt := nano.config.get(SECTION, {}).get("doubt")) is not None:
        metrics["branch"] = {"doubt": doubt}
    speakers = [call.speaker for call in calls]
    slices["hotwords"] = {
        name: hotwords.rates(counts, speakers, params.seed)
        for name, counts in hotword_counts(calls, words, listed, params.scoring).items()
    }
    metrics["hotwords"] = {
        name: {key: rates[key] for key in hotwords.MEASURES if key in rates}
        for name, rates in slices["hotwords"].items()
    }
    if nano.has_ctc:
        metrics["timestamps"] = timestamps(nano, pairs, heard["simulated"], params)
    write_json(METRICS / f"{checkpoint}.json", metrics)
    # No metrics to DVC: hundreds of numbers would bury the few that a diff is for.
    write_json(SLICES / f"{checkpoint}.json", slices)
    write_json(COST / f"evaluate_{checkpoint}.json", cost(lines, decoding_s))
    _write_lines(TRANSCRIPTS / f"{checkpoint}.jsonl", lines)
    _write_lines(MADE_UP / f"{checkpoint}.jsonl", made_up)


def _write_lines(path: Path, lines: Sequence[dict]) -> None:
    with new_out(path) as new:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        new.write_text(text, encoding="utf-8")


def load_model(checkpoint: str, params: Params) -> FunASRNano:
    """Loads a checkpoint on those it stands on, or the exported model as anybody gets it.

    Raises InputError where it is missing.
    """
    if checkpoint != FINAL:
        return parts.load_checkpoint(MODELS, checkpoint, **vars(params.frontend))
    if not (MODELS / FINAL / "model.pt").is_file():
        raise InputError(f"{MODELS / FINAL} holds no model: run `dvc repro export`.")
    return load(MODELS / FINAL)


def read_examples(name: str) -> list[Example]:
    """Reads a test set, which must have something in it."""
    path = MANIFESTS / name / "test.jsonl"
    examples = read_manifest(path)
    if not any(example.text for example in examples):
        raise InputError(
            f"{path} holds no text: give the test set more of the speech with split.test in "
            "params.yaml."
        )
    return examples


def transcript_lines(
    examples: Sequence[Example],
    texts: Sequence[str],
    errors: Sequence[ErrorRate],
    sounds: SoundIndex,
    shards: Path,
) -> list[dict]:
    """Returns the lines of data/transcripts of a test set."""
    keys = {example.key for example in examples}
    customs = {cut["id"]: cut["custom"] for cut in read_cuts(shards) if cut["id"] in keys}
    return [
        transcript_line(
            key=example.key,
            source=example.source,
            speaker=example.speaker,
            scene=example.scene,
            duration_s=example.duration_s,
            # Measured here, since a simulated cut has the measures of the speech it was made from.
            snr_db=snr_db(*sounds.read(example.key)),
            reference=example.text,
            text=text,
            cut_off=isinstance(text, CutOff),
            error=error,
            codec=customs[example.key].get("codec"),
            lost_packets=customs[example.key].get("lost_packets"),
            corpus=example.corpus,
        )
        for example, text, error in zip(examples, texts, errors, strict=True)
    ]


def _made_up(nano: FunASRNano, prompt: str, params: Params, share: tuple[int, int]) -> list[dict]:
    """Returns what the model writes where nobody speaks, without hotwords and with some: all clips,
    of which this process decodes its share."""
    from telephone_asr.dataset.no_speech import read_clips

    directory = NO_SPEECH / "test"
    if not (clips := read_clips(directory, prompt)):
        raise InputError(f"{directory} holds no clips: run `dvc repro no_speech`.")
    decode, sounds = params.decode, sound_index(directory)
    keys = {clip.key for clip in clips}
    dataset = dataset_of(nano, clips, sounds)
    plain, heard = listen(nano, dataset, replace(decode, hotwords=()), share, keys)
    prompted = replace(decode, hotwords=decode.hotwords or no_speech.HOTWORDS)
    again, _ = listen(nano, heard_before(nano, clips, heard, sounds), prompted, share)
    names = [(clip.key, clip.scene, clip.duration_s) for clip in clips]
    return [
        *no_speech.made_up_lines(names, plain, 0, params.scoring),
        *no_speech.made_up_lines(names, again, len(prompted.hotwords), params.scoring),
    ]


def hotword_texts(
    nano: FunASRNano,
    calls: SpeechDataset,
    words: Sequence[hotwords.Words],
    plain: Mapping[str, str],
    decode: Decode,
    share: tuple[int, int] = (0, 1),
) -> dict[str, list[str]]:
    """Returns the texts of calls under each of `hotwords.LISTS`.

    Args:
        calls: as of `heard_before`.
        plain: texts by key that were written without hotwords; an empty one where there is none.
        share: as in `listen`.
    """
    texts = {}
    for name in hotwords.LISTS:
        if name == "0" and plain:
            texts[name] = [plain[call.key] for call in calls.examples]
            continue
        lists = [own.of_list(name) for own in words]
        texts[name], _ = listen(nano, calls, decode, share, words=lists)
    return texts


def hotword_words(
    examples: Mapping[str, Sequence[Example]], options: Scoring
) -> tuple[list[Example], list[hotwords.Words]]:
    """Chooses the calls to recognise with lists of hotwords, of test sets by name, and the words of
    each."""
    calls = evenly(examples["telecall"], LISTED)
    more = [example.text for own in examples.values() for example in evenly(own, LISTED)]
    return calls, hotwords.choose({call.key: call.text for call in calls}, more, options)


def hotword_counts(
    calls: Sequence[Example],
    words: Sequence[hotwords.Words],
    texts: Mapping[str, Sequence[str]],
    options: Scoring,
) -> dict[str, dict[str, list[ErrorRate]]]:
    """Returns what `hotwords.count` finds in the texts under each list."""
    said = [call.text for call in calls]
    return {name: hotwords.count(words, said, own, options) for name, own in texts.items()}


def both_bands(examples: Mapping[str, Sequence[Example]]) -> list[tuple[Example, Example]]:
    """Returns wideband utterances with what was simulated of each, at most ALIGNED, of test sets by
    name."""
    simulated = {recorded_id(e.key): e for e in examples["simulated"]}
    wideband = [e for e in examples["wideband"] if e.key in simulated][:ALIGNED]
    return [(example, simulated[example.key]) for example in wideband]


def timestamps(
    nano: FunASRNano,
    pairs: Sequence[tuple[Example, Example]],
    heard: Mapping[str, torch.Tensor],
    params: Params,
) -> dict[str, float | int]:
    """Measures how far the CTC branch's borders in simulated speech are from those that the base
    model finds in the same speech before the telephone. Both know the text.

    Args:
        pairs: of `both_bands`.
        heard: what the encoder made of the simulated ones, by key.
    """
    from telephone_asr.decoding.alignment import character_borders

    wideband, simulated = ([pair[i] for pair in pairs] for i in range(2))
    base = parts.load_checkpoint(MODELS, "base", **vars(params.frontend))
    base.model.to(next(nano.model.parameters()).device)
    before = dataset_of(base, wideband, sound_index(SHARDS["wideband"]))
    rows = params.train.max_batch_rows
    expected = character_borders(base, before, rows)
    after = heard_before(nano, simulated, heard, sound_index(SHARDS["simulated"]))
    found = character_borders(nano, after, rows)
    return displacement(found, expected)


def cost(lines: Sequence[dict], decoding_s: float) -> dict[str, float]:
    """Returns the wall-clock time from shards to texts. It depends on the machine, so it has a file
    of its own: everything else is the same bytes on every run."""
    audio_s = sum(line["duration"] for line in lines)
    return {
        "seconds": round(decoding_s, 3),
        "real_time_factor": round(decoding_s / audio_s, 5),
        "utterances_per_s": round(len(lines) / decoding_s, 3),
    }


if __name__ == "__main__":
    run(main)
