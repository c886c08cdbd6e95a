"""The tables of the report say what the metrics say."""

import doctest

import pytest

from report_fixtures import findings, line, metrics, transcripts
from telephone_asr.names import TEST_SETS
from telephone_asr.report import tables
from telephone_asr.report.findings import compare


def test_doctests():
    assert doctest.testmod(tables).failed == 0


def rows(table) -> dict:
    return {row[0]: list(row[1:]) for row in table.rows}


def test_cers_are_those_of_the_metrics():
    own = metrics()
    own["encoder"]["telecall"] |= {"cer": 0.2222, "cer_low": 0.1, "cer_high": 0.31}
    one = tables.cer_table(own, transcripts()).rows[1]
    expected = ["telephone calls", "stage 1 (encoder)", "**22.2**", "10.0 to 31.0"]
    assert one == [*expected, "60", "0", "0", "30", "300", "10"]


def test_every_change_has_its_verdict_interval_and_p():
    table = tables.change_table(compare(transcripts(), seed=0))
    found = {(row[0], row[1]): row[2:] for row in table.rows}
    assert len(found) == len(TEST_SETS) * 4
    encoder = found["telephone calls", "stage 1 (encoder) against base"]
    assert encoder[:3] == ["▼ **better**", "−30.0", "−30.0 to −30.0"]
    adaptor = found["telephone calls", "stage 2 (adaptor) against stage 1"]
    assert adaptor[:2] == ["≈ within noise", "0.0"]
    price = found["wideband speech", "final (stage 3, merged) against base"]
    assert price[:2] == ["▲ **worse**", "+20.0"]
    assert all(row[3].startswith(("0.", "1.0", "< 0.001")) for row in found.values())


def test_intervals_of_few_speakers_are_not_oversold():
    assert "10 in telephone calls" in tables.interval_note(transcripts())
    assert "Student" not in tables.interval_note(transcripts())
    few = [line("telecall", i, 1, speaker=str(i % 3)) for i in range(6)]
    note = tables.interval_note({"final": few})
    assert "With fewer than 5 speakers, as in telephone calls, they are Student's" in note
    one = [line("telecall", i, 1, speaker="one") for i in range(5)]
    assert "only one speaker in telephone calls" in tables.interval_note({"final": one})


def test_lists_of_hotwords_are_those_of_the_metrics():
    own = metrics()
    assert tables.hotword_table(own) is None
    rate = {"cer": 0.2, "recall": 0.75, "insertions_per_1000": 1.5}
    between = {"recall_low": 0.5, "recall_high": 0.875, "cer_low": 0.1, "cer_high": 0.3}
    between |= {"insertions_per_1000_low": 0.0, "insertions_per_1000_high": 4.0}
    own["final"]["hotwords"] = {"0": rate | between, "100": {"cer": 0.5}}
    own["base"]["hotwords"] = {"0": rate}
    found = tables.hotword_table(own).rows
    assert [row[1] for row in found] == ["none", "100 words, said ones among them", *["none"] * 2]
    assert found[0][2:] == ["20.0", "–", "–", "20.0", "10.0 to 30.0"]
    assert found[2][2:] == ["75.0", "–", "–", "75.0", "50.0 to 87.5"]
    assert found[3][2:] == ["1.5", "–", "–", "1.5", "0.0 to 4.0"]


def test_training_table_and_a_stage_that_brought_nothing():
    checkpoints = findings().checkpoints
    encoder = ["stage 1 (encoder)", "simulated", "1,234,567", "0.0005", "300", "200", "25.0"]
    assert tables.training_table(checkpoints).rows[0] == encoder
    assert "No step of stage 3 (LoRA) was better" in tables.idle_note(checkpoints)
    assert tables.idle_note({"encoder": checkpoints["encoder"]}) == ""


def test_cost_has_a_column_for_what_was_measured_only():
    table = tables.cost_table(
        {"train_lora": {"seconds": 95.2, "peak_memory_mb": 1500}, "evaluate_lora": {"seconds": 7}}
    )
    assert table.heads == ["measured of", "time", "peak memory"]
    assert table.rows == [["`train_lora`", "1 min 35 s", "1.5 GB"], ["`evaluate_lora`", "7 s", "–"]]
    assert tables.cost_table({}) is None
    assert tables.cost_table({"train_lora": {"something": 1}}) is None


def test_stages_tell_whether_they_ran_and_models_how_large_they_are():
    stages = findings().stages
    found = rows(tables.stage_table(stages))
    assert found["`corpus`"] == ["✓ ran", "Speech", "83.0 MB"]
    assert found["`export`"] == ["✗ **not run**", "Merged", "–"]
    assert tables.disk_table(stages).rows == [["`models/lora`", "61.9 kB"]]
    assert tables.stage_table([]) is None


@pytest.mark.parametrize("missing", ["encoder", "final"])
def test_a_test_set_without_a_rate_has_a_dash(missing):
    own = metrics()
    own[missing]["telecall"] |= {"cer": None}
    found = {row[1]: row[2] for row in tables.cer_table(own, transcripts()).rows[:5]}
    assert [label for label, rate in found.items() if rate == "**–**"] == [
        {"encoder": "stage 1 (encoder)", "final": "final (stage 3, merged)"}[missing]
    ]
