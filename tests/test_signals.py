"""The network's own signals, measured: frequencies, cadences, keys and bits are the standards'."""

import numpy as np
import pytest

from telephone_asr.no_speech import held_out, kinds, signals
from telephone_asr.no_speech.signals import RATE_HZ

# Of Asterisk's configs/samples/indications.conf.sample, zone cn: Hz/ms on, then 0/ms off.
ASTERISK_CN = {
    "ring_back": "450/1000,0/4000",
    "busy": "450/350,0/350",
    "congestion": "450/700,0/700",
    "call_waiting": "450/400,0/4000",
    "unobtainable": "450/100,0/100,450/100,0/100,450/100,0/100,450/400,0/400",
}


def peak_hz(sound: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound)))
    return float(np.argmax(spectrum) * RATE_HZ / (8 * len(sound)))


def turns_s(sound: np.ndarray) -> list[float]:
    """How long it is on, off, on, ... by its envelope."""
    frame = RATE_HZ // 200
    frames = sound[: len(sound) // frame * frame].reshape(-1, frame)
    on = np.abs(frames).max(axis=1) > 0.3
    switched = np.flatnonzero(np.diff(on.astype(int))) + 1
    return (np.diff([0, *switched]) * frame / RATE_HZ).tolist()


@pytest.mark.parametrize("name", ASTERISK_CN)
def test_a_chinese_tone_has_the_frequency_and_the_cadence_that_exchanges_are_set_to(name):
    expected = [part.split("/") for part in ASTERISK_CN[name].split(",")]
    frequencies_hz, turns = signals.CHINA[name]
    sound = signals.chord(frequencies_hz, 11 * RATE_HZ) * signals.cadence(turns, 11 * RATE_HZ)
    assert peak_hz(sound) == pytest.approx(450, abs=1)
    measured = turns_s(sound)[: len(expected)]
    assert measured == pytest.approx([int(ms) / 1000 for _, ms in expected], abs=0.011)


def test_keys_are_read_as_a_receiver_reads_them():
    """By the power at the eight frequencies of ITU-T Q.23."""
    pressed = "159D*0#A"
    sound = signals.keys(pressed, [0.08] * 8, [0.07] * 8, 2.0, 2 * RATE_HZ)
    t = np.arange(round(0.08 * RATE_HZ)) / RATE_HZ
    low_hz, high_hz = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
    read = ""
    for i in range(8):
        start = round(0.15 * i * RATE_HZ)
        own = sound[start : start + len(t)]
        row, column = (
            int(np.argmax([abs(np.sum(own * np.exp(-2j * np.pi * hz * t))) for hz in group]))
            for group in (low_hz, high_hz)
        )
        read += ("123A", "456B", "789C", "*0#D")[row][column]
    assert read == pressed
    assert not sound[round(0.085 * RATE_HZ) : round(0.145 * RATE_HZ)].any()


def test_the_preamble_of_a_fax_is_flags_at_300_bits_a_second():
    sound = signals.v21(signals.V21_FLAG, 1650, 1850, RATE_HZ)
    bits = []
    for i in range(299):
        start, end = -(-i * RATE_HZ // 300), -(-(i + 1) * RATE_HZ // 300)
        t = np.arange(start, end) / RATE_HZ
        mark, space = (
            abs(np.sum(sound[start:end] * np.exp(-2j * np.pi * hz * t))) for hz in (1650, 1850)
        )
        bits.append(int(mark > space))
    text = "".join(map(str, bits))
    assert text == ("01111110" * 38)[:299]
    assert np.abs(np.diff(sound)).max() < 2 * np.pi * 1850 / RATE_HZ + 0.01  # the phase never jumps


def test_a_fax_calls_at_1100_and_answers_at_2100_hz():
    heard = [kinds.fax(np.random.default_rng(seed), 4 * RATE_HZ) for seed in range(12)]
    peaks = [peak_hz(sound) for sound in heard]
    assert any(1062 <= hz <= 1138 for hz in peaks)
    assert any(2085 <= hz <= 2115 for hz in peaks)
    assert any(1600 <= hz <= 1900 for hz in peaks)


def test_a_tests_tones_are_none_that_were_trained_on():
    """Elsewhere's, or off by at least 4 Hz and a fortieth of the cadence."""
    for seed in range(20):
        sound = held_out.tone(np.random.default_rng(seed), 8 * RATE_HZ)
        assert abs(peak_hz(sound) - 450) > 2


def test_noise_has_the_spectrum_that_is_asked_for():
    sound = signals.noise(np.random.default_rng(0), 20 * RATE_HZ, [500, 1000, 4000], [0, -20, -20])
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    low, high = (power[(hz > a) & (hz < b)].mean() for a, b in ((50, 500), (1000, 7000)))
    assert 10 * np.log10(low / high) == pytest.approx(20, abs=0.5)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(1, abs=0.01)
