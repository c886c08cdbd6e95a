"""What each codec, suppressor and gain control does to speech: Whisper base hears it over lines
that differ in one thing.

    pip install -e '.[line]' faster-whisper zhconv
    python bench/lines.py src/telephone_asr/corpora/speech/wideband --first 233 --speakers 23

A corpus is what bench/judge.py takes. What a speaker says in its first utterances is heard in one
piece of up to 28 s, with pauses: Whisper hears 30 s at a time, however short they are. All lines
have the level of -22 dBov, noise 40 dB below, and A-law, as a recording at an exchange has; each
codec is heard as it is and with a tenth of the packets lost in bursts of two, concealed.
Differences are on the same speech, with intervals by speaker: from A-law alone, or from the same
line without suppression and gain. The speed is in processor time of one core, of the codec or of
the suppressor and gain control alone.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

import variants
from judge import Sounds, judge, load_whisper, read_corpus, spread
from telephone_asr.channel.band import to_wideband
from telephone_asr.channel.codecs import split_wideband, through_codec
from telephone_asr.channel.enhancement import control_gain, suppress_noise
from telephone_asr.channel.line import simulate
from telephone_asr.channel.options import Hum, Line, Loss
from telephone_asr.channel.portable import generator, to_int16
from telephone_asr.channel.wideband import through_wideband
from telephone_asr.scoring.cer import errors_of

FAR = (40.0, 40.0)
QUIET = Line(
    level_db=(-22.0, -22.0),
    white_noise_snr_db=FAR,
    pink_noise_snr_db=FAR,
    hum=Hum(snr_db=FAR),
    codec="alaw",
)
LOST = Loss(share=1.0, rate=(0.1, 0.1), mean_burst_packets=2.0, concealed=1.0)
CODECS = {
    name: replace(QUIET, codec=name)
    for name in (
        *("alaw", "amr_wb_6600+alaw", "amr_wb_12650+alaw", "opus_8000+alaw", "opus_16000+alaw"),
        *("g723+alaw", "amr_nb_4750+alaw", "amr_wb_23850+alaw", "opus_24000+alaw"),
        "alaw+amr_wb_6600+alaw",
    )
}
PINK = replace(QUIET, pink_noise_snr_db=(5.0, 5.0))
FAINT = replace(QUIET, level_db=(-45.0, -45.0))
TELEPHONES = {
    "pink noise, 5 dB": PINK,
    "pink noise, 5 dB + suppression": replace(PINK, noise_suppression=1.0),
    "-45 dBov": FAINT,
    "-45 dBov + gain": replace(FAINT, gain_control=1.0),
    "quiet": QUIET,
    "quiet + suppression": replace(QUIET, noise_suppression=1.0),
    "quiet + suppression and gain": replace(QUIET, noise_suppression=1.0, gain_control=1.0),
}
TABLES: dict[str, dict[str, Line]] = {
    "codecs": CODECS,
    "lost": {name: replace(line, loss=LOST) for name, line in CODECS.items()},
    "telephones": TELEPHONES,
}
PIECE_S, PAUSE_S = 28, 0.5


def pieces(
    path: Path, first: int | None, n_speakers: int
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Returns what some speakers say, a line each as `judge` takes it, and its sound by the line's
    id: float32 at 16 kHz."""
    lines, sounds = read_corpus(path)
    own = spread(lines[:first], None)
    speakers = sorted({one["speaker"] for one in own})
    joined, speech = [], {}
    for i in np.linspace(0, len(speakers) - 1, n_speakers).round().astype(int):
        texts, sound = [], np.zeros(0, np.float32)
        for one in (one for one in own if one["speaker"] == speakers[i]):
            samples, rate_hz = sounds(one["id"])
            samples = to_wideband(samples / np.float32(32768), rate_hz)
            longer = np.concatenate([sound, samples, np.zeros(round(PAUSE_S * 16_000), np.float32)])
            if len(longer) <= PIECE_S * 16_000:
                sound = longer
                texts.append(one["reference"])
        line = {"id": speakers[i], "speaker": speakers[i], "reference": "，".join(texts)}
        joined.append(line)
        speech[speakers[i]] = sound
    return joined, speech


def over(speech: Mapping[str, np.ndarray], line: Line) -> Sounds:
    """Returns speech as it arrives over a line."""

    def read(id_: str) -> tuple[np.ndarray, int]:
        return simulate(speech[id_], 16_000, line, None, generator(0, id_), id_)[0], 8000

    return read


def processor_s(work: Callable[[np.ndarray], object], speech: Sequence[np.ndarray]) -> float:
    """Returns the processor time of some work on each, that of programs that it runs included."""

    def used() -> float:
        kinds = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(kind.ru_utime + kind.ru_stime for kind in kinds)

    work(speech[0])  # loads what it needs
    start = used()
    for samples in speech:
        work(samples)
    return used() - start


def work_of(line: Line) -> Callable[[np.ndarray], object]:
    """Returns what a line's telephone and codecs do to speech, float32 at 16 kHz, and no more."""
    first, rest = split_wideband(str(line.codec))

    def work(speech: np.ndarray) -> None:
        if line.noise_suppression:
            speech = suppress_noise(speech, 18)
        if line.gain_control:
            speech = control_gain(speech)
        pcm = to_int16(speech * np.float32(32768))
        for leg in first:
            pcm = through_wideband(pcm, leg)
        if line.codec != QUIET.codec:
            through_codec(pcm[::2].copy(), rest)

    return work


def cells(judged: Sequence[Mapping], reference: Sequence[Mapping]) -> list[str]:
    """Returns the CER with its interval, and what it is more than the reference's, in percent."""
    before, own = ([errors_of(one) for one in lines] for lines in (reference, judged))
    speakers = [one["speaker"] for one in judged]
    more = "" if reference is judged else variants.change(before, own, speakers)
    return [variants.percent(own, speakers), more]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--first", type=int, help="utterances of the corpus (default: all)")
    parser.add_argument("--speakers", type=int, default=12)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--model", type=Path, help="a directory with Whisper in CTranslate2 files")
    parser.add_argument("--output", type=Path, help="JSON: every text")
    arguments = parser.parse_args()
    lines, speech = pieces(arguments.corpus, arguments.first, arguments.speakers)
    seconds, hear = sum(map(len, speech.values())) / 16_000, load_whisper(arguments.model)
    print(f"{len(lines)} speakers, {seconds:.0f} s")
    results: dict[str, dict[str, list[dict]]] = {}
    for table in arguments.tables:
        own = results[table] = {}
        print(f"\n| {table} | CER % (95 %) | more | × real time |\n|:--|--:|--:|--:|")
        for name, line in TABLES[table].items():
            judged = tqdm(judge(lines, over(speech, line), hear), name, len(lines))
            own[name] = list(judged)
            reference = name.partition(" + ")[0] if table == "telephones" else str(QUIET.codec)
            took_s = processor_s(work_of(line), list(speech.values()))
            row = [name, *cells(own[name], own[reference]), f"{seconds / took_s:,.0f}"]
            print(f"| {' | '.join(row)} |", flush=True)
            if arguments.output:
                content = json.dumps(results, ensure_ascii=False, indent=1)
                arguments.output.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
