"""Makes the lines of data/transcripts/*.jsonl: an utterance, its text and the errors in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from telephone_asr.scoring.cer import ErrorRate


def transcript_line(
    key: str,
    source: str,
    speaker: str,
    scene: str,
    duration_s: float,
    snr_db: float | None,
    reference: str,
    text: str,
    cut_off: bool,
    error: ErrorRate,
    codec: str | None = None,
    lost_packets: float | None = None,
    corpus: str = "",
) -> dict:
    """Returns what slices, report and the comparison of two checkpoints need of an utterance.

    Args:
        source: the test set or corpus.
        cut_off: the text ends where decoding had to, at its most tokens.
        codec, lost_packets: what a simulated line did; a recording does not tell.
        corpus: its name in a list of several.
    """
    line = {
        "key": key,
        "source": source,
        "speaker": speaker,
        "scene": scene,
        "duration": duration_s,
        "snr_db": snr_db,
        "codec": codec,
        "lost_packets": lost_packets,
        "reference": reference,
        "text": text,
        "cut_off": cut_off,
        "substitutions": error.substitutions,
        "deletions": error.deletions,
        "insertions": error.insertions,
        "characters": error.length,
    }
    return line | ({"corpus": corpus} if corpus else {})


def lines_of(
    transcripts: Mapping[str, Sequence[dict]], checkpoint: str, test_set: str
) -> list[dict]:
    return [line for line in transcripts[checkpoint] if line["source"] == test_set]
