"""The active speech level: known signals, and ITU-T P.56 computed sample by sample."""

import math

import numpy as np
import pytest

from telephone_asr.channel.level import active_level_db, rms

RATE_HZ = 16000


def sine(amplitude: float, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * 500 * t)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


def p56_db(samples: np.ndarray, rate_hz: int) -> float:
    """Method B as the standard's clause 7 puts it: every sample, every threshold, a hangover.

    Its thresholds are a factor of 2 apart with the level read off between them; here 0.1 dB.
    """
    keep, hangover = math.exp(-1 / (rate_hz * 0.03)), math.ceil(0.2 * rate_hz)
    thresholds = 10 ** (np.arange(-90, 0, 0.1) / 20)
    active = np.zeros(len(thresholds))
    held = np.full(len(thresholds), hangover)
    first = second = energy = 0.0
    for x in samples.astype(float):
        energy += x * x
        first = keep * first + (1 - keep) * abs(x)
        second = keep * second + (1 - keep) * first
        above = second >= thresholds
        held = np.where(above, 0, held + 1)
        active += held <= hangover
    with np.errstate(divide="ignore"):
        level_db = 10 * np.log10(energy / active)
    within = level_db - 20 * np.log10(thresholds) <= 15.9
    return float(level_db[np.argmax(within)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_same_as_p56(speech, seed, noise):
    rate_hz = 8000
    sound = speech(1.5 + seed, seed, rate_hz) / np.float32(32768)
    sound = sound + noise * np.random.default_rng(seed).standard_normal(len(sound))
    sound = (sound - sound.mean()).astype(np.float32)
    assert active_level_db(sound, rate_hz) == pytest.approx(p56_db(sound, rate_hz), abs=0.1)


@pytest.mark.parametrize("pause_s", [0.1, 1.0, 3.0])
def test_long_pauses_do_not_count(pause_s):
    """But the standard's 0.2 s behind each of the two stretches of speech do."""
    sound = np.concatenate([silence(0.5), sine(0.1, 2), silence(pause_s), sine(0.1, 2)])
    counted = 4 + min(pause_s, 0.2)
    expected = -23.01 + 10 * math.log10(4 / counted)
    assert active_level_db(sound, RATE_HZ) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_level_of_known_signals(rate_hz):
    square = np.where(np.arange(4 * rate_hz) // 40 % 2, 1, -1).astype(np.float32)
    assert active_level_db(square, rate_hz) == pytest.approx(0.0, abs=0.05)
    for amplitude, level_db in ((1.0, -3.01), (0.1, -23.01), (0.001, -63.01)):
        sound = sine(amplitude, 4, rate_hz)
        assert active_level_db(sound, rate_hz) == pytest.approx(level_db, abs=0.05)


def test_gain_moves_the_level_by_as_much(speech):
    sound = speech(2.0) / np.float32(32768)
    level_db = active_level_db(sound, RATE_HZ)
    assert active_level_db(sound * np.float32(0.1), RATE_HZ) == pytest.approx(
        level_db - 20, abs=0.01
    )


def test_silence_and_constants_have_no_level():
    for nothing in (silence(0), silence(0.01), silence(1)):
        assert active_level_db(nothing, RATE_HZ) == -math.inf
    assert active_level_db(silence(1) + np.float32(0.3), RATE_HZ) < -120
    shifted = sine(0.1, 4) + np.float32(0.3)
    assert active_level_db(shifted, RATE_HZ) == pytest.approx(-23.01, abs=0.05)


@pytest.mark.parametrize("n", [1, 2, 3, 40, 79, 80, 81])
def test_a_click_has_the_mean_power_of_its_samples(n):
    click = np.zeros(n, dtype=np.float32)
    click[0] = 0.5
    frame = min(n, 80)
    whole = click[: n // frame * frame] - click.mean()
    power = float(np.mean(whole**2))
    expected = 10 * math.log10(power) if power else -math.inf
    assert active_level_db(click, RATE_HZ) == pytest.approx(expected, abs=0.01)


def test_rms():
    assert rms(np.zeros(0, np.float32)) == 0
    assert rms(np.array([3, -4], np.float32)) == pytest.approx(math.sqrt(12.5))
