"""Sound in which nobody speaks, as a telephone carries it: whatever is recognised is made up.

The set is the same in every run and for every model, so its numbers can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from telephone_asr.channel import g711
from telephone_asr.channel.band import TELEPHONE_RATE_HZ, WIDEBAND_RATE_HZ
from telephone_asr.channel.line import generator, simulate
from telephone_asr.channel.options import Line, Music
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.scoring.cut_off import count_cut_off
from telephone_asr.scoring.options import Scoring

NO_SPEECH_KINDS = ("silence", "noise", "hold_music")
CLIPS_S = tuple(round(1 + 8 * i / 11, 2) for i in range(12))  # 1 to 9 s: a minute of each kind
_LINES = {
    # White and pink noise, 10 to 30 dB below where speech would be, and a little hum.
    "noise": Line(codec="alaw", white_noise_snr_db=(10, 30), pink_noise_snr_db=(10, 30)),
    # As loud as speech: it is what the other side plays instead of speaking.
    "hold_music": Line(codec="alaw", music=Music(share=1, snr_db=(-3, 3))),
}


@dataclass(frozen=True)
class Clips:
    """Gives sound by key, as `shards.SoundIndex` does."""

    samples: dict[str, np.ndarray]  # int16

    def __contains__(self, key: str) -> bool:
        return key in self.samples

    def read(self, key: str) -> tuple[np.ndarray, int]:
        return self.samples[key], TELEPHONE_RATE_HZ


def clips() -> Clips:
    """Makes a clip of each of CLIPS_S for each of NO_SPEECH_KINDS; keys are such as "noise-3"."""
    samples = {}
    for kind in NO_SPEECH_KINDS:
        for i, duration_s in enumerate(CLIPS_S):
            key = f"{kind}-{i}"
            if kind == "silence":  # a muted line
                quiet = np.zeros(round(duration_s * TELEPHONE_RATE_HZ), dtype=np.int16)
                samples[key] = g711.through(quiet, "alaw")
            else:
                nobody = np.zeros(round(duration_s * WIDEBAND_RATE_HZ), dtype=np.float32)
                rng = generator(0, key)
                samples[key], _ = simulate(nobody, WIDEBAND_RATE_HZ, _LINES[kind], None, rng, "")
    return Clips(samples)


def insertions_per_minute(
    keys: Sequence[str], texts: Sequence[str], options: Scoring
) -> dict[str, dict]:
    """Counts the characters recognised in a minute of each kind, from the texts of all clips."""
    found = {}
    for kind in NO_SPEECH_KINDS:
        own = [text for key, text in zip(keys, texts, strict=True) if key.startswith(kind)]
        total = sum(score([""] * len(own), own, **vars(options)), ErrorRate())
        per_minute = total.insertions * 60 / sum(CLIPS_S)
        found[kind] = {
            "insertions_per_minute": round(per_minute, 3),
            "cut_off": count_cut_off(own),
        }
    return found
