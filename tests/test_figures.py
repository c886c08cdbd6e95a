"""Pictures: the same numbers, the same bytes; as an SVG in the page's colours and as a PNG."""

import re

import numpy as np
import pytest

from report_fixtures import CURVES, metrics
from telephone_asr.report import corpora, figures, sound


def cuts(babble: bool = True) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "duration": float(rng.uniform(1, 5)),
            "supervisions": [
                {"text": "您好", "speaker": f"{i % 7}", "custom": {"scene": ("", "sales")[i % 2]}}
            ],
            "custom": {
                "measures": {"snr_db": float(rng.uniform(10, 40))},
                "babble_snr_db": float(rng.uniform(10, 25)) if babble else None,
                "level_db": float(rng.uniform(-30, -20)),
                "codec": ("alaw", "amr_nb_4750+alaw")[i % 2],
                "lost_packets": float(rng.uniform(0, 0.1)) if babble and i % 3 else 0.0,
                "handset": bool(i % 2),
            },
        }
        for i in range(50)
    ]


@pytest.fixture(scope="module")
def panels(speech) -> list[figures.Panel]:
    sounds = [("wideband", speech(0.5), 16000), ("call", speech(0.4, rate_hz=8000), 8000)]
    contents = {name: corpora.Contents.of(cuts()) for name in corpora.SHOWN}
    return [
        *figures.cer(metrics()),
        *figures.curves(CURVES),
        *corpora.panels(contents),
        *sound.channel(cuts()),
        *sound.spectrograms("three", sounds, 8),
    ]


@pytest.fixture(scope="module")
def drawn(panels) -> dict[str, str]:
    return {panel.name: figures.svg(panel) for panel in panels}


def test_the_same_numbers_give_the_same_svg(panels, drawn):
    for panel in panels:
        assert figures.svg(panel) == drawn[panel.name], panel.name


def test_the_same_numbers_give_the_same_png(panels):
    png = figures.png(panels[:4], "CER", 2)
    assert png.startswith(b"\x89PNG")
    assert png == figures.png(panels[:4], "CER", 2)
    assert b"Software" not in png
    assert png != figures.png(panels[:4], "CER (synthetic speech)", 2)


def test_a_long_title_stays_above_its_panel(speech, monkeypatch):
    line = "amr_nb_7400+alaw, level −27 dB, babble 19 dB, handset, echo, 3 % lost, concealed"
    shown = []

    class Seen(figures.Figure):
        def savefig(self, *args, **kwargs):
            shown.append(self)
            super().savefig(*args, **kwargs)

    monkeypatch.setattr(figures, "Figure", Seen)
    sounds = [(line, speech(0.4, rate_hz=8000), 8000)] * 4
    figures.png(sound.spectrograms("sheet", sounds, 4), "Calls", 2)
    for part in shown[0].subfigs:
        above, axes = part._suptitle.get_window_extent(), part.axes[0].get_window_extent()
        assert part.bbox.x0 <= above.x0 < above.x1 <= part.bbox.x1
        assert axes.y1 <= above.y0 < above.y1 <= part.bbox.y1


def test_an_svg_takes_its_colours_and_its_font_from_the_page(drawn):
    for name, svg in drawn.items():
        assert "var(--ink)" in svg, name
        assert not re.search(r"font: |font-family", svg), name
        assert "<style" not in svg, name
        assert "date" not in svg, name
        # What has a colour has one of the page's, or is a spectrogram.
        literal = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg)) - {"#ffffff"}
        assert not literal, name


def test_the_panels_of_a_page_share_no_id(drawn):
    ids = [one for svg in drawn.values() for one in re.findall(r' id="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) > 100


def test_every_reference_in_an_svg_has_its_target(drawn):
    for name, svg in drawn.items():
        wanted = set(re.findall(r"url\(#([^)]*)\)", svg)) | set(re.findall(r'href="#([^"]*)"', svg))
        assert wanted <= set(re.findall(r' id="([^"]*)"', svg)), name


def test_the_words_for_a_picture_have_its_numbers():
    own = metrics()
    own["final"]["telecall"] |= {"cer": 0.2222, "cer_low": 0.1111, "cer_high": 0.3333}
    calls = figures.cer(own)[0]
    assert "final 22.2 %, 95 % interval 11.1 to 33.3 %" in calls.alt
    assert "final 22.2 %" in figures.svg(calls)
    [encoder, lora] = figures.curves(CURVES)
    assert "training loss from 2.00 at step 10 to 1.00 at step 20" in encoder.alt
    assert "validation CER from 370.0 % at step 0 to 20.0 % at step 20" in encoder.alt
    assert "loss" not in lora.alt


def test_pictures_do_not_depend_on_the_users_style_nor_change_it(panels):
    import matplotlib

    plain = figures.svg(panels[0])
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        assert figures.svg(panels[0]) == plain
        assert matplotlib.rcParams["font.size"] == 20


def test_what_is_missing_does_not_stop_a_picture():
    assert figures.curves({}) == []
    for panel in [*sound.channel(cuts(babble=False)), *sound.channel([{"duration": 1.0}])]:
        assert figures.svg(panel).startswith("<svg")
    unknown = metrics()
    unknown["base"]["telecall"] |= {"cer": None}
    [calls, *_] = figures.cer(unknown)
    assert "base" not in calls.alt
    assert figures.svg(calls).startswith("<svg")
    short = np.ones(20, dtype=np.int16)  # less than one window
    [panel] = sound.spectrograms("short", [("call", short, 8000)], 4)
    assert figures.svg(panel).startswith("<svg")


def test_a_caption_says_what_the_line_did():
    done = {"codec": "alaw", "level_db": -20.0, "babble_snr_db": None, "handset": True}
    assert sound.line_caption(done) == "alaw, level −20 dB, handset"
    done |= {"lost_packets": 0.051, "loss_concealed": False, "echo_delay_ms": 50.0}
    assert sound.line_caption(done) == "alaw, level −20 dB, handset, echo, 5 % lost, silent"
    done = {"codec": "opus", "level_db": -20.0, "noise_suppression_db": 12, "gain_control": True}
    assert sound.line_caption(done) == "opus, level −20 dB, noise suppression, automatic gain"


def test_spectrograms_of_two_rates_agree():
    for rate_hz in (8000, 16000):
        tone = np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz)
        level = sound.spectrogram_db(np.rint(32767 * tone).astype(np.int16), rate_hz)
        middle = level[:, level.shape[1] // 2]
        assert middle.max() == pytest.approx(0, abs=0.1)  # a full-scale sine is 0 dB
        assert np.argmax(middle) == round(1000 * sound.WINDOW_S)
