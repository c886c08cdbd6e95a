"""Says which utterances are kept, and gives each of the others one reason code.

docs/data.md lists the codes with their params. What can be heard is judged by the measures taken
when the sound was decoded (`telephone_asr.measures`), so a limit is changed in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StrictFloat, StrictInt

from telephone_asr.manifests.text import syllables
from telephone_asr.sections import Amount, Mismatch, Natural, Span, section

REASONS = {
    # The corpus stage, while it reads.
    "unreadable_line": "its line in the corpus's list cannot be used",
    "unreadable_audio": "its file is missing, damaged or of an unknown format",
    "no_audio": "it has a transcript but no audio",
    "no_transcript": "it has audio but no transcript",
    "no_such_channel": "its recording has fewer channels",
    "outside_audio": "it ends after its recording does",
    "empty_audio": "it holds no sample",
    "truncated": "its file holds less sound than it promises, as one that was cut off",
    "not_finite": "it holds samples that are no numbers",
    "bad_id": "its id cannot be the name of a file",
    "duplicate_id": "another utterance has its id",
    "forgotten": "it is to be forgotten, as forgotten.txt says",
    # The manifests stage.
    "annotation_error": "an annotator marked its transcript as wrong",
    "empty_text": "nothing is left of its transcript",
    "unknown_characters": "the tokenizer does not know all of its transcript",
    "too_short": "it is shorter than filter.min_frames, or short and doubtful",
    "too_long": "it is longer than filter.max_frames, or long and doubtful",
    "silent": "its speech is quieter than filter.silent_db",
    "clipped": "more of it than filter.clipped is cut off at the top",
    "dc_offset": "its mean is further from zero than filter.dc",
    "narrowband": "it is called wideband and is or was sampled at 8 kHz (filter.narrowband_db)",
    "wrong_rate": "its header has another sample rate than it was sampled at",
    "too_few_characters": "it has fewer characters a second than filter.characters_per_s",
    "too_many_characters": "it has more characters a second than filter.characters_per_s",
    "text_and_duration": "speech and transcript differ in length by more than filter.pace",
    "duplicate_audio": "another utterance has the same sound",
    "test_speaker": "its speaker is in a frozen test set, and it is not",
    "sentence_in_test": "its sentence is in a test set",
}
NOTHING_DB = -120.0  # of a limit from here down nothing is asked
PACE_SLACK_S = 1.0  # of speech, on top of the factor: short utterances vary
# A turn of a few syllables (喂, 好的, a bare number) is often cut out with the pauses around it.
SHORT = 3  # syllables
WITH_PAUSES_S = 5.0  # up to this length, pauses are nothing against it
NOISY_DB = 20.0  # below this SNR, P.56 counts a pause's noise as speech: its margin is 16 dB
FEWEST_SHORT = 20  # turns of so many syllables tell how long they usually take
RATE_MISTAKE = 1.7  # so much faster in the mean of voice and words; they may differ by no more
# So much speech must its transcript stand for: the pitch is the median of 0.8 s of loud frames, and
# one syllable alone may be twice as short or as high as the next.
RATE_S = 1.0


Percentile = Annotated[StrictFloat, Field(ge=0, le=100)]
Factor = Annotated[StrictFloat, Field(gt=1)]


@section
class Strict:
    """Limits that an utterance of unusual length must keep, where length is percentile."""

    characters_per_s: Span[Amount]
    snr_db: StrictFloat
    clipped: StrictFloat


@section
class Filter:
    """Limits that an utterance must keep. Lengths are in 10 ms fbank frames."""

    length: Literal["fixed", "percentile"]
    min_frames: Natural  # limits where length is fixed
    max_frames: StrictInt
    percentiles: Span[Percentile]  # of the corpus's lengths; what lies beyond is checked harder
    silent_db: StrictFloat  # active speech level, dBov
    clipped: StrictFloat  # share of the samples
    dc: StrictFloat  # share of full scale
    narrowband_db: StrictFloat  # power at 4.3-8 kHz over that below 3.7 kHz; of wideband corpora
    characters_per_s: Span[Amount]  # of the whole utterance
    pace: Factor  # factor between the speech and what the corpus takes for such a transcript
    strict: Strict

    def __post_init__(self) -> None:
        if self.min_frames >= self.max_frames:
            wanted = f"less than max_frames ({self.max_frames})"
            raise Mismatch("min_frames", wanted, self.min_frames)


@dataclass(frozen=True)
class Candidate:
    """An utterance as it is judged; its text is normalised."""

    text: str
    known: bool  # whether the tokenizer knows all of the text
    frames: int
    duration_s: float
    annotation_error: bool
    measures: dict  # of `telephone_asr.measures.measure`

    @property
    def syllables(self) -> int:
        return syllables(self.text)

    @property
    def may_have_pauses(self) -> bool:
        return self.syllables <= SHORT and self.duration_s <= WITH_PAUSES_S

    @property
    def active_s(self) -> float:
        return self.duration_s * self.measures["activity"]


@dataclass(frozen=True)
class Norms:
    """The usual in a corpus: the limits of length, and medians.

    A syllable alone takes twice the time of one in a sentence: it is drawn out, and P.56 goes on
    for 0.2 s. So short turns have medians of their own, where there are enough of them.
    """

    min_frames: int
    max_frames: int
    s_per_syllable: float  # of active speech, in what is longer than short turns
    pitch_hz: float
    short_s: Mapping[int, float] = field(default_factory=dict)  # of active speech, by syllables

    def active_s(self, n_syllables: int) -> float:
        return self.short_s.get(n_syllables, n_syllables * self.s_per_syllable)


def norms(
    filter_: Filter,
    frames: Sequence[int],
    s_per_syllable: Sequence[float],
    pitch_hz: Sequence[float],
    n_syllables: Sequence[int] = (),
) -> Norms:
    """Returns what is usual in a corpus; the sequences need not be of one length, but for
    n_syllables, which is as long as s_per_syllable where it is known."""
    limits = filter_.min_frames, filter_.max_frames
    if filter_.length == "percentile" and len(frames):
        low, high = np.percentile(frames, filter_.percentiles)
        limits = int(np.floor(low)), int(np.ceil(high))
    rates, counts = np.asarray(s_per_syllable), np.asarray(n_syllables)
    of_short = {n: rates[counts == n] for n in range(1, SHORT + 1) if len(counts)}
    longer = rates[counts > SHORT] if len(counts) and (counts > SHORT).any() else rates
    return Norms(
        *limits,
        s_per_syllable=float(np.median(longer)) if len(longer) else 0.25,
        pitch_hz=float(np.median(pitch_hz)) if len(pitch_hz) else 150.0,
        short_s={
            n: n * float(np.median(own)) for n, own in of_short.items() if len(own) >= FEWEST_SHORT
        },
    )


def judge(
    candidate: Candidate, filter_: Filter, usual: Norms, wideband: bool
) -> tuple[str, str] | None:
    """Returns the first reason not to use an utterance, with its numbers; None to use it."""
    return next(_objections(candidate, filter_, usual, wideband), None)


def _objections(
    candidate: Candidate, filter_: Filter, usual: Norms, wideband: bool
) -> Iterator[tuple[str, str]]:
    measures = candidate.measures
    if candidate.annotation_error:
        yield "annotation_error", "marked by its annotator"
    if not candidate.syllables:
        yield "empty_text", f"text '{candidate.text}'"
    if not candidate.known:
        yield "unknown_characters", f"text '{candidate.text}'"
    if filter_.length == "fixed":
        yield from _length(candidate, usual, "")
    if measures["level_db"] < filter_.silent_db:
        yield "silent", f"active level {measures['level_db']} dBov, limit {filter_.silent_db}"
    if measures["clipped"] > filter_.clipped:
        yield "clipped", f"{measures['clipped']:.1%} of the samples, limit {filter_.clipped:.1%}"
    if abs(measures["dc"]) > filter_.dc:
        yield "dc_offset", f"{measures['dc']} of full scale, limit {filter_.dc}"
    high_db = measures["high_band_db"]
    if wideband and high_db is not None and high_db < filter_.narrowband_db:
        yield "narrowband", f"{high_db} dB above 4.3 kHz, limit {filter_.narrowband_db}"
    yield from _rate(candidate, usual)
    if wideband and high_db is None and filter_.narrowband_db > NOTHING_DB:
        yield "narrowband", "sampled at less than 11 kHz"
    per_s = candidate.syllables / candidate.duration_s
    yield from _characters(candidate, per_s, filter_.characters_per_s)
    yield from _pace(candidate, filter_.pace, usual)
    if filter_.length == "percentile":
        doubt = _doubt(candidate, per_s, filter_.strict)
        if doubt:
            yield from _length(candidate, usual, f" and {doubt}")


def _length(candidate: Candidate, usual: Norms, doubt: str) -> Iterator[tuple[str, str]]:
    if candidate.frames < usual.min_frames:
        yield "too_short", f"{candidate.frames} frames, limit {usual.min_frames}{doubt}"
    if candidate.frames > usual.max_frames:
        yield "too_long", f"{candidate.frames} frames, limit {usual.max_frames}{doubt}"


def _characters(
    candidate: Candidate, per_s: float, limits: tuple[float, float]
) -> Iterator[tuple[str, str]]:
    if per_s < limits[0] and not candidate.may_have_pauses:
        yield "too_few_characters", f"{per_s:.2f} a second, limit {limits[0]}"
    if per_s > limits[1]:
        yield "too_many_characters", f"{per_s:.2f} a second, limit {limits[1]}"


def _pace(candidate: Candidate, factor: float, usual: Norms) -> Iterator[tuple[str, str]]:
    expected_s, active_s = usual.active_s(candidate.syllables), candidate.active_s
    too_much = active_s > factor * expected_s + PACE_SLACK_S
    if candidate.may_have_pauses and candidate.measures["snr_db"] < NOISY_DB:
        too_much = False
    if too_much or expected_s > factor * active_s + PACE_SLACK_S:
        yield (
            "text_and_duration",
            f"{active_s:.2f} s of speech, {expected_s:.2f} s are usual for such a transcript",
        )


def _rate(candidate: Candidate, usual: Norms) -> Iterator[tuple[str, str]]:
    """Objects to voice and words that are alike too fast or too slow, as a wrong sample rate in the
    header makes them; either alone may be a high voice or a hurried one, and a few syllables say
    too little."""
    pitch_hz, expected_s = candidate.measures["pitch_hz"], usual.active_s(candidate.syllables)
    if pitch_hz is None or not candidate.active_s or expected_s < RATE_S:
        return
    higher = pitch_hz / usual.pitch_hz
    faster = expected_s / candidate.active_s
    both = math.sqrt(higher * faster)
    alike = 1 / RATE_MISTAKE < higher / faster < RATE_MISTAKE
    if alike and not 1 / RATE_MISTAKE <= both <= RATE_MISTAKE:
        yield "wrong_rate", f"the voice {higher:.1f} and the words {faster:.1f} times the usual"


def _doubt(candidate: Candidate, per_s: float, strict: Strict) -> str:
    """Returns why an utterance of unusual length is not kept; "" to keep it."""
    measures, (low, high) = candidate.measures, strict.characters_per_s
    if not low <= per_s <= high:
        return f"{per_s:.2f} characters a second, not {low} to {high}"
    if measures["snr_db"] < strict.snr_db:
        return f"SNR about {measures['snr_db']} dB, less than {strict.snr_db}"
    if measures["clipped"] > strict.clipped:
        return f"{measures['clipped']:.1%} clipped, more than {strict.clipped:.1%}"
    return ""
