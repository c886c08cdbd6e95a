"""The report stage reads what the other stages left, and writes all of the report or nothing."""

import json
from pathlib import Path

import pytest

from report_fixtures import line, transcripts, whole_document
from telephone_asr.errors import InputError
from telephone_asr.names import TEST_SETS
from telephone_asr.params import load_params
from telephone_asr.report.blocks import Pictures
from telephone_asr.report.markdown import markdown
from telephone_asr.report.page import html
from telephone_asr.stages import report


def test_curves_are_read_where_they_are(tmp_path):
    assert report.read_curves(tmp_path / "none") == {}
    directory = tmp_path / "plots" / "metrics"
    directory.mkdir(parents=True)
    (directory / "cer.tsv").write_text("step\tcer\n0\t0.5\n10\t2.5e-1\n")
    assert report.read_curves(tmp_path) == {"cer": [(0, 0.5), (10, 0.25)]}


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "METRICS", tmp_path)
    monkeypatch.setattr(report, "SLICES", tmp_path / "slices")
    params = load_params(Path(__file__).parent.parent / "params.yaml")
    with pytest.raises(InputError, match=r"data\.json is missing: `dvc pull` brings it"):
        report.read_findings(params)
    (tmp_path / "data.json").write_text(json.dumps({name: {"in": 1} for name in TEST_SETS}))
    with pytest.raises(InputError, match=r"base\.json is missing"):
        report.read_findings(params)
    (tmp_path / "base.json").write_text(json.dumps({name: {"cer": 0.1} for name in TEST_SETS}))
    with pytest.raises(InputError, match=r"slices/base\.json is missing"):
        report.read_findings(params)


def test_the_pictures_that_the_markdown_names_are_beside_it(tmp_path):
    document = whole_document()
    report.write_report(document, tmp_path / "report")
    pictures = {f"{b.name}.png" for s in document.sections for b in s.blocks if type(b) is Pictures}
    assert pictures == {"cer.png", "curves.png"}
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"README.md", "index.html", *pictures}
    text = (tmp_path / "report" / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in text for name in pictures)


def test_nothing_is_written_where_the_page_cannot_be(tmp_path, monkeypatch):
    def broken(document):
        raise RuntimeError

    monkeypatch.setattr(report, "html", broken)
    with pytest.raises(RuntimeError):
        report.write_report(whole_document(), tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("texts", ["masked", "none"])
def test_neither_sound_nor_ids_are_shown_and_texts_as_far_as_they_may_be(texts):
    said = "我叫王伟尾号四六"
    lines = {
        name: [{**one, "reference": said, "text": "我叫王维尾号四七"} for one in own]
        for name, own in transcripts().items()
    }
    names = {"made_up": [line("no_speech", 1, 3, scene="silence", insertions=3)]}
    shown = {one: whole_document(transcripts=lines, texts=one, **names) for one in ("all", texts)}
    for write in (markdown, html):
        everything, less = write(shown["all"]), write(shown[texts])
        assert "telecall-0" in everything
        assert "no_speech-01" in everything
        assert "王" in everything
        for trace in (
            "telecall-0",
            "no_speech-01",
            "data:audio",
            "<audio",
            "王伟",
            "王维",
            "speaker-",
        ):
            assert trace not in less, trace
        assert ("我叫" in less.replace("**", "")) is (texts == "masked")
        assert f"report.texts: {texts}" in less
    tables = [b for s in shown["none"].sections for b in s.blocks] if texts == "none" else []
    assert sum(getattr(b, "caption", "").startswith("Utterances, ") for b in tables) in (0, 3)
