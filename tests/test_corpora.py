"""The report on the corpora: what was counted is what is there."""

import doctest

import pytest

from report_fixtures import findings
from telephone_asr.report import corpora, figures
from telephone_asr.report.corpora import Contents


def test_doctests():
    assert doctest.testmod(corpora).failed == 0


def cut(i: int, text: str = "您好请问", **fields) -> dict:
    supervision = {
        "text": text,
        "speaker": f"speaker-{i % 3}",
        "custom": {"scene": fields.get("scene", "telesales")},
    }
    measures = {"snr_db": 20.0 + i % 7}
    return {
        "duration": 1.0 + i % 5,
        "supervisions": [supervision],
        "custom": {"measures": measures},
    }


def contents() -> dict[str, Contents]:
    calls = [cut(i, scene=("debt", "", "催收")[i % 3]) for i in range(30)]
    return {"wideband": Contents.of(cut(i) for i in range(50)), "telecall": Contents.of(calls)}


def test_contents():
    found = contents()["telecall"]
    assert found.duration_s.tolist() == [1.0 + i % 5 for i in range(30)]
    assert found.syllables_per_s[1] == pytest.approx(4 / 2.0)
    assert found.scenes == {"debt": 10, "": 10, "催收": 10}
    assert found.speakers == {f"speaker-{i}": 10 for i in range(3)}
    assert Contents.of([cut(0, "<NOISE>，")]).syllables_per_s.tolist() == [0.0]


@pytest.mark.filterwarnings("error")
def test_corpora_of_one_utterance_are_drawn():
    one = {name: Contents.of([cut(0)]) for name in corpora.SHOWN}
    panels = corpora.panels(one)
    assert len(panels) == 4
    first, second = (figures.png(corpora.panels(one), "One", columns=2) for _ in range(2))
    assert first == second


def test_scenes_are_counted_and_unnamed_ones_left_out():
    calls = contents() | {"wideband": Contents()}
    assert corpora.scene_table(calls).rows == [["debt", "0", "10"], ["催收", "0", "10"]]
    assert corpora.scene_table({name: Contents() for name in corpora.SHOWN}) is None


def rows(table) -> dict:
    return {row[0]: list(row[1:]) for row in table.rows}


def test_data_tables_account_for_every_utterance():
    data = findings().data
    by_type = rows(corpora.data_table(data))
    assert by_type["telephone calls"][:7] == ["1,000", "800", "90", "80", "970", "30", "20"]
    together = ["2,000", "1,600", "180", "160", "1,940", "30", "20", "3.00"]
    assert by_type["simulated and calls together"][:8] == together
    quality = rows(corpora.quality_table(data))
    assert quality["telephone calls"] == ["250.0", "9.0", "100 %", "99.99 %", "28.0"]


def test_rejections_are_counted_by_reason_and_corpus():
    entries = [
        {"id": "a|b", "reason": "annotation_error", "detail": "marked"},
        {"id": "c", "reason": "annotation_error", "detail": "marked"},
    ]
    table = corpora.rejection_table({"wideband": [], "telecall": entries})
    assert table.heads[-2:] == ["wideband speech", "telephone calls"]
    [row] = table.rows
    assert (row[0], row[2], row[3:]) == ("`annotation_error`", "a\\|b: marked", ["0", "2"])
    assert corpora.rejection_table({"telecall": []}) == "Nothing was left out."
    for texts in ("masked", "none"):
        table = corpora.rejection_table({"wideband": [], "telecall": entries}, texts)
        assert [row[2:] for row in table.rows] == [["0", "2"]]


def test_changed_transcripts_are_counted_by_rule():
    entries = [{"before": "ＡＢ", "rules": ["width"]}] * 2
    [row] = corpora.change_table({"telecall": entries}, version=1).rows
    assert row == ["`width`", "ＡＢ → AB", "2"]
    entries = [{"before": "我是王伟。尾号25", "rules": ["marks"]}]
    [row] = corpora.change_table({"telecall": entries}, 1, "masked").rows
    assert row[1] == "我是＊＊。尾号＊＊ → 我是＊＊。尾号＊＊"
    [row] = corpora.change_table({"telecall": entries}, 1, "none").rows
    assert row == ["`marks`", "1"]
    assert "changed no transcript" in corpora.change_table({"telecall": []}, version=1)
