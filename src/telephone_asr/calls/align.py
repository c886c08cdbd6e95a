"""A long transcript without times becomes turns, by the model's CTC branch: docs/data.md.

The sound is read twice, a few segments at a time. First each segment is written down by CTC alone,
and all of that is held against the transcript: it is cut at pauses where both agree, and what the
transcript has and nobody hears is taken out. Then each piece of it is aligned with its few segments
(torchaudio's forced_align), so that memory does not grow with the call, and what is wrong in one
piece moves nothing in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from telephone_asr.calls.cuts import cut
from telephone_asr.calls.recording import Choice, Piece, listen
from telephone_asr.calls.times import REACH_ROWS, ROW_S
from telephone_asr.calls.turns import Channels, joined
from telephone_asr.corpora.items import MAX_HOURS, Item, load_all
from telephone_asr.corpora.sound import SoundError
from telephone_asr.decoding.alignment import spread_over_characters, token_rows
from telephone_asr.decoding.confidence import ctc_greedy
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.recognise import encode_in_slices
from telephone_asr.model.frontend import Frontend
from telephone_asr.model.fun_asr_nano import ctc_text, ctc_tokens
from telephone_asr.shards import Rejected

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

BATCH_SIZE = 8  # segments, in the encoder
FLOOR = -10.0  # log probability: what was not said costs its neighbours no more
SIDES: dict[int | None, Channels] = {None: "mix", 0: "left", 1: "right"}


@dataclass(frozen=True)
class Part:
    """A part of a transcript: a turn, or what nobody says."""

    text: str
    start_s: float | None = None  # None: nobody says it
    end_s: float | None = None
    score: float | None = None  # mean log probability per character, of the rows between them too


def align(
    nano: FunASRNano, path: Path, channel: int | None, text: str, max_hours: float = MAX_HOURS
) -> list[Part]:
    """Returns a transcript in parts, which together hold each of its characters once.

    Args:
        channel: 0 or 1; None: all of them, mixed.

    Raises:
        SoundError: the recording cannot be used.
    """
    recording = listen(path, Choice(SIDES[channel], max_hours=max_hours))
    pieces = recording.pieces
    heard = [
        "".join(ctc_text(nano, ctc_greedy(nano, _log_probs(nano, encoded))[0]).split())
        for encoded in _encoded(nano, path, pieces, max_hours)
    ]
    places = [n for n, one in enumerate(text) if ctc_text(nano, one).strip()]
    seconds = [piece.segment.end_s - piece.segment.start_s for piece in pieces]
    said_in: list[int | None] = [None] * len(places)
    spans: dict[int, _Span] = {}
    encodings = _encoded(nano, path, pieces, max_hours)
    for group in cut(heard, [text[n] for n in places], seconds):
        own = [places[n] for n in group.characters]
        found = _align_group(nano, text, own, islice(encodings, len(group.segments)))
        for segment, span in found.items():
            spans[group.segments[segment]] = span
            for n in span.characters:
                said_in[group.characters[n]] = group.segments[segment]
    recording.check_unchanged()
    return list(_parts(text, places, said_in, pieces, spans))


@dataclass(frozen=True)
class _Span:
    """What is said in a segment: which characters of its group's, and from which row to which."""

    characters: list[int]
    first_row: int
    last_row: int
    score: float


def _log_probs(nano: FunASRNano, encoded: torch.Tensor) -> torch.Tensor:
    lengths = torch.tensor([len(encoded)], device=encoded.device)
    return Encoded(nano, encoded[None], lengths).log_probs[0]


@torch.inference_mode()
def _encoded(
    nano: FunASRNano, path: Path, pieces: Sequence[Piece], max_hours: float
) -> Iterator[torch.Tensor]:
    """Yields what the encoder makes of each segment, (T, D)."""
    frontend, device = Frontend(nano.config["frontend_conf"]), next(nano.model.parameters()).device
    items = [
        Item(path.stem, path, piece.segment.start_s, piece.segment.end_s, piece.channel)
        for piece in pieces
    ]
    sounds = load_all(items, max_hours)
    while batch := list(islice(sounds, BATCH_SIZE)):
        rows = []
        for sound in batch:
            if isinstance(sound, Rejected):
                raise SoundError(sound.detail, sound.reason)
            rows.append(frontend(sound.samples, sound.sample_rate_hz))
        lengths = torch.tensor([len(row) for row in rows], device=device)
        inputs = pad_sequence(rows, batch_first=True).to(device)
        for encoded, length in zip(*encode_in_slices(nano, inputs, lengths), strict=True):
            yield encoded[: int(length)]


@torch.inference_mode()
def _align_group(
    nano: FunASRNano, text: str, places: Sequence[int], encodings: Iterator[torch.Tensor]
) -> dict[int, _Span]:
    """Returns what is said in which segment of a group; nothing where it is too short for all.

    places: of the characters in the text that are said in the group.
    """
    own, ends = _spaced(text, places)
    tokens = ctc_tokens(nano, own)
    columns = sorted({nano.model.blank_id, *tokens})
    rows = [_log_probs(nano, one)[:, columns].float().cpu() for one in encodings]
    borders = [0, *accumulate(map(len, rows))]
    log_probs = torch.cat(rows).clamp(min=FLOOR)
    blank, narrow = columns.index(nano.model.blank_id), [columns.index(one) for one in tokens]
    spans = token_rows(log_probs, narrow, blank)
    if not spans:
        return {}
    starts = spread_over_characters(
        nano, own, tokens, [first for first, _ in spans] + [spans[-1][1] + 1]
    )
    path = log_probs[:, blank].clone()
    for token, (first, last) in zip(narrow, spans, strict=True):
        path[first : last + 1] = log_probs[first : last + 1, token]
    found = {}
    for segment, (begin, end) in enumerate(pairwise(borders)):
        characters = [n for n, at in enumerate(ends) if starts and begin <= starts[at] < end]
        said = [row for span in spans for row in span if begin <= row < end]
        if characters and said:
            score = float(path[said[0] : said[-1] + 1].sum()) / len(characters)
            found[segment] = _Span(characters, said[0] - begin, said[-1] - begin, score)
    return found


def _spaced(text: str, places: Sequence[int]) -> tuple[str, list[int]]:
    """Returns characters of a text, spaces between Latin words alone, and where each is in it."""
    line, at = "", []
    for before, place in zip([None, *places], places, strict=False):
        apart = before is not None and text[before + 1 : place].isspace()
        line = joined([line, text[place]]) if apart else line + text[place]
        at.append(len(line) - 1)
    return line, at


def _parts(
    text: str,
    places: Sequence[int],
    said_in: Sequence[int | None],
    pieces: Sequence[Piece],
    spans: dict[int, _Span],
) -> Iterator[Part]:
    """Yields the parts in the order of the text; what is not heard belongs to what is before it."""
    owner = dict(zip(places, said_in, strict=True))
    texts: dict[int | str, str] = {}
    last: int | str | None = said_in[0] if said_in else None
    unsaid = 0
    for place, character in enumerate(text):
        if place in owner:
            if owner[place] is None and not isinstance(last, str):
                unsaid += 1
            last = owner[place] if owner[place] is not None else f"unsaid {unsaid}"
        key = "unsaid 1" if last is None else last
        texts[key] = texts.get(key, "") + character
    for key, own in texts.items():
        if isinstance(key, str):
            yield Part(own)
            continue
        segment, span = pieces[key].segment, spans[key]
        start_s = segment.start_s + ROW_S * (span.first_row - REACH_ROWS)
        end_s = segment.start_s + ROW_S * (span.last_row + 1 + REACH_ROWS)
        yield Part(
            own,
            round(max(segment.speech_start_s, start_s), 3),
            round(min(segment.speech_end_s, end_s), 3),
            round(span.score, 3),
        )
