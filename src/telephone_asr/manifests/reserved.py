"""What test sets hold, which nothing that it is trained on may hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.manifests.text import syllables
from telephone_asr.names import TEST_SETS
from telephone_asr.paths import TESTS
from telephone_asr.scoring.normalise import normalise_for_scoring

SENTENCE_IN_TEST = "sentence_in_test"  # why a sentence is left out


@dataclass
class Reserved:
    """The utterances, speakers and sentences of all test sets."""

    keys: set[str] = field(default_factory=set)
    speakers: set[str] = field(default_factory=set)
    sentences: set[str] = field(default_factory=set)  # without those that any set may have

    def says(self, text: str) -> bool:
        """Returns whether a test set has this sentence, however it is written."""
        return compared(text) in self.sentences


def read_reserved(manifests: Path, short: int) -> Reserved:
    """Reads the test sets. short: syllables; no longer sentences may be in several sets."""
    reserved = Reserved()
    own = sorted((manifests / TESTS).glob("*/test.jsonl"))
    for path in (*(manifests / name / "test.jsonl" for name in TEST_SETS), *own):
        for example in read_manifest(path):
            reserved.keys.add(example.key)
            if path not in own:  # the agents of a golden set are those of all calls
                reserved.speakers.add(example.speaker)
            if syllables(example.text) > short:
                reserved.sentences.add(compared(example.text))
    return reserved


def compared(text: str) -> str:
    """Returns what is equal for texts that say the same: as scoring compares, or closer."""
    return normalise_for_scoring(text).replace(" ", "")


def assert_not_reserved(examples: Iterable[Example], reserved: Reserved) -> None:
    """Raises AssertionError where something of a test set is to be trained on."""
    for example in examples:
        assert example.key not in reserved.keys, f"{example.key} is in a test set"
        assert example.speaker not in reserved.speakers, f"{example.speaker} is in a test set"
        assert not reserved.says(example.text), f"a test set says '{example.text}'"
