"""Chooses the utterances that the report shows, the worst and some at random, and their sound."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable, Sequence

import numpy as np
import soundfile

from telephone_asr.report.blocks import Table, Utterance, Utterances
from telephone_asr.report.markdown import literal
from telephone_asr.scoring.cer import errors_of
from telephone_asr.scoring.confusion import aligned
from telephone_asr.scoring.difference import percent
from telephone_asr.scoring.mask import Shown, masked_pairs
from telephone_asr.scoring.options import Scoring

SHOWN = 10
# Bytes of sound of one list, as it stands in the page: with all three it stays below 8 MB.
MAX_SOUND_BYTES = 2_200_000

Read = Callable[[str], tuple[np.ndarray, int]]  # key: int16 samples, sample rate in Hz


def worst(lines: Sequence[dict], count: int = SHOWN) -> list[dict]:
    """Returns the utterances with the highest CER, those with more errors first among equals."""

    def badness(line: dict) -> tuple:
        errors = errors_of(line)
        return -errors.rate, -errors.errors, line["key"]

    return sorted((line for line in lines if errors_of(line).errors), key=badness)[:count]


def worst_made_up(lines: Sequence[dict], count: int = SHOWN) -> list[dict]:
    """Returns the clips without speech with most text, one of each kind, the worst first."""
    by_kind: dict[str, dict] = {}
    for line in sorted(lines, key=lambda line: (-line["insertions"], line["key"])):
        if line["insertions"]:
            by_kind.setdefault(line["scene"], line)
    return list(by_kind.values())[:count]


def drawn(lines: Sequence[dict], seed: int, count: int = SHOWN) -> list[dict]:
    """Draws utterances at random, the same ones whatever the order of the lines."""
    in_order = sorted(lines, key=lambda line: line["key"])
    return random.Random(seed).sample(in_order, min(count, len(in_order)))


def shown(
    lines: Sequence[dict],
    read: Read,
    options: Scoring,
    none: str = "None: every utterance is without an error.",
    texts: Shown = "all",
    names: Sequence[str] = (),
) -> Utterances | Table | str:
    """Returns the utterances with their sound, as far as there is room for it in one page; `none`
    where there are none.

    Unless `texts` is all they are numbered and have neither id nor sound; names: masked in texts.
    """
    if not lines:
        return none
    if texts == "none":
        return _counted(lines)
    if texts == "masked":
        return Utterances([_masked(line, i, options, names) for i, line in enumerate(lines, 1)])
    utterances, room = [], MAX_SOUND_BYTES
    for line in lines:
        audio = wav_uri(*read(line["key"]))
        if len(audio) > room:
            audio = ""
        room -= len(audio)
        utterances.append(
            Utterance(
                key=line["key"],
                about=about(line),
                **_errors(line),
                reference=line["reference"],
                text=line["text"],
                columns=aligned(line["reference"], line["text"], options),
                audio=audio,
            )
        )
    return Utterances(utterances)


def _errors(line: dict) -> dict[str, str]:
    errors = errors_of(line)
    return {
        "cer": f"{percent(errors.rate)} %" if errors.length else "–",
        "counts": f"{errors.substitutions} / {errors.deletions} / {errors.insertions}",
    }


def _masked(line: dict, number: int, options: Scoring, names: Sequence[str]) -> Utterance:
    """Returns an utterance of which what may name a person is masked, and the sound left out."""
    columns = masked_pairs(aligned(line["reference"], line["text"], options), names)
    # Both as they are scored: so each is masked where the other is, too.
    reference, text = ("".join(pair[side] for pair in columns) for side in (0, 1))
    return Utterance(
        key=str(number),
        about=about(line),
        **_errors(line),
        reference=reference,
        text=text,
        columns=columns,
        audio=None,
    )


def _counted(lines: Sequence[dict]) -> Table:
    """Returns what can be said of utterances without their texts, sound and ids."""
    rows = [
        [str(number), literal(about(line)) or "–", *_errors(line).values()]
        for number, line in enumerate(lines, 1)
    ]
    heads = ["utterance", "about", "CER", "subst. / del. / ins."]
    return Table(heads, rows, "Utterances, without their texts and sound", left=2)


def about(line: dict) -> str:
    """Says what is known of an utterance.

    >>> about({"scene": "telesales", "duration": 2.345, "snr_db": 14.2, "codec": "gsm"})
    'telesales, 2.3 s, SNR 14 dB, gsm'
    """
    words = [line.get("scene") or ""]
    if line.get("duration") is not None:
        words.append(f"{line['duration']:.1f} s")
    if line.get("snr_db") is not None:
        words.append(f"SNR {line['snr_db']:.0f} dB")
    words.append(line.get("codec") or "")
    if line.get("hotwords"):
        words.append(f"{line['hotwords']} hotwords")
    if line.get("lost_packets"):
        words.append(f"{100 * line['lost_packets']:.0f} % lost")
    return ", ".join(word for word in words if word)


def wav_uri(samples: np.ndarray, rate_hz: int) -> str:
    """Returns a WAV of 16-bit samples, which every browser plays, as a data: URI."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
