"""New utterances from pieces of others: sound and text belong together."""

from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from telephone_asr.dataset.batching import in_order
from telephone_asr.decoding import alignment
from telephone_asr.decoding.alignment import character_borders
from telephone_asr.training import splice
from telephone_asr.training.splice import Splicer

TEXTS = ["一二三四", "五六", "七八九十百千", "万"]
BORDERS = [[0, 3, 4, 9, 12], [0, 5, 6], [0, 1, 2, 3, 4, 5, 20], []]  # the last is not aligned
ROWS = [12, 6, 20, 7]


class Numbered:
    """Inputs whose rows say which utterance and row they are."""

    level = "encoded"
    lengths = ROWS

    def __init__(self):
        self.examples = [
            SimpleNamespace(key=f"u{i}", text=text, prompt="prompt") for i, text in enumerate(TEXTS)
        ]
        self._rows = [
            torch.stack([torch.full((n,), i), torch.arange(n)], dim=1) for i, n in enumerate(ROWS)
        ]

    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, index):
        return self._rows[index].float()


def splicer(steps: int = 20, seed: int = 0) -> Splicer:
    return Splicer(Numbered(), BORDERS, [[0, 1, 2, 3, 0] for _ in range(steps)], seed)


def rows_of(character: str) -> list[tuple[int, int]]:
    """Where a character's sound lies."""
    for i, text in enumerate(TEXTS):
        if character in text:
            borders = BORDERS[i] or [0, ROWS[i]]
            at = text.index(character)
            return [(i, row) for row in range(borders[at], borders[at + 1])]
    raise AssertionError(character)


def test_each_characters_rows_are_in_the_sound_in_the_texts_order():
    made = splicer()
    spliced, opening = 0, round(20 * splice.OPENING)
    for step in range(20):
        batch = made.batch(step)
        size = 10 if step < opening else 5
        assert len(batch.texts) == len(batch.prompts) == len(batch.inputs) == size
        assert set(batch.prompts) == {"prompt"}
        for row, length, text in zip(batch.inputs, batch.lengths, batch.texts, strict=True):
            expected = [place for character in text for place in rows_of(character)]
            assert [tuple(map(int, r)) for r in row[:length]] == expected
            assert not row[length:].any()
            assert text
            spliced += text not in TEXTS
    assert spliced > 0.8 * (10 * opening + int(5 * splice.SHARE) * (20 - opening))


def test_the_same_step_makes_the_same_batch_whatever_came_before():
    one, other = splicer(), splicer()
    for step in (3, 0, 7):
        other.batch(step)
    for step in (0, 3):
        assert one.batch(step).texts == other.batch(step).texts
        assert torch.equal(one.batch(step).inputs, other.batch(step).inputs)
    assert splicer(seed=1).batch(0).texts != one.batch(0).texts


def test_the_first_batches_are_spliced_altogether_and_grow_longer():
    opening = 500
    made = splicer(steps=round(opening / splice.OPENING))
    longest = [max(len(text) for text in made.batch(step).texts) for step in range(opening)]
    assert all(len(made.batch(step).texts) == 10 and not made.batch(step).keys for step in (0, 499))
    assert max(longest[:35]) == 2
    assert max(longest) == max(longest[-40:]) == splice.LONGEST


def test_later_a_share_of_each_batch_is_spliced_and_the_rest_stays_whole():
    made = splicer(steps=20)
    n_whole = 5 - int(splice.SHARE * 5)
    assert 0 < n_whole < 5
    for step in range(10, 20):
        batch = made.batch(step)
        assert batch.keys == ["u0", "u1", "u2", "u3", "u0"][:n_whole]
        assert batch.texts[:n_whole] == [*TEXTS, TEXTS[0]][:n_whole]
        assert len(batch.texts) == 5


def test_a_batch_of_one_stays_whole_after_the_opening():
    batch = Splicer(Numbered(), BORDERS, [[2]] * 2, seed=0).batch(1)
    assert batch.texts == [TEXTS[2]]


def test_a_spliced_text_is_no_longer_than_the_limits():
    made = splicer(steps=200)
    lengths = Counter(len(text) for step in range(100, 160) for text in made.batch(step).texts[3:])
    assert max(lengths) <= splice.LONGEST
    assert len(lengths) > 8


# --- Borders by forced alignment


@pytest.fixture
def encoded(fitted, make_inputs, tmp_path):
    inputs = make_inputs(fitted)
    inputs.precompute(fitted, "encoded", 200, tmp_path / "frozen")
    return inputs


def test_borders_cover_each_utterance_and_give_every_character_some_sound(fitted, encoded):
    borders = character_borders(fitted, encoded, max_batch_rows=200)
    aligned = 0
    for example, own, length in zip(encoded.examples, borders, encoded.lengths, strict=True):
        if not own:
            repeats = sum(a == b for a, b in zip(example.text, example.text[1:], strict=False))
            assert length < len(example.text) + repeats
            continue
        aligned += 1
        assert own[0] == 0
        assert own[-1] == length
        assert len(own) == len(example.text) + 1
        assert all(a < b for a, b in pairwise(own))
    assert aligned >= 10


def test_borders_lie_between_the_peaks_of_a_clear_ctc_output(monkeypatch):
    """Tokens 1, 2, 2, 3 at rows 2-3, 6, 9 and 12 of 15, blanks elsewhere."""
    path = [0, 0, 1, 1, 0, 0, 2, 0, 0, 2, 0, 0, 3, 0, 0]
    log_probs = torch.full((15, 4), -20.0)
    log_probs[range(15), path] = 0.0
    own = alignment.token_borders(log_probs, [1, 2, 2, 3], blank=0)
    assert own == [0, 5, 8, 11, 15]
    assert alignment.token_borders(log_probs[:3], [1, 2, 2, 3], blank=0) == []
    assert (
        alignment.token_borders(log_probs[:4], [1, 2, 2, 3], blank=0) == []
    )  # a blank between 2 and 2


class CharactersAndBytes:
    """A CTC tokenizer with tokens of several characters, of one, and of half a one."""

    TOKENS = (b"300", "元".encode(), "好".encode(), "贷".encode()[:2], "贷".encode()[2:])

    def decode(self, tokens):
        return b"".join(self.TOKENS[token] for token in tokens).decode(errors="replace")


@pytest.mark.parametrize(
    ("text", "tokens", "borders", "expected"),
    [
        ("300元", [0, 1], [0, 6, 10], [0, 2, 4, 6, 10]),  # three digits share six rows
        ("好，贷。", [2, 3, 4], [0, 3, 5, 9], [0, 3, 3, 9, 9]),  # punctuation has no row
        ("好好", [2, 2], [], []),
        ("好元", [2], [0, 9], []),  # a character that no token writes
    ],
)
def test_borders_of_tokens_become_borders_of_characters(text, tokens, borders, expected):
    nano = SimpleNamespace(
        model=SimpleNamespace(ctc_tokenizer=CharactersAndBytes()),
        config={"dataset_conf": {"ctc_target_normalize": True}},
    )
    assert alignment.spread_over_characters(nano, text, tokens, borders) == expected


def test_borders_do_not_depend_on_the_batches(fitted, encoded):
    assert len(in_order(encoded.lengths, 60)) > len(in_order(encoded.lengths, 400))
    few, many = (character_borders(fitted, encoded, max_batch_rows=n) for n in (60, 400))
    assert few == many


def test_borders_are_the_same_where_encoder_outputs_do_not_fit_on_disk(
    fitted, encoded, make_inputs
):
    features = make_inputs(fitted, cache_mb=0)
    expected = character_borders(fitted, encoded, max_batch_rows=200)
    assert character_borders(fitted, features, max_batch_rows=200) == expected


def test_an_utterance_in_which_nobody_speaks_stays_whole_and_is_in_no_other():
    made = splicer()
    made.dataset.examples[1].text, made.borders[1] = "", []
    for step in range(20):
        batch = made.batch(step)
        silent = [i for i, text in enumerate(batch.texts) if not text]
        assert [batch.keys[i] for i in silent] == ["u1"]
        assert batch.inputs[silent[0], : ROWS[1], 0].tolist() == [1.0] * ROWS[1]
        spoken = [i for i in range(len(batch.texts)) if i not in silent]
        lengths = batch.lengths.tolist()
        assert not any((batch.inputs[i, : lengths[i], 0] == 1).any() for i in spoken)
    made.batches[0] = [1, 1]
    assert made.batch(0).texts == ["", ""]
