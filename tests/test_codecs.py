"""Codecs: length, alignment and damage."""

import numpy as np
import pytest

from telephone_asr.channel import g711
from telephone_asr.channel.codecs import check_codec, through_codec
from telephone_asr.errors import InputError

NAMES = ("mulaw", "alaw", "gsm", "gsm+alaw", "mulaw+alaw")


def voiced(n: int) -> np.ndarray:
    """Something like a vowel: pulses of a changing pitch through two resonances."""
    rng = np.random.default_rng(0)
    phase = np.cumsum(110 + 30 * np.sin(np.arange(n) / 2000)) / 8000
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(n)
    t = np.arange(200) / 8000
    ring = np.exp(-200 * t) * np.sin(2 * np.pi * 600 * t)
    ring += 0.7 * np.exp(-300 * t) * np.sin(2 * np.pi * 1500 * t)
    sound = np.convolve(pulses, ring)[:n]
    return (8000 * sound / np.abs(sound).max()).astype(np.int16)


@pytest.mark.parametrize("name", NAMES)
def test_no_delay(name):
    pcm = voiced(16000)
    out = through_codec(pcm, name).astype(float)
    inner = pcm[400:-400].astype(float)
    shifts = np.arange(-200, 201)
    correlation = [np.dot(inner, out[400 + d : 400 + d + len(inner)]) for d in shifts]
    assert shifts[np.argmax(correlation)] == 0
    assert np.corrcoef(pcm, out)[0, 1] > 0.9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1, 159, 160, 161, 320, 12345])
def test_length_is_kept(name, n):
    out = through_codec(voiced(20000)[:n], name)
    assert out.dtype == np.int16
    assert len(out) == n


@pytest.mark.parametrize("name", NAMES)
def test_loudest_square_wave_does_not_wrap(name):
    square = np.where(np.arange(1600) // 80 % 2 == 0, 32767, -32768).astype(np.int16)
    out = through_codec(square, name).astype(int)
    middle = np.arange(1600) % 80
    plateau = (middle > 5) & (middle < 20)  # GSM lets the rest of the plateau sag
    assert np.all(np.sign(out[plateau]) == np.sign(square[plateau]))


def test_silence_stays_silent():
    zeros = np.zeros(1600, dtype=np.int16)
    for name in NAMES:
        assert np.abs(through_codec(zeros, name)).max() <= 32


def test_tandem_goes_from_left_to_right():
    pcm = voiced(4000)
    np.testing.assert_array_equal(
        through_codec(pcm, "gsm+alaw"), g711.through(through_codec(pcm, "gsm"), "alaw")
    )
    ordered, swapped = through_codec(pcm, "gsm+alaw"), through_codec(pcm, "alaw+gsm")
    assert not np.array_equal(ordered, swapped)


@pytest.mark.parametrize("name", ["opus", "", "gsm+", "gsm+ulaw", "GSM"])
def test_unknown_codec(name):
    with pytest.raises(InputError, match=r"unknown codec.*expected mulaw, alaw, gsm"):
        check_codec(name)
    with pytest.raises(InputError, match="unknown codec"):
        through_codec(np.zeros(10, dtype=np.int16), name)
