"""Which labels can be trusted, and what each filter costs."""

import pytest

from label_fixtures import label
from telephone_asr.errors import InputError
from telephone_asr.params import Keep
from telephone_asr.unlabelled.keep import REASONS, by_filter, reason, verdict
from telephone_asr.unlabelled.labels import label_line, read_labels

KEEP = Keep(0.5, 0.4, 0.3, 0.2, (0.5, 12.0))
NO_LIMITS = Keep(None, None, None, None, None)
DOUBTFUL = {  # one for each reason
    "no_text": {"text": "。", "characters_per_s": 0.0},
    "loop": {"loop": True},
    "confidence": {"confidence": 0.49},
    "ctc_confidence": {"ctc_confidence": 0.39},
    "distance": {"distance": 0.31},
    "second_distance": {"second_text": "你明", "second_distance": 0.8},
    "characters_per_s": {"characters_per_s": 12.1},
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_turn_is_left_out_for_one_reason_that_names_measure_and_limit(name):
    doubtful = label(**DOUBTFUL[name])
    assert reason(doubtful, KEEP) == name
    said = verdict(doubtful, KEEP)
    assert REASONS[name] in said
    if name not in ("no_text", "loop"):
        assert str(getattr(doubtful, name)) in said
        assert str(getattr(KEEP, name)) in said


def test_every_reason_has_its_case():
    assert set(DOUBTFUL) == set(REASONS)


def test_the_first_reason_counts_where_there_are_several():
    assert reason(label(loop=True, confidence=0.1, distance=1.0), KEEP) == "loop"
    assert reason(label(confidence=0.1, distance=1.0), KEEP) == "confidence"


def test_what_is_at_a_limit_is_kept():
    at = label(confidence=0.5, ctc_confidence=0.4, distance=0.3, characters_per_s=12.0)
    assert reason(at, KEEP) is None
    assert verdict(at, KEEP) == "is kept"


def test_without_limits_only_what_is_no_text_or_a_loop_is_left_out():
    kept = [name for name, changes in DOUBTFUL.items() if not reason(label(**changes), NO_LIMITS)]
    assert set(DOUBTFUL) - set(kept) == {"no_text", "loop"}


def test_a_measure_that_a_model_lacks_leaves_nothing_out():
    bare = label(ctc_text=None, ctc_confidence=None, distance=None)
    assert reason(bare, KEEP) is None


def test_the_table_counts_every_hour_once_and_its_cer_is_the_true_one():
    labels = [
        label(speaker="a", reference="我明天还款"),
        label(speaker="b", reference="我明天还钱", distance=0.6),  # 1 of 5 wrong
        label(speaker="c", reference="你好", distance=0.6, confidence=0.2),  # 5 of 2
    ]
    table = by_filter(labels, KEEP)
    assert set(table) == {"all", *REASONS, "together"}
    for row in table.values():
        assert row["kept"]["turns"] + row["left_out"]["turns"] == 3
        hours = row["kept"]["hours"] + row["left_out"]["hours"]
        assert hours == pytest.approx(3 * 1.25 / 3600, abs=1e-4)
    assert table["all"]["kept"]["cer"] == pytest.approx(6 / 12, abs=1e-6)
    assert table["confidence"]["kept"]["cer"] == pytest.approx(1 / 10, abs=1e-6)
    assert table["confidence"]["left_out"]["cer"] == pytest.approx(5 / 2, abs=1e-6)
    assert table["together"]["kept"]["cer"] == 0
    assert table["together"]["left_out"]["turns"] == 2
    low, high = (table["all"]["kept"][f"cer_{side}"] for side in ("low", "high"))
    assert low <= 0.5 <= high


def test_turns_that_nobody_wrote_down_have_no_cer():
    row = by_filter([label(), label(confidence=0.1)], KEEP)["confidence"]
    assert row["left_out"] == {"turns": 1, "hours": 0.0003}


def test_labels_are_read_as_they_were_written(tmp_path):
    labels = [label(), label(reference="我明天还款", reference_score=-0.25)]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(map(label_line, labels)), encoding="utf-8")
    assert list(read_labels(path)) == labels
    assert '"reference' not in label_line(labels[0])
    path.write_text('{"id": "x", "txt": ""}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"labels.jsonl:1 is no label .*dvc repro pseudo_label"):
        list(read_labels(path))
    with pytest.raises(InputError, match="does not exist: run `dvc repro pseudo_label`"):
        next(read_labels(tmp_path / "none.jsonl"))
