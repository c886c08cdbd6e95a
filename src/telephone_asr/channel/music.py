"""Music on hold: a simple tune, composed and played from a seed, so that nothing is downloaded.

Four beats to a bar, 80 to 120 a minute, in a major key: a chord of three notes in each bar, struck
in a rhythm, and above it a melody that walks along the scale. No bass: a telephone does not carry
it.
"""

import numpy as np

from telephone_asr.channel.portable import random_numbers, rounded, tanh

MAJOR_SCALE = np.array([0, 2, 4, 5, 7, 9, 11])  # semitones above the key note
PROGRESSIONS = np.array([[0, 4, 5, 3], [0, 5, 3, 4], [0, 3, 1, 4], [0, 2, 3, 4]])  # I is 0
EIGHTHS = 8  # of a bar
MELODY_RHYTHMS = (  # the eighths on which a note begins
    *((0, 2, 4, 6), (0, 2, 3, 4, 6), (0, 3, 4, 6, 7), (0, 1, 2, 4, 6)),
    *((0, 3, 4, 5), (0, 2, 4, 5, 6, 7), (0, 2, 4)),
)
CHORD_RHYTHMS = ((0, 2, 4, 6), (0, 3, 6), (0, 4, 6), (0, 3, 4, 7))
PHRASE_BARS = 4  # after which progression and rhythms repeat
LOWEST_CHORD_NOTE, LOWEST_MELODY_TONIC = 57, 62  # MIDI: 220 and 294 Hz
# How far up or down to the next note of a triad, from each step of the scale above its root.
TO_TRIAD = np.array([0, -1, 0, -1, 0, -1, 1])

NOTE_S = 1.6
ATTACK_S = 0.015
STRUM_S = 0.03  # from one note of a chord to the next
MELODY_LOUDNESS, CHORD_LOUDNESS = 1.0, 0.6
LOUDNESS_OFF_BEAT = 0.8  # of a note that is not on the first or the third beat
LIMIT = 4.0  # times the rms: beyond it no peak goes, as where music is compressed for a line


def hold_music(seed: int, duration_s: float, sample_rate_hz: int = 16000) -> np.ndarray:
    """Returns a tune of that length, float32 (round(duration_s * sample_rate_hz),), rms 1.

    Each seed has its own key, tempo, chords, melody and timbre. A whole number of bars fills the
    duration (below 4 s the tempo may lie outside 80 to 120 for it), and what still sounds at the
    end goes on at the beginning: played in a loop it has no seam.
    """
    n_samples = round(duration_s * sample_rate_hz)
    if n_samples == 0:
        return np.zeros(0, dtype=np.float32)
    rng = random_numbers(seed)
    n_bars = _count_bars(rng, duration_s)
    starts_s, notes, loudness = _compose(rng, n_bars, duration_s / n_bars)
    pitches, which = np.unique(notes, return_inverse=True)
    sounds = _notes(pitches, _timbre(rng), sample_rate_hz)
    starts = np.rint(starts_s * sample_rate_hz).astype(int) % n_samples
    # Room for what sounds beyond the end, in whole tunes, laid over each other afterwards.
    track = np.zeros((-(-sounds.shape[1] // n_samples) + 1, n_samples), dtype=np.float32)
    flat = track.reshape(-1)
    for start, index, gain in zip(starts.tolist(), which.tolist(), loudness, strict=True):
        flat[start : start + sounds.shape[1]] += gain * sounds[index]
    tune = _unit_rms(track.sum(axis=0))
    return _unit_rms(tanh(tune / np.float32(LIMIT)))


def _unit_rms(samples: np.ndarray) -> np.ndarray:
    return samples * np.float32(1 / np.sqrt(np.mean(samples**2, dtype=np.float64)))


def _count_bars(rng: np.random.Generator, duration_s: float) -> int:
    """Draws how many bars of four beats there are, at a tempo of 80 to 120 a minute."""
    bars_a_second = np.array([80, 120]) / 60 / 4
    fewest, most = np.ceil(duration_s * bars_a_second[0]), np.floor(duration_s * bars_a_second[1])
    return int(rng.integers(max(1, fewest), max(1, fewest, most), endpoint=True))


def _compose(
    rng: np.random.Generator, n_bars: int, bar_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws the notes, each (n_notes,): when it begins in seconds, MIDI number, loudness as
    float32."""
    key = int(rng.integers(12))
    roots = np.resize(rng.choice(PROGRESSIONS), n_bars)
    chord_rhythm = CHORD_RHYTHMS[rng.integers(len(CHORD_RHYTHMS))]
    rhythms = [MELODY_RHYTHMS[i] for i in rng.integers(len(MELODY_RHYTHMS), size=PHRASE_BARS)]

    chord_eighths = (EIGHTHS * np.arange(n_bars)[:, None] + chord_rhythm).reshape(-1)
    triads = roots[chord_eighths // EIGHTHS, None] + np.array([0, 2, 4])
    chord_notes = key + MAJOR_SCALE[triads % 7]
    chord_notes = LOWEST_CHORD_NOTE + (chord_notes - LOWEST_CHORD_NOTE) % 12  # in one octave

    melody_eighths = np.concatenate(
        [EIGHTHS * bar + np.array(rhythms[bar % PHRASE_BARS]) for bar in range(n_bars)]
    )
    walk = np.cumsum(rng.choice([-2, -1, -1, 1, 1, 2], size=len(melody_eighths)))
    steps = 8 - np.abs((walk + int(rng.integers(8))) % 16 - 8)  # turns back at 0 and at 8
    on_beat = melody_eighths % 4 == 0
    steps += on_beat * TO_TRIAD[(steps - roots[melody_eighths // EIGHTHS]) % 7]
    tonic = LOWEST_MELODY_TONIC + (key - LOWEST_MELODY_TONIC) % 12
    melody_notes = tonic + 12 * (steps // 7) + MAJOR_SCALE[steps % 7]

    eighths = np.concatenate([np.repeat(chord_eighths, 3), melody_eighths])
    starts_s = eighths * bar_s / EIGHTHS
    starts_s[: chord_notes.size] += np.tile(STRUM_S * np.arange(3), len(chord_eighths))
    notes = np.concatenate([chord_notes.reshape(-1), melody_notes])
    loudness = np.repeat(
        np.array([CHORD_LOUDNESS, MELODY_LOUDNESS], dtype=np.float32),
        [chord_notes.size, melody_notes.size],
    )
    loudness[eighths % 4 != 0] *= np.float32(LOUDNESS_OFF_BEAT)
    return starts_s, notes, loudness


def _timbre(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draws the amplitudes of four harmonics, and in how many seconds a note fades by 1 / e."""
    amplitudes = np.array([1.0, 0.5, 0.25, 0.12]) * rng.uniform(0.5, 1.0, size=4)
    return rounded(amplitudes), rounded(rng.uniform(0.6, 1.2))


def _notes(
    pitches: np.ndarray, timbre: tuple[np.ndarray, float], sample_rate_hz: int
) -> np.ndarray:
    """Returns each pitch (MIDI number, equal temperament, A4 = 69 = 440 Hz) as sound, float32
    (n_pitches, NOTE_S * sample_rate_hz), from silence to silence."""
    amplitudes, fade_s = timbre
    t = np.arange(round(NOTE_S * sample_rate_hz)) / sample_rate_hz
    frequency_hz = rounded(440.0 * 2.0 ** ((pitches[:, None] - 69) / 12), 6)
    sound = np.zeros((len(pitches), len(t)))
    for harmonic, amplitude in enumerate(amplitudes, start=1):
        audible = harmonic * frequency_hz < sample_rate_hz / 2
        phase = 2 * np.pi * harmonic * frequency_hz * t
        sound += audible * amplitude * np.sin(phase + harmonic**2)  # spreads the peaks
    envelope = np.minimum(t / ATTACK_S, 1) * np.exp(-t / fade_s) * (1 - t / NOTE_S)
    return (sound * envelope).astype(np.float32)
