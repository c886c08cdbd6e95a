"""When characters are said and how surely, by rows of the CTC branch that are known."""

import torch

from telephone_asr.calls.times import aligned
from telephone_asr.model.pretrained import load


def rows(nano, *written: tuple[str, float]) -> torch.Tensor:
    """Log probabilities of rows that write a character each (empty: a blank), so likely."""
    tokens = nano.model.ctc_tokenizer
    probabilities = torch.full((len(written), nano.model.blank_id + 1), 1e-6)
    for row, (character, likely) in zip(probabilities, written, strict=True):
        row[nano.model.blank_id] = 1 - likely
        if character:
            row[tokens.encode(character)[0]] = likely
    return probabilities.log()


def test_a_character_is_as_sure_as_the_likeliest_of_its_rows(tiny_directory):
    nano = load(tiny_directory)
    written = ("", 0.0), ("您", 0.3), ("您", 0.9), ("", 0.0), ("好", 0.2), ("", 0.0)
    borders, confidences = aligned(nano, "您好", rows(nano, *written))
    assert confidences == [0.9, 0.2]
    assert len(borders) == 3
    assert borders[0] < 2 < borders[1] <= 4 < borders[2]


def test_what_the_branch_does_not_write_has_no_confidence(tiny_directory):
    nano = load(tiny_directory)
    nano.config["dataset_conf"]["ctc_target_normalize"] = True
    written = ("您", 0.8), ("", 0.0), ("好", 0.7), ("", 0.0)
    _, confidences = aligned(nano, "您，好。", rows(nano, *written))
    assert confidences == [0.8, None, 0.7, None]


def test_a_text_that_is_too_long_for_its_rows_has_neither(tiny_directory):
    nano = load(tiny_directory)
    assert aligned(nano, "您好", rows(nano, ("您", 0.9))) == ([], [])


def test_other_words_than_those_that_are_heard_are_unsure(tiny_directory):
    nano = load(tiny_directory)
    written = ("您", 0.9), ("", 0.0), ("好", 0.9), ("", 0.0)
    _, confidences = aligned(nano, "您是", rows(nano, *written))
    assert confidences[0] == 0.9
    assert confidences[1] < 0.01
