"""Sound in which nobody speaks, to train on: calls are full of it, and no transcript has it.

Each kind has a generator, which draws from `rng` and gives n samples at 16 kHz, and the levels that
it comes with. `held_out.py` has others of the same kinds, to test with: nothing here is used
there but the standards' tones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import WIDEBAND_RATE_HZ as RATE_HZ
from telephone_asr.channel.band import telephone_band
from telephone_asr.channel.codecs import through_codec
from telephone_asr.channel.g711 import LAWS
from telephone_asr.channel.level import active_level_db
from telephone_asr.channel.line import simulate
from telephone_asr.channel.music import hold_music
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import amplitude, rounded, to_int16
from telephone_asr.no_speech import signals
from telephone_asr.no_speech.signals import chord, curve, noise, sine

Make = Callable[[np.random.Generator, int], np.ndarray]
TUNE_S = 14.0
FIRST_TUNE = 1000  # the line's own tunes, behind the speech, are the first eight


@dataclass(frozen=True)
class Kind:
    """A kind of sound without speech."""

    make: Make | None  # None: babble, which is mixed of voices
    level_db: tuple[float, float] | None  # active level (ITU-T P.56), dBov; None: as it is made
    at_the_end: bool = False  # made where the line ends: only coded, without the line's noise


@dataclass(frozen=True)
class Clip:
    """A clip without speech, before the line and behind it."""

    wideband: np.ndarray  # int16, 16 kHz
    telephone: np.ndarray  # int16, 8 kHz
    done: dict  # what was done to it


def make_clip(
    kind: Kind,
    seconds: float,
    rng: np.random.Generator,
    line: Line,
    voices: BabblePool,
    behind: BabblePool | None = None,
) -> Clip:
    """Makes a clip of a kind, over the line.

    Args:
        voices: of the babble that is a kind of its own.
        behind: of the babble behind the other kinds; None: there is none.
    """
    n = round(seconds * RATE_HZ)
    if kind.make is None:
        made, behind = voices.draw(rng, n, "")[0], None
    else:
        made = kind.make(rng, n)
    sound = np.asarray(made, dtype=np.float32)
    if kind.level_db is not None:
        level_db = round(float(rng.uniform(*kind.level_db)), 2)
        present_db = active_level_db(sound, RATE_HZ)
        if math.isfinite(present_db):
            sound = sound * amplitude(level_db - present_db)
        line = replace(line, level_db=(level_db, level_db))
    wideband = to_int16(sound * np.float32(32768))
    if kind.at_the_end:
        law = LAWS[int(rng.integers(len(LAWS)))]
        narrow = telephone_band(sound, RATE_HZ, (0.0, line.band_hz[1]))
        telephone = through_codec(to_int16(narrow * np.float32(32768)), law)
        return Clip(wideband, telephone, {"codec": law})
    telephone, done = simulate(sound, RATE_HZ, line, behind, rng, "")
    return Clip(wideband, telephone, done)


def silence(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns nothing at all, or noise that a mute button switches off and on."""
    if rng.random() < 0.5:
        return np.zeros(n)
    at = np.sort(rng.uniform(0, n, 4)).astype(int)
    sound = noise(rng, n, [100, 1000, 4000], rng.uniform(-20, 0, 3).tolist())
    sound[at[0] : at[1]] = 0
    sound[at[2] : at[3]] = 0
    return sound


def comfort_noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns noise of a smooth spectrum, as a gateway makes it from a few numbers (RFC 3389)."""
    at_hz = [0, 500, 1000, 2000, 3000, 4000]
    return noise(rng, n, at_hz, np.cumsum(rng.uniform(-8, 4, len(at_hz))).tolist())


def room(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns noise of a line and a room, with any spectrum, that comes and goes a little."""
    at_hz = np.sort(rng.uniform(50, 7000, 8))
    sound = noise(rng, n, at_hz.tolist(), (rng.uniform(-30, 0, 8) - at_hz / 500).tolist())
    seconds = n / RATE_HZ
    points = 2 + int(2 * seconds)
    loudness = rng.uniform(0.4, 1, points).tolist()
    return sound * curve(np.linspace(0, seconds, points).tolist(), loudness, n)


def hum(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns mains hum: harmonics of 50 Hz up to 2 kHz, each second one stronger."""
    harmonics, period = int(rng.integers(8, 41)), RATE_HZ // 50
    sound = np.zeros(period)
    for k in range(1, harmonics + 1):
        loudness = rng.uniform(0.3, 1) * (1 if k % 2 else 0.4) / np.sqrt(k)
        sound += loudness * sine(50.0 * k, period, rng.uniform(0, 2 * np.pi))
    return np.resize(np.roll(sound, int(rng.integers(period))), n)


def tune(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns a piece of a tune of `hold_music`, from anywhere in it."""
    whole = hold_music(FIRST_TUNE + int(rng.integers(2**31)), TUNE_S, RATE_HZ)
    return np.roll(whole, -int(rng.integers(len(whole))))[:n].astype(np.float64)


def tone(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns a tone of Chinese exchanges, or of an exchange that does as it likes, from anywhere
    in its cadence."""
    if rng.random() < 0.5:
        tones = list(signals.CHINA.values())
        frequencies_hz, turns_s = tones[int(rng.integers(len(tones)))]
    else:
        frequencies_hz = tuple(rng.uniform(250, 2000, int(rng.integers(1, 4))).tolist())
        turns_s = tuple(rng.uniform(0.1, 3, 2).tolist())
    sound = chord(frequencies_hz, n, rng.uniform(0, 2 * np.pi))
    return sound * signals.cadence(turns_s, n, rng.uniform(0, sum(turns_s)))


def digits(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns keys as a machine dials them: 50 to 120 ms each."""
    count = 1 + n // round(0.1 * RATE_HZ)
    pressed = [list(signals.KEYS)[i] for i in rng.integers(len(signals.KEYS), size=count)]
    on_s, off_s = rng.uniform(0.05, 0.12), rng.uniform(0.05, 0.2)
    start = int(rng.integers(max(1, n // 4)))
    sound = signals.keys(pressed, [on_s] * count, [off_s] * count, rng.uniform(-2, 4), n)
    return np.concatenate([np.zeros(start), sound])[:n]


def fax(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns a fax that calls, one that answers, or what they say first (ITU-T T.30)."""
    which = int(rng.integers(3))
    if which == 0:
        frequency_hz = 1100 + rng.uniform(-38, 38)
        return sine(frequency_hz, n) * signals.cadence((0.5, 3.0), n, rng.uniform(0, 3.5))
    if which == 1:
        return sine(2100 + rng.uniform(-15, 15), n) * signals.cadence((3.3, 0.5), n, rng.random())
    return signals.v21(signals.V21_FLAG, 1650, 1850, n)


def clicks(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns clicks and knocks, broad or in a band, that fade within hundredths of a second, at
    random times."""
    sound = np.zeros(n)
    size = round(0.06 * RATE_HZ)
    for _ in range(1 + int(rng.poisson(n / RATE_HZ * rng.uniform(0.3, 6)))):
        fade_s = rounded(np.exp(rng.uniform(np.log(0.0003), np.log(0.015))))
        fade = rounded(np.exp(-np.arange(size) / (RATE_HZ * fade_s)))
        middle_hz = rng.uniform(250, 3900)
        at_hz = [100, middle_hz / 2, middle_hz, 2 * middle_hz, 7900]
        in_a_band = noise(rng, size, at_hz, [-40, -15, 0, -15, -40])
        click = in_a_band if rng.random() < 0.5 else rng.standard_normal(size)
        start = int(rng.integers(n))
        click = rng.uniform(0.2, 1) * click * fade
        sound[start : start + size] += click[: n - start]
    return sound


def breath(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns breath: in, a pause, and out, each a rush that swells and fades."""
    sound, start = np.zeros(n), int(rng.integers(RATE_HZ))
    while start < n:
        size = round(rng.uniform(0.3, 1.4) * RATE_HZ)
        middle_hz = rng.uniform(500, 2500)
        at_hz = [100, middle_hz / 2, middle_hz, 2 * middle_hz, 7000]
        rush = noise(rng, size, at_hz, [-30, -8, 0, -8, -30])
        rush *= 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        sound[start : start + size] += rng.uniform(0.3, 1) * rush[: n - start]
        start += size + round(rng.uniform(0.1, 1.5) * RATE_HZ)
    return sound


KINDS = {
    "silence": Kind(silence, (-70, -40), at_the_end=True),
    "comfort_noise": Kind(comfort_noise, (-70, -40), at_the_end=True),
    "noise": Kind(room, (-60, -15)),
    "hum": Kind(hum, (-60, -25)),
    "hold_music": Kind(tune, (-40, -10)),
    "tones": Kind(tone, (-35, -8)),
    "dtmf": Kind(digits, (-35, -8)),
    "fax": Kind(fax, (-35, -8)),
    "clicks": Kind(clicks, (-40, -12)),
    "breath": Kind(breath, (-50, -20)),
    "babble": Kind(None, (-55, -28)),
}
