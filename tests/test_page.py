"""index.html: one file that opens offline and that everybody can read, on a telephone too."""

import doctest
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from page_fixtures import CHROMIUM, LOADING, Reader, is_dark, opened
from report_fixtures import metrics, transcripts, whole_document
from telephone_asr.report import page, utterances
from telephone_asr.report.page import html


@pytest.fixture(scope="module")
def text() -> str:
    return html(whole_document())


@pytest.fixture(scope="module")
def reader(text) -> Reader:
    return Reader(text)


def test_doctests():
    assert doctest.testmod(page).failed == 0


def test_the_same_run_gives_the_same_bytes(text):
    assert html(whole_document()) == text


def test_nothing_is_loaded_from_elsewhere(text, reader):
    for tag, attributes in reader.elements:
        loaded = [attributes[name] for name in LOADING if name in attributes]
        if tag not in ("a", "use"):
            loaded += [v for k, v in attributes.items() if k.endswith("href")]
        assert all(one.startswith("data:") for one in loaded), tag
        assert tag != "script"
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    links = [one["href"] for one in reader.of("a")]
    ids = {attributes.get("id") for _, attributes in reader.elements}
    assert links
    assert all(one[0] == "#" and one[1:] in ids for one in links)


def test_every_element_is_closed_and_every_id_is_of_one(reader):
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 50


def test_pictures_and_players_have_words(reader):
    charts = reader.of("svg")
    assert len(charts) == 3 + 2  # CERs, and the curves of two trainings
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in charts)
    players = reader.of("audio")
    assert len(players) == 2 * utterances.SHOWN
    assert all(one["aria-label"].startswith("Play telecall-") for one in players)
    assert all("controls" in one for one in players)
    assert all(one.get("alt") for one in reader.of("img"))


def test_headings_are_in_order_and_tables_have_heads(reader):
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    heads = reader.of("th")
    assert all(one["scope"] in ("col", "row") for one in heads)
    assert len(reader.of("table")) >= 10


def test_the_numbers_are_those_of_the_metrics(reader):
    for checkpoint in metrics().values():
        for test_set in ("telecall", "simulated", "wideband"):
            one = checkpoint[test_set]
            assert f"{100 * one['cer']:.1f}" in reader.cells
            low, high = (f"{100 * one[key]:.1f}" for key in ("cer_low", "cer_high"))
            assert f"{low} to {high}" in reader.cells


def test_texts_of_a_corpus_cannot_become_html():
    bad = "<script>alert(1)</script>\"'&**x**"
    lines = transcripts()
    for own in lines.values():
        own[0] |= {"key": bad, "scene": bad, "codec": bad}
    lines["final"][0] |= {"text": "", "substitutions": 0, "deletions": 10}
    document = whole_document(transcripts=lines, metrics=metrics(lines))
    found = Reader(html(replace(document, title=bad, lead=bad)))
    assert not found.of("script")
    assert bad in found.cells  # the scene, as a slice
    assert any(bad in one.get("aria-label", "") for one in found.of("audio"))


def test_the_page_stays_below_its_size_with_calls_of_any_length():
    import numpy as np

    from report_fixtures import CURVES, findings, line
    from telephone_asr.report.document import document

    def long_call(key: str):
        return np.zeros(8000 * 45, dtype=np.int16), 8000

    kinds = [f"kind-{i}" for i in range(10)]
    own = {"insertions": 3, "characters": 0, "hotwords": 0, "reference": "", "text": "嗯嗯嗯"}
    made_up = [line("no_speech", i, 0, **own, scene=kind) for i, kind in enumerate(kinds)]
    run = findings(made_up=made_up)
    whole = html(document(run, CURVES, [], [], long_call, long_call))
    assert "no_speech-00" in whole
    assert len(whole.encode()) < 8_000_000
    assert "No room for its sound" in whole


def test_colours_can_be_told_from_their_background_in_light_and_dark():
    """At least 4.5:1, as WCAG 2.2 asks of text (success criterion 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return float(sum(w * x for w, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    css = (page.HERE / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[:2]
    for scheme in (light, dark):
        of = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        words = ("ink", "muted", "accent", "second", "good", "bad", "neutral")
        pairs = [(word, back) for word in words for back in ("page", "paper")]
        pairs += [("ink", f"heat-{i}") for i in range(page.HEAT_STEPS)]
        pairs += [("ink", "wrong"), ("bad", "wrong"), ("ink", "mono"), ("muted", "mono")]
        for word, back in pairs:
            assert contrast(of[word], of[back]) >= 4.5, (word, back)


def test_every_colour_of_a_chart_is_a_variable_of_the_page():
    css = (page.HERE / "page.css").read_text(encoding="utf-8")
    for variable in page.figures.VARIABLES.values():
        assert variable.removeprefix("var(").removesuffix(")") + ":" in css


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_a_browser_shows_it_offline_without_scrolling_sideways(text, tmp_path, width, scheme):
    path = tmp_path / "index.html"
    path.write_text(text, encoding="utf-8")
    with opened(path, width, scheme) as (shown, requests, messages):
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        smallest = shown.evaluate(
            "Math.min(...[...document.querySelectorAll('svg text')]"
            ".map(x => x.getBoundingClientRect().height))"
        )
        assert smallest >= 9
        seconds = shown.evaluate(
            "new Promise(done => { const x = document.querySelector('audio');"
            " x.readyState ? done(x.duration) : x.onloadedmetadata = () => done(x.duration); })"
        )
        assert seconds == pytest.approx(1, abs=0.01)
        assert is_dark(shown) == (scheme == "dark")
    assert [one for one in requests if not one.startswith("data:")] == [path.as_uri()]
    assert messages == []
