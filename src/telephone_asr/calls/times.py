"""When each character of a turn is said, and how surely, by the model's CTC branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from telephone_asr.calls.recording import Piece
from telephone_asr.calls.turns import Character, Turn
from telephone_asr.decoding.alignment import (
    aligned_probabilities,
    characters_of,
    middles,
    spread_over_characters,
    token_rows,
)
from telephone_asr.decoding.encoded import Encoded
from telephone_asr.model.fun_asr_nano import ctc_text, ctc_tokens
from telephone_asr.scoring.cut_off import CutOff

if TYPE_CHECKING:
    from telephone_asr.model.pretrained import FunASRNano

ROW_S = 0.06
REACH_ROWS = 5  # 0.3 s: nothing of a character is further from where CTC writes it


def turn(piece: Piece, text: str, encoded: Encoded, place: int) -> Turn:
    """Makes a turn of what was recognised in a piece.

    It lasts as long as the speech in it, as Silero heard it, or as long as CTC writes something,
    where that is less: Silero takes some noise for speech.

    Args:
        encoded: the batch that it was recognised in.
        place: in the batch.
    """
    nano, segment = encoded.nano, piece.segment
    start_s, end_s = segment.speech_start_s, segment.speech_end_s
    characters: list[Character] = []
    if nano.has_ctc:
        log_probs = encoded.log_probs[place].float().cpu()
        written = (log_probs.argmax(dim=-1) != nano.model.blank_id).nonzero()[:, 0].tolist()
        if written:
            start_s = max(start_s, segment.start_s + ROW_S * (written[0] - REACH_ROWS))
            end_s = min(end_s, segment.start_s + ROW_S * (written[-1] + 1 + REACH_ROWS))
        borders, confidences = aligned(nano, text, log_probs)
        places = [
            round(min(max(segment.start_s + ROW_S * row, start_s), end_s), 3) for row in borders
        ]
        characters = list(map(Character, text, places, places[1:], confidences))
    return Turn(
        channel=piece.channel,
        speaker=piece.speaker,
        start_s=round(start_s, 3),
        end_s=round(end_s, 3),
        text=str(text),
        characters=tuple(characters),
        cut_off=isinstance(text, CutOff),
    )


def aligned(
    nano: FunASRNano, text: str, log_probs: torch.Tensor
) -> tuple[list[int], list[float | None]]:
    """Returns the rows where the characters of a text begin, with the end of the last, and how
    likely each is; none where the branch cannot have written the text in so few rows."""
    tokens = ctc_tokens(nano, text)
    rows = token_rows(log_probs, tokens, nano.model.blank_id)
    if not rows:
        return [], []
    first = max(0, rows[0][0] - REACH_ROWS)
    last = min(len(log_probs), rows[-1][1] + 1 + REACH_ROWS)
    borders = spread_over_characters(nano, text, tokens, [first, *middles(rows), last])
    if not borders:
        return [], []
    likely = aligned_probabilities(log_probs, tokens, rows)
    # Characters that are written together share the tokens evenly, as they do the rows.
    written = (
        min(likely[begin + (end - begin) * i // n : end - (end - begin) * (n - 1 - i) // n])
        for begin, end, n in characters_of(nano, tokens)
        for i in range(n)
    )
    return borders, [round(next(written), 3) if ctc_text(nano, one) else None for one in text]
