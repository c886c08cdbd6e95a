"""Sound in which nobody speaks, to test with: the kinds of `kinds.py`, made otherwise.

Other tunes by another way of composing and playing, noises of other spectra, tones of other
exchanges and out of tune, keys as people press them, modems, clicks of another shape. What a model
has learnt of the training's generators alone does not help it here.
"""

from __future__ import annotations

import numpy as np
import scipy  # and a part of it, such as scipy.signal, at its first use: they take a second

from telephone_asr.channel.band import WIDEBAND_RATE_HZ as RATE_HZ
from telephone_asr.channel.options import Hum, Line
from telephone_asr.channel.portable import rounded, tanh
from telephone_asr.no_speech import signals
from telephone_asr.no_speech.kinds import Kind
from telephone_asr.no_speech.signals import chord, curve, sine

GONG_SCALE = (0, 2, 4, 7, 9)  # pentatonic; semitones above the key note
LSB = 1 / 32768
QUIET = (60.0, 60.0)  # dB: the line's own noise is what is trained with
LINE = Line(
    white_noise_snr_db=QUIET,
    pink_noise_snr_db=QUIET,
    hum=Hum(snr_db=QUIET),
    codec={"alaw": 3, "gsm+alaw": 1, "amr_nb+alaw": 1},
)


def silence(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns digital zeros, a line that is at rest off its middle, or one that toggles."""
    which = int(rng.integers(3))
    if which == 0:
        return np.zeros(n)
    if which == 1:
        return np.full(n, rng.integers(-40, 41) * LSB)
    held = round(RATE_HZ * rng.uniform(0.0001, 0.02))
    return np.repeat(rng.integers(-1, 2, n // held + 1), held)[:n] * (9 * LSB)


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns a car, a fan, the hiss of an amplifier with hum, or rain."""
    which = int(rng.integers(4))
    white = rng.standard_normal(n)
    if which == 0:  # the engine's orders above rolling tyres
        engine_hz = rng.uniform(25, 60)
        tyres = scipy.signal.lfilter([0.02], [1, -0.98], white)
        orders = chord([engine_hz * k for k in (2, 4, 6, 8)], n)
        return tyres + rng.uniform(0.02, 0.1) * orders
    if which == 1:  # blades
        blades_hz = rng.uniform(8, 30)
        return scipy.signal.lfilter([0.2], [1, -0.8], white) * (1 + 0.5 * sine(blades_hz, n))
    if which == 2:
        blue = np.diff(white, prepend=0.0)
        return blue + rng.uniform(0.2, 2) * np.sign(sine(100.0, n))
    drops = white * (rng.random(n) < rng.uniform(0.005, 0.05))
    return scipy.signal.lfilter([1.0], [1, -1.2, 0.6], drops)


def music(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns bells (frequency modulation, as Chowning has it) on a pentatonic scale, over a drone
    and a beat: neither chords nor a strummed string."""
    beat = round(RATE_HZ * rng.uniform(0.18, 0.5))
    key_hz = rounded(440 * 2.0 ** (rng.integers(-7, 6) / 12), 6)
    ratio, depth = rng.choice([1.4, 2.0, 3.5]), 3.0
    sound = rng.uniform(0, 0.3) * np.sign(sine(key_hz / 2, n)) * (1 + 0.5 * sine(5.0, n))
    step, ring = int(rng.integers(10)), round(0.9 * RATE_HZ)
    t = np.arange(ring) / RATE_HZ
    fade = rounded(np.exp(-t / 0.25))
    drum = rng.uniform(0, 0.5)
    for start in range(0, n, beat):
        if rng.random() < 0.75:
            step = int(np.clip(step + rng.integers(-3, 4), 0, 9))
            hz = rounded(key_hz * 2.0 ** (step // 5 + GONG_SCALE[step % 5] / 12), 6)
            bell = np.sin(2 * np.pi * hz * t + depth * fade * sine(ratio * hz, ring))
            sound[start : start + ring] += (bell * fade)[: n - start]
        hit = rng.standard_normal(400) * np.linspace(drum, 0, 400)
        sound[start : start + 400] += hit[: n - start]
    return sound


def tone(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns a tone of exchanges elsewhere, a Chinese one at the edge of what E.180 allows, or the
    special information tone."""
    which = int(rng.integers(5))
    if which == 4:
        third = round(0.33 * RATE_HZ)
        one = np.concatenate([sine(hz, third) for hz in (950, 1400, 1800)] + [np.zeros(3 * third)])
        return np.resize(np.roll(one, -int(rng.integers(len(one)))), n)
    tones = list((signals.CHINA if which < 2 else signals.ELSEWHERE).values())
    frequencies_hz, turns_s = tones[int(rng.integers(len(tones)))]
    # E.180: 25 Hz to either side, a tenth of the cadence.
    out_of_tune = rng.choice([-1, 1]) * rng.uniform(4, 25)
    pace = 1 + rng.choice([-1, 1]) * rng.uniform(0.03, 0.1)
    sound = chord([hz + out_of_tune for hz in frequencies_hz], n, rng.uniform(0, 6))
    turns_s = tuple(pace * turn_s for turn_s in turns_s)
    harmonic = 0.1 * rng.random() * chord([2 * hz for hz in frequencies_hz], n)
    return (sound + harmonic) * signals.cadence(turns_s, n, rng.uniform(0, sum(turns_s)))


def digits(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns keys as a person presses them, long and uneven, with the button's click."""
    count = 1 + n // round(0.3 * RATE_HZ)
    pressed = [str(digit) for digit in rng.integers(10, size=count)]
    on_s, off_s = rng.uniform(0.15, 0.8, count), rng.uniform(0.15, 1.2, count)
    sound = signals.keys(pressed, on_s.tolist(), off_s.tolist(), rng.uniform(-6, 0), n)
    heard = np.abs(np.diff(np.sign(np.abs(sound)), prepend=0.0))
    return sound + 0.3 * heard * rng.standard_normal(n)


def fax(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns a modem's answer (ITU-T V.8: 2100 Hz whose phase turns round each 450 ms, its
    amplitude waving 15 times a second), data of V.21's other channel, or a page (V.27 ter)."""
    which = int(rng.integers(3))
    if which == 0:
        turned = 1 - 2 * (np.arange(n) // round(0.45 * RATE_HZ) % 2)
        return sine(2100, n) * turned * (1 + 0.2 * sine(15, n))
    if which == 1:
        return signals.v21(rng.integers(0, 2, 1 + n // 53).tolist(), 980, 1180, n)
    turns = np.cumsum(rng.integers(0, 8, n // 10 + 1)) % 8  # 1,600 a second, on 1800 Hz
    phase = np.repeat(turns, 10)[:n] * (np.pi / 4)
    return np.sin(2 * np.pi * 1800 / RATE_HZ * np.arange(n) + phase)


def clicks(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns what rings: a handset put down, a relay's bounce, steps of the line's offset."""
    sound = np.zeros(n)
    size = round(0.06 * RATE_HZ)
    t = np.arange(size) / RATE_HZ
    for _ in range(1 + int(rng.poisson(n / RATE_HZ * rng.uniform(0.5, 3)))):
        which, start = int(rng.integers(3)), int(rng.integers(n))
        if which == 0:
            hit = np.sin(2 * np.pi * rng.uniform(300, 2500) * t) * rounded(np.exp(-t / 0.012))
        elif which == 1:
            bounce = np.sort(rng.integers(0, size // 4, 6))
            hit = (np.searchsorted(bounce, np.arange(size)) % 2).astype(float)
        else:
            hit = rounded(np.exp(-t / 0.03))
        sound[start : start + size] += (rng.uniform(0.3, 1) * hit)[: n - start]
    return sound


def breath(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns blowing into the microphone, which it cannot follow, or sniffs that rise."""
    white = rng.standard_normal(n)
    seconds = n / RATE_HZ
    if rng.random() < 0.5:
        points = 3 + int(6 * seconds)
        wind = scipy.signal.lfilter([0.05], [1, -0.95], white)
        loudness = (rng.uniform(0, 1, points) ** 2).tolist()
        gusts = curve(np.linspace(0, seconds, points).tolist(), loudness, n)
        return tanh(4 * wind * gusts)
    every_s = rng.uniform(0.5, 2.0)
    place = (np.arange(n) / RATE_HZ + rng.uniform(0, every_s)) % every_s
    saw = np.where(place < 0.25, place / 0.25, 0.0)
    return np.diff(white, prepend=0.0) * rounded(saw**2)


KINDS = {
    "silence": Kind(silence, None, at_the_end=True),
    "noise": Kind(noise, (-55, -20)),
    "hold_music": Kind(music, (-36, -12)),
    "tones": Kind(tone, (-30, -12)),
    "dtmf": Kind(digits, (-30, -12)),
    "fax": Kind(fax, (-30, -12)),
    "clicks": Kind(clicks, (-35, -12)),
    "breath": Kind(breath, (-45, -22)),
    "babble": Kind(None, (-50, -30)),
}
