"""Turns are labelled, a shard at a time, so that memory does not grow with the hours and a kill
costs one shard; docs/unlabelled.md says what each measure means.

The adapted model is through with all turns before a second one is loaded.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from telephone_asr.decoding.confidence import ctc_greedy, ctc_score, token_probabilities
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.utterances import recognise_utterances
from telephone_asr.manifests.text import syllables
from telephone_asr.measures import measure
from telephone_asr.model.frontend import Frontend
from telephone_asr.scoring.cer import count_errors, units
from telephone_asr.scoring.cut_off import CutOff
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.scoring.slices import is_loop
from telephone_asr.scratch import write_durably
from telephone_asr.shards import Utterance, read_shard, require_shards
from telephone_asr.unlabelled.labels import Label, label_line, read_labels

if TYPE_CHECKING:
    from telephone_asr.decoding.recognise import Look
    from telephone_asr.model.pretrained import FunASRNano
    from telephone_asr.params import Decode
    from telephone_asr.scoring.options import Scoring

SURE_AT_ONCE = 8  # utterances; a probability of each token of the vocabulary is in memory


@dataclass(frozen=True)
class Turns:
    """The turns of a directory of shards, or those of them whose references are given."""

    name: str
    shards: Path
    prompt: str
    references: Mapping[str, str] | None = None  # by id: what was said; None: nobody wrote it down

    def chunks(self) -> range:
        return range(require_shards(self.shards))

    def read(self, chunk: int) -> list[Utterance]:
        utterances = list(read_shard(self.shards, chunk, self.references))
        if self.references is None:
            return utterances
        return [replace(one, text=self.references[one.id]) for one in utterances]


def label_turns(
    nano: FunASRNano, utterances: Sequence[Utterance], prompt: str, decode: Decode, options: Scoring
) -> list[Label]:
    """Returns the labels of utterances that are in memory, in their order, by a model in eval mode.
    An utterance's text is its reference; "" where nobody wrote it down."""
    heard: dict[int, dict] = {}

    def look(
        indices: Sequence[int], prompts: Sequence[str], texts: Sequence[str], encoded: Encoded
    ) -> None:
        sure = _confidences(encoded, prompts, texts)
        by_ctc = _by_ctc(encoded, [utterances[i].text for i in indices])
        for i, confidence, own in zip(indices, sure, by_ctc, strict=True):
            heard[i] = {"confidence": confidence, **own}

    texts = _texts(nano, utterances, prompt, decode, look)
    return [
        _label(utterance, text, heard[i], options)
        for i, (utterance, text) in enumerate(zip(utterances, texts, strict=True))
    ]


def _texts(
    nano: FunASRNano,
    utterances: Sequence[Utterance],
    prompt: str,
    decode: Decode,
    look: Look | None = None,
) -> list[str]:
    frontend = Frontend(nano.config["frontend_conf"])
    return recognise_utterances(
        *(nano, frontend, utterances, prompt),
        *(decode.batch_size, decode.max_tokens, decode.beams, look),
        hotwords=decode.hotwords,
        hotword_floor=decode.hotword_floor,
    )


def _confidences(encoded: Encoded, prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Returns the mean token probability of each text; 0 of an empty one."""
    sure = [0.0] * len(texts)
    written = [i for i, text in enumerate(texts) if text]
    for first in range(0, len(written), SURE_AT_ONCE):
        own = written[first : first + SURE_AT_ONCE]
        asked, said = ([of[i] for i in own] for of in (prompts, texts))
        rows = encoded.rows[own], encoded.lengths[own]
        found = token_probabilities(encoded.nano, asked, said, rows)
        for i, one in zip(own, found, strict=True):
            sure[i] = round(float(one.mean()), 4)
    return sure


def _by_ctc(encoded: Encoded, said: Sequence[str]) -> Iterator[dict]:
    """Yields the CTC branch's part of each label. said: what was, "" where nobody knows."""
    nano = encoded.nano
    if not nano.has_ctc:
        yield from ({"ctc_text": None, "ctc_confidence": None} for _ in said)
        return
    for log_probs, reference in zip(encoded.log_probs, said, strict=True):
        own = log_probs.float().cpu()
        text, sure = ctc_greedy(nano, own)
        confidence = round(sum(sure) / len(sure), 4) if sure else 0.0
        score = ctc_score(nano, own, reference)
        yield {
            "ctc_text": text,
            "ctc_confidence": confidence,
            "reference_score": None if score is None else round(score, 4),
        }


def _label(utterance: Utterance, text: str, heard: dict, options: Scoring) -> Label:
    ctc_text = heard["ctc_text"]
    measures = utterance.custom.get("measures") or measure(
        utterance.samples, utterance.sample_rate_hz
    )
    speech_s = len(utterance.samples) / utterance.sample_rate_hz * measures["activity"]
    normalised, of_ctc = (
        normalise_for_scoring(one, options.fillers, options.erhua) for one in (text, ctc_text or "")
    )
    return Label(
        id=utterance.id,
        speaker=utterance.speaker,
        text=str(text),
        distance=None if ctc_text is None else distance(text, ctc_text, options),
        loop=isinstance(text, CutOff) or is_loop(of_ctc, normalised),
        characters_per_s=round(syllables(text) / speech_s, 2) if speech_s else 0.0,
        speech_s=round(speech_s, 2),
        reference=utterance.text or None,
        **heard,
    )


def distance(one: str, other: str, options: Scoring) -> float:
    """Returns the edits between two texts, normalised as for scoring, by the units of the longer.

    >>> from telephone_asr.scoring.options import Scoring
    >>> distance("还款三百二。", "换款320", Scoring()), distance("", "。", Scoring())
    (0.2, 0.0)
    """
    a, b = (
        units(normalise_for_scoring(text, options.fillers, options.erhua), options.unit)
        for text in (one, other)
    )
    return round(count_errors(a, b).errors / max(len(a), len(b), 1), 4)


# --- Shard by shard, each in a file of the scratch directory


def label_shards(
    nano: FunASRNano,
    turns: Turns,
    decode: Decode,
    options: Scoring,
    scratch: Path,
    share: tuple[int, int] = (0, 1),
) -> None:
    """Labels a process's share of the shards; what is in `scratch` already stays as it is."""
    for chunk in _missing(turns, scratch, "labels", share):
        utterances = turns.read(chunk)
        labels = label_turns(nano, utterances, turns.prompt, decode, options)
        _save(_path(scratch, turns, chunk, "labels"), map(label_line, labels))
        _give_back()


def second_texts(
    nano: FunASRNano, turns: Turns, decode: Decode, scratch: Path, share: tuple[int, int] = (0, 1)
) -> None:
    """Has a second model write down a process's share of the shards, as `label_shards`."""
    for chunk in _missing(turns, scratch, "second", share):
        texts = _texts(nano, turns.read(chunk), turns.prompt, decode)
        _save(
            _path(scratch, turns, chunk, "second"),
            (json.dumps(str(text), ensure_ascii=False) + "\n" for text in texts),
        )
        _give_back()


def _give_back() -> None:
    """Gives memory that was freed back to the system, where glibc holds it. Batches are of all
    shapes: what lies between their pieces would be some hundred megabytes more after many hours."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def labelled(turns: Turns, options: Scoring, scratch: Path) -> Iterator[Label]:
    """Yields the labels of all shards, in order, once all processes are through."""
    for chunk in turns.chunks():
        second = _path(scratch, turns, chunk, "second")
        texts = second.read_text(encoding="utf-8").split("\n") if second.exists() else []
        for place, label in enumerate(read_labels(_path(scratch, turns, chunk, "labels"))):
            if texts:
                text = json.loads(texts[place])
                label = replace(
                    label,
                    second_text=text,
                    second_distance=distance(label.text, text, options),
                )
            yield label


def _missing(turns: Turns, scratch: Path, kind: str, share: tuple[int, int]) -> Iterator[int]:
    rank, processes = share
    own = turns.chunks()[rank::processes]
    missing = [chunk for chunk in own if not _path(scratch, turns, chunk, kind).exists()]
    if len(missing) < len(own):
        print(f"{turns.name}: goes on at shard {len(own) - len(missing) + 1} of {len(own)}")
    bar = f"{turns.name}, {kind}"
    yield from tqdm(missing, bar, unit="shard", disable=None if rank == 0 else True)


def _path(scratch: Path, turns: Turns, chunk: int, kind: str) -> Path:
    return scratch / f"{turns.name}.{chunk:06d}.{kind}"


def _save(path: Path, lines: Iterator[str]) -> None:
    write_durably(
        path,
        path.with_name(f"{path.name}.tmp"),
        lambda file: file.writelines(line.encode() for line in lines),
        "free some space and run again: it goes on at this shard.",
    )
