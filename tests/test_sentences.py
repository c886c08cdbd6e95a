"""The text of the synthetic corpus: what templates become, and what a broken one is told."""

from pathlib import Path

import pytest

from telephone_asr.corpora import sentences
from telephone_asr.corpora.sentences import generator, numeral
from telephone_asr.errors import InputError

SPEC = Path(sentences.__file__).with_name("synthetic.yaml")


@pytest.fixture(scope="module")
def grammar() -> sentences.Grammar:
    return sentences.grammar(SPEC, sentences.load_spec(SPEC))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "零"),
        (2, "二"),
        (10, "十"),
        (12, "十二"),
        (20, "二十"),
        (22, "二十二"),
        (101, "一百零一"),
        (110, "一百一十"),
        (200, "两百"),
        (222, "两百二十二"),
        (320, "三百二十"),
        (1_010, "一千零一十"),
        (2_002, "两千零二"),
        (2_200, "两千两百"),
        (10_000, "一万"),
        (12_000, "一万两千"),
        (20_050, "两万零五十"),
        (99_999, "九万九千九百九十九"),
    ],
)
def test_numerals_are_written_as_they_are_said(number: int, said: str) -> None:
    assert numeral(number) == said


def test_slots_are_filled_from_lists_and_number_ranges(grammar: sentences.Grammar) -> None:
    filled = {grammar.fill("{city}{3-9:3}", generator(0, str(i))) for i in range(300)}
    assert filled == {c + n for c in grammar.words["city"] for n in "三六九"}


def test_sentences_hold_hanzi_of_the_inventory_alone(grammar: sentences.Grammar) -> None:
    inventory = set(grammar.characters())
    assert 120 <= len(inventory) <= 200  # few enough for a tiny model
    assert all("\u4e00" <= character <= "\u9fff" for character in inventory)
    for part in sentences.PARTS:
        rng = generator(0, part)
        assert all(set(grammar.draw(part, rng)[1]) <= inventory for _ in range(500))


def test_calls_have_templates_of_their_own(grammar: sentences.Grammar) -> None:
    for templates in grammar.scenes.values():
        assert templates["calls"]
        assert not set(templates["calls"]) & set(templates["sentences"])


def test_equal_seeds_draw_equal_sentences(grammar: sentences.Grammar) -> None:
    assert grammar.draw("calls", generator(1, "a")) == grammar.draw("calls", generator(1, "a"))
    drawn = {grammar.draw("calls", generator(seed, id)) for seed in (1, 2) for id in "abcd"}
    assert len(drawn) == 8


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("\nturns:\n", "\nturn:\n", "'turns'"),
        ("content: 0.36", "content: 0.90", "'mix'"),
        ("{person}{remark}", "{nobody}{remark}", "{nobody}"),
        ("{reply}{remark}", "{reply}，{remark}", "'turns'"),
        ("{2-90}天了", "{90-2}天了", "{90-2}"),
        ("{1-99}号", "{address}号", "'words.address'"),
        ("    calls:\n      - ", "    call:\n      - ", "'scenes.telesales.calls'"),
    ],
)
def test_a_malformed_specification_is_an_error_that_names_file_and_key(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    broken = tmp_path / "broken.yaml"
    text = SPEC.read_text(encoding="utf-8")
    assert old in text
    broken.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        sentences.grammar(broken, sentences.load_spec(broken))
    assert str(broken) in str(error.value)
    assert named in str(error.value)


@pytest.mark.parametrize("text", [None, "a: [", "- 1", ""])
def test_a_file_that_is_no_specification_is_an_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "spec.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"spec\.yaml"):
        sentences.load_spec(path)
