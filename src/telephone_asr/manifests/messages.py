"""Manifest lines in FunASR's messages format, written and read.

FunASR's own dataset (funasr/datasets/fun_asr_datasets) reads them as they are.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.textfiles import byte_lines, json_object

SYSTEM = "You are a helpful assistant."
PROMPT = "语音转写："
PROMPT_VERBATIM = "语音转写，不进行文本规整："
WRITTEN_SHARE = 0.1  # calls without punctuation name a number this often, and slips are rarer
# What only a transcript holds that was written out of what was said.
_NORMALISED = re.compile(r"[0-9０-９，。？！、；：,.?!;:%“”‘’《》（）()…—]")


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance to train on or to score."""

    key: str
    text: str
    prompt: str
    speech_length: int  # 10 ms fbank frames
    text_length: int  # tokens
    duration_s: float
    speaker: str
    scene: str
    source: str  # wideband, simulated or telecall
    corpus: str = ""  # its name in a list of several


def is_written(text: str) -> bool:
    """Returns whether a transcript holds digits or punctuation."""
    return bool(_NORMALISED.search(text))


def prompt_for(share_written: float) -> str:
    """Returns the prompt of a corpus, of whose transcripts this share holds digits or punctuation:
    where few do, they are slips, and the model is asked for verbatim text."""
    return PROMPT if share_written > WRITTEN_SHARE else PROMPT_VERBATIM


def manifest_line(example: Example, audio: str) -> str:
    """Returns one line of JSON; `audio` is where `telephone-asr unpack` puts the sound."""
    user = f"{example.prompt}<|startofspeech|>!{audio}<|endofspeech|>"
    fields = {
        "key": example.key,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": user},
            {"role": "assistant", "content": example.text},
        ],
        "speech_length": example.speech_length,
        "text_length": example.text_length,
        "duration": round(example.duration_s, 4),
        "speaker": example.speaker,
        "scene": example.scene,
        "source": example.source,
    }
    if example.corpus:
        fields["corpus"] = example.corpus
    return json.dumps(fields, ensure_ascii=False)


def read_manifest(path: Path) -> list[Example]:
    """Reads the examples of a manifest, in its order.

    Raises:
        InputError: the file is missing or a line of it is none of ours; the line is named.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run `dvc repro manifests`.")
    examples = []
    for number, line in byte_lines(path):
        try:
            examples.append(_example(json_object(line)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(
                f"{path}:{number} is no manifest line ({type(error).__name__}: {error}): "
                "run `dvc repro manifests`."
            ) from None
    return examples


def _example(fields: dict) -> Example:
    """Interns strings: a million lines share few prompts, speakers, scenes and sources."""
    user, assistant = fields["messages"][1:3]
    return Example(
        key=fields["key"],
        text=assistant["content"],
        prompt=sys.intern(user["content"].split("<|startofspeech|>")[0]),
        speech_length=fields["speech_length"],
        text_length=fields["text_length"],
        duration_s=fields["duration"],
        speaker=sys.intern(fields["speaker"]),
        scene=sys.intern(fields["scene"]),
        source=sys.intern(fields["source"]),
        corpus=sys.intern(fields.get("corpus", "")),
    )
