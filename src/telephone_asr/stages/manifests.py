"""manifests: the three corpora as FunASR manifests, every utterance kept or rejected by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, corpus_prompt, manifest_line
from telephone_asr.manifests.quality import length_limits, rejection
from telephone_asr.manifests.split import SPLITS, Split, assign
from telephone_asr.model.frontend import fbank_frames
from telephone_asr.params import Params, load_params
from telephone_asr.shards import REJECTED, read_cuts, sound_index
from telephone_asr.stages import MANIFESTS, METRICS, MODELS, RAW, SHARDS, run, write_json

# Utterances that were never decoded are counted with the corpus they would have been in.
UNREAD = {"wideband": RAW / "wideband", "simulated": RAW / "wideband", "telecall": RAW / "calls"}
UNPACKED = Path("data/unpacked")  # where `telephone-asr unpack` puts the sound


def main() -> None:
    from transformers import AutoTokenizer

    params = load_params()
    if not (MODELS / "tokenizer" / "tokenizer_config.json").is_file():
        raise InputError(f"{MODELS / 'tokenizer'} holds no tokenizer: run `dvc repro tokenizer`.")
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "tokenizer")
    metrics = {source: make_manifests(source, params, tokenizer) for source in SHARDS}
    write_json(METRICS / "data.json", metrics)
    for source, row in metrics.items():
        rejected = sum(row["rejected"].values())
        print(f"{MANIFESTS / source}: {row['kept']} kept, {rejected} rejected, {row['in']} in all")


def make_manifests(source: str, params: Params, tokenizer) -> dict:
    """Writes train, valid, test and rejected.jsonl of one corpus; returns its metrics."""
    cuts = list(read_cuts(SHARDS[source]))
    with open(UNREAD[source] / REJECTED, encoding="utf-8") as file:
        unread = [json.loads(line) for line in file]
    examples = _examples(cuts, source, params.frontend.fs, tokenizer)
    limits = length_limits(params.filter, [e.speech_length for e in examples])
    wrong = {c["id"]: c["supervisions"][0]["custom"]["annotation_error"] for c in cuts}

    kept: list[Example] = []
    rejected = list(unread)
    for example in examples:
        reason = rejection(example.text, example.speech_length, wrong[example.key], limits)
        if reason is None:
            kept.append(example)
        else:
            detail = f"{example.speech_length} frames, text '{example.text}'"
            rejected.append({"id": example.key, "reason": reason, "detail": detail})
    total = len(cuts) + len(unread)
    assert len(kept) + len(rejected) == total, (source, len(kept), len(rejected), total)
    if not kept:
        raise InputError(
            f"params.yaml: filter: all {total} utterances of {source} are rejected; see "
            f"{SHARDS[source]} and loosen the limits."
        )

    split_of, split_by = _split(kept, params.split, params.seed)
    files = {name: [e for e in kept if split_of[e.key] == name] for name in SPLITS}
    _write(MANIFESTS / source, files, rejected)
    return _metrics(source, total, files, rejected, sum(wrong.values()), limits, split_by)


def _examples(cuts: Sequence[dict], source: str, fs: int, tokenizer) -> list[Example]:
    texts = [cut["supervisions"][0]["text"] for cut in cuts]
    prompt = corpus_prompt(texts)
    examples = []
    for cut, text in zip(cuts, texts, strict=True):
        recording, supervision = cut["recording"], cut["supervisions"][0]
        examples.append(
            Example(
                key=cut["id"],
                text=text,
                prompt=prompt,
                speech_length=fbank_frames(
                    recording["num_samples"], recording["sampling_rate"], fs
                ),
                text_length=len(tokenizer.encode(text)),
                duration_s=cut["duration"],
                speaker=supervision["speaker"],
                scene=supervision["custom"]["scene"],
                source=source,
            )
        )
    return examples


def _split(kept: Sequence[Example], split: Split, seed: int) -> tuple[dict[str, str], str]:
    """The split of each key, and what was split by: speakers, or recordings where they are few."""
    speakers = {e.speaker for e in kept}
    if len(speakers) >= len(SPLITS):
        of_speaker = assign(speakers, split, seed)
        return {e.key: of_speaker[e.speaker] for e in kept}, "speaker"
    # An utterance and its simulation must fall into the same set: they share the id's end.
    of_recording = assign({_recording(e.key) for e in kept}, split, seed)
    return {e.key: of_recording[_recording(e.key)] for e in kept}, "recording"


def _recording(key: str) -> str:
    return key.removeprefix("sim-")


def _write(directory: Path, files: dict[str, list[Example]], rejected: list[dict]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    sounds = sound_index(SHARDS[files["train"][0].source]) if files["train"] else None
    for name, examples in files.items():
        with open(directory / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for example in examples:
                suffix = sounds.suffix(example.key)
                audio = UNPACKED / example.source / f"{example.key}.{suffix}"
                file.write(manifest_line(example, audio.as_posix()) + "\n")
    with open(directory / "rejected.jsonl", "w", encoding="utf-8") as file:
        for entry in rejected:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _metrics(
    source: str,
    total: int,
    files: dict[str, list[Example]],
    rejected: list[dict],
    annotation_errors: int,
    limits: tuple[int, int],
    split_by: str,
) -> dict:
    """The table of design.md, section 7, for one corpus."""
    kept = [example for examples in files.values() for example in examples]
    sounds = sound_index(SHARDS[source])
    stored_bytes = sum(path.stat().st_size for path in SHARDS[source].iterdir())
    hours = sum(e.duration_s for e in kept) / 3600
    all_hours = sum(cut["duration"] for cut in read_cuts(SHARDS[source])) / 3600
    complete = [bool(e.key and e.text and e.prompt and e.speaker and e.speech_length) for e in kept]
    return {
        "in": total,
        "kept": len(kept),
        **{name: len(examples) for name, examples in files.items()},
        "rejected": dict(sorted(Counter(entry["reason"] for entry in rejected).items())),
        "annotation_errors": annotation_errors,
        "hours": round(hours, 4),
        "speakers": len({e.speaker for e in kept}),
        "split_by": split_by,
        "min_frames": limits[0],
        "max_frames": limits[1],
        "mean_speech_length": round(sum(e.speech_length for e in kept) / len(kept), 2),
        "mean_text_length": round(sum(e.text_length for e in kept) / len(kept), 2),
        "share_all_fields": round(sum(complete) / len(kept), 4),
        "share_audio_exists": round(sum(e.key in sounds for e in kept) / len(kept), 4),
        "mb_per_hour": round(stored_bytes / 1e6 / all_hours, 2),
    }


if __name__ == "__main__":
    run(main)
