"""The report on the corpora: what was counted is what is there."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from telephone_asr.report import corpora
from telephone_asr.report.corpora import Contents


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
    assert found.scenes == {"debt": 10, "none": 10, "催收": 10}
    assert found.speakers == {f"speaker-{i}": 10 for i in range(3)}
    assert Contents.of([cut(0, "<NOISE>，")]).syllables_per_s.tolist() == [0.0]


@pytest.mark.parametrize("rejected", [{}, {"clipped": 5, "annotation_error": 20}])
@pytest.mark.filterwarnings("error")
def test_the_picture_is_drawn_the_same_again_whatever_was_left_out(rejected):
    data = {name: {"rejected": rejected} for name in corpora.SHOWN}
    first, second = (corpora.picture(contents(), data, "The corpora") for _ in range(2))
    assert first == second
    pixels = imread(io.BytesIO(first))
    assert pixels.shape[1] == 1200
    assert np.std(pixels) > 0.05


@pytest.mark.filterwarnings("error")
def test_a_picture_of_one_utterance():
    one = {name: Contents.of([cut(0)]) for name in corpora.SHOWN}
    assert corpora.picture(one, {name: {"rejected": {}} for name in corpora.SHOWN}, "One")


def test_each_reason_is_explained_with_one_that_it_met():
    entries = [{"id": f"u{i}", "reason": "clipped", "detail": f"{i} %"} for i in range(2, 5)]
    text = corpora.rejection_table({"wideband": iter(entries), "telecall": iter(entries[:1])})
    (row,) = text.splitlines()[2:]
    cells = [c.strip() for c in row.strip("|").split("|")]
    assert cells[0] == "`clipped`"
    assert "filter.clipped" in cells[1]
    assert cells[2:] == ["u2: 2 %", "3", "1"]
    assert corpora.rejection_table({"wideband": iter([])}) == "Nothing was left out."


def test_changes_are_shown_before_and_after():
    entries = [{"id": "a", "rules": ["spaces"], "before": "您 好"}] * 2
    text = corpora.change_table({"wideband": [], "telecall": iter(entries)}, 1)
    assert "version 1" in text
    assert "| `spaces` | 您 好 → 您好 | 0 | 2 |" in text
    assert "changed no transcript" in corpora.change_table({"telecall": []}, 1)
