"""Pronunciation, checked on the phonemes espeak-ng makes of our pinyin, and synthesis."""

import ctypes
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from telephone_asr.corpora import sentences, speech, synthetic

SPEC = Path(synthetic.__file__).with_name("synthetic.yaml")
READINGS = sentences.load_spec(SPEC)["readings"]
REQUEST = speech.Request("huan2 kuan3", "f1", 50, 60, 200, 1.0, -6.0, 0.1, 0.15)


@pytest.fixture(scope="module")
def espeak() -> ctypes.CDLL:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetVoiceByName(b"cmn-latn-pinyin")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    return library


def phonemes(espeak: ctypes.CDLL, pinyin: str) -> list[str]:
    """espeak-ng's phonemes of each syllable, tone contours as 55, 35, 214, 51 and 11 (neutral)."""
    text = ctypes.c_char_p(pinyin.encode())
    said = espeak.espeak_TextToPhonemes(ctypes.byref(text), 1, 0).decode()
    return re.sub(r"[_|']", "", said).split()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("还款", "Xua35n khwa214n"),
        ("还没有", "Xai35 mei35 jiou214"),
        ("我就还一百元", "wo214 tS;iou51 Xua35n ji51 pai214 jy&35n"),
        ("余额还有", "jy35 o-35 Xai35 jiou214"),
        ("天安银行", "thiE55n a55n ji35n XA35N"),
        ("行请说", "S;i35N tS;hi214N s.wo55"),
        ("幺三八一", "jAu55 sa55n pA55 ji55"),
        ("重庆长沙成都", "ts.hong35 tS;hi51N ts.hA35N s.A55 ts.h@35N tu55"),
        ("到今天为止", "tAu51 tS;i55n thiE55n wei35 ts.i.214"),
        ("为您服务", "wei51 ni35n fu35 wu51"),
        ("便宜一点", "phiE35n ji11 ji51 tiE214n"),
        ("不方便", "pu51 fA55N piE51n"),
        ("东方便宜", "tong55 fA55N phiE35n ji11"),
        ("女士", "ny214 s.i.51"),
        ("考虑一下", "khAu214 ly51 ji35 S;iA51"),
        ("二十块", "@r51 s.i.35 khuai51"),
        ("您的对吗", "ni35n t@11 tuei51 mA11"),
        ("不用了", "pu35 jong51 l@11"),
        ("你好", "ni35 XAu214"),
        ("九百五", "tS;iou35 pai35 wu214"),
        ("一万一千", "ji35 wA51n ji51 tS;hiE55n"),
        ("四一零一", "si[51 ji55 li35N ji55"),
        ("星期一下午一点", "S;i55N tS;hi55 ji55 S;iA51 wu214 ji51 tiE214n"),
        ("晚上十一点", "wA214n s.A11N s.i.35 ji55 tiE214n"),
        ("手机号码", "s.ou214 tS;i55 XAu51 mA214"),
        ("量只地折发", "liA51N ts.i.214 ti51 ts.o-35 fA55"),
    ],
)
def test_what_espeak_says(espeak: ctypes.CDLL, text: str, said: str) -> None:
    assert phonemes(espeak, " ".join(speech.pinyin(text, READINGS))) == said.split()


def test_every_syllable_of_the_corpus_is_mandarin_to_espeak(espeak: ctypes.CDLL) -> None:
    tones = {"1": "55", "2": "35", "3": "214", "4": "51", "5": "11"}
    plan = synthetic.plan(SPEC, "wideband", 60, seed=0)
    for syllable in {s for u in plan for s in speech.pinyin(u.said, READINGS)}:
        (said,) = phonemes(espeak, syllable)
        # A syllable that it does not know is read as English and says so: (en).
        assert "(" not in said
        assert re.sub(r"[^1-5]", "", said) == tones[syllable[-1]], syllable


def test_only_known_polyphones_have_more_than_one_reading() -> None:
    """Random neighbours must not form a phrase of the dictionary: 高 and 丽 are gao1 li2 there."""
    polyphones = set("一不还便行为上谢")
    readings = defaultdict(set)
    for part in sentences.PARTS:
        for utterance in synthetic.plan(SPEC, part, 60, seed=0):
            syllables = speech.pinyin(utterance.said, READINGS)
            assert len(syllables) == len(utterance.said)
            for i, (character, syllable) in enumerate(zip(utterance.said, syllables, strict=True)):
                if syllables[i + 1 : i + 2] and syllable[-1] == "2":
                    # Third-tone sandhi: counted as the third tone where that is a reading too.
                    third = syllable[:-1] + "3"
                    syllable = third if third in readings[character] else syllable
                readings[character].add(syllable)
    several = {
        character
        for character, found in readings.items()
        if len({s.replace("2", "3") for s in found}) > 1
    }
    assert several <= polyphones


def test_audio_has_the_asked_margins_and_level() -> None:
    (audio,) = speech.synthesise([REQUEST])
    assert audio.dtype == np.int16
    assert audio.ndim == 1
    loud = np.flatnonzero(audio)
    assert loud[0] == pytest.approx(0.1 * speech.SAMPLE_RATE_HZ, abs=16)
    assert len(audio) - 1 - loud[-1] == pytest.approx(0.15 * speech.SAMPLE_RATE_HZ, abs=16)
    assert 20 * np.log10(np.abs(audio).max() / 32_767) == pytest.approx(-6.0, abs=0.1)
    assert 0.3 < len(audio) / speech.SAMPLE_RATE_HZ < 1.2


def test_bytes_depend_on_the_request_alone() -> None:
    requests = [replace(REQUEST, variant=v, rate=r) for v in ("f2", "m7") for r in (180, 210)] * 3
    alone = [next(speech.synthesise([request])).tobytes() for request in requests[:4]]
    assert len(set(alone)) == 4
    for workers in (1, 2):
        together = [audio.tobytes() for audio in speech.synthesise(requests, workers)]
        assert together == alone * 3


def test_a_voice_is_heard_in_the_audio() -> None:
    slow, fast = speech.synthesise([replace(REQUEST, rate=160), replace(REQUEST, rate=240)])
    assert len(slow) > 1.2 * len(fast)
    long, short = speech.synthesise([replace(REQUEST, tract=0.9), replace(REQUEST, tract=1.1)])
    frequencies = [_mean_frequency_hz(audio) for audio in (long, short)]
    assert frequencies[1] / frequencies[0] == pytest.approx(1.1 / 0.9, rel=0.1)


def test_stopping_early_leaves_no_process_behind() -> None:
    audio = speech.synthesise([REQUEST] * 50, workers=2)
    next(audio)
    audio.close()  # waits for the processes: hangs if they do not end


def _mean_frequency_hz(audio: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(audio)) ** 2
    return np.average(np.fft.rfftfreq(len(audio), 1 / speech.SAMPLE_RATE_HZ), weights=power)
