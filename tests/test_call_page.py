"""A call's page: one file that opens offline, is read on a telephone, and is listened to."""

import base64
import doctest
import hashlib
import io
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from page_fixtures import CHROMIUM, LOADING, Reader, is_dark, opened, until
from telephone_asr.calls import page
from telephone_asr.calls.formats import FORMATS
from telephone_asr.calls.turns import Call, Character, Turn
from telephone_asr.corpora.sound import SoundError

RATE_HZ = 8000
SECONDS = 120.5
BAD = "</p></script><script>alert(1)</script>\"'&<!--"
HELLO = (
    Character("您", 10.0, 10.5, 0.9),
    Character("好", 10.5, 11.0, 0.25),
    Character("吗", 11.0, 11.5, 0.49),
    Character("，", 11.5, 11.5),
    Character("是", 11.5, 12.0, 0.5),
)
TURNS = (
    Turn(0, "agent", 10.0, 12.0, "您好吗，是", HELLO),
    Turn(1, f"customer{BAD}", 11.8, 13.0, BAD),
    Turn(0, "agent", 100.0, 101.5, "再见", cut_off=True),
)


def write_sound(path: Path, channels: int, seconds: float = SECONDS) -> Path:
    """A tone of another pitch in each channel, where its turns are."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = np.zeros((len(time_s), channels), dtype=np.float32)
    for turn in TURNS:
        spoken = (turn.start_s <= time_s) & (time_s < turn.end_s)
        tone = 0.3 * np.sin(2 * np.pi * (400 + 500 * turn.channel) * time_s)
        samples[spoken, turn.channel % channels] = tone[spoken]
    soundfile.write(path, samples, RATE_HZ)
    return path


@pytest.fixture(scope="module")
def call(tmp_path_factory) -> Call:
    path = tmp_path_factory.mktemp("call") / "call.wav"
    return Call(write_sound(path, 2), SECONDS, RATE_HZ, TURNS)


@pytest.fixture(scope="module")
def text(call) -> str:
    return FORMATS["html"](call, f"calls/{BAD.replace('/', '')}.wav")


@pytest.fixture(scope="module")
def reader(text) -> Reader:
    return Reader(text)


def sound_of(text: str) -> tuple[np.ndarray, int]:
    kept = re.search(r'<script type="text/plain" id="mp3">([^<]+)</script>', text)[1]
    return soundfile.read(io.BytesIO(base64.b64decode(kept)))


def loudness(samples: np.ndarray, rate_hz: int, start_s: float, end_s: float) -> np.ndarray:
    return np.abs(samples[round(start_s * rate_hz) : round(end_s * rate_hz)]).mean(axis=0)


def test_doctests():
    assert doctest.testmod(page).failed == 0


def test_every_turn_is_there_with_its_times_and_its_text(text, reader):
    turns = [one for one in reader.of("li") if "data-start" in one]
    assert [(float(one["data-start"]), float(one["data-end"])) for one in turns] == [
        (turn.start_s, turn.end_s) for turn in TURNS
    ]
    words = re.sub(r"\s+", " ", "".join(reader.words))
    places = [words.index(part) for part in ("01:40.0–01:41.5", "再见", "(cut off)")]
    assert places == sorted(places)
    assert "00:10.0–00:12.0 agent 您好吗，是" in words
    assert "02:00.5, 8,000 Hz; 3 turns, 2 of 4 characters uncertain" in words
    assert reader.open == []
    assert [tag for tag, _ in reader.elements].count("h1") == 1


def test_nothing_is_loaded_and_nothing_but_its_own_script_runs(text, reader):
    for tag, attributes in reader.elements:
        loaded = [value for name, value in attributes.items() if name in (*LOADING, "href")]
        assert all(one.startswith("data:") for one in loaded), tag
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
    assert "http:" not in text
    assert "https:" not in text
    (policy,) = (one["content"] for one in reader.of("meta") if "http-equiv" in one)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    for tag in ("style", "script"):
        ((content),) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_names_and_texts_cannot_become_html(text, reader):
    assert text.count("alert(1)") == 6  # title, heading, player, waveform's name, speaker, turn
    assert len(reader.of("script")) == 2
    assert text.count(f'<p lang="zh">{BAD.split("/p")[0].replace("<", "&lt;")}') == 1
    assert BAD in "".join(reader.words)


def test_the_sound_lasts_as_long_and_is_where_the_turns_say(text):
    samples, rate_hz = sound_of(text)
    assert len(samples) / rate_hz == pytest.approx(SECONDS, abs=0.1)
    left, right = loudness(samples, rate_hz, 10.1, 11.7)
    assert left > 0.1 > 100 * right
    left, right = loudness(samples, rate_hz, 12.1, 12.9)
    assert right > 0.1 > 100 * left
    assert loudness(samples, rate_hz, 20, 90).max() < 1e-3
    onset = np.flatnonzero(np.abs(samples[:, 0]) > 0.05)[0] / rate_hz
    assert onset == pytest.approx(10, abs=0.03)


def test_half_an_hour_stays_below_ten_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.wav"
    soundfile.write(path, 0.1 * rng.standard_normal((60 * RATE_HZ, 2)), RATE_HZ)
    turns = tuple(replace(TURNS[0], start_s=n, end_s=n + 1.0) for n in range(0, 60, 3))
    assert 30 * len(FORMATS["html"](Call(path, 60.0, RATE_HZ, turns), "n").encode()) < 10_000_000


def test_characters_below_the_limit_are_marked_and_the_limit_is_said(text, reader):
    marks = re.findall(r'<mark title="([^"]*)" data-start="([^"]*)">([^<]*)</mark>', text)
    assert marks == [("好 25%, 吗 49%", "10.0", "好吗")]
    assert "less than 50 % likely" in "".join(reader.words)


def test_a_model_that_cannot_tell_marks_nothing_and_says_so(call):
    plain = replace(call, turns=(replace(TURNS[0], characters=()),))
    reader = Reader(FORMATS["html"](plain, "call.wav"))
    assert not reader.of("mark")
    assert "no CTC branch" in "".join(reader.words)


def test_waveforms_are_high_where_their_channel_speaks(text):
    overviews = re.findall(r'<path d="M0 20([^"]+)z"/>\s*</svg>\s*', text)[:2]
    count = int(re.search(r'viewBox="0 0 (\d+) 40"', text)[1])
    assert count == pytest.approx(SECONDS / 0.1, abs=1)
    for channel, path in enumerate(overviews):
        above = path.split("h-")[0]
        x, up, heights = 0, 0, []
        for kind, value in re.findall(r"([hv])(-?\d+)", above):
            if kind == "v":
                up -= int(value)
            else:
                heights.append((x, up))
                x += int(value)
        loud_s = {0.1 * x for x, height in heights if height > 10}
        own = [turn for turn in TURNS if turn.channel == channel]
        assert loud_s
        for at_s in loud_s:
            assert any(turn.start_s - 0.2 <= at_s <= turn.end_s + 0.2 for turn in own)


@pytest.mark.parametrize(
    ("channels", "channel", "waves"), [(1, None, 1), (2, None, 1), (2, 1, 2), (4, 3, 1)]
)
def test_a_recording_of_any_channels_has_a_page(tmp_path, channels, channel, waves):
    path = write_sound(tmp_path / "x.wav", channels, 20.0)
    turns = (Turn(channel, "" if channel is None else "人", 10.0, 12.0, "您好"),)
    text = FORMATS["html"](Call(path, 20.0, RATE_HZ, turns), path.name)
    samples, rate_hz = sound_of(text)
    assert (1 if samples.ndim == 1 else samples.shape[1]) == waves
    assert len(samples) == 20 * rate_hz
    assert len(Reader(text).of("svg")) == waves


def test_a_silent_call_is_a_page_too(tmp_path):
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros((RATE_HZ // 10, 2)), RATE_HZ)
    text = FORMATS["html"](Call(path, 0.1, RATE_HZ), path.name)
    assert "Nobody speaks in it" in text
    assert not Reader(text).of("li")


def test_a_recording_that_is_gone_is_said(call, tmp_path):
    with pytest.raises(SoundError, match="No such file"):
        FORMATS["html"](replace(call, path=tmp_path / "gone.wav"), "gone.wav")


# --- In a browser


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_plays_from_where_one_clicks(text, tmp_path, width, scheme):
    path = tmp_path / "call.html"
    path.write_text(text, encoding="utf-8")
    with opened(path, width, scheme, has_touch=width == 360) as (shown, requests, messages):
        until(shown, "sound.readyState > 0")
        assert shown.evaluate("sound.duration") == pytest.approx(SECONDS, abs=0.1)
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        assert is_dark(shown) == (scheme == "dark")

        def now(wanted: float) -> None:
            until(shown, "!sound.paused && !sound.seeking")
            assert wanted - 0.1 <= shown.evaluate("sound.currentTime") < wanted + 2

        turn = shown.locator("#turns > li").last
        turn.tap() if width == 360 else turn.click()
        until(shown, "document.querySelector('[aria-current]')?.innerText.includes('再见')")
        now(100.0)
        place = shown.evaluate("document.querySelector('.inner').scrollLeft")
        assert 1000 - width < place <= 1000  # the waveform has followed, 10 pixels a second
        shown.locator("mark[data-start]").click()
        now(10.0)
        box = shown.locator(".overview .wave").last.bounding_box()
        shown.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
        now(SECONDS / 2)
        shown.locator("body").press(" ")
        assert shown.evaluate("sound.paused")
        shown.locator("button").first.focus()
        shown.keyboard.press("Enter")
        now(10.0)
        shown.keyboard.press("ArrowRight")
        now(15.0)
        shown.keyboard.press(" ")
        assert shown.evaluate("[sound.paused, sound.currentTime > 14]") == [True, True]
    assert [one for one in requests if not one.startswith("blob:")] == [path.as_uri()]
    assert messages == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_turns_are_drawn_where_they_are_in_the_sound(text, tmp_path):
    path = tmp_path / "call.html"
    path.write_text(text, encoding="utf-8")
    with opened(path, 1280, "light") as (shown, _, _):
        found = shown.evaluate(
            "[...document.querySelectorAll('.inner .wave')].map(wave => ["
            "...wave.querySelectorAll('rect')].map(one => (one.getBoundingClientRect().left"
            " - document.querySelector('.inner').getBoundingClientRect().left) / 10))"
        )
    for channel, starts_s in enumerate(found):
        own = [turn.start_s for turn in TURNS if turn.channel == channel]
        assert starts_s == pytest.approx(own, abs=0.05)


def test_sides_are_told_apart_by_more_than_colour():
    css = (page.HERE / "page.css").read_text(encoding="utf-8")
    sides = re.findall(r"#turns \.side-[01] \{ (border-\w+: \d+px \w+)", css)
    assert len(set(sides)) == 2
    assert all(a.split()[0] != b.split()[0] for a, b in pairwise(sides))
