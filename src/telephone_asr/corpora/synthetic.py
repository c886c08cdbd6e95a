"""The embedded corpus: synthetic Mandarin telephone business, spoken by espeak-ng.

Two parts share their templates and nothing else: `wideband` is read speech for the telephone
simulation, `calls` stands for recorded calls. No sentence and no voice is in both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from telephone_asr.channel.portable import rounded
from telephone_asr.corpora import sentences, speech
from telephone_asr.corpora.sentences import Grammar
from telephone_asr.corpora.speech import SAMPLE_RATE_HZ
from telephone_asr.errors import InputError

__all__ = ["SAMPLE_RATE_HZ", "Utterance", "plan", "speak"]

# Mean length of an utterance over all voices, measured: seconds a character, and beyond them.
CHARACTER_S = 0.265
OVERHEAD_S = 0.34
MARGIN_S = (0.05, 0.2)  # silence before and after the speech
LEVEL_DB = (-12.0, -2.0)  # peak of an utterance, relative to full scale
RATE_JITTER = 0.06
PITCH_JITTER = 4  # of espeak's 99
TRACT_JITTER = 0.02
VOICE_LIMITS = {"pitch": (0, 99), "range": (0, 99), "rate": (80, 450), "tract": (0.8, 1.25)}


@dataclass(frozen=True)
class Utterance:
    """A sentence that a voice says."""

    id: str  # "syn-w-000123", "syn-c-000123": unique over both parts
    text: str  # the transcript
    said: str  # what the voice says; differs from `text` only where annotation_error
    scene: str
    speaker: str
    annotation_error: bool


def plan(
    spec_path: Path, part: str, minutes: float, seed: int, wrong_transcripts: float = 0.0
) -> list[Utterance]:
    """Draws the utterances of a part ("wideband" or "calls"), about `minutes` of speech.

    `wrong_transcripts` is the share that gets a wrong transcript. More minutes add utterances and
    leave the earlier ones as they are. Raises InputError where the specification is malformed.
    """
    spec = sentences.load_spec(spec_path)
    grammar = sentences.grammar(spec_path, spec)
    speakers = sorted(_voices(spec_path, spec, part))
    used: set[str] = set()
    utterances: list[Utterance] = []
    duration_s = 0.0
    while duration_s < 60 * minutes:
        index = len(utterances)
        id = f"syn-{part[0]}-{index:06d}"
        rng = sentences.generator(seed, id)
        scene, said = _unused(grammar, part, used, rng)
        # Evenly spread: every stretch of the part has its share.
        wrong = int((index + 1) * wrong_transcripts) > int(index * wrong_transcripts)
        text = _wrong_transcript(said, grammar, part, used, rng) if wrong else said
        # Every round of utterances takes each voice once, in an order of its own.
        turn, place = divmod(index, len(speakers))
        order = sentences.generator(seed, f"{part} voices {turn}").permutation(len(speakers))
        utterances.append(Utterance(id, text, said, scene, speakers[order[place]], wrong))
        duration_s += OVERHEAD_S + CHARACTER_S * len(said)
    return utterances


def speak(
    spec_path: Path, utterances: Sequence[Utterance], seed: int, workers: int = 1
) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Yields each utterance with its audio, in the order given: mono int16 at SAMPLE_RATE_HZ.

    An utterance's bytes depend on the specification, the utterance and `seed`, on nothing else.
    """
    spec = sentences.load_spec(spec_path)
    voices = {**_voices(spec_path, spec, "wideband"), **_voices(spec_path, spec, "calls")}
    readings = _readings(spec_path, spec)
    requests = (_request(u, voices[u.speaker], readings, seed) for u in utterances)
    yield from zip(utterances, speech.synthesise(requests, workers), strict=True)


def _unused(
    grammar: Grammar, part: str, used: set[str], rng: np.random.Generator
) -> tuple[str, str]:
    """Draws a (scene, sentence) of the part that no utterance before it has."""
    for _ in range(1_000):
        scene, sentence = grammar.draw(part, rng)
        if sentence not in used and sentences.part_of(sentence) == part:
            used.add(sentence)
            return scene, sentence
    raise InputError(
        f"The templates of the synthetic corpus give no more than about {len(used)} sentences for "
        f"'{part}'; ask for fewer minutes or add templates."
    )


def _wrong_transcript(
    said: str, grammar: Grammar, part: str, used: set[str], rng: np.random.Generator
) -> str:
    """Draws another sentence, or replaces 30-50 % of the characters of `said`."""
    if len(said) < 4 or rng.random() < 0.5:
        return _unused(grammar, part, used, rng)[1]
    characters = grammar.characters()
    while True:
        text = list(said)
        count = round(len(text) * rng.uniform(0.3, 0.5))
        for place in rng.choice(len(text), size=max(count, 1), replace=False):
            text[place] = str(rng.choice([c for c in characters if c != text[place]]))
        wrong = "".join(text)
        if wrong not in used and sentences.part_of(wrong) == part:
            used.add(wrong)
            return wrong


def _request(
    utterance: Utterance, voice: dict, readings: dict[str, str], seed: int
) -> speech.Request:
    """Draws how the voice says it: its settings, varied a little from one to the next."""
    rng = sentences.generator(seed, f"{utterance.id} voice")
    before_s, after_s = rng.uniform(*MARGIN_S, size=2)
    return speech.Request(
        pinyin=" ".join(speech.pinyin(utterance.said, readings)),
        variant=voice["variant"],
        pitch=int(np.clip(voice["pitch"] + rng.integers(-PITCH_JITTER, PITCH_JITTER + 1), 0, 99)),
        pitch_range=voice["range"],
        rate=round(voice["rate"] * rng.uniform(1 - RATE_JITTER, 1 + RATE_JITTER)),
        tract=rounded(voice["tract"] * rng.uniform(1 - TRACT_JITTER, 1 + TRACT_JITTER)),
        level_db=rounded(rng.uniform(*LEVEL_DB)),
        before_s=before_s,
        after_s=after_s,
    )


def _voices(path: Path, spec: dict, part: str) -> dict[str, dict]:
    """Returns the voices of a part by speaker id, checked."""
    if part not in sentences.PARTS:
        raise ValueError(f"part is {part!r}, not one of {', '.join(sentences.PARTS)}.")
    voices = spec["voices"].get(part) if isinstance(spec["voices"], dict) else None
    if not isinstance(voices, dict) or not voices:
        raise InputError(f"{path}: 'voices.{part}' must name at least one voice.")
    for name, voice in voices.items():
        key = f"voices.{part}.{name}"
        if not isinstance(voice, dict) or set(voice) != {"variant", *VOICE_LIMITS}:
            raise InputError(f"{path}: '{key}' must give variant, {', '.join(VOICE_LIMITS)}.")
        if voice["variant"] not in speech.variants():
            raise InputError(f"{path}: '{key}.variant' {voice['variant']!r} is not in espeak-ng.")
        for number, (low, high) in VOICE_LIMITS.items():
            value = voice[number]
            if not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{path}: '{key}.{number}' must be from {low} to {high}.")
    return {f"syn-{part[0]}-{name}": voice for name, voice in voices.items()}


def _readings(path: Path, spec: dict) -> dict[str, str]:
    """Returns the readings, each with one syllable a character, checked."""
    readings = spec["readings"]
    if not isinstance(readings, dict):
        raise InputError(f"{path}: 'readings' must be a mapping of phrases to pinyin.")
    for phrase, reading in readings.items():
        if not isinstance(reading, str) or len(reading.split()) != len(phrase):
            raise InputError(f"{path}: 'readings.{phrase}' must be one syllable a character.")
    return readings
