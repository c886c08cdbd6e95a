"""Character error rate against the textbook dynamic programme."""

import dataclasses
import doctest
import json
import math
import random

import pytest

from telephone_asr.scoring import cer
from telephone_asr.scoring.cer import ErrorRate, character_errors, errors_of, score, units


def edit_distance(reference: str, hypothesis: str) -> int:
    """Wagner and Fischer (1974), one row of the table at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(hypothesis, start=1):
            substitution = diagonal + (expected != found)
            diagonal = row[j]
            row[j] = min(substitution, row[j] + 1, row[j - 1] + 1)
    return row[-1]


def random_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of 0 to 20 characters; half of the hypotheses are the reference with random edits."""
    generator = random.Random(seed)
    alphabet = "还款百一二的吗 ab𠮷"

    def text(longest: int) -> str:
        return "".join(generator.choices(alphabet, k=generator.randint(0, longest)))

    def garbled(reference: str) -> str:
        return "".join(
            generator.choice(["", text(2), character + text(1)])
            if generator.random() < 0.3
            else character
            for character in reference
        )

    references = [text(20) for _ in range(count)]
    return [(ref, garbled(ref) if generator.random() < 0.5 else text(20)) for ref in references]


def test_doctests():
    result = doctest.testmod(cer)
    assert result.attempted >= 5
    assert result.failed == 0


def test_agrees_with_the_dynamic_programme():
    for reference, hypothesis in random_pairs(3000, seed=1):
        found = character_errors(reference, hypothesis)
        assert found.errors == edit_distance(reference, hypothesis), (reference, hypothesis)
        assert found.length == len(reference)
        assert found.length + found.insertions - found.deletions == len(hypothesis)
        assert min(found.substitutions, found.deletions, found.insertions) >= 0
        assert found.substitutions + found.deletions <= found.length


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", ErrorRate(0, 0, 0, 0)),
        ("", "喂喂", ErrorRate(0, 0, 2, 0)),
        ("您好", "", ErrorRate(0, 2, 0, 2)),
        ("您好", "你好", ErrorRate(1, 0, 0, 2)),
        ("您好吗", "您好", ErrorRate(0, 1, 0, 3)),
        ("您好", "您您好", ErrorRate(0, 0, 1, 2)),
    ],
)
def test_by_hand(reference, hypothesis, expected):
    assert character_errors(reference, hypothesis) == expected


def test_equal_texts_have_no_errors_and_exchange_swaps_deletions_and_insertions():
    for reference, hypothesis in random_pairs(300, seed=2):
        assert character_errors(reference, reference) == ErrorRate(length=len(reference))
        forth, back = (
            character_errors(reference, hypothesis),
            character_errors(hypothesis, reference),
        )
        assert forth.errors == back.errors
        assert forth.insertions - forth.deletions == back.deletions - back.insertions


def test_error_rates_are_added_not_averaged():
    long, short = ErrorRate(1, 1, 0, 98), ErrorRate(0, 0, 2, 2)
    together = long + short
    assert together == ErrorRate(1, 1, 2, 100)
    assert together.rate == 0.04
    assert together.rate != (long.rate + short.rate) / 2
    assert sum([long, short]) == sum([short, long], ErrorRate()) == together
    assert sum([], ErrorRate()) == ErrorRate()


def test_nothing_else_is_added():
    with pytest.raises(TypeError):
        ErrorRate() + 0.1
    with pytest.raises(TypeError):
        1 + ErrorRate()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ErrorRate().length = 1


def test_rate_without_a_reference():
    assert ErrorRate().rate == 0
    assert ErrorRate(insertions=2).rate == math.inf
    assert ErrorRate(insertions=2).as_dict()["cer"] is None


def test_as_dict_is_json():
    found = json.loads(json.dumps(ErrorRate(1, 2, 3, 70).as_dict(), allow_nan=False))
    assert found == {
        "cer": 0.085714,
        "substitutions": 1,
        "deletions": 2,
        "insertions": 3,
        "characters": 70,
    }


def test_score_normalises_both_sides():
    references = ["尾号是 三二零，对吗？", "<SPOKEN_NOISE>", "百分之五"]
    assert [one.errors for one in score(references, ["尾号是320对吗", "", "５％"])] == [0, 0, 0]
    assert [one.errors for one in score(["尾号是320对吗", "嗯", "5%"], references)] == [0, 1, 0]
    assert score(references, ["尾号是321对吗", "嗯", ""]) == [
        ErrorRate(1, 0, 0, 8),
        ErrorRate(0, 0, 1, 0),
        ErrorRate(0, 4, 0, 4),
    ]


def test_score_refuses_lists_that_do_not_match():
    with pytest.raises(ValueError, match="2 references but 1 hypotheses"):
        score(["一", "二"], ["一"])
    with pytest.raises(TypeError, match="lists of texts"):
        score("一二", "一二")


def test_the_mixed_error_rate_counts_english_words_and_hanzi():
    reference, hypothesis = "请用 iPhone 的 App Store，尾号12", "请用 iphones 的 app，尾号13"
    assert units("请用iphone的app store尾号12", "mixed") == [
        *("请", "用", "iphone", "的", "app", "store", "尾", "号", "1", "2")
    ]
    assert score([reference], [hypothesis], unit="mixed") == [ErrorRate(2, 1, 0, 10)]
    assert score([reference], [hypothesis]) == [ErrorRate(1, 6, 1, 22)]
    assert score(["三百二"], ["320"], unit="mixed") == [ErrorRate(length=3)]


def test_options_reach_both_sides():
    pair = ["嗯我在这儿"], ["我在这呃"]
    assert score(*pair)[0].errors == 2
    assert score(*pair, fillers=["嗯", "呃"], erhua="fold") == [ErrorRate(length=3)]
    assert score(*pair, fillers=["嗯"], erhua="fold")[0] == ErrorRate(0, 0, 1, 3)


def test_the_errors_of_a_transcript_line():
    line = {"substitutions": 1, "deletions": 2, "insertions": 3, "characters": 4, "text": "好"}
    assert errors_of(line) == ErrorRate(1, 2, 3, 4)
