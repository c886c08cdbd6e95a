"""README.md: the same as the page, in tables that no text of a corpus can break."""

import doctest
from itertools import pairwise

import numpy as np

from report_fixtures import line, transcripts, whole_document
from telephone_asr.names import TEST_SETS
from telephone_asr.report import blocks, document, markdown
from telephone_asr.report.utterances import shown
from telephone_asr.scoring.options import Scoring


def read_nothing(key: str):
    return np.zeros(80, dtype=np.int16), 8000


def test_doctests():
    for module in (document, markdown):
        assert doctest.testmod(module).failed == 0


def test_it_begins_with_the_answer():
    text = markdown.markdown(whole_document())
    first = text.split("\n## ")[0]
    assert first.startswith("# Adaptation to telephone speech\n\nThe three stages took")
    assert "### May I merge?\n\n? **The gate was not checked.**" in first
    assert "- ≈ Stage 2 (adaptor): **within noise**" in first
    assert "CORPORA" in text
    assert "LINE" in text


def test_every_table_has_as_many_cells_in_each_row():
    lines = markdown.markdown(whole_document()).splitlines()
    widths = [x.replace("\\|", "").count("|") if x.startswith("|") else 0 for x in lines]
    pairs = [(a, b) for a, b in pairwise(widths) if a and b]
    assert len(pairs) > 50
    assert all(a == b for a, b in pairs)


def test_texts_cannot_break_the_table():
    one = line("telecall", 0, 1, reference="一|二\n三", text="", characters=0)
    odd = line("telecall", 1, 1, key="a|b*c*", scene="x|y")
    found = shown([one, odd], read_nothing, Scoring())
    rows = markdown.utterances(found.utterances).splitlines()[2:]
    assert [row.replace("\\|", "").count(" | ") for row in rows] == [5, 5]
    assert "a\\|b\\*c\\*" in rows[1]
    assert "| (empty) | – |" in rows[0]


def test_errors_are_bold_on_both_sides():
    found = shown([line("telecall", 0, 2)], read_nothing, Scoring())
    [row] = markdown.utterances(found.utterances).splitlines()[2:]
    assert "| **甲乙**丙丁戊己庚辛壬癸 | **错错**丙丁戊己庚辛壬癸 |" in row


def test_a_cell_of_the_heat_map_with_few_characters_is_in_brackets():
    cells = [blocks.Cell(20, 100, 9), blocks.Cell(2, 10, 1), None]
    text = markdown.heat_map(blocks.HeatMap("Heat", "a", ["x", "y", "z"], [("row", cells)]))
    assert text.splitlines()[-1] == "| row | 20.0 of 100 | (20.0 of 10) |  |"


def test_synthetic_is_said_in_every_heading():
    text = markdown.markdown(whole_document(synthetic=frozenset(TEST_SETS)))
    headings = [one for one in text.splitlines() if one.startswith(("# ", "## "))]
    assert len(headings) > 8
    assert all("(synthetic speech)" in one for one in headings)


def test_part_of_the_corpora_synthetic_and_none():
    text = markdown.markdown(whole_document(synthetic=frozenset(["telecall"])))
    assert "## Character error rates (synthetic: telephone calls)" in text
    assert "## Where calls are still bad (synthetic speech)" in text
    assert "## What the simulated line did\n" in text
    assert "ynthetic" not in markdown.markdown(whole_document())


def test_what_was_not_measured_has_no_section():
    plain = transcripts()
    for lines in plain.values():
        for one in lines:
            one |= {"snr_db": None, "codec": None, "lost_packets": None}
    own = whole_document(transcripts=plain, costs={}, stages=[])
    titles = [section.short for section in own.sections]
    assert "Cost" not in titles
    assert "Stages" not in titles
    assert "SNR and codec" not in markdown.markdown(own)
    assert "Cost" in [section.short for section in whole_document().sections]
