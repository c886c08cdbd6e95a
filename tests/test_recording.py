"""What of a recording is heard: channels, turns at their times, and what is refused."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from call_fixtures import RATE_HZ
from telephone_asr.calls.recording import Choice, listen
from telephone_asr.corpora.sound import SoundError

BOTH = Choice(names=("agent", "customer"))


@pytest.fixture(scope="module")
def two_minutes(made_call):
    return made_call(2.0, 1)


def test_turns_are_where_they_were_put_and_on_their_channels(two_minutes):
    path, truth = two_minutes
    pieces = listen(path, BOTH).pieces
    names = {0: "agent", 1: "customer"}
    for said in truth:
        own = [p for p in pieces if p.channel == said.channel]
        starts = [p.segment.speech_start_s for p in own]
        ends = [p.segment.speech_end_s for p in own]
        assert min(abs(start - said.start_s) for start in starts) < 0.3, said
        assert min(abs(end - said.end_s) for end in ends) < 0.3, said
    assert {(p.channel, p.speaker) for p in pieces} == set(names.items())
    assert len(pieces) <= 1.1 * len(truth)
    starts = [p.segment.start_s for p in pieces]
    assert starts == sorted(starts)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, **options) -> Path:
    soundfile.write(path, samples, rate_hz, **options)
    return path


def test_one_channel_or_their_mean(two_minutes, tmp_path):
    path, truth = two_minutes
    left = listen(path, Choice("left")).pieces
    assert {(p.channel, p.speaker) for p in left} == {(0, "left")}
    assert len(left) == sum(p.channel == 0 for p in listen(path, BOTH).pieces)
    mixed = listen(path, Choice("mix")).pieces
    assert {(p.channel, p.speaker) for p in mixed} == {(None, "")}
    assert len(mixed) >= len(truth) / 2


def test_a_mono_recording_that_was_saved_as_stereo_is_heard_once(two_minutes, tmp_path):
    samples, _ = soundfile.read(two_minutes[0])
    same = write(tmp_path / "same.wav", samples[:, [0, 0]])
    mono = write(tmp_path / "mono.wav", samples[:, 0])
    segments = [[p.segment for p in listen(path, BOTH).pieces] for path in (same, mono)]
    assert segments[0] == segments[1]
    assert {p.channel for p in listen(same, BOTH).pieces} == {None}


def test_channels_that_cancel_each_other_out_are_heard(two_minutes, tmp_path):
    samples, _ = soundfile.read(two_minutes[0])
    turned = write(tmp_path / "turned.wav", samples[:, [0, 0]] * [1, -0.99])
    pieces = listen(turned, Choice("mix")).pieces
    assert len(pieces) == len(listen(two_minutes[0], Choice("left")).pieces)
    assert {p.channel for p in pieces} == {0}


def test_of_three_channels_each_is_heard(two_minutes, tmp_path):
    samples, _ = soundfile.read(two_minutes[0])
    three = write(tmp_path / "three.wav", np.column_stack([samples, samples[:, 1]]))
    assert {p.speaker for p in listen(three, BOTH).pieces} == {"agent", "customer", "channel 3"}


@pytest.mark.parametrize(("suffix", "options"), [("flac", {}), ("mp3", {}), ("ogg", {})])
def test_other_forms_are_heard_alike(two_minutes, tmp_path, suffix, options):
    samples, _ = soundfile.read(two_minutes[0])
    other = write(tmp_path / f"call.{suffix}", samples, **options)
    ours, theirs = listen(two_minutes[0], BOTH), listen(other, BOTH)
    assert abs(len(theirs.pieces) - len(ours.pieces)) <= 1
    assert abs(theirs.duration_s - ours.duration_s) < 0.2


@pytest.mark.parametrize("kind", ["silence", "ringing", "busy", "keys", "hum", "hiss", "muted"])
def test_minutes_without_speech_have_no_pieces(kind, tmp_path):
    t = np.arange(180 * RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 450 * t)
    keys = np.sin(2 * np.pi * 697 * t) + np.sin(2 * np.pi * 1209 * t)
    sounds = {
        "silence": 0 * t,
        "ringing": tone * (t % 5 < 1),
        "busy": tone * (t % 0.7 < 0.35),
        "keys": 0.2 * keys * (t % 0.2 < 0.1),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * t),
        "hiss": 0.02 * np.random.default_rng(0).standard_normal(len(t)),
        "muted": np.full(len(t), 3 / 32768),
    }
    path = write(tmp_path / "call.wav", np.column_stack([sounds[kind], sounds["silence"]]))
    assert listen(path, BOTH).pieces == []


def test_what_cannot_be_heard_is_refused_in_words(two_minutes, tmp_path):
    path, _ = two_minutes
    whole = path.read_bytes()
    half = tmp_path / "half.wav"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SoundError, match=r"promise.*when it is written to its end"):
        listen(half, BOTH)
    empty = write(tmp_path / "empty.wav", np.zeros((0, 2)))
    with pytest.raises(SoundError, match="no sound"):
        listen(empty, BOTH)
    mono = write(tmp_path / "mono.wav", np.zeros(RATE_HZ))
    with pytest.raises(SoundError, match="no right channel"):
        listen(mono, Choice("right"))
    with pytest.raises(SoundError, match=r"0\.0 hours, limit 0\.01"):
        listen(path, Choice(max_hours=0.01))
    nan = write(tmp_path / "nan.wav", np.full(RATE_HZ, np.nan), subtype="FLOAT")
    with pytest.raises(SoundError, match="no numbers"):
        listen(nan, BOTH)
    with pytest.raises(SoundError, match="No such file"):
        listen(tmp_path / "lost.wav", BOTH)


def test_a_stream_is_refused_when_it_gets_too_long(two_minutes, tmp_path):
    samples, _ = soundfile.read(two_minutes[0])
    stream = write(tmp_path / "call.mp3", samples[: 100 * RATE_HZ])
    with pytest.raises(SoundError, match=r"hours, limit 0\.02"):
        listen(stream, Choice(max_hours=0.02))


def test_a_header_without_sizes_is_read_to_the_end_and_growth_is_noticed(two_minutes, tmp_path):
    growing = tmp_path / "growing.wav"
    shutil.copy(two_minutes[0], growing)
    content = bytearray(growing.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    growing.write_bytes(content)
    recording = listen(growing, BOTH)
    assert recording.duration_s == 120
    recording.check_unchanged()
    with open(growing, "ab") as file:
        file.write(bytes(8000))
    with pytest.raises(SoundError, match="changed while it was read"):
        recording.check_unchanged()
