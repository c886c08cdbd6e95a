"""The plan of the embedded corpus: synthetic Mandarin telephone business, who says what.

Three parts share their templates and little else: `wideband` is read speech for the telephone
simulation, `calls` stands for recorded calls, `unlabelled` for those that nobody wrote down. No
sentence and no voice is in two of them. `corpora/speak` speaks it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from telephone_asr.corpora import sentences
from telephone_asr.corpora.sentences import Grammar
from telephone_asr.errors import InputError

# Mean length of an utterance over all voices, measured: seconds a character, and beyond them.
CHARACTER_S = 0.187
OVERHEAD_S = 0.385
# Turns of 1 to 3 characters of each voice. Calls are full of them, and are tested on them.
SHORT_TURNS = {"wideband": 3, "calls": 21, "unlabelled": 12}
MOST_DRAWS = 1_000  # for one sentence that is not taken
VOICE_LIMITS = {"speed": (0.5, 2), "pitch_hz": (60, 400), "tract": (0.8, 1.25)}


@dataclass(frozen=True)
class Voice:
    """A speaker: a blend of the synthesiser's voices, and what is changed of it."""

    blend: dict[str, float]  # shares by name, which add up to 1
    speed: float
    pitch_hz: float  # median
    tract: float  # factor on the formants; > 1 is a shorter vocal tract


@dataclass(frozen=True)
class Utterance:
    """A sentence that a voice says."""

    id: str  # "syn-w-000123", "syn-c-000123", "syn-c-short-000123": unique over the parts
    text: str  # the transcript
    said: str  # what the voice says; differs from `text` only where annotation_error
    scene: str
    speaker: str
    annotation_error: bool

    @property
    def is_short(self) -> bool:
        return "-short-" in self.id


def plan(
    spec_path: Path,
    part: str,
    minutes: float,
    seed: int,
    wrong_transcripts: float = 0.0,
    taken: Collection[str] = (),
) -> list[Utterance]:
    """Draws the utterances of a part (one of sentences.PARTS), about `minutes` of speech.

    `wrong_transcripts` is the share that gets a wrong transcript; `taken` are sentences that none
    of them says. More minutes add utterances and leave the earlier ones as they are. Raises
    InputError where the specification is malformed.
    """
    spec = sentences.load_spec(spec_path)
    grammar = sentences.grammar(spec_path, spec)
    speakers = sorted(voices(spec_path, spec, part))
    used = set(taken)
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


def short_turns(spec_path: Path, part: str, seed: int) -> list[Utterance]:
    """Draws the short turns of a part: SHORT_TURNS of each voice, none of them twice.

    The parts share their words. Ids come after those of `plan`, and random numbers are their own:
    the plan stays as it is. Raises InputError where the specification is malformed.
    """
    spec = sentences.load_spec(spec_path)
    grammar = sentences.grammar(spec_path, spec)
    speakers, scenes = sorted(voices(spec_path, spec, part)), list(grammar.scenes)
    turns = []
    for index in range(SHORT_TURNS[part] * len(speakers)):
        id = f"syn-{part[0]}-short-{index:06d}"
        rng = sentences.generator(seed, id)
        turn, place = divmod(index, len(speakers))
        speaker = speakers[place]
        own = sentences.generator(seed, f"{speaker} short turns").permutation(len(grammar.short))
        said = grammar.fill(grammar.short[own[turn]], rng)
        scene = scenes[int(rng.integers(len(scenes)))]
        turns.append(Utterance(id, said, said, scene, speaker, annotation_error=False))
    return turns


def scripts(spec_path: Path, count: int, seed: int, taken: Collection[str]) -> list[str]:
    """Draws what agents and customers say in the calls' scenes, `count` sentences that are not
    `taken`, none of them twice. Raises InputError where the specification is malformed."""
    grammar = sentences.grammar(spec_path, sentences.load_spec(spec_path))
    templates = [one for scene in grammar.scenes.values() for key in scene for one in scene[key]]
    drawn: dict[str, None] = {}
    rng = sentences.generator(seed, "scripts")
    for place in range(MOST_DRAWS * count):
        sentence = grammar.fill(templates[place % len(templates)], rng)
        if sentence not in taken:
            drawn[sentence] = None
        if len(drawn) == count:
            return list(drawn)
    raise _too_few(len(drawn), "scripts")


def _unused(
    grammar: Grammar, part: str, used: set[str], rng: np.random.Generator
) -> tuple[str, str]:
    """Draws a (scene, sentence) of the part that no utterance before it has."""
    for _ in range(MOST_DRAWS):
        scene, sentence = grammar.draw(part, rng)
        own = part == "unlabelled" or sentences.part_of(sentence) == part
        if own and sentence not in used:
            used.add(sentence)
            return scene, sentence
    raise _too_few(len(used), part)


def _too_few(count: int, part: str) -> InputError:
    return InputError(
        f"The templates of the synthetic corpus give no more than about {count} sentences for "
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


def voices(path: Path, spec: dict, part: str) -> dict[str, Voice]:
    """Returns the voices of a part by speaker id, checked; their file is named in the errors."""
    if part not in sentences.PARTS:
        raise ValueError(f"part is {part!r}, not one of {', '.join(sentences.PARTS)}.")
    own = spec["voices"].get(part) if isinstance(spec["voices"], dict) else None
    if not isinstance(own, dict) or not own:
        raise InputError(f"{path}: 'voices.{part}' must name at least one voice.")
    return {
        f"syn-{part[0]}-{name}": _voice(path, f"voices.{part}.{name}", voice)
        for name, voice in own.items()
    }


def _voice(path: Path, key: str, voice: object) -> Voice:
    if not isinstance(voice, dict) or set(voice) != {"blend", *VOICE_LIMITS}:
        raise InputError(f"{path}: '{key}' must give blend, {', '.join(VOICE_LIMITS)}.")
    blend = voice["blend"]
    shares = list(blend.values()) if isinstance(blend, dict) else []
    if not all(isinstance(one, float | int) for one in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"{path}: '{key}.blend' must give names shares that add up to 1.")
    for number, (low, high) in VOICE_LIMITS.items():
        value = voice[number]
        if not isinstance(value, int | float) or not low <= value <= high:
            raise InputError(f"{path}: '{key}.{number}' must be from {low} to {high}.")
    return Voice(**voice)


def readings(path: Path, spec: dict) -> dict[str, str]:
    """Returns the readings, each with one syllable a character, checked."""
    own = spec["readings"]
    if not isinstance(own, dict):
        raise InputError(f"{path}: 'readings' must be a mapping of phrases to pinyin.")
    for phrase, reading in own.items():
        if not isinstance(reading, str) or len(reading.split()) != len(phrase):
            raise InputError(f"{path}: 'readings.{phrase}' must be one syllable a character.")
    return own
