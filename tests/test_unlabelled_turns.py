"""Whole calls that nobody wrote down: which turns are used, and where every second of them went."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from call_fixtures import RATE_HZ, SPEECH
from repository_fixtures import ROOT, run_stage, write_params
from telephone_asr.calls.inputs import Source
from telephone_asr.channel.music import hold_music
from telephone_asr.channel.options import Line
from telephone_asr.corpora import conversations, spoken
from telephone_asr.corpora.several import OwnTest, write_account
from telephone_asr.errors import InputError
from telephone_asr.shards import Utterance, read_cuts, sound_index, write_shards
from telephone_asr.unlabelled.importing import with_ids
from telephone_asr.unlabelled.music import is_music

sys.path.append(str(ROOT / "bench"))
from calls import make_call

HELD_OUT = 6  # of the utterances: the last ones are test calls
GOLDEN = 2  # but for this one, from the end: it is a test set of its own
STAGE = """
from telephone_asr.unlabelled import importing
importing.MOST_FILES = 1
from telephone_asr.program import run
from telephone_asr.stages import unlabelled
run(unlabelled.main)
"""


def int16(sound: np.ndarray) -> np.ndarray:
    return np.rint(32767 * np.clip(sound, -1, 1)).astype(np.int16)


def stereo(left: list[np.ndarray], right: list[np.ndarray], seed: int) -> np.ndarray:
    """Sounds of two channels with a second between them, on a line that hisses."""
    columns = [
        np.concatenate([np.pad(s, (RATE_HZ // 2, RATE_HZ // 2)) for s in [*own, np.zeros(0)]])
        for own in (left, right)
    ]
    n = max(map(len, columns))
    both = np.stack([np.pad(column, (0, n - len(column))) for column in columns], axis=1)
    return int16(both + 3e-4 * np.random.default_rng(seed).standard_normal(both.shape))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, spoken_utterances) -> tuple[Path, list]:
    """A folder of recordings, and what is said in one of them."""
    folder = tmp_path_factory.mktemp("recordings")
    voices = [sound for sound, _ in spoken_utterances]
    greeting = np.concatenate(voices[:2])
    music = 0.05 * hold_music(7, 8.0, RATE_HZ)
    (folder / "2024").mkdir()

    def write(name: str, samples: np.ndarray, **options: str) -> None:
        soundfile.write(folder / name, samples, RATE_HZ, **options)

    said = make_call(folder / "2024" / "call.wav", spoken_utterances[2:-HELD_OUT], 0.6, 3)
    first = stereo(voices[4:7], voices[7:9], 0)
    write("again.wav", first, subtype="PCM_16")
    write("again, coded.ogg", first)
    for number, sound in enumerate(voices[9:12]):
        write(f"greeting {number}.wav", stereo([greeting], [sound, voices[12 + number]], number))
    write("music.wav", np.stack([int16(music), np.zeros(len(music), np.int16)], axis=1))
    one_side = stereo(voices[18:21], [], 1)
    one_side[:, 1] = 0
    write("one side.wav", one_side)
    write("same on both.wav", stereo(voices[21:24], [], 2)[:, [0, 0]])
    write("golden.wav", stereo([voices[16], voices[-GOLDEN]], [voices[17]], 8))
    write(
        "test call.wav", stereo([voices[16]], [voices[17], voices[-1]], 9)[:, 1], subtype="GSM610"
    )
    whole = (folder / "again.wav").read_bytes()
    (folder / "cut off.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "nothing.wav").write_bytes(b"")
    return folder, said


@pytest.fixture(scope="module")
def cut(tmp_path_factory, data_repository, recordings, spoken_utterances) -> Path:
    """A repository after the stage."""
    path = tmp_path_factory.mktemp("unlabelled") / "repository"
    shutil.copytree(data_repository.path, path)
    shutil.rmtree(path / "data" / "telecall")
    tests = [
        Utterance(f"test-{n}", int16(sound), RATE_HZ, text, "speaker")
        for n, (sound, text) in enumerate(spoken_utterances[-HELD_OUT:])
    ]
    golden = tests.pop(-GOLDEN)
    raw, manifests = (path / "data" / name / "tests" for name in ("raw", "manifests"))
    (manifests / "golden").mkdir(parents=True)
    (manifests / "golden" / "test.jsonl").write_text(json.dumps({"key": golden.id}) + "\n")
    (raw / "golden").mkdir(parents=True)
    write_shards(raw / "golden", [golden], 4)
    write_account(manifests, [OwnTest("golden", "calls", "golden.jsonl", telephone=True)])
    write_shards(path / "data" / "telecall", tests, 4)
    for name, own in (("test", tests[1:]), ("valid", tests[:1])):
        lines = "".join(json.dumps({"key": one.id}) + "\n" for one in own)
        (path / "data" / "manifests" / "telecall" / f"{name}.jsonl").write_text(lines)
    changes = {"unlabelled.rounds": 1, "corpus.max_rejected_share": 0.5, "corpus.shard_size": 7}
    changes["corpus.unlabelled"] = {"kind": "recordings", "path": str(recordings[0])}
    write_params(path, changes)
    run_stage(path, "unlabelled")
    return path


def left_out(repository: Path) -> list[dict]:
    lines = (repository / "data/unlabelled/left_out.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_each_recording_that_is_not_used_has_its_reason(cut):
    reasons = {line["id"]: line["reason"] for line in left_out(cut) if "id" in line}
    assert reasons == {
        **{"cut off": "unusable", "nothing": "unusable", "music": "music"},
        **{"test call": "held_out", "golden": "held_out", "again": "duplicate"},
    }
    metrics = json.loads((cut / "metrics" / "unlabelled.json").read_text())
    assert metrics["recordings"]["all"] == 13
    assert metrics["recordings"]["used"] == 13 - len(reasons)
    assert metrics["recordings"]["unusable"] == 2
    cuts = list(read_cuts(cut / "data" / "unlabelled"))
    used = {one["custom"]["recording"] for one in cuts}
    assert used == {"2024-call", "again, coded", "one side", "same on both"} | {
        f"greeting {number}"
        for number in range(3)  # which all begin alike, and are no copies
    }
    assert metrics["turns"] == len(cuts)


def test_every_second_of_every_channel_is_accounted_for_once(cut, recordings):
    hours = json.loads((cut / "metrics" / "unlabelled.json").read_text())["channel_hours"]
    assert sum(hours.values()) == pytest.approx(2 * hours["all"], abs=5e-4)
    seconds = 0.0
    for path in recordings[0].rglob("*.*"):
        if path.name != "nothing.wav":  # of what is cut off, what is there
            info = soundfile.info(path)
            seconds += info.frames * info.channels / info.samplerate
    assert 3600 * hours["all"] == pytest.approx(seconds, abs=1.0)
    kept = sum(one["duration"] for one in read_cuts(cut / "data" / "unlabelled"))
    assert 3600 * hours["speech"] == pytest.approx(kept, abs=0.5)
    for name in ("silence", "same_channel", "silent_channel", "music", "held_out", "duplicate"):
        assert hours[name] > 0


def test_turns_are_where_somebody_speaks(cut, recordings):
    _, said = recordings
    cuts = [
        one
        for one in read_cuts(cut / "data" / "unlabelled")
        if one["custom"]["recording"] == "2024-call"
    ]
    assert len(said) <= len(cuts) <= 1.2 * len(said)
    for one in said:
        channel = "ab"[one.channel]
        starts = [c["custom"]["start_s"] for c in cuts if c["custom"]["channel"] == channel]
        assert min(abs(start - one.start_s) for start in starts) < 0.5, one
    [first, *_] = cuts
    channel, start_s = first["custom"]["channel"], first["custom"]["start_s"]
    assert first["id"] == f"2024-call-{channel}-{round(100 * start_s):07d}"
    assert first["supervisions"][0]["text"] == ""
    assert first["supervisions"][0]["speaker"] == f"2024-call-{channel}"
    turn, rate_hz = sound_index(cut / "data" / "unlabelled").read(first["id"])
    assert rate_hz == RATE_HZ
    samples, _ = soundfile.read(recordings[0] / "2024" / "call.wav", dtype="int16")
    begin = round(start_s * RATE_HZ)
    there = samples[begin : begin + len(turn), "ab".index(channel)]
    assert np.array_equal(there, turn)


def test_without_rounds_it_writes_nothing(cut, tmp_path):
    path = tmp_path / "repository"
    shutil.copytree(cut, path)
    write_params(path, {"unlabelled.rounds": 0})
    run_stage(path, "unlabelled")
    assert list((path / "data" / "unlabelled").iterdir()) == []
    assert json.loads((path / "metrics" / "unlabelled.json").read_text()) == {"rounds": 0}


def test_killed_in_the_middle_it_goes_on_and_writes_the_same_bytes(cut, tmp_path):
    path = tmp_path / "repository"
    shutil.copytree(cut, path)
    written = {file.name: file.read_bytes() for file in (cut / "data/unlabelled").iterdir()}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "2"}
    command = [sys.executable, "-c", STAGE]
    killed = subprocess.Popen(command, cwd=path, env=environment, start_new_session=True)
    # Of two workers the one with the first recordings may be the slower.
    while not (done := list(path.glob(".scratch/unlabelled-*/pieces/accounts.000000.jsonl"))):
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    [before] = done
    first = before.stat().st_mtime_ns
    again = subprocess.Popen(command, cwd=path, env=environment)
    while before.exists():
        assert before.stat().st_mtime_ns == first
        time.sleep(0.5)
    assert again.wait() == 0
    assert written == {
        file.name: file.read_bytes() for file in (path / "data/unlabelled").iterdir()
    }


def test_a_folder_without_sound_is_one_sentence(cut, tmp_path):
    path = tmp_path / "repository"
    shutil.copytree(cut, path)
    for folder, said in (("missing", "does not exist"), ("empty", "holds no sound")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        source = {"kind": "recordings", "path": str(tmp_path / folder)}
        write_params(path, {"corpus.unlabelled": source})
        with pytest.raises(InputError, match=said) as error:
            run_stage(path, "unlabelled")
        assert "corpus.unlabelled.path" in str(error.value)


def test_ids_are_good_and_each_recordings_own(tmp_path):
    names = ["a/x.wav", "a/x.mp3", "A/x.wav", "客服/一号?.wav", ".wav", "y" * 240 + ".wav"]
    ids = [one.id for one in with_ids([Source(tmp_path / name, Path(name)) for name in names])]
    assert ids[:2] == ["a-x", "a-x.mp3"]
    assert ids[3] == "客服-一号_"
    assert len({id_.casefold() for id_ in ids}) == len(names)
    assert all(0 < len(id_.encode()) <= 150 for id_ in ids)


def test_music_is_told_from_speech(spoken_utterances):
    for seed in range(5):
        music = int16(0.05 * hold_music(seed, 6.0, RATE_HZ))
        assert is_music(music, "other")
        assert is_music(music, "speech")
    tone = int16(0.1 * np.sin(2 * np.pi * 450 / RATE_HZ * np.arange(RATE_HZ)))
    assert is_music(tone, "other")
    hiss = int16(0.1 * np.random.default_rng(0).standard_normal(3 * RATE_HZ))
    assert not is_music(hiss, "other")
    assert not any(is_music(int16(sound), "speech") for sound, _ in spoken_utterances)


def test_embedded_calls_are_two_voices_by_turns_the_same_every_time():
    utterances = spoken.read_index(SPEECH)[:200]
    calls = conversations.plan(utterances, seed=0)
    assert calls == conversations.plan(utterances, seed=0) != conversations.plan(utterances, seed=1)
    said = [turn.utterance.id for call in calls for turn in call.turns]
    assert len(set(said)) == len(said) > 0.9 * len(utterances)
    for call in calls:
        for turn, after in zip(call.turns, call.turns[1:], strict=False):
            assert (turn.channel, after.channel) in ((0, 1), (1, 0))
            assert 0.29 < after.start_s - turn.end_s < 2.01
        for turn in call.turns:
            assert turn.utterance.speaker == call.speakers[turn.channel]
            text = conversations.truth(call, turn.channel, turn.start_s + 0.1, turn.end_s - 0.1)
            assert text == turn.utterance.said
    samples = conversations.sound(calls[0], SPEECH, Line(), None, seed=0)
    assert samples.shape == (round(calls[0].duration_s * RATE_HZ), 2)
    assert np.array_equal(samples, conversations.sound(calls[0], SPEECH, Line(), None, seed=0))
    for turn in calls[0].turns:
        first, last = (round(s * RATE_HZ) for s in (turn.start_s, turn.end_s))
        power = np.square(samples[first:last].astype(float)).mean(axis=0)
        assert power[turn.channel] > power[1 - turn.channel]
