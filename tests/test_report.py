"""The report says what the numbers say: tables, signs, words; and the same numbers, same bytes."""

import doctest

import numpy as np
import pytest

from telephone_asr.report import document, figures, sound, tables
from telephone_asr.report.findings import CHECKPOINTS, SETS, Change, Findings, compare
from telephone_asr.stages.report import read_curves

UTTERANCES, CHARACTERS, SPEAKERS = 30, 10, 10
# Errors in each utterance: stage 1 helps, stage 2 helps some calls as much as it hurts others,
# stage 3 hurts; wideband gets worse throughout.
CALLS = {
    "base": lambda i: 5,
    "encoder": lambda i: 2,
    "adapter": lambda i: 2 + (-1) ** i,
    "lora": lambda i: 4,
}
WIDEBAND = {"base": 1, "encoder": 2, "adapter": 2, "lora": 3}


def line(source: str, i: int, errors: int, **fields) -> dict:
    return {
        "key": f"{source}-{i:02d}",
        "source": source,
        "speaker": f"speaker-{i % SPEAKERS}",
        "scene": ("sales", "debt")[i % 2] if source == "telecall" else "",
        "reference": "你好",
        "text": "你号",
        "substitutions": errors,
        "deletions": 0,
        "insertions": 0,
        "characters": CHARACTERS,
        **fields,
    }


def transcripts() -> dict[str, list[dict]]:
    return {
        name: [line("telecall", i, CALLS[name](i)) for i in range(UTTERANCES)]
        + [line("simulated", i, CALLS[name](i)) for i in range(UTTERANCES)]
        + [line("wideband", i, WIDEBAND[name]) for i in range(UTTERANCES)]
        for name in CHECKPOINTS
    }


def metrics() -> dict[str, dict]:
    content = {}
    for name, lines in transcripts().items():
        content[name] = {}
        for source in SETS:
            wrong = sum(one["substitutions"] for one in lines if one["source"] == source)
            cer = wrong / (UTTERANCES * CHARACTERS)
            content[name][source] = {
                "cer": cer,
                "substitutions": wrong,
                "deletions": 0,
                "insertions": 0,
                "characters": UTTERANCES * CHARACTERS,
                "cer_low": cer - 0.01,
                "cer_high": cer + 0.02,
                "utterances": UTTERANCES,
                "scene": {"debt": cer, "sales": None} if source == "telecall" else {},
            }
    return content


def corpus(**fields) -> dict:
    return {
        "in": 1000,
        "kept": 970,
        "train": 800,
        "valid": 90,
        "test": 80,
        "rejected": {},
        "annotation_errors": 0,
        "hours": 1.5,
        "speakers": 20,
        "mean_speech_length": 250.0,
        "mean_text_length": 9.0,
        "share_all_fields": 1.0,
        "share_audio_exists": 1.0,
        "mb_per_hour": 28.0,
        **fields,
    }


def findings(synthetic=(), **fields) -> Findings:
    rejected = {"annotation_error": 20, "too_short": 10}
    checkpoint = {"trainable_parameters": 1234567, "lr": 5e-4, "steps": 300, "valid_cer": 0.25}
    content = {
        "metrics": metrics(),
        "transcripts": transcripts(),
        "data": {
            "simulated": corpus(),
            "wideband": corpus(),
            "telecall": corpus(rejected=rejected, annotation_errors=20, share_audio_exists=0.9999),
        },
        "checkpoints": {
            name: {**checkpoint, "step": 0 if name == "lora" else 200}
            for name in ("encoder", "adapter", "lora")
        },
        "export": {"utterances": 60, "equal": 59},
        "synthetic": frozenset(synthetic),
        "seed": 0,
    }
    return Findings(**{**content, **fields})


def rows(table: str) -> list[list[str]]:
    return [[c.strip() for c in one.strip("|").split("|")] for one in table.splitlines()[2:]]


@pytest.fixture(scope="module")
def changes() -> list[Change]:
    return compare(transcripts(), seed=0)


def test_doctests():
    for module in (document, tables):
        assert doctest.testmod(module).failed == 0


def test_changes_have_sign_and_verdict(changes):
    of = {(c.test_set, c.after, c.before): c for c in changes}
    encoder = of["telecall", "encoder", "base"]
    assert encoder.difference == pytest.approx(-0.3)
    assert (encoder.low, encoder.high) == pytest.approx((-0.3, -0.3))
    assert encoder.verdict == "better"
    assert document.relative(encoder) == "−60 % (95 % interval −60 to −60 %)"
    adapter = of["telecall", "adapter", "encoder"]
    assert adapter.low < 0 < adapter.high
    assert adapter.verdict == "within noise"
    assert of["telecall", "lora", "adapter"].verdict == "worse"
    assert document.relative(of["telecall", "lora", "base"]).startswith("−20 %")
    assert document.relative(of["wideband", "lora", "base"]).startswith("+200 %")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.02, -0.01, "better"), (0.01, 0.02, "worse"), (-0.01, 0.0, "within noise")],
)
def test_an_interval_that_holds_zero_is_noise(low, high, verdict):
    assert Change("base", "lora", "telecall", 0.2, 0.2, low, high).verdict == verdict


def test_a_change_from_no_errors_has_no_relative_size():
    change = Change("base", "encoder", "wideband", 0.0, 0.1, 0.05, 0.15)
    assert "no relative change" in document.relative(change)


def test_checkpoints_of_different_utterances_are_not_compared():
    mixed = transcripts()
    mixed["encoder"] = mixed["encoder"][::-1]
    with pytest.raises(ValueError, match="not of the same utterances"):
        compare(mixed, seed=0)


def test_change_table(changes):
    found = {(row[0], row[1]): row[2:] for row in rows(tables.change_table(changes))}
    assert len(found) == len(SETS) * 4
    encoder = found["telephone calls", "stage 1 (encoder) against base"]
    assert encoder == ["−30.0", "−30.0 to −30.0", "yes, **better**"]
    adapter = found["telephone calls", "stage 2 (adapter) against stage 1"]
    assert adapter[0] == "0.0"
    assert adapter[2] == "no, within noise"
    price = found["wideband speech", "stage 3 (LoRA) against base"]
    assert price == ["+20.0", "+20.0 to +20.0", "yes, **worse**"]


def test_summary_in_words(changes):
    text = document.summary(findings(), changes)
    assert "**50.0 % on telephone calls** (95 % interval 49.0 to 52.0) and 10.0 % on wide" in text
    assert "Stage 1 (encoder) made calls better: from 50.0 to 20.0 %, −60 %" in text
    assert "Stage 2 (adapter) left calls as they were, within noise: from 20.0 to 20.0 %" in text
    assert "Stage 3 (LoRA) made calls worse: from 20.0 to 40.0 %, +100 %" in text
    assert "wideband speech went from 10.0 to 30.0 %, +200 %" in text
    assert "for 59 of 60 test utterances" in text
    assert "have 10 speakers only" in text
    assert "ynthetic" not in text


def test_cer_and_scene_tables():
    one = rows(tables.cer_table(metrics(), transcripts()))[1]
    expected = ["telephone calls", "stage 1 (encoder)", "**20.0**", "19.0 to 22.0"]
    assert one == [*expected, "60", "0", "0", "30", "300", "10"]
    debt, sales = rows(tables.scene_table(metrics(), transcripts()))
    assert debt == ["debt", "50.0", "20.0", "20.0", "40.0", "15", "150"]
    assert sales[1:5] == ["–"] * 4  # a scene without a reference has no rate


def test_intervals_of_few_speakers_are_not_oversold():
    few = tables.interval_note(transcripts())
    assert "10 in telephone calls" in few
    lines = [line("telecall", i, 1, speaker="one") for i in range(5)]
    assert "only one speaker in telephone calls" in tables.interval_note({"lora": lines})
    many = [line(s, i, 1, speaker=f"{i}") for s in SETS for i in range(20)]
    assert tables.interval_note({"lora": many}) == "Intervals are bootstrapped by speaker."


def test_data_tables_account_for_every_utterance():
    data = findings().data
    by_type = {row[0]: row[1:] for row in rows(tables.data_table(data))}
    assert by_type["telephone calls"][:7] == ["1,000", "800", "90", "80", "970", "30", "20"]
    together = ["2,000", "1,600", "180", "160", "1,940", "30", "20", "3.00"]
    assert by_type["simulated and calls together"][:8] == together
    quality = {row[0]: row[1:] for row in rows(tables.quality_table(data))}
    assert quality["telephone calls"] == ["250.0", "9.0", "100 %", "99.99 %", "28.0"]


def test_training_table_and_a_stage_that_brought_nothing():
    text = tables.training_table(findings().checkpoints)
    encoder = ["stage 1 (encoder)", "simulated", "1,234,567", "0.0005", "300", "200", "25.0"]
    assert rows(text)[0] == encoder
    assert "No step of stage 3 (LoRA) was better" in text


def test_worst_and_random_utterances():
    lines = [line("telecall", i, errors) for i, errors in enumerate([0, 3, 9, 3, 0])]
    lines.append(line("telecall", 5, 6, characters=20))
    assert [one["key"][-1] for one in tables.worst(lines)] == ["2", "5", "1", "3"]
    assert tables.worst(lines, 1) == [lines[2]]
    chosen = tables.drawn(lines, seed=1, count=3)
    assert chosen == tables.drawn(lines[::-1], seed=1, count=3)
    assert chosen != tables.drawn(lines, seed=2, count=3)
    assert len(tables.drawn(lines, seed=1)) == len(lines)


def test_texts_cannot_break_the_table():
    lines = [line("telecall", 0, 1, reference="一|二\n三", text="", characters=0)]
    assert tables.utterance_table(lines).splitlines()[2].count(" | ") == 5
    assert "一\\|二 三" in tables.utterance_table(lines)
    assert "| (empty) | – |" in tables.utterance_table(lines)
    assert "without an error" in tables.utterance_table([])


def test_synthetic_is_said_in_every_heading():
    text = document.document(findings(synthetic=SETS), ["ACCOUNTS"], ["wideband: a, 你好"])
    headings = [one for one in text.splitlines() if one.startswith("#")]
    assert len(headings) > 6
    assert all("(synthetic speech)" in one for one in headings)
    assert "All speech in this report is synthetic" in text


def test_part_of_the_corpora_synthetic_and_none():
    text = document.document(findings(synthetic=["telecall"]), [], [])
    assert "## Character error rates (synthetic: telephone calls)" in text
    assert "by scene: CER in % (synthetic speech)" in text
    assert "## What the simulated line did\n" in text
    assert "ynthetic" not in document.document(findings(), [], [])


def cuts(babble: bool) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "duration": float(rng.uniform(1, 5)),
            "custom": {
                "babble_snr_db": float(rng.uniform(10, 25)) if babble else None,
                "level_db": float(rng.uniform(-30, -20)),
                "codec": ("alaw", "amr_nb_4750+alaw")[i % 2],
                "lost_packets": float(rng.uniform(0, 0.1)) if babble and i % 3 else 0.0,
                "handset": bool(i % 2),
            },
        }
        for i in range(50)
    ]


CURVES = {
    "base_ctc": {},
    "encoder": {"loss": [(10, 2.0), (20, 1.0)], "cer": [(0, 3.7), (20, 0.2)]},
    "lora": {"cer": [(0, 0.0)]},
}


def test_the_same_numbers_give_the_same_pictures(speech):
    sounds = [("wideband", speech(0.5), 16000), ("call", speech(0.4, rate_hz=8000), 8000)]
    draws = {
        "cer": lambda title: figures.cer(metrics(), title),
        "curves": lambda title: figures.curves(CURVES, title),
        "spectrograms": lambda title: sound.spectrograms(sounds, title),
        "channel": lambda title: sound.channel(cuts(babble=True), title),
        "sheet": lambda title: sound.sheet(sounds + sounds[:1], title),
    }
    for name, draw in draws.items():
        png = draw("CER")
        assert png.startswith(b"\x89PNG"), name
        assert png == draw("CER"), name
        assert b"Software" not in png, name
        assert png != draw("CER (synthetic speech)"), name


def test_pictures_do_not_depend_on_the_users_style_nor_change_it():
    import matplotlib

    plain = figures.curves(CURVES, "Curves")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        assert figures.curves(CURVES, "Curves") == plain
        assert matplotlib.rcParams["font.size"] == 20


def test_what_is_missing_does_not_stop_a_picture():
    stages = {name: CURVES[name] for name in ("encoder", "lora")}
    assert figures.curves(CURVES, "Curves") == figures.curves(stages, "Curves")
    assert figures.curves({}, "Curves").startswith(b"\x89PNG")
    assert sound.channel(cuts(babble=False), "Line").startswith(b"\x89PNG")
    assert sound.channel([{"duration": 1.0}], "Line").startswith(b"\x89PNG")
    unknown = metrics()
    unknown["base"]["telecall"] |= {"cer": None}
    assert figures.cer(unknown, "CER").startswith(b"\x89PNG")
    short = np.ones(20, dtype=np.int16)  # less than one window
    assert sound.spectrograms([("call", short, 8000)], "Sound").startswith(b"\x89PNG")


def test_a_caption_says_what_the_line_did():
    done = {"codec": "alaw", "level_db": -20.0, "babble_snr_db": None, "handset": True}
    assert sound.line_caption(done) == "alaw, level −20 dB, handset"
    done |= {"lost_packets": 0.051, "loss_concealed": False, "echo_delay_ms": 50.0}
    assert sound.line_caption(done) == "alaw, level −20 dB, handset, echo, 5 % lost, silent"


def test_spectrograms_of_two_rates_agree():
    for rate_hz in (8000, 16000):
        tone = np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz)
        level = sound.spectrogram_db(np.rint(32767 * tone).astype(np.int16), rate_hz)
        middle = level[:, level.shape[1] // 2]
        assert middle.max() == pytest.approx(0, abs=0.1)  # a full-scale sine is 0 dB
        assert np.argmax(middle) == round(1000 * sound.WINDOW_S)


def test_curves_are_read_where_they_are(tmp_path):
    assert read_curves(tmp_path / "none") == {}
    directory = tmp_path / "plots" / "metrics"
    directory.mkdir(parents=True)
    (directory / "cer.tsv").write_text("step\tcer\n0\t0.5\n10\t2.5e-1\n")
    assert read_curves(tmp_path) == {"cer": [(0, 0.5), (10, 0.25)]}
