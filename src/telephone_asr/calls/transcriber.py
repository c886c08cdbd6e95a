"""Calls through the model: pieces of several at a time, in batches of like length."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from telephone_asr.calls.recording import Choice, Piece, Recording, listen
from telephone_asr.calls.times import turn
from telephone_asr.calls.turns import Call, Turn
from telephone_asr.corpora.items import Item, load_all
from telephone_asr.corpora.sound import SoundError
from telephone_asr.corpora.values import shown
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.decoding.utterances import recognise_utterances
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.model.frontend import Frontend
from telephone_asr.shards import Rejected, Utterance

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

BATCH_SIZE = 32
WINDOW_S = 600.0  # of speech whose sound is in memory, and sorted by length, at a time
MAX_TOKENS = 200  # of a text, and
MAX_TOKENS_PER_S = 8  # where that is more: faster than anybody speaks


@dataclass
class _Begun:
    """A call some of whose turns are not yet recognised."""

    recording: Recording
    turns: list[Turn] = field(default_factory=list)
    waiting: int = 0  # pieces that are in the window
    rejected: Rejected | None = None

    def done(self) -> Call | Rejected:
        own = self.recording
        self.turns.sort(key=lambda turn: (turn.start_s, turn.channel or 0))
        return self.rejected or Call(
            own.path, round(own.duration_s, 3), own.sample_rate_hz, tuple(self.turns)
        )


def transcribe_calls(
    nano: FunASRNano,
    paths: Iterable[Path],
    choice: Choice,
    batch_size: int = BATCH_SIZE,
    on_sound: Callable[[float], None] = lambda seconds: None,
    hotwords: Sequence[str] = (),
) -> Iterator[Call | Rejected]:
    """Yields each recording's call, or why there is none, in their order.

    Args:
        on_sound: told how many seconds of sound were read, as it goes.
        hotwords: names and terms to make likelier (`decoding.spotting`).
    """
    window = _Window(nano, batch_size, hotwords)
    begun: deque[_Begun | Rejected] = deque()
    for path in paths:
        try:
            recording = listen(path, choice, on_sound)
        except SoundError as error:
            begun.append(_rejected(path, error))
        else:
            begun.append(call := _Begun(recording))
            _read(call, window, choice.max_hours)
        yield from _finished(begun)
    window.recognise()
    yield from _finished(begun)


def _finished(begun: deque[_Begun | Rejected]) -> Iterator[Call | Rejected]:
    while begun and (isinstance(begun[0], Rejected) or not begun[0].waiting):
        first = begun.popleft()
        yield first if isinstance(first, Rejected) else first.done()


def _rejected(path: Path, error: SoundError) -> Rejected:
    return Rejected(str(path), error.reason, f"{shown(path)}: {error}")


def _read(call: _Begun, window: _Window, max_hours: float) -> None:
    """Reads the sound of a call's pieces into the window."""
    pieces = call.recording.pieces
    sounds = load_all([_item(call.recording.path, piece) for piece in pieces], max_hours)
    for piece, sound in zip(pieces, sounds, strict=True):
        if isinstance(sound, Rejected):
            call.rejected = sound
            return
        window.add(call, piece, sound)
    try:
        call.recording.check_unchanged()
    except SoundError as error:
        call.rejected = _rejected(call.recording.path, error)


def _item(path: Path, piece: Piece) -> Item:
    segment = piece.segment
    return Item(path.stem, path, segment.start_s, segment.end_s, piece.channel)


class _Window:
    """Pieces that wait to be recognised together."""

    def __init__(self, nano: FunASRNano, batch_size: int, hotwords: Sequence[str]):
        self._nano, self._batch_size, self._hotwords = nano, batch_size, hotwords
        self._frontend = Frontend(nano.config["frontend_conf"])
        self._waiting: list[tuple[_Begun, Piece, Utterance]] = []
        self._seconds = 0.0

    def add(self, call: _Begun, piece: Piece, sound: Utterance) -> None:
        self._waiting.append((call, piece, sound))
        self._seconds += len(sound.samples) / sound.sample_rate_hz
        call.waiting += 1
        if self._seconds >= WINDOW_S:
            self.recognise()

    def recognise(self) -> None:
        """Gives each call that waits its turns."""
        sounds = [sound for _, _, sound in self._waiting]
        longest_s = max((len(u.samples) / u.sample_rate_hz for u in sounds), default=0.0)
        limit = max(MAX_TOKENS, math.ceil(MAX_TOKENS_PER_S * longest_s))
        # `export` says with which the model was adapted.
        prompt = PROMPT if self._nano.config.get("itn") else PROMPT_VERBATIM
        recognise_utterances(
            *(self._nano, self._frontend, sounds, prompt, self._batch_size, limit),
            look=self._look,
            hotwords=self._hotwords,
        )
        for call, _, _ in self._waiting:
            call.waiting -= 1
        self._waiting, self._seconds = [], 0.0

    def _look(
        self, indices: Sequence[int], _: object, texts: Sequence[str], encoded: Encoded
    ) -> None:
        for place, (index, text) in enumerate(zip(indices, texts, strict=True)):
            call, piece, _ = self._waiting[index]
            if text:
                call.turns.append(turn(piece, text, encoded, place))
