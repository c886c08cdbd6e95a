"""A corpus sorted into training, validation and test sets and what is left out, with its reason.

It is read four times, each time one utterance at a time: to see what is usual in it, to judge, to
leave out what says a test set's sentences, and to write. Between them stay a few bytes for each
utterance, so a corpus of any size fits.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from telephone_asr.manifests.messages import Example, is_written
from telephone_asr.manifests.quality import Candidate, Filter, Norms, judge, norms
from telephone_asr.manifests.split import SPLITS, Sets, Split
from telephone_asr.manifests.text import English, clean_transcript, syllables
from telephone_asr.sameness import ALIKE, SOUND, alike, from_text, twins
from telephone_asr.shards import CORPUS, is_without_speech, recorded_id

Cuts = Callable[[], Iterable[dict]]  # each call reads them from the first on
CountFrames = Callable[[int, int], int]  # samples, sample rate in Hz -> fbank frames
Tokenise = Callable[[list[str]], list[list[int]]]
Read = Callable[[str], tuple[np.ndarray, int]]  # id -> int16 samples, sample rate in Hz

FEWEST_USUAL = 50  # utterances of a corpus of a list that tell what is usual in it; else in all
BATCH = 1000  # texts tokenised at a time
NO_SPEECH = "no_speech"  # the set of what its corpus says that nobody speaks in
NO_SPEECH_LIST = "no_speech.jsonl"  # their ids, beside the manifests, where there are any
BROKEN = "\ufffd"  # what a wrong decoding leaves


@dataclass(frozen=True)
class Rules:
    """The rules that a corpus is sorted by."""

    filter: Filter
    split: Split
    english: English
    count_frames: CountFrames
    tokenise: Tokenise
    unknown: int | None  # the tokenizer's token for what it does not know
    compared: Callable[[str], str]  # equal for texts that say the same


@dataclass
class Usual:
    """The numbers that tell what is usual in a corpus, of utterances as far as they have them."""

    frames: array = field(default_factory=lambda: array("l"))
    s_per_syllable: array = field(default_factory=lambda: array("f"))
    n_syllables: array = field(default_factory=lambda: array("l"))  # of the same
    pitch_hz: array = field(default_factory=lambda: array("f"))

    def norms(self, filter_: Filter) -> Norms:
        return norms(filter_, self.frames, self.s_per_syllable, self.pitch_hz, self.n_syllables)


@dataclass
class Survey:
    """The numbers that the first reading gathers; the arrays have an entry for each utterance."""

    sets: Sets
    usual: Usual = field(default_factory=Usual)
    by_corpus: dict[str, Usual] = field(default_factory=dict)  # of a list of several
    corpora: list[str] = field(default_factory=list)  # names; shared strings: 8 bytes each
    frames: array = field(default_factory=lambda: array("l"))
    tokens: array = field(default_factory=lambda: array("l"))
    known: bytearray = field(default_factory=bytearray)
    seconds: float = 0.0
    written: bytearray = field(default_factory=bytearray)  # whether it has digits or punctuation
    changed: Counter = field(default_factory=Counter)  # transcripts changed, by rule
    prefix: str = ""  # of its ids: an utterance and its simulation have one recording
    ids: list[str] = field(default_factory=list)
    sounds: list[np.ndarray] = field(default_factory=list)  # `sameness.words` of each


@dataclass
class Verdicts:
    """The decisions of the second reading: the set of each utterance, or why it has none."""

    usual: Norms
    sets: list[str | None] = field(default_factory=list)  # shared strings: 8 bytes each
    rejected: dict[int, tuple[str, str]] = field(default_factory=dict)  # by place: reason, detail
    speakers: set[str] = field(default_factory=set)  # of what is kept
    test_sentences: set[int] = field(default_factory=set)  # hashes


@dataclass
class Kept:
    """The utterances kept of the corpora that share it, so that no sound is kept twice."""

    twins: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of `same_sounds`
    by_hash: dict[str, str] = field(default_factory=dict)  # ids
    ids: set[str] = field(default_factory=set)  # of those that have twins

    def other(self, key: str, sha: str) -> str | None:
        """Returns the id of what was kept and has the same sound."""
        twins = (twin for twin in self.twins.get(key, ()) if twin in self.ids)
        return self.by_hash.get(sha) or next(twins, None)

    def add(self, key: str, sha: str) -> None:
        self.by_hash[sha] = key
        if key in self.twins:
            self.ids.add(key)


NOTHING = Kept()
LEARNT = ("train", "valid")


class AllTested(Sets):
    """The sets of a corpus that is all test set."""

    def assign(self, recording: str, speaker: str) -> tuple[str | None, tuple[str, str] | None]:
        return "test", None


def same_sounds(*corpora: tuple[Survey, Read]) -> dict[str, list[str]]:
    """Returns of each recording that others are the same as, in any of the corpora, their ids.

    It takes some 0.7 kB of memory an utterance, more than all else here. Read gives the sound of an
    id: of the few that may be the same.
    """
    ids = [(key, read) for corpus, read in corpora for key in corpus.ids]

    def are_one(i: int, j: int) -> bool:
        a, b = (read(key) for key, read in (ids[i], ids[j]))
        return alike(*a, *b) > ALIKE

    pairs = twins([words for corpus, _ in corpora for words in corpus.sounds], are_one)
    return {ids[i][0]: [ids[j][0] for j in others] for i, others in pairs.items()}


def survey(cuts: Cuts, rules: Rules, frozen: frozenset[str] | None, prefix: str = "") -> Survey:
    """Reads a corpus for what is usual in it. frozen: the ids of the test set, where it is kept in
    git. prefix: of all ids of simulated speech."""
    corpus, waiting = Survey(Sets(rules.split, frozen), prefix=prefix), []
    for cut, text, changed in _with_texts(cuts(), rules.english):
        waiting.append(text)
        if len(waiting) == BATCH:
            _tokenise(waiting, rules, corpus)
            waiting = []
        recording, measures = cut["recording"], cut["custom"]["measures"]
        corpus.changed.update(changed)
        corpus.written.append(is_written(text))
        frames = rules.count_frames(recording["num_samples"], recording["sampling_rate"])
        corpus.frames.append(frames)
        name = sys.intern(cut["custom"].get(CORPUS, ""))
        corpus.corpora.append(name)
        of_name = [corpus.by_corpus.setdefault(name, Usual())] if name else []
        for usual in (corpus.usual, *of_name):
            usual.frames.append(frames)
            if (n := syllables(text)) and measures["activity"]:
                usual.s_per_syllable.append(cut["duration"] * measures["activity"] / n)
                usual.n_syllables.append(n)
            if measures["pitch_hz"] is not None and not is_without_speech(cut):
                usual.pitch_hz.append(measures["pitch_hz"])
        corpus.seconds += cut["duration"]
        corpus.sets.see(cut["id"].removeprefix(prefix), cut["supervisions"][0]["speaker"])
        corpus.ids.append(cut["id"])
        corpus.sounds.append(from_text(cut["custom"].get(SOUND, "")))
    _tokenise(waiting, rules, corpus)
    return corpus


def _tokenise(texts: list[str], rules: Rules, corpus: Survey) -> None:
    """Counts tokens of many texts at once, which a tokenizer does in a fraction of the time."""
    for text, ids in zip(texts, rules.tokenise(texts) if texts else [], strict=True):
        corpus.tokens.append(len(ids))
        corpus.known.append(rules.unknown not in ids and BROKEN not in text)


def decide(
    cuts: Cuts,
    rules: Rules,
    corpus: Survey,
    wideband: bool,
    kept: Kept,
    tested: Kept = NOTHING,
) -> Verdicts:
    """Reads a corpus and judges it.

    Args:
        wideband: whether its speech was recorded at 16 kHz or more.
        kept: what was kept of other corpora before it; what is kept of this one is added.
        tested: test sets of the user's own, whose sounds are not learnt.
    """
    verdicts = Verdicts(corpus.usual.norms(rules.filter))
    by_corpus = {
        name: usual.norms(rules.filter)
        for name, usual in corpus.by_corpus.items()
        if len(usual.frames) >= FEWEST_USUAL
    }
    for place, (cut, text, _) in enumerate(_with_texts(cuts(), rules.english)):
        supervision, measures = cut["supervisions"][0], cut["custom"]["measures"]
        if is_without_speech(cut):
            verdicts.sets.append(NO_SPEECH)
            continue
        candidate = Candidate(
            text=text,
            known=bool(corpus.known[place]),
            frames=corpus.frames[place],
            duration_s=cut["duration"],
            annotation_error=supervision["custom"]["annotation_error"],
            measures=measures,
        )
        usual = by_corpus.get(corpus.corpora[place], verdicts.usual)
        objection = judge(candidate, rules.filter, usual, wideband)
        same = kept.other(cut["id"], measures["sha"])
        if objection is None and same is not None:
            objection = "duplicate_audio", f"{same} has the same sound"
        if objection is None:
            kept.add(cut["id"], measures["sha"])
            recording = cut["id"].removeprefix(corpus.prefix)
            set_, objection = corpus.sets.assign(recording, supervision["speaker"])
            if set_ in LEARNT and (same := tested.other(cut["id"], measures["sha"])):
                objection = "duplicate_audio", f"{recorded_id(same)} of a test set has that sound"
        if objection is not None:
            verdicts.sets.append(None)
            verdicts.rejected[place] = objection
            continue
        verdicts.sets.append(set_)
        verdicts.speakers.add(supervision["speaker"])
        if set_ == "test" and syllables(text) > rules.split.short:
            verdicts.test_sentences.add(hash(rules.compared(text)))
    return verdicts


def leave_out_test_sentences(
    cuts: Cuts, rules: Rules, verdicts: Verdicts, sentences: set[int]
) -> None:
    """Rejects what would be learnt of a test set's sentences, in place."""
    if not sentences:
        return
    for place, (_, text, _) in enumerate(_with_texts(cuts(), rules.english)):
        learnt = verdicts.sets[place] in LEARNT
        if learnt and hash(rules.compared(text)) in sentences:
            verdicts.sets[place] = None
            verdicts.rejected[place] = "sentence_in_test", f"text '{text}'"


def share_written(corpus: Survey, verdicts: Verdicts, name: str | None = None) -> float:
    """Returns the share of what is kept whose transcripts have digits or punctuation: of all, or of
    a corpus of a list by its name."""
    kept = [
        written
        for written, set_, own in zip(corpus.written, verdicts.sets, corpus.corpora, strict=True)
        if set_ in SPLITS and name in (None, own)
    ]
    return sum(kept) / max(len(kept), 1)


def examples(
    cuts: Cuts, rules: Rules, corpus: Survey, prompts: Mapping[str, str], source: str
) -> Iterator[tuple[dict, Example, tuple[str, ...]]]:
    """Yields each cut, its manifest entry, and the rules that changed its text. prompts: by the
    names of corpora; "" where it has none."""
    for place, (cut, text, changed) in enumerate(_with_texts(cuts(), rules.english)):
        supervision = cut["supervisions"][0]
        yield (
            cut,
            Example(
                key=cut["id"],
                text=text,
                prompt=prompts[corpus.corpora[place]],
                speech_length=corpus.frames[place],
                text_length=corpus.tokens[place],
                duration_s=cut["duration"],
                speaker=supervision["speaker"],
                scene=supervision["custom"]["scene"],
                source=source,
                corpus=corpus.corpora[place],
            ),
            changed,
        )


def _with_texts(
    cuts: Iterable[dict], english: English
) -> Iterator[tuple[dict, str, tuple[str, ...]]]:
    for cut in cuts:
        yield cut, *clean_transcript(cut["supervisions"][0]["text"], english)
