"""Templates into sentences: hanzi alone, with random names, numbers, dates and amounts."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from telephone_asr.channel.portable import random_numbers
from telephone_asr.errors import InputError
from telephone_asr.textfiles import read_text

PARTS = ("wideband", "calls", "unlabelled")
SENTENCE_KINDS = ("turns", "content", "sentences")

_DIGITS = "零一二三四五六七八九"
_UNITS = ((10_000, "万"), (1_000, "千"), (100, "百"), (10, "十"))
_SLOT = re.compile(r"\{([^{}]*)\}")
_NUMBER_RANGE = re.compile(r"(\d+)-(\d+)(?::([1-9]\d*))?")
_TEMPLATE = re.compile(r"(?:[\u4e00-\u9fff]|\{[^{}]*\})+")


def generator(seed: int, key: str) -> np.random.Generator:
    """Returns the random numbers of `key` (an utterance id): the same in any process and order."""
    return random_numbers([seed, zlib.crc32(key.encode())])


def numeral(number: int) -> str:
    """Returns a whole number below 100,000 as it is said.

    >>> [numeral(n) for n in (0, 12, 20, 205, 320, 2_005, 12_000)]
    ['零', '十二', '二十', '两百零五', '三百二十', '两千零五', '一万两千']
    """
    if number < 10:
        return _DIGITS[number]
    said, rest, gap = "", number, False
    for value, unit in _UNITS:
        count, rest = divmod(rest, value)
        if not count:
            gap = bool(said)
            continue
        digit = "两" if count == 2 and value >= 100 else _DIGITS[count]
        said += ("零" if gap else "") + digit + unit
        gap = False
    if rest:
        said += ("零" if gap else "") + _DIGITS[rest]
    return said.removeprefix("一") if 10 <= number < 20 else said


@dataclass(frozen=True)
class Grammar:
    """A specification's text side, of which every template has been checked."""

    mix: dict[str, float]
    words: dict[str, list[str]]
    turns: list[str]
    content: list[str]
    short: list[str]  # turns of a few characters, which are no part of the mix
    scenes: dict[str, dict[str, list[str]]]  # "sentences", and "calls" of calls alone

    def draw(self, part: str, rng: np.random.Generator) -> tuple[str, str]:
        """Draws a (scene, sentence); the sentence may be one that belongs to the other part."""
        scene = _choice(list(self.scenes), rng)
        shares = [self.mix[kind] for kind in SENTENCE_KINDS]
        kind = SENTENCE_KINDS[rng.choice(len(SENTENCE_KINDS), p=shares)]
        templates = {"turns": self.turns, "content": self.content}.get(kind)
        if templates is None:
            parts = self.scenes[scene]
            templates = parts["sentences"] + ([] if part == "wideband" else parts["calls"])
        return scene, self.fill(_choice(templates, rng), rng)

    def fill(self, template: str, rng: np.random.Generator) -> str:
        """Replaces every slot of a template by a random word or number."""

        def replace(slot: re.Match) -> str:
            if bounds := _NUMBER_RANGE.fullmatch(slot[1]):
                return numeral(int(rng.choice(_numbers(bounds))))
            return self.fill(_choice(self.words[slot[1]], rng), rng)

        return _SLOT.sub(replace, template)

    def characters(self) -> list[str]:
        """Returns every character that a sentence of the mix can hold, sorted."""
        texts = [*self.turns, *self.content, *_DIGITS, "两", *(unit for _, unit in _UNITS)]
        for templates in self.words.values():
            texts += templates
        for parts in self.scenes.values():
            texts += parts["sentences"] + parts["calls"]
        return sorted(set(_SLOT.sub("", "".join(texts))))


def part_of(sentence: str) -> str:
    """Returns the part that a sentence belongs to: a quarter of them are kept for the calls.

    The sentence alone decides, so these two share none, whatever their lengths and seeds. Calls
    that nobody wrote down (`unlabelled`) take what is left of both.
    """
    return "calls" if zlib.crc32(sentence.encode()) % 4 == 0 else "wideband"


def load_spec(path: Path) -> dict:
    """Reads the specification as plain data.

    Raises InputError where it cannot be read or one of its sections is missing.
    """
    try:
        spec = YAML(typ="safe", pure=True).load(read_text(path))
    except YAMLError as error:
        raise InputError(
            f"{path}: cannot be read as YAML: {' '.join(str(error).split())}."
        ) from error
    for key in ("mix", "words", "turns", "content", "short", "scenes", "readings", "voices"):
        if not isinstance(spec, dict) or not spec.get(key):
            raise InputError(f"{path}: the section '{key}' is missing or empty; add it.")
    return spec


def grammar(path: Path, spec: dict) -> Grammar:
    """Checks the grammar of a loaded specification; `path` is named in the errors."""
    mix = spec["mix"]
    numbers = isinstance(mix, dict) and all(isinstance(v, int | float) for v in mix.values())
    if not numbers or set(mix) != set(SENTENCE_KINDS) or abs(sum(mix.values()) - 1) > 1e-6:
        raise InputError(
            f"{path}: 'mix' must give {', '.join(SENTENCE_KINDS)} shares that add up to 1."
        )
    words = _mapping(path, "words", spec["words"])
    lists = {f"words.{name}": templates for name, templates in words.items()}
    lists |= {key: spec[key] for key in ("turns", "content", "short")}
    scenes = _mapping(path, "scenes", spec["scenes"])
    for scene, parts in scenes.items():
        parts = _mapping(path, f"scenes.{scene}", parts)
        lists |= {f"scenes.{scene}.{key}": parts.get(key) for key in ("sentences", "calls")}
    for key, templates in lists.items():
        _check(path, key, templates, words)
    return Grammar(mix, words, spec["turns"], spec["content"], spec["short"], scenes)


def _mapping(path: Path, key: str, value: object) -> dict:
    if not isinstance(value, dict):
        raise InputError(f"{path}: '{key}' must be a mapping of names to lists.")
    return value


def _check(path: Path, key: str, templates: object, words: dict) -> None:
    """Raises InputError unless `templates` is a list of templates whose slots all exist."""
    if not isinstance(templates, list) or not templates:
        raise InputError(f"{path}: '{key}' must be a list with at least one template.")
    for template in templates:
        if not isinstance(template, str) or not _TEMPLATE.fullmatch(template):
            raise InputError(
                f"{path}: '{key}' holds {template!r}, but only hanzi and {{slots}} go."
            )
        for slot in _SLOT.findall(template):
            bounds = _NUMBER_RANGE.fullmatch(slot)
            # A list may only use lists above it, so that no template contains itself.
            earlier = list(words)
            if key.startswith("words."):
                earlier = earlier[: earlier.index(key.removeprefix("words."))]
            if bounds and not 0 <= max(_numbers(bounds), default=-1) < 100_000:
                raise InputError(f"{path}: '{key}' has no number below 100,000 in {{{slot}}}.")
            if not bounds and slot not in earlier:
                raise InputError(
                    f"{path}: '{key}' uses {{{slot}}}, but no list above has that name."
                )


def _numbers(bounds: re.Match) -> range:
    low, high, step = bounds.groups(default="1")
    return range(int(low), int(high) + 1, int(step))


def _choice(entries: Sequence[str], rng: np.random.Generator) -> str:
    return entries[int(rng.integers(len(entries)))]
