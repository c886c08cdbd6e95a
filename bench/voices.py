"""Can the voices of a spoken corpus be told apart? Pitch, vocal tract and rate of each, as heard.

    pip install praat-parselmouth
    cd src/telephone_asr/corpora/speech
    python ../../../../bench/judge.py wideband calls --output judged.json
    python ../../../../bench/voices.py wideband calls --judged judged.json

Of each voice, medians over its utterances: F0 in Hz; the spacing of the formants in Hz, which is
the speed of sound over twice the length of the vocal tract (fitted to the first four in voiced
frames); syllables a second, without the margins. Beside them the voice that is nearest in these
three, and how near, in standard deviations of the voices; with `--judged` the CER of
bench/judge.py.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from telephone_asr.corpora import spoken

F0_HZ = (60, 500)
MOST_FORMANT_HZ = 5500  # below which Praat looks for five
STEP_S = 0.02
SILENCE_DB = -40.0


def measured(samples: np.ndarray, syllables: int) -> tuple[float, float, float]:
    """Returns median F0 in Hz, formant spacing in Hz and syllables a second of one utterance."""
    import parselmouth

    sound = parselmouth.Sound(samples / 32768, spoken.SAMPLE_RATE_HZ)
    f0 = sound.to_pitch(STEP_S, *F0_HZ)
    formants = sound.to_formant_burg(STEP_S, 5, MOST_FORMANT_HZ)
    voiced = [t for t, hz in zip(f0.xs(), f0.selected_array["frequency"], strict=True) if hz > 0]
    places = np.array([[formants.get_value_at_time(i, t) for i in (1, 2, 3, 4)] for t in voiced])
    # In a uniform tube the formants are 0.5, 1.5, 2.5 and 3.5 times their spacing.
    tube = np.array([0.5, 1.5, 2.5, 3.5])
    spacing = np.nanmedian(places, axis=0) @ tube / (tube @ tube)
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 10 ** (SILENCE_DB / 20))
    speech_s = (loud[-1] - loud[0] + 1) / spoken.SAMPLE_RATE_HZ
    heard = f0.selected_array["frequency"]
    return float(np.median(heard[heard > 0])), float(spacing), syllables / speech_s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("speech", type=Path, nargs="+", help="directories of archives")
    parser.add_argument("--judged", type=Path, help="what bench/judge.py wrote of them")
    arguments = parser.parse_args()
    found = defaultdict(list)
    everything = (spoken.read(path, spoken.read_index(path)) for path in arguments.speech)
    for one, samples in tqdm(chain.from_iterable(everything)):
        found[one.speaker].append(measured(samples, len(one.said)))
    names = sorted(found)
    values = np.array([np.median(found[name], axis=0) for name in names])
    rates = {}
    if arguments.judged:
        judged = json.loads(arguments.judged.read_text(encoding="utf-8"))
        rates = {k: v for path in arguments.speech for k, v in judged[str(path)]["voice"].items()}
    scaled = np.log(values) / np.log(values).std(axis=0)
    apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    print("| voice | F0 Hz | formants Hz | syllables/s | nearest | apart | CER % |")
    print("|:--|--:|--:|--:|:--|--:|--:|")
    for i, name in enumerate(names):
        f0, spacing, pace = values[i]
        nearest = int(apart[i].argmin())
        rate = f"{100 * rates[name]['cer']:.0f}" if name in rates else ""
        measures = f"{f0:.0f} | {spacing:.0f} | {pace:.1f}"
        print(f"| {name} | {measures} | {names[nearest]} | {apart[i, nearest]:.2f} | {rate} |")


if __name__ == "__main__":
    main()
