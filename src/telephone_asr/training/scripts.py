"""Text alone: sentences that nobody spoke, put together from what was spoken, for stage 3.

A sentence is said in pieces of labelled utterances, the longest that there are, cut at the
characters' borders that the CTC branch finds; all of one voice where it has them. So it comes
through the frozen parts as speech does, with the line of real calls on it (after Zhao et al., "On
addressing practical challenges for RNN-Transducer", ASRU 2021, who splice words).
docs/unlabelled.md has what was tried beside it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from telephone_asr.channel.portable import generator
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import Example, is_written, prompt_for
from telephone_asr.manifests.reserved import Reserved
from telephone_asr.manifests.text import English, clean_transcript
from telephone_asr.textfiles import one_line, read_lines
from telephone_asr.training.plan import SCRIPTS

if TYPE_CHECKING:
    from telephone_asr.dataset.speech import Sounds

# What the conversation with the language model is laid out by, which no sentence may hold.
SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?think>")
LONGEST = 200  # characters of a sentence: a line that is longer is a text, and takes memory
LONGEST_PIECE = 4  # characters
POOL = 5000  # utterances that pieces are taken of
ROW_S, FRAME_S = 0.06, 0.01  # of the encoder's rows, which borders are in, and of its input
FADE_S = 0.005  # at both ends of a piece


class Piece(NamedTuple):
    """A stretch of an utterance, in rows of 60 ms."""

    source: str
    key: str
    start: int
    end: int


def read_scripts(path: Path, english: English, reserved: Reserved) -> tuple[list[str], int]:
    """Reads a file of sentences, one a line, as they are trained on, each once.

    Returns them, and how many were left out because a test set has them.

    Raises:
        InputError: a line is no sentence; file and line are named.
    """
    texts: dict[str, None] = {}
    left_out = 0
    for number, line in read_lines(path):
        if special := SPECIAL.search(line):
            raise InputError(
                f"{path}:{number} holds {one_line(special[0])}, which the prompt is laid out by: "
                "take it out."
            )
        text, _ = clean_transcript(line.strip(), english)
        if not 0 < len(text) <= LONGEST:
            raise InputError(
                f"{path}:{number} has {len(text)} characters to write: expected a sentence, 1 to "
                f"{LONGEST} of them."
            )
        if reserved.says(text):
            left_out += 1
        else:
            texts[text] = None
    if not texts:
        raise InputError(f"{path} holds no sentence to train on: expected one a line.")
    assert not any(map(reserved.says, texts))
    return list(texts), left_out


class Inventory:
    """Holds what is said in utterances, in pieces of up to LONGEST_PIECE characters, by speaker.

    Args:
        borders: of each utterance's characters, as `decoding.alignment` finds them.
    """

    def __init__(self, examples: Sequence[Example], borders: Sequence[Sequence[int]]):
        self._pieces: dict[str, dict[str, list[Piece]]] = defaultdict(lambda: defaultdict(list))
        for example, own in zip(examples, borders, strict=True):
            for text, start, end in _stretches(example.text, own):
                piece = Piece(example.source, example.key, start, end)
                self._pieces[example.speaker][text].append(piece)
        self._speakers = sorted(self._pieces)

    def say(self, text: str, rng: np.random.Generator) -> list[Piece]:
        """Returns pieces that say a text, in one voice where that has them all; none where a
        character of it is never said."""
        voices = [self._speakers[i] for i in rng.permutation(len(self._speakers))]
        said = [character for character in text if character.isalnum()]
        pieces: list[Piece] = []
        while said:
            size, piece = self._longest(said, voices, rng)
            if piece is None:
                return []
            pieces.append(piece)
            said = said[size:]
        return pieces

    def _longest(
        self, said: Sequence[str], voices: Sequence[str], rng: np.random.Generator
    ) -> tuple[int, Piece | None]:
        """Returns how many characters the longest piece says that the first voice with any has."""
        for voice in voices:
            for size in range(min(LONGEST_PIECE, len(said)), 0, -1):
                if own := self._pieces[voice].get("".join(said[:size])):
                    return size, own[int(rng.integers(len(own)))]
        return 0, None


def _stretches(text: str, borders: Sequence[int]) -> list[tuple[str, int, int]]:
    """Returns what is said from each character to a few after it, with the rows of it."""
    if len(borders) != len(text) + 1:  # could not be aligned
        return []
    spoken = [i for i, character in enumerate(text) if character.isalnum()]
    found = []
    for place in range(len(spoken)):
        for last in range(place, min(place + LONGEST_PIECE, len(spoken))):
            start, end = borders[spoken[place]], borders[spoken[last] + 1]
            if start < end:
                found.append(("".join(text[i] for i in spoken[place : last + 1]), start, end))
    return found


class Spoken:
    """Gives sentences that nobody spoke a sound: pieces, one after the other.

    Args:
        pieces: by the sentence's key.
        sounds: of the pieces' sources.
    """

    def __init__(self, pieces: Mapping[str, Sequence[Piece]], sounds: Mapping[str, Sounds]):
        self.pieces, self._sounds = pieces, sounds

    def __contains__(self, key: str) -> bool:
        return key in self.pieces

    def read(self, key: str) -> tuple[np.ndarray, int]:
        """Returns samples (int16, mono) and the sample rate in Hz."""
        cut, rate_hz = [], 0
        for piece in self.pieces[key]:
            samples, rate_hz = self._sounds[piece.source].read(piece.key)
            start, end = (round(row * ROW_S * rate_hz) for row in (piece.start, piece.end))
            cut.append(_faded(samples[start:end], round(FADE_S * rate_hz)))
        return np.concatenate(cut), rate_hz


def _faded(samples: np.ndarray, length: int) -> np.ndarray:
    ramp = np.minimum(1.0, (np.arange(len(samples)) + 1) / max(1, length))
    return np.rint(samples * ramp * ramp[::-1]).astype(np.int16)


def speak(
    sentences: Sequence[str],
    count: int,
    inventory: Inventory,
    sounds: Mapping[str, Sounds],
    tokenizer: Any,
    seed: int,
) -> tuple[list[Example], Spoken]:
    """Returns examples and what gives them a sound: so many, all sentences before one comes again
    in other pieces; fewer where nobody says a character, or the tokenizer does not know it."""
    texts = [sentences[number % len(sentences)] for number in range(count)]
    tokens = tokenizer(texts)["input_ids"] if texts else []
    # Asked for as their like is: with digits and punctuation, or without.
    prompt = prompt_for(sum(map(is_written, sentences)) / len(sentences))
    pieces: dict[str, list[Piece]] = {}
    examples = []
    for number, (text, own) in enumerate(zip(texts, tokens, strict=True)):
        key = f"script-{number}"
        said = inventory.say(text, generator(seed, key))
        if not said or tokenizer.unk_token_id in own:
            continue
        pieces[key] = said
        duration_s = ROW_S * sum(piece.end - piece.start for piece in said)
        frames = round(duration_s / FRAME_S)
        examples.append(Example(key, text, prompt, frames, len(own), duration_s, "", "", SCRIPTS))
    return examples, Spoken(pieces, sounds)
