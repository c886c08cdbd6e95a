"""From a corpus full of faults to sets and reasons: everything is accounted for.

Each fault is made here, with the reason that it must be left out for; it is met alone among good
utterances, and together with all the others.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telephone_asr.channel import g711
from telephone_asr.corpora.imported import import_shard, list_items, with_good_ids
from telephone_asr.manifests.quality import REASONS, Filter, Strict
from telephone_asr.manifests.sorting import (
    Kept,
    Rules,
    decide,
    examples,
    leave_out_test_sentences,
    same_sounds,
    share_written,
    survey,
)
from telephone_asr.manifests.split import SPLITS, Split
from telephone_asr.model.frontend import fbank_frames
from telephone_asr.scoring.normalise import normalise_for_scoring
from telephone_asr.shards import read_cuts, sound_index

RATE_HZ = 16000
GOOD = 60  # utterances, so that all faults together do not shift what is usual
KNOWN = set("您好请问是张先生吗一二三四五六七八九十，。APP")
STRICT = Strict(characters_per_s=(1, 10), snr_db=15, clipped=0.002)
FILTER = Filter("fixed", 10, 1000, (0.5, 99.5), -60, 0.01, 0.05, -55, (0.3, 20), 3.0, STRICT)
RULES = Rules(
    filter=FILTER,
    split=Split(valid=0.2, test=0.2, seed=0, frozen=False, short=4),
    english="keep",
    count_frames=lambda n, rate_hz: fbank_frames(n, rate_hz, RATE_HZ),
    tokenise=lambda texts: [[ord(c) if c in KNOWN else 0 for c in text] for text in texts],
    unknown=0,
    compared=normalise_for_scoring,
)


def text_for(seconds: float, seed: int = 0) -> str:
    """As many characters as are said in so long, in another order for each seed."""
    characters = "一二三四五六七八九十"
    rng = np.random.default_rng(seed)
    return "您好" + "".join(rng.choice(list(characters), max(1, round(3.5 * seconds) - 2)))


def int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def sound(speech) -> Callable[..., np.ndarray]:
    """Speech with breath up to 8 kHz, of 1.5 to 4 s."""

    def make(seed: int, seconds: float | None = None) -> np.ndarray:
        seconds = 1.5 + seed % 6 / 2 if seconds is None else seconds
        breath = 40 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
        return int16(3 * speech(seconds, seed=seed).astype(float) + breath)

    return make


class Corpus:
    """A calls.jsonl in the making."""

    def __init__(self, directory: Path, prefix: str = ""):
        self.directory, self.prefix = directory, prefix  # of the names of its files
        self.lines: list[bytes] = []

    def add(self, id_: str, samples: np.ndarray | None = None, rate_hz: int = RATE_HZ, **fields):
        """A line of the list, and a file for it where samples are given."""
        line = {"id": id_, "audio": f"{self.prefix}{len(self.lines)}.wav"}
        line["speaker"] = f"s{len(self.lines) % 12}"
        if samples is not None:
            kind = "FLOAT" if samples.dtype.kind == "f" else "PCM_16"
            soundfile.write(self.directory / line["audio"], samples, rate_hz, subtype=kind)
            line["text"] = text_for(len(samples) / rate_hz, seed=len(self.lines))
        line |= fields
        line = {name: value for name, value in line.items() if value is not ...}
        self.lines.append(json.dumps(line, ensure_ascii=False).encode())

    def file(self, name: str, content: bytes) -> str:
        (self.directory / name).write_bytes(content)
        return name


def flac(corpus: Corpus, samples: np.ndarray) -> bytes:
    soundfile.write(corpus.directory / "whole.flac", samples, RATE_HZ)
    return (corpus.directory / "whole.flac").read_bytes()


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(200) + content[middle + 200 :]


def wav(corpus: Corpus, samples: np.ndarray) -> bytes:
    soundfile.write(corpus.directory / "whole.wav", samples, RATE_HZ)
    return (corpus.directory / "whole.wav").read_bytes()


def upsampled(samples: np.ndarray) -> np.ndarray:
    narrow = soxr.resample(samples.astype(np.float32), RATE_HZ, 8000)
    return int16(soxr.resample(narrow, 8000, RATE_HZ))


def clipped(samples: np.ndarray, gain: float = 1.0) -> np.ndarray:
    limit = np.abs(samples.astype(float)).max() / 8
    return int16(gain * np.clip(samples.astype(float), -limit, limit))


# Each makes one entry of a corpus `c` of sound `x` (int16, two seconds at 16 kHz).
FAULTS: dict[str, tuple[str, Callable[[Corpus, np.ndarray], None]]] = {
    "no JSON": ("unreadable_line", lambda c, x: c.lines.append(b"{'id': 'a'}")),
    "cut off": ("unreadable_line", lambda c, x: c.lines.append(b'{"id": "a", "audio"')),
    "not UTF-8": ("unreadable_line", lambda c, x: c.lines.append(b'{"id": "\xff"}')),
    "no object": ("unreadable_line", lambda c, x: c.lines.append(b"[1, 2]")),
    "no id": ("unreadable_line", lambda c, x: c.add("", x, id=...)),
    "no audio": ("unreadable_line", lambda c, x: c.add("a", x, audio=...)),
    "no text": ("unreadable_line", lambda c, x: c.add("a", x, text=...)),
    "id a list": ("unreadable_line", lambda c, x: c.add("a", x, id=["a"])),
    "start a word": ("unreadable_line", lambda c, x: c.add("a", x, start="soon")),
    "start not finite": ("unreadable_line", lambda c, x: c.add("a", x, start=float("nan"))),
    "channel a word": ("unreadable_line", lambda c, x: c.add("a", x, channel="left")),
    "error a word": ("unreadable_line", lambda c, x: c.add("a", x, annotation_error="maybe")),
    "file missing": ("unreadable_audio", lambda c, x: c.add("a", x, audio="lost.wav")),
    "path with zero byte": ("unreadable_audio", lambda c, x: c.add("a", x, audio="\0.wav")),
    "directory": ("unreadable_audio", lambda c, x: c.add("a", x, audio=".")),
    "file empty": (
        "unreadable_audio",
        lambda c, x: c.add("a", audio=c.file("e.wav", b""), text="您好"),
    ),
    "text as WAV": (
        "unreadable_audio",
        lambda c, x: c.add("a", audio=c.file("t.wav", b"RIFF, they say " * 99), text="您好"),
    ),
    "HTML as MP3": (
        "unreadable_audio",
        lambda c, x: c.add("a", audio=c.file("t.mp3", b"<html>404</html>" * 99), text="您好"),
    ),
    "noise as AMR": (
        "unreadable_audio",
        lambda c, x: c.add("a", audio=c.file("t.amr", bytes(range(256)) * 9), text="您好"),
    ),
    "FLAC cut off": (
        "truncated",
        lambda c, x: c.add("a", audio=c.file("h.flac", flac(c, x)[:9000]), text=text_for(2)),
    ),
    "FLAC damaged": (
        "unreadable_audio",
        lambda c, x: c.add("a", audio=c.file("d.flac", damaged(flac(c, x))), text=text_for(2)),
    ),
    "WAV without format": (
        "unreadable_audio",
        lambda c, x: c.add(
            "a", audio=c.file("f.wav", wav(c, x)[:12] + bytes(24) + wav(c, x)[36:]), text="您好"
        ),
    ),
    "WAV without its sound": (
        "truncated",
        lambda c, x: c.add("a", audio=c.file("z.wav", wav(c, x)[:44]), text="您好"),
    ),
    "segment of nothing": ("empty_audio", lambda c, x: c.add("a", x, start=0.5, end=0.5)),
    "segment backwards": ("empty_audio", lambda c, x: c.add("a", x, start=1.0, end=0.5)),
    "not a number": (
        "not_finite",
        lambda c, x: c.add("a", np.where(np.arange(len(x)) == 9, np.nan, x / 32768)),
    ),
    "infinite": (
        "not_finite",
        lambda c, x: c.add("a", np.where(np.arange(len(x)) == 9, np.inf, x / 32768)),
    ),
    "channel too high": ("no_such_channel", lambda c, x: c.add("a", x, channel=1)),
    "channel negative": ("no_such_channel", lambda c, x: c.add("a", x, channel=-1)),
    "ends after its file": ("outside_audio", lambda c, x: c.add("a", x, start=1.0, end=2.5)),
    "begins after its file": ("outside_audio", lambda c, x: c.add("a", x, start=3.0, end=4.0)),
    "begins before its file": ("outside_audio", lambda c, x: c.add("a", x, start=-1.0)),
    "same id": ("duplicate_id", lambda c, x: c.add("good-0", x)),
    "id a path": ("bad_id", lambda c, x: c.add("../a", x)),
    "id empty": ("bad_id", lambda c, x: c.add("", x)),
    "id hidden": ("bad_id", lambda c, x: c.add(".a", x)),
    "id ends in a space": ("bad_id", lambda c, x: c.add("a ", x)),
    "marked": ("annotation_error", lambda c, x: c.add("a", x, annotation_error=True)),
    "text empty": ("empty_text", lambda c, x: c.add("a", x, text="")),
    "text of marks": ("empty_text", lambda c, x: c.add("a", x, text="……，。 ")),
    "text of tags": ("empty_text", lambda c, x: c.add("a", x, text="<SPOKEN_NOISE> [MUSIC]")),
    "strange character": ("unknown_characters", lambda c, x: c.add("a", x, text="您好龘" * 2)),
    "wrongly decoded": ("unknown_characters", lambda c, x: c.add("a", x, text="您好\ufffd" * 2)),
    "short": ("too_short", lambda c, x: c.add("a", x[:1600], text="您好")),
    "long": ("too_long", lambda c, x: c.add("a", np.tile(x, 6), text=text_for(12))),
    "digital silence": ("silent", lambda c, x: c.add("a", 0 * x)),
    "hiss": ("silent", lambda c, x: c.add("a", int16(x / 2000 + np.arange(len(x)) % 2))),
    "clipped": ("clipped", lambda c, x: c.add("a", clipped(x, 3.0))),
    "clipped and turned down": ("clipped", lambda c, x: c.add("a", clipped(x, 0.5))),
    "offset": ("dc_offset", lambda c, x: c.add("a", int16(x / 2 + 4000.0))),
    "sampled at 8 kHz once": ("narrowband", lambda c, x: c.add("a", upsampled(x))),
    "half its rate": (
        "wrong_rate",
        lambda c, x: c.add("a", x, 8000, text=text_for(2)),
    ),
    "twice its rate": (
        "wrong_rate",
        lambda c, x: c.add("a", np.tile(x, 2), 32000, text=text_for(4)),
    ),
    "one word in long speech": (
        "too_few_characters",
        lambda c, x: c.add("a", np.tile(x, 4), text="您好"),
    ),
    "a page in two seconds": (
        "too_many_characters",
        lambda c, x: c.add("a", x, text="一二三" * 20),
    ),
    "a few words in long speech": (
        "text_and_duration",
        lambda c, x: c.add("a", np.tile(x, 4), text="您好请问"),
    ),
    "too much for it": ("text_and_duration", lambda c, x: c.add("a", x, text="一二三四" * 9)),
    "same file": ("duplicate_audio", lambda c, x: c.add("a", audio="0.wav", text=text_for(1.5))),
    "same sound": (
        "duplicate_audio",
        lambda c, x: c.add("a", soundfile.read(c.directory / "0.wav", dtype="int16")[0]),
    ),
    "WAV of nothing": (
        "empty_audio",
        lambda c, x: c.add("a", audio=c.file("z0.wav", wav(c, x[:0])), text="您好"),
    ),
    "sampled at 8 kHz": (
        "narrowband",
        lambda c, x: c.add("a", int16(soxr.resample(x.astype(np.float32), RATE_HZ, 8000)), 8000),
    ),
}
# That only a list of another kind can have (test_kaldi), or several sets (below).
ELSEWHERE = {"no_audio", "no_transcript", "test_speaker", "sentence_in_test", "forgotten"}


def account(directory: Path, lines: list[bytes], rules: Rules = RULES, frozen=None):
    """What became of each entry of a corpus: (id, None) if kept, else (id, reason), in order."""
    path = directory / "calls.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    items = with_good_ids(list_items("calls", path, "corpus.calls"), set())
    _, unread = import_shard(items, directory / "shards", 0)

    def cuts():
        return read_cuts(directory / "shards")

    found = survey(cuts, rules, frozen)
    verdicts = decide(
        cuts,
        rules,
        found,
        True,
        Kept(same_sounds((found, sound_index(directory / "shards").read))),
    )
    leave_out_test_sentences(cuts, rules, verdicts, verdicts.test_sentences)
    became = [(entry.id, entry.reason) for entry in unread]
    for place, cut in enumerate(cuts()):
        became.append((cut["id"], verdicts.rejected.get(place, (None,))[0]))
        assert (verdicts.sets[place] is None) == (place in verdicts.rejected)
    kept = sum(set_ in SPLITS for set_ in verdicts.sets)
    assert kept + len(unread) + len(verdicts.rejected) == len(lines) == len(became)
    return became, verdicts, found


@pytest.fixture(scope="module")
def good(tmp_path_factory, sound) -> Corpus:
    corpus = Corpus(tmp_path_factory.mktemp("good"))
    for i in range(GOOD):
        corpus.add(f"good-{i}", sound(i))
    return corpus


def among_the_good(good: Corpus, faults: list[str], sound, limit: int) -> tuple:
    """The corpus of the first good utterances with these faults in it, in a place of its own."""
    corpus = Corpus(good.directory, prefix="fault-")
    corpus.lines = good.lines[:limit]
    for number, name in enumerate(faults):
        FAULTS[name][1](corpus, sound(1000 + number, seconds=2.0))
    # Ids of the faults' own, since only one of them is about ids.
    lines = [line.replace(b'"id": "a"', b'"id": "a%d"' % i) for i, line in enumerate(corpus.lines)]
    return account(good.directory, lines)


def test_there_are_all_reasons_and_forty_faults():
    assert len(FAULTS) >= 40
    assert {reason for reason, _ in FAULTS.values()} | ELSEWHERE == set(REASONS)


def test_the_good_are_kept(good):
    became, _, found = account(good.directory, good.lines)
    assert {reason for _, reason in became} == {None}
    assert len(found.sets.speakers) == 12


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_alone(name, good, sound):
    became, _, _ = among_the_good(good, [name], sound, limit=12)
    reasons = [reason for _, reason in became if reason]
    assert reasons == [FAULTS[name][0]]


def test_all_faults_at_once(good, sound):
    became, _, _ = among_the_good(good, list(FAULTS), sound, limit=GOOD)
    reasons = sorted(reason for _, reason in became if reason)
    assert reasons == sorted(reason for reason, _ in FAULTS.values())
    kept = [id_ for id_, reason in became if reason is None]
    assert sorted(kept) == sorted(f"good-{i}" for i in range(GOOD))


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=12))
def test_any_mixture_of_faults_is_accounted_for(faults, good, sound):
    became, _, _ = among_the_good(good, faults, sound, limit=24)  # asserts the account itself
    assert {f"good-{i}" for i in range(24)} <= {id_ for id_, reason in became if reason is None}


def sets(good: Corpus, lines: list[bytes], rules: Rules = RULES, frozen=None) -> dict[str, str]:
    _, verdicts, _ = account(good.directory, lines, rules, frozen)
    ids = [cut["id"] for cut in read_cuts(good.directory / "shards")]
    return dict(zip(ids, verdicts.sets, strict=True))


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(order=st.permutations(range(GOOD)), n=st.integers(12, 30))
def test_order_and_more_data_move_nobody(order, n, good):
    every = sets(good, good.lines)
    some = sets(good, [good.lines[i] for i in order[:n]])
    assert some.items() <= every.items()


def with_fields(line: bytes, **fields) -> bytes:
    return json.dumps(json.loads(line) | fields, ensure_ascii=False).encode()


def test_no_sentence_of_the_test_set_is_trained_on(good):
    before = sets(good, good.lines)
    tested = next(i for i in range(GOOD) if before[f"good-{i}"] == "test")
    text = json.loads(good.lines[tested])["text"]
    same_length = [
        i
        for i in range(GOOD)
        if before[f"good-{i}"] != "test" and len(json.loads(good.lines[i])["text"]) == len(text)
    ]
    lines = [
        with_fields(line, text=text) if i in same_length else line
        for i, line in enumerate(good.lines)
    ]
    became, _, _ = account(good.directory, lines)
    left_out = {id_ for id_, reason in became if reason == "sentence_in_test"}
    assert left_out == {f"good-{i}" for i in same_length}
    short = replace(RULES, split=replace(RULES.split, short=100))
    assert sets(good, lines, short) == before


def test_what_is_left_out_does_not_choose_the_prompt(good):
    lines = [with_fields(good.lines[0], text="您好，请问", annotation_error=True), *good.lines[1:]]
    _, verdicts, found = account(good.directory, lines)
    assert sum(found.written) == 1
    assert share_written(found, verdicts) == 0
    lines[1] = with_fields(lines[1], text=json.loads(lines[1])["text"] + "。")
    _, verdicts, found = account(good.directory, lines)
    assert share_written(found, verdicts) == 1 / (GOOD - 1)


@pytest.mark.parametrize(
    ("tested", "learnt"),
    [
        ("您好请问一二三", "您好，请问一二三。"),
        ("请您还三百元", "请您还300元。"),
        ("请您还3,000元", "请您还三千元"),
        ("请您还3000元", "请您还3,000元"),
        ("您好下载APP", "您好下载app"),
        ("您好下载APP", "您好，下载 A P P"),
        ("您好请问张先生", "您好<NOISE>请问张先生[breath]"),
    ],
)
def test_a_sentence_is_the_same_however_it_is_written(tested, learnt, good):
    knows_all = replace(RULES, tokenise=lambda texts: [[1] * len(text) for text in texts])
    before = sets(good, good.lines)
    lines = {
        set_: next(i for i in range(GOOD) if before[f"good-{i}"] == set_ and i % 6 in (2, 3))
        for set_ in SPLITS
    }
    written = list(good.lines)
    for set_, text in zip(SPLITS, (learnt, learnt, tested), strict=True):
        written[lines[set_]] = with_fields(written[lines[set_]], text=text)
    became, _, _ = account(good.directory, written, knows_all)
    left_out = {id_ for id_, reason in became if reason == "sentence_in_test"}
    assert left_out == {f"good-{lines[set_]}" for set_ in ("train", "valid")}


def test_a_frozen_test_set_stays_whatever_is_added(good):
    by_hash = sets(good, good.lines[:36])
    frozen = frozenset(id_ for id_, set_ in by_hash.items() if set_ == "test")
    assert frozen
    assert sets(good, good.lines[:36], frozen=frozen) == by_hash
    other_seed = replace(RULES, split=replace(RULES.split, seed=7))
    after = sets(good, good.lines, other_seed, frozen)
    assert {id_ for id_, set_ in after.items() if set_ == "test"} == frozen
    became, _, found = account(good.directory, good.lines, other_seed, frozen)
    speakers = {json.loads(line)["id"]: json.loads(line)["speaker"] for line in good.lines}
    for id_, reason in became:
        mixed = speakers[id_] in found.sets.frozen_speakers and id_ not in frozen
        assert reason == ("test_speaker" if mixed else None), id_


def test_few_speakers_are_split_by_recording(good):
    lines = [with_fields(line, speaker="one") for line in good.lines]
    found = sets(good, lines)
    assert set(found.values()) == set(SPLITS)


def test_examples_are_those_of_the_cuts_in_their_order(good):
    lines = [with_fields(good.lines[0], text="您 好，ＡPP <NOISE>"), *good.lines[1:5]]
    _, _, found = account(good.directory, lines)

    def cuts():
        return read_cuts(good.directory / "shards")

    made = list(examples(cuts, RULES, found, {"": "语音转写："}, "wideband"))
    assert [example.key for _, example, _ in made] == [f"good-{i}" for i in range(5)]
    _, first, changed = made[0]
    assert first.text == "您好，APP"
    assert changed == ("tags", "full_width", "spaces")
    assert first.text_length == 6
    assert first.speech_length == fbank_frames(24000, RATE_HZ, RATE_HZ)
    assert first.prompt == "语音转写："
    assert list(found.written) == [1, 0, 0, 0, 0]


def test_a_recording_is_kept_once_over_both_corpora(good, sound, tmp_path):
    """The call is a wideband recording at 8 kHz through A-law, by another name and speaker."""
    names = ("wideband", "calls")
    corpora = [Corpus(tmp_path / name, prefix=name) for name in names]
    for corpus in corpora:
        corpus.directory.mkdir()
    for i in range(12):
        corpora[0].add(f"w{i}", sound(2000 + i))
        own = sound(2000 + i) if i < 3 else sound(3000 + i)
        narrow = int16(soxr.resample(own.astype(np.float32), RATE_HZ, 8000))
        corpora[1].add(f"c{i}", g711.through(narrow, "alaw"), 8000, speaker=f"other-{i}")
    surveys, readers, cuts = [], [], []
    for corpus in corpora:
        path = corpus.directory / "calls.jsonl"
        path.write_bytes(b"\n".join(corpus.lines) + b"\n")
        shards = corpus.directory / "shards"
        import_shard(list_items("calls", path, "corpus.calls"), shards, 0)
        cuts.append(lambda shards=shards: read_cuts(shards))
        surveys.append(survey(cuts[-1], RULES, None))
        readers.append(sound_index(shards).read)
    kept = Kept(same_sounds(*zip(surveys, readers, strict=True)))
    first, second = (
        decide(own, RULES, found, wideband, kept)
        for own, found, wideband in zip(cuts, surveys, (True, False), strict=True)
    )
    assert not first.rejected
    reasons = {place: reason for place, (reason, _) in second.rejected.items()}
    assert reasons == dict.fromkeys(range(3), "duplicate_audio")
    assert [detail.split()[0] for _, detail in second.rejected.values()] == ["w0", "w1", "w2"]
