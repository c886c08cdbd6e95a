"""What a model is tested on, which nothing that it is trained on may hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.manifests.text import syllables
from telephone_asr.names import TEST_SETS
from telephone_asr.scoring.normalise import normalise_for_scoring

SENTENCE_IN_TEST = "sentence_in_test"  # why a sentence is left out


@dataclass
class Tested:
    """The utterances, speakers and sentences of all test sets."""

    keys: set[str] = field(default_factory=set)
    speakers: set[str] = field(default_factory=set)
    sentences: set[str] = field(default_factory=set)  # without those that any set may have

    def says(self, text: str) -> bool:
        """Returns whether a test set has this sentence, however it is written."""
        return compared(text) in self.sentences


def read_tested(manifests: Path, short: int) -> Tested:
    """Reads the test sets. short: syllables; no longer sentences may be in several sets."""
    tested = Tested()
    for name in TEST_SETS:
        for example in read_manifest(manifests / name / "test.jsonl"):
            tested.keys.add(example.key)
            tested.speakers.add(example.speaker)
            if syllables(example.text) > short:
                tested.sentences.add(compared(example.text))
    return tested


def compared(text: str) -> str:
    """Returns what is equal for texts that say the same: as scoring compares, or closer."""
    return normalise_for_scoring(text).replace(" ", "")


def assert_untested(examples: Iterable[Example], tested: Tested) -> None:
    """Raises AssertionError where something of a test set is to be trained on."""
    for example in examples:
        assert example.key not in tested.keys, f"{example.key} is in a test set"
        assert example.speaker not in tested.speakers, f"{example.speaker} is in a test set"
        assert not tested.says(example.text), f"a test set says '{example.text}'"
