"""Quiet line before and after an utterance, as around a 喂 that nobody cut out of its call.

The line is the utterance's own: short grains of its quietest stretch, at random places, overlapped.
So it has the level and the spectrum of the noise that the speech is in, and is digital silence
where that has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from telephone_asr.channel.portable import generator, to_int16

FRAME_S = 0.01  # of the encoder's frames
ROW_FRAMES = 6  # from one row of the encoder's input to the next
STRETCH_S, GRAIN_S = 0.1, 0.05  # the quietest stretch of the sound, and pieces of it


@dataclass(frozen=True)
class Padding:
    """The quiet that each copy of an utterance gets, which depends on the seed and its id alone."""

    share: float  # of the utterances that get any
    most_s: float  # before, and after
    seed: int

    def seconds(self, key: str, copy: int) -> tuple[float, float]:
        """Returns how much comes before and after a copy of the utterance; mostly nothing."""
        rng = generator(self.seed, f"pad {key}", copy)
        if rng.random() >= self.share:
            return 0.0, 0.0
        before_s, after_s = (float(s) for s in rng.uniform(0, self.most_s, 2))
        return before_s, after_s

    def rows(self, key: str, copy: int) -> int:
        """Returns by how many rows of 60 ms the copy is longer, rounded up."""
        frames = sum(self.seconds(key, copy)) / FRAME_S
        return -(-round(frames) // ROW_FRAMES)

    def padded(self, samples: np.ndarray, rate_hz: int, key: str, copy: int) -> np.ndarray:
        """Returns int16 samples (n,) with the quiet that the copy gets."""
        sizes = [round(s * rate_hz) for s in self.seconds(key, copy)]
        rng = generator(self.seed, f"quiet line {key}", copy)
        before, after = (quiet_line(samples, rate_hz, n, rng) for n in sizes)
        return np.concatenate([before, samples, after])


def quiet_line(
    samples: np.ndarray, rate_hz: int, length: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns (length,) int16 of what is heard where the speech (n,), n > 0, pauses."""
    stretch, grain = (min(len(samples), round(s * rate_hz)) for s in (STRETCH_S, GRAIN_S))
    wave = samples.astype(np.float32)
    power = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    start = int(np.argmin(power[stretch:] - power[: len(power) - stretch]))
    quiet = wave[start : start + stretch]
    # Squares of these windows add up to 1, and with them the power of noise.
    window = np.sin(np.pi * (np.arange(grain) + 0.5) / grain).astype(np.float32)
    hop = max(1, grain // 2)
    line = np.zeros(length + 2 * grain, dtype=np.float32)
    for place in range(0, length + hop, hop):
        at = int(rng.integers(len(quiet) - grain + 1))
        line[place : place + grain] += window * quiet[at : at + grain]
    return to_int16(line[hop : hop + length])
