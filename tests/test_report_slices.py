"""Where the calls go wrong: slices as the metrics have them, the heat map, confusions."""

import csv
import doctest

import pytest

from report_fixtures import findings, line, metrics, transcripts
from telephone_asr.report import slices
from telephone_asr.scoring import confusion
from telephone_asr.scoring.options import Scoring


def test_doctests():
    for module in (confusion, slices):
        assert doctest.testmod(module).failed == 0


# One corpus has no name, and no slice: tests/test_slices.py has those of several.
@pytest.mark.parametrize("kind", [kind for kind in slices.SLICE_TITLES if kind != "corpus"])
def test_a_table_of_slices_has_the_rates_of_the_metrics(kind):
    own = metrics()
    table = slices.slice_table(own, "telecall", kind)
    assert len(table.rows) == len(own["final"]["telecall"][kind]) > 1
    for row, (name, one) in zip(table.rows, own["final"]["telecall"][kind].items(), strict=True):
        assert row[0] == slices.name_of(kind, name)
        assert row[4].strip("()") == f"{100 * one['cer']:.1f}"
        assert (row[4][0] == "(") == (one["characters"] < 50)


def test_a_property_that_nobody_knows_makes_no_table():
    assert slices.slice_table(metrics(), "wideband", "codec") is None
    empty = {name: {"telecall": {}} for name in metrics()}
    assert slices.slice_table(empty, "telecall", "codec") is None
    assert slices.measure_table(empty) is None


def test_only_slices_worse_than_all_and_with_enough_characters_are_hard():
    whole = {"cer": 0.2, "substitutions": 30, "deletions": 20, "insertions": 10}
    scenes = {
        "bad": {"cer": 0.3, "characters": 100},
        "worst": {"cer": 0.5, "characters": 60, "cer_low": 0.4, "cer_high": 0.6},
        "few": {"cer": 0.9, "characters": 49},
        "good": {"cer": 0.1, "characters": 100},
    }
    found = slices.worse_than_all({**whole, "scene": scenes})
    assert [one.name for one in found] == ["worst", "bad"]
    assert found[0].share_of_errors == pytest.approx(0.5)
    assert slices.hardest_table(found).rows == [
        ["scene", "worst", "**50.0**", "40.0 to 60.0", "50 %", "60"],
        ["scene", "bad", "**30.0**", "–", "50 %", "100"],
    ]


def test_the_heat_map_adds_errors_and_characters_of_each_cell():
    lines = [
        line("telecall", 0, 3, snr_db=12.0, codec="amr_nb_4750+alaw"),
        line("telecall", 1, 1, snr_db=14.9, codec="amr_nb_12200+alaw"),
        line("telecall", 2, 5, snr_db=9.9, codec="alaw"),
        line("telecall", 3, 9, snr_db=None),
        line("telecall", 4, 9, codec=None),
    ]
    found = slices.heat_map({"final": lines}, "telecall", "title")
    assert found.columns == ["alaw", "amr_nb+alaw"]
    by_snr = dict(found.rows)
    assert list(by_snr) == ["under 10 dB", "10 to 15 dB"]
    cell = by_snr["10 to 15 dB"][1]
    assert (cell.errors, cell.characters, cell.utterances) == (4, 20, 2)
    assert cell.rate == pytest.approx(0.2)
    assert cell.few
    assert by_snr["10 to 15 dB"][0] is None
    assert slices.heat_map({"final": lines[3:]}, "telecall", "title") is None


def test_the_heat_map_holds_every_error_of_the_calls():
    found = slices.heat_map(transcripts(), "telecall", "title")
    cells = [cell for _, row in found.rows for cell in row if cell]
    assert sum(cell.errors for cell in cells) == metrics()["final"]["telecall"]["substitutions"]


def test_confusions_are_counted_and_shared_by_what_was_said():
    texts = [("甲乙", "甲丙"), ("乙乙", "乙丙"), ("甲", ""), ("", "丁")]
    lines = [line("telecall", i, 0, reference=a, text=b) for i, (a, b) in enumerate(texts)]
    lines.append(line("simulated", 9, 0, reference="乙", text="丙"))
    swapped, single = slices.confusion_tables({"final": lines}, Scoring())
    assert swapped.rows == [["**乙**", "**丙**", "2", "1", "75.0 %"]]
    assert single.rows == [
        ["(nothing)", "**丁**", "1", "0", "–"],
        ["**甲**", "(nothing)", "1", "0", "50.0 %"],
    ]
    right = [line("telecall", 0, 0)]
    assert slices.confusion_tables({"final": right}, Scoring()) == [None, None]


def test_alignments_have_the_errors_that_were_counted():
    for one in transcripts()["adaptor"]:
        kinds = [kind for *_, kind in confusion.aligned(one["reference"], one["text"], Scoring())]
        assert kinds.count("S") == one["substitutions"]
        assert len(kinds) == one["characters"]


def test_alignments_follow_the_options_of_scoring():
    mixed = confusion.aligned("用wifi吗", "用wife吗", Scoring(unit="mixed"))
    assert mixed == [("用", "用", ""), ("wifi", "wife", "S"), ("吗", "吗", "")]
    assert confusion.aligned("嗯好", "好", Scoring(fillers=("嗯",))) == [("好", "好", "")]


def test_measures_are_those_of_the_metrics():
    own = metrics()
    own["final"]["telecall"]["digits"] = {"n": 18, "exact": 0.5}
    found = {row[0]: row[1:] for row in slices.measure_table(own).rows}
    assert found["digit strings right, %"] == ["–", "–", "–", "50.0", "18"]
    assert "amounts right, %" not in found  # no reference has one
    assert not any("cut off" in title for title in found)
    own["base"]["telecall"]["cut_off"] = 1200
    found = {row[0]: row[1:] for row in slices.measure_table(own).rows}
    assert found["texts cut off at decode.max_tokens"] == ["1,200", "0", "0", "0", ""]
    assert findings().metrics["final"]["telecall"]["amounts"] == {}


def test_what_is_written_where_nobody_speaks_has_a_table_of_its_own():
    table = slices.no_speech_table(metrics())
    assert [list(row) for row in table.rows] == [["silence", *["1.5"] * 4, "1.5", "25.0"]]
    assert slices.no_speech_table({name: {} for name in metrics()}) is None


def test_plots_have_the_slices_of_the_metrics_and_every_confusion(tmp_path):
    own = findings()
    slices.write_plots(tmp_path, own.metrics, own.transcripts, own.scoring)

    def rows(name: str) -> list[dict]:
        with open(tmp_path / name, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    calls = own.metrics["final"]["telecall"]
    rates = {row["slice"]: float(row["cer"]) for row in rows("slices.csv")}
    assert rates["all calls"] == pytest.approx(calls["cer"], abs=1e-6)
    assert rates["codec gsm+alaw"] == pytest.approx(calls["codec"]["gsm+alaw"]["cer"], abs=1e-6)
    confusions = rows("confusions.csv")
    wrong = sum(own.metrics["final"][name]["substitutions"] for name in ("telecall", "simulated"))
    assert len(confusions) == wrong
    assert {row["said"] for row in confusions} == set("甲乙丙丁")
    assert {row["recognised"] for row in confusions} == {"错"}


def test_short_turns_have_a_table_of_their_own():
    assert slices.short_turn_table(metrics()) is None
    own = {"n": 1234, "characters": 2468, "cer": 0.25}
    known = {"telecall": {**own, "cer_low": 0.2, "cer_high": 0.31}, "simulated": own}
    table = slices.short_turn_table({name: {"short_turns": known} for name in metrics()})
    rates = ["25.0"] * 4
    assert [row[1:] for row in table.rows] == [
        [*rates, "20.0 to 31.0", "1,234", "2,468"],
        [*rates, "–", "1,234", "2,468"],
    ]
