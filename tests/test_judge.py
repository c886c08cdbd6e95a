"""bench/judge.py: which utterances are heard, and what is made of the texts. Whisper itself hears
where faster-whisper is installed (-m slow)."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from model_fixtures import ROOT
from telephone_asr.shards import Utterance, write_shards


@pytest.fixture
def judge(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("judge")


def said(id_: str, text: str, speaker: str, wrong: bool = False, **custom) -> Utterance:
    sound = np.arange(800, dtype=np.int16)
    return Utterance(id_, sound, 8000, text, speaker, "sales", wrong, custom)


@pytest.fixture
def corpus(judge, tmp_path):
    """Two voices: one is understood, the other over GSM alone."""
    utterances = [
        said("a1", "还款三百", "a", codec="alaw"),
        said("b1", "您好", "b", codec="alaw"),
        said("a2", "幺三八", "a", codec="amr_nb_5900+alaw"),
        said("b2", "再见", "b", codec="gsm+alaw"),
        said("a3", "别的话", "a", wrong=True, codec="alaw"),
    ]
    write_shards(tmp_path / "calls", utterances, 2)
    return judge.read_corpus(tmp_path / "calls")


def heard(judge, corpus, *texts: str) -> list[dict]:
    lines, sounds = corpus
    answers = iter(texts)
    return list(judge.judge(judge.spread(lines, None), sounds, lambda samples, rate: next(answers)))


def test_every_utterance_with_a_right_transcript_is_heard_once(judge, corpus):
    lines, sounds = corpus
    rates = []
    judged = list(
        judge.judge(judge.spread(lines, None), sounds, lambda s, r: rates.append(r) or "")
    )
    assert sorted(line["id"] for line in judged) == ["a1", "a2", "b1", "b2"]
    assert rates == [8000] * 4


def test_texts_are_compared_as_scores_are(judge, corpus):
    lines = heard(judge, corpus, "还款300。", "138", "您好!", "再见")
    assert [line["cer"] for line in lines] == [0, 0, 0, 0]


def test_the_worst_voice_and_line_come_first(judge, corpus):
    found = judge.summary(heard(judge, corpus, "还款300", "138", "您", ""))
    assert found["cer"] == pytest.approx(3 / 12, abs=1e-6)  # 还款300 138 您好 再见
    assert {name: one["cer"] for name, one in found["voice"].items()} == {"b": 0.75, "a": 0}
    assert list(found["voice"]) == ["b", "a"]
    lines = {name: one["cer"] for name, one in found["line"].items()}
    assert list(lines) == ["gsm+alaw", "alaw", "amr_nb+alaw"]  # no bit rates
    assert lines["gsm+alaw"] == 1
    assert "| calls | voice b | 75.0 | 2 |" in judge.table("calls", found)  # too few for more
    assert found["cer_low"] <= 0.25 <= found["cer_high"]


def test_a_voice_that_says_enough_has_an_interval(judge):
    counts = {"substitutions": 0, "deletions": 0, "insertions": 0, "characters": 4}
    line = {"speaker": "a", "codec": None, "scene": "", **counts}
    lines = [line, *({**line, "substitutions": i % 3} for i in range(5))]
    voice = judge.summary(lines)["voice"]["a"]
    assert voice["cer_low"] < voice["cer"] < voice["cer_high"] < 0.5


def test_a_limit_takes_as_many_of_each_voice(judge):
    lines = [
        {"id": f"{speaker}{i}", "speaker": speaker, "annotation_error": False}
        for i in range(30)
        for speaker in "abc"
    ]
    chosen = [line["id"] for line in judge.spread(lines, 6)]
    assert [id_[0] for id_ in chosen] == ["a", "a", "b", "b", "c", "c"]
    assert len(set(chosen)) == 6
    assert int(chosen[0][1:]) < int(chosen[1][1:])


def test_a_manifest_is_judged_with_the_sound_of_its_source(judge, tmp_path, monkeypatch):
    from telephone_asr.manifests.messages import Example, manifest_line

    monkeypatch.chdir(tmp_path)
    write_shards(Path("data/telecall"), [said("a", "您好", "x"), said("b", "再见", "y")], 5)
    example = Example("b", "再见", "语音转写：", 10, 2, 0.1, "y", "sales", "telecall")
    Path("test.jsonl").write_text(manifest_line(example, "b.wav") + "\n", encoding="utf-8")
    lines, sounds = judge.read_corpus(Path("test.jsonl"))
    assert [line["id"] for line in lines] == ["b"]
    assert sounds("b")[1] == 8000


@pytest.mark.slow
def test_whisper_hears(judge, tmp_path, monkeypatch):
    pytest.importorskip("faster_whisper")
    pytest.importorskip("zhconv")  # leaves its dictionary open: see pyproject.toml
    monkeypatch.chdir(tmp_path)
    write_shards(Path("calls"), [said("a", "您好", "x"), said("b", "再见", "y")], 5)
    monkeypatch.setattr("sys.argv", ["judge.py", "calls", "--output", "out.json"])
    judge.main()
    found = json.loads(Path("out.json").read_text(encoding="utf-8"))["calls"]
    assert found["utterances"] == len(found["lines"]) == 2
