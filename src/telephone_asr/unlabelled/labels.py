"""What a model says of a turn that nobody wrote down, and how far it can be trusted: a label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.textfiles import json_lines


@dataclass(frozen=True, slots=True)
class Label:
    """A turn's label, one line of data/pseudo/*.jsonl; docs/unlabelled.md says what each measures.

    What belongs to the CTC branch or to a second model is None where there is none.
    """

    id: str
    speaker: str
    text: str  # the language model's
    confidence: float  # mean probability of its tokens
    ctc_text: str | None
    ctc_confidence: float | None
    distance: float | None  # of the two texts, in characters, of the longer
    loop: bool  # the text repeats what the CTC branch does not, or never came to its end
    characters_per_s: float  # of the speech
    speech_s: float  # in which somebody speaks (ITU-T P.56)
    second_text: str | None = None
    second_distance: float | None = None  # of the language model's text and the second model's
    reference: str | None = None  # what was said, where somebody wrote it down
    reference_score: float | None = None  # its log probability per token, by the CTC branch


def label_line(label: Label) -> str:
    """Returns a label as one line of JSON; a turn that nobody wrote down has no `reference`."""
    fields = asdict(label)
    if label.reference is None:
        del fields["reference"], fields["reference_score"]
    return json.dumps(fields, ensure_ascii=False) + "\n"


def read_labels(path: Path) -> Iterator[Label]:
    """Yields the labels of a file, in its order.

    Raises:
        InputError: the file is missing, or a line of it is no label; the line is named.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run `dvc repro pseudo_label`.")
    for number, fields in enumerate(json_lines(path, "run `dvc repro pseudo_label`"), start=1):
        try:
            yield Label(**fields)
        except TypeError as error:
            raise InputError(
                f"{path}:{number} is no label ({error}): run `dvc repro pseudo_label`."
            ) from None
