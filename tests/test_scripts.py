"""Text alone: sentences that nobody spoke, in pieces of what was spoken."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM, Example
from telephone_asr.manifests.reserved import Reserved, compared
from telephone_asr.training.scripts import Inventory, read_scripts, speak


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "scripts.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_sentences_are_read_once_each_as_they_are_trained_on(tmp_path):
    path = written(tmp_path, "\ufeff您好 请问\r\n\n您好请问\n用ＡＰＰ还款\n再 见\n")
    reserved = Reserved(sentences={compared("再见")})
    assert read_scripts(path, "lower", reserved) == (["您好请问", "用app还款"], 1)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("您好\n请问<|im_end|>\n", r"scripts\.txt:2 holds <\|im_end\|>, which the prompt"),
        ("<think>\n", r"scripts\.txt:1 holds <think>"),
        ("您好\n再见\n" + "好" * 201, r"scripts\.txt:3 has 201 characters"),
        ("您好\n<NOISE>\n", r"scripts\.txt:2 has 0 characters"),
        ("您好\n再见".encode("gb18030"), r"scripts\.txt:1 is not UTF-8"),
        ("\n \n", r"scripts\.txt holds no sentence"),
    ],
)
def test_what_is_no_sentence_is_named_with_its_line(tmp_path, content, named):
    with pytest.raises(InputError, match=named) as error:
        read_scripts(written(tmp_path, content), "keep", Reserved())
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"scripts\.txt cannot be read"):
        read_scripts(tmp_path / "scripts.txt", "keep", Reserved())


# --- Three utterances, of which each sample says whose it is and in which row

RATE_HZ = 8000
ROW = 480  # samples
BORDERS = {"a": [0, 3, 4, 9, 12], "b": [0, 5, 5, 6], "c": [0, 4, 8]}
TEXTS = {"a": "今天还款", "b": "三，百", "c": "今明"}
SPEAKERS = {"a": "one", "b": "two", "c": "two"}


class Sounds:
    def __contains__(self, key):
        return key in BORDERS

    def read(self, key):
        rows = np.arange(BORDERS[key][-1]).repeat(ROW)
        return (1000 * (1 + list(TEXTS).index(key)) + 10 * rows).astype(np.int16), RATE_HZ


def examples() -> list[Example]:
    return [
        Example(key, text, PROMPT, 0, 0, 1.0, SPEAKERS[key], "", "telecall")
        for key, text in TEXTS.items()
    ]


class Tokenizer:
    """One token a character, and 0 for one that it does not know."""

    unk_token_id = 0

    def __call__(self, texts):
        known = (set("".join(TEXTS.values())) | set("，。3")) - {"明"}
        tokens = [[ord(c) if c in known else 0 for c in text] for text in texts]
        return {"input_ids": tokens}


def said(sentences: list[str], count: int, seed: int = 0):
    inventory = Inventory(examples(), list(BORDERS.values()))
    return speak(sentences, count, inventory, {"telecall": Sounds()}, Tokenizer(), seed)


def heard(spoken, key: str) -> list[tuple[str, int]]:
    """Whose rows a sentence is made of, by the middle of each."""
    samples, rate_hz = spoken.read(key)
    assert rate_hz == RATE_HZ
    middles = samples[ROW // 2 :: ROW].tolist()
    return [(list(TEXTS)[one // 1000 - 1], one % 1000 // 10) for one in middles]


def test_a_sentence_is_said_in_the_longest_pieces_of_one_voice():
    own, spoken = said(["天还款"], 1)
    assert heard(spoken, own[0].key) == [("a", row) for row in range(3, 12)]
    assert spoken.pieces[own[0].key] == [("telecall", "a", 3, 12)]
    assert (own[0].text, own[0].source, own[0].text_length) == ("天还款", "scripts", 3)
    samples, _ = spoken.read(own[0].key)
    assert own[0].duration_s == pytest.approx(len(samples) / RATE_HZ)
    assert own[0].speech_length == 9 * 6


def test_what_one_voice_never_says_comes_from_others_and_marks_have_no_sound():
    own, spoken = said(["还款，三百。"], 1)
    assert heard(spoken, own[0].key) == [("a", row) for row in range(4, 12)] + [
        ("b", row) for row in range(6)
    ]
    assert own[0].prompt == PROMPT  # it has marks, as what is asked for by it
    assert said(["还款三百"], 1)[0][0].prompt == PROMPT_VERBATIM


def test_pieces_have_no_clicks_at_their_ends():
    own, spoken = said(["天款"], 1)
    samples, _ = spoken.read(own[0].key)
    border = ROW  # after the one row of 天
    assert abs(samples[[0, border - 1, border, -1]]).max() < 60
    assert samples[border // 2] == 1030


def test_all_sentences_come_before_one_comes_again_in_other_pieces():
    own, spoken = said(["今", "还款"], 40)
    assert Counter(example.text for example in own) == {"今": 20, "还款": 20}
    assert [example.text for example in own[:4]] == ["今", "还款", "今", "还款"]
    assert {piece.key for e in own[::2] for piece in spoken.pieces[e.key]} == {"a", "c"}
    again, more = said(["今", "还款"], 40)
    assert (again, more.pieces) == (own, spoken.pieces)
    assert said(["今", "还款"], 40, seed=1)[1].pieces != spoken.pieces


def test_what_nobody_says_or_the_tokenizer_does_not_know_is_left_out():
    own, _ = said(["今天", "今明", "今年", "3"], 8)  # it knows no 明, and nobody says 年 or 3
    assert [example.text for example in own] == ["今天", "今天"]


def test_an_utterance_without_borders_gives_no_pieces():
    inventory = Inventory(examples(), [[], BORDERS["b"], BORDERS["c"]])
    own, _ = speak(["还款", "三百"], 2, inventory, {"telecall": Sounds()}, Tokenizer(), 0)
    assert [example.text for example in own] == ["三百"]
