"""A model on a corpus as people bring it: every utterance scored, or left out for a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from telephone_asr.corpora.items import Item, load_all
from telephone_asr.decoding.spotting import FLOOR
from telephone_asr.decoding.utterances import recognise_utterances
from telephone_asr.manifests.messages import is_written, prompt_for
from telephone_asr.manifests.text import English, clean_transcript
from telephone_asr.model.frontend import Frontend, fbank_frames
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.options import Scoring
from telephone_asr.shards import Rejected, Utterance

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

DEFAULT = Scoring()
WINDOW = 16  # batches whose sound is in memory, and sorted by length, at a time


@dataclass(frozen=True)
class Scored:
    utterance: Utterance  # its text as the manifests would have it
    text: str  # what was recognised
    error: ErrorRate


def score_items(
    nano: FunASRNano,
    items: Sequence[Item],
    batch_size: int,
    max_tokens: int,
    beams: int = 1,
    hotwords: Sequence[str] = (),
    hotword_floor: float | None = FLOOR,
    english: English = "keep",
    max_frames: int = 12_000,
    options: Scoring = DEFAULT,
) -> Iterator[Scored | Rejected]:
    """Yields a result for each item, in windows of their order, from a model in eval mode.

    The prompt asks for digits and punctuation where the corpus's transcripts have them, as in the
    manifests. What is longer than `max_frames` (of 10 ms) is left out.
    """
    frontend = Frontend(nano.config["frontend_conf"])
    usable = [i for i in items if i.text and not (i.problem or i.annotation_error)]
    written = sum(is_written(clean_transcript(item.text)[0]) for item in usable)
    prompt = prompt_for(written / max(1, len(usable)))
    window = WINDOW * batch_size
    for first in range(0, len(items), window):
        own: list[Utterance] = []
        for entry in load_all(items[first : first + window]):
            entry = _checked(entry, english, frontend.fs, max_frames)
            if isinstance(entry, Rejected):
                yield entry
            else:
                own.append(entry)
        texts = recognise_utterances(
            *(nano, frontend, own, prompt, batch_size, max_tokens, beams),
            hotwords=hotwords,
            hotword_floor=hotword_floor,
        )
        errors = score([utterance.text for utterance in own], texts, **vars(options))
        yield from map(Scored, own, texts, errors)


def _checked(
    entry: Utterance | Rejected, english: English, fs: int, max_frames: int
) -> Utterance | Rejected:
    """Returns what can be scored, or why not; the reasons are those of `manifests.quality`."""
    if isinstance(entry, Rejected):
        return entry
    text, _ = clean_transcript(entry.text, english)
    frames = fbank_frames(len(entry.samples), entry.sample_rate_hz, fs)
    if entry.annotation_error:
        return Rejected(entry.id, "annotation_error", "its transcript is marked as wrong")
    if not text:
        return Rejected(entry.id, "empty_text", f"nothing is left of '{entry.text}'")
    if frames == 0:
        return Rejected(entry.id, "too_short", f"{len(entry.samples)} samples")
    if frames > max_frames:
        return Rejected(entry.id, "too_long", f"{frames} frames of 10 ms, more than {max_frames}")
    return replace(entry, text=text)
