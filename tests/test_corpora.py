"""The report on the corpora: what was counted is what is there."""

import pytest

from telephone_asr.report import corpora, figures
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
