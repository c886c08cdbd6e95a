"""Should the front end dither? Models trained with it and without, each heard both ways.

    dvc repro
    python bench/dither.py --seeds 3 --directory ../dither

Trains the tiny base and the three stages with either dither, for each seed, in copies of the
repository under the directory (ten minutes each on two cores; what is there is not trained again).
"trained 1, heard 0" is the published model behind a front end without dither.

The test utterances are recognised as they are and with digital zeros in them, as a muted line or a
gateway that suppresses silence puts them there: 0.2 to 1 s before and after the speech (`ends`), as
much at its quietest place (`middle`), and in place of the pauses (`pauses`). Intervals are
bootstrapped by speaker, pooled over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import variants
from telephone_asr.channel.level import active_level_db
from telephone_asr.channel.portable import generator
from telephone_asr.dataset.no_speech import read_clips
from telephone_asr.dataset.speech import SpeechDataset
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.manifests.messages import Example, read_manifest
from telephone_asr.model import parts
from telephone_asr.model.frontend import Frontend, fbank_frames
from telephone_asr.model.pretrained import FunASRNano
from telephone_asr.names import TEST_SETS
from telephone_asr.params import Params, load_params
from telephone_asr.scoring import no_speech
from telephone_asr.scoring.cer import ErrorRate, score
from telephone_asr.shards import SoundIndex, sound_index

DITHERS = (0.0, 1.0)
WAYS = tuple((trained, heard) for trained in DITHERS for heard in DITHERS)

FRAME_S = 0.02
PAUSE_S, PAUSE_DB = 0.06, 20.0  # a pause is as long, and so much below the speech


# --- Muted sound


def mute_ends(samples: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    before, after = (np.zeros(round(s * rate_hz), np.int16) for s in rng.uniform(0.2, 1, 2))
    return np.concatenate([before, samples, after])


def mute_middle(samples: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Nothing of the speech is lost: the zeros go in between."""
    power = frame_powers(samples, rate_hz)
    first, last = len(power) // 4, max(len(power) // 4 + 1, 3 * len(power) // 4)
    place = (first + int(power[first:last].argmin())) * round(FRAME_S * rate_hz)
    zeros = np.zeros(round(rng.uniform(0.2, 1) * rate_hz), np.int16)
    return np.concatenate([samples[:place], zeros, samples[place:]])


def mute_pauses(samples: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    power = frame_powers(samples, rate_hz)
    level_db = active_level_db(samples.astype(np.float32) / 32768, rate_hz)
    quiet = power < 10 ** ((level_db - PAUSE_DB) / 10)
    borders = np.flatnonzero(np.diff(np.concatenate([[0], quiet, [0]])))
    muted, frame = samples.copy(), round(FRAME_S * rate_hz)
    for start, end in borders.reshape(-1, 2):
        if (end - start) * FRAME_S >= PAUSE_S:
            muted[start * frame : end * frame] = 0
    return muted


def frame_powers(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Of each 20 ms, on the scale of dBov; what is left at the end is no frame."""
    frame = round(FRAME_S * rate_hz)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame) / 32768
    return frames.var(axis=1)


MUTED: dict[str, Callable] = {
    "as they are": lambda samples, rate_hz, rng: samples,
    "ends": mute_ends,
    "middle": mute_middle,
    "pauses": mute_pauses,
}


class Muted:
    """Sound by key, read as `shards.SoundIndex` is."""

    def __init__(self, sounds: SoundIndex, mute: Callable):
        self._sounds, self._mute = sounds, mute

    def __contains__(self, key: str) -> bool:
        return key in self._sounds

    def read(self, key: str) -> tuple[np.ndarray, int]:
        samples, rate_hz = self._sounds.read(key)
        return self._mute(samples, rate_hz, generator(0, key)), rate_hz


# --- Training and hearing


def recognise(
    nano: FunASRNano, examples: Sequence[Example], sounds: Any, params: Params
) -> list[str]:
    frontend = Frontend(nano.config["frontend_conf"])
    heard = []
    for example in examples:
        samples, rate_hz = sounds.read(example.key)
        frames = fbank_frames(len(samples), rate_hz, frontend.fs)
        heard.append(replace(example, speech_length=frames))
    inputs = SpeechDataset(heard, {heard[0].source: sounds}, frontend, cache_mb=0)
    return transcribe(nano, inputs, params.decode.batch_size, params.decode.max_tokens)


def hear(root: Path, dither: float) -> tuple[dict[tuple[str, str], list[ErrorRate]], float]:
    """Errors of each test set under each muting, by the last checkpoint; and the characters it
    makes up in a minute of digital silence."""
    params = load_params(root / "params.yaml")
    options = {**vars(params.frontend), "dither": dither}
    nano = parts.load_checkpoint(root / "models", "lora", **options)
    errors = {}
    for name in TEST_SETS:
        examples = test_set(root, name)
        sounds = sound_index(root / "data" / ("raw/wideband" if name == "wideband" else name))
        for muting, mute in MUTED.items():
            texts = recognise(nano, examples, Muted(sounds, mute), params)
            errors[name, muting] = score([e.text for e in examples], texts, **vars(params.scoring))
    directory = root / "data" / "no_speech" / "test"
    clips = read_clips(directory, examples[0].prompt)
    silence = [replace(e, source=examples[0].source) for e in clips if e.scene == "silence"]
    texts = recognise(nano, silence, sound_index(directory), params)
    heard = [(e.key, e.scene, e.duration_s) for e in silence]
    made_up = no_speech.rates(no_speech.made_up_lines(heard, texts, 0, params.scoring))
    return errors, made_up["silence"]["insertions_per_minute"]


def test_set(root: Path, name: str) -> list[Example]:
    return read_manifest(root / "data" / "manifests" / name / "test.jsonl")


# --- The table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--directory", type=Path, required=True, help="outside the repository")
    arguments = parser.parse_args()
    pooled: dict[tuple, list[ErrorRate]] = {}
    silence: dict[tuple, list[float]] = {way: [] for way in WAYS}
    for seed in range(arguments.seeds):
        for trained, heard in WAYS:
            root = arguments.directory / f"dither-{trained:g}-seed-{seed}"
            variants.train(root, (f"seed={seed}", f"frontend.dither={trained}"))
            errors, made_up = hear(root, heard)
            silence[trained, heard].append(made_up)
            for key, own in errors.items():
                pooled.setdefault((trained, heard, *key), []).extend(own)
                rate = sum(own, ErrorRate()).rate
                print(f"seed {seed}, trained {trained:g}, heard {heard:g}, {key}: {rate:.4f}")
    heads = [f"trained {trained:g}, heard {heard:g}" for trained, heard in WAYS]
    print(f"\n| test set | zeros | {' | '.join(heads)} | 1, 1 less 0, 0 | 1, 1 less 1, 0 |")
    print("|:--|:--|" + "--:|" * (len(WAYS) + 2))
    for name in TEST_SETS:
        speakers = [e.speaker for e in test_set(root, name)] * arguments.seeds
        for muting in MUTED:
            ways = {
                (trained, heard): pooled[trained, heard, name, muting] for trained, heard in WAYS
            }
            cells = [variants.percent(errors, speakers) for errors in ways.values()]
            cells.append(variants.change(ways[0.0, 0.0], ways[1.0, 1.0], speakers))
            cells.append(variants.change(ways[1.0, 0.0], ways[1.0, 1.0], speakers))
            print(f"| {name} | {muting} | {' | '.join(cells)} |")
    cells = [f"{np.mean(silence[way]):.0f}" for way in WAYS]
    print(f"| silence | made up a minute | {' | '.join(cells)} | | |")


if __name__ == "__main__":
    main()
