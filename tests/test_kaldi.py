"""Kaldi directories: each utterance comes, or is rejected with its reason."""

import pytest
import soundfile

from corpus_fixtures import (
    KEY,
    RATE_HZ,
    assert_sound,
    broken_files,
    call,
    calls,
    kaldi,
    read,
    reasons,
)
from telephone_asr.corpora.imported import list_items
from telephone_asr.corpora.items import load
from telephone_asr.errors import InputError


def test_kaldi_without_segments(tmp_path, pcm, speech):
    wideband = speech(0.5)
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "b.flac", wideband, 16000)
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    path = kaldi(
        tmp_path / "data",
        wav_scp=f"utt-a {tmp_path / 'a.wav'}\nutt-b ../audio/b.flac\n",
        text="utt-b 今天 天气 很好\nutt-a 您好\n",
        utt2spk="utt-a 甲\nutt-b 乙\n",
    )
    entries = read("kaldi", path)
    assert list(entries) == ["utt-a", "utt-b"]
    assert_sound(entries["utt-a"], pcm)
    assert_sound(entries["utt-b"], wideband, 16000)
    described = {u.id: (u.text, u.speaker, u.annotation_error) for u in entries.values()}
    assert described == {"utt-a": ("您好", "甲", False), "utt-b": ("今天 天气 很好", "乙", False)}


def test_kaldi_with_segments_is_what_lhotse_reads(tmp_path, pcm, speech):
    from lhotse.kaldi import load_kaldi_data_dir

    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    soundfile.write(tmp_path / "b.wav", speech(2.0, seed=3, rate_hz=RATE_HZ), RATE_HZ)
    path = kaldi(
        tmp_path / "data",
        wav_scp=f"rec-a {tmp_path / 'a.wav'}\nrec-b {tmp_path / 'b.wav'}\n",
        segments="u1 rec-a 0.1 0.55\nu2 rec-b 0 2\nu3 rec-b 0.1236 0.7777\n",
        text="u1 您好\nu2 请问\nu3 还款 日期\n",
        utt2spk="u1 甲\nu2 乙\nu3 甲\n",
    )
    recordings, supervisions, _ = load_kaldi_data_dir(path, RATE_HZ)
    entries = read("kaldi", path)
    assert {u.id for u in entries.values()} == {s.id for s in supervisions}
    for expected in supervisions:
        entry = entries[expected.id]
        assert (entry.text, entry.speaker) == (expected.text, expected.speaker)
        recording = recordings[expected.recording_id]
        audio = recording.load_audio(offset=expected.start, duration=expected.duration)
        assert_sound(entry, audio[0] * 32768)


def test_kaldi_without_speakers(tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    soundfile.write(tmp_path / "b.wav", pcm, RATE_HZ)
    kaldi(tmp_path, wav_scp="u1 a.wav\nu2 b.wav\n", text="u1 您好\nu2 请问\n")
    assert {u.id: u.speaker for u in read("kaldi", tmp_path).values()} == {"u1": "u1", "u2": "u2"}


def test_where_speakers_are_unknown_the_recording_stands_for_them(tmp_path, pcm):
    """Else one call would train and test."""
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    path = kaldi(
        tmp_path / "data",
        wav_scp="rec ../a.wav\n",
        segments="u1 rec 0 0.4\nu2 rec 0.5 0.9\n",
        text="u1 您好\nu2 请问\n",
    )
    assert len({u.speaker for u in read("kaldi", path).values()}) == 1
    lines = [call(id=f"c{i}", audio="a.wav", start=i / 4, end=(i + 1) / 4) for i in range(3)]
    assert len({u.speaker for u in read("calls", calls(tmp_path, *lines)).values()}) == 1


def test_kaldi_tables_with_tabs(tmp_path, pcm):
    """Kaldi takes any white space after the key, and WenetSpeech has tabs."""
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    kaldi(tmp_path, wav_scp="u1\ta.wav\n", text="u1\t今天 天气\n", utt2spk="u1 \t 甲\n")
    entries = read("kaldi", tmp_path)
    assert_sound(entries["u1"], pcm)
    assert (entries["u1"].text, entries["u1"].speaker) == ("今天 天气", "甲")


def test_kaldi_with_broken_utterances(tmp_path, pcm):
    broken = broken_files(tmp_path, pcm)
    scp = "".join(f"{name} {name}\n" for name in broken)
    texts = "".join(f"{name} 您好\n" for name in broken)
    kaldi(
        tmp_path,
        wav_scp=scp + "good whole.wav\n\nno_text whole.wav\nno_file\n",
        text=texts + "good 您好\nno_file 您好\n",
    )
    entries = read("kaldi", tmp_path)
    assert_sound(entries["good"], pcm)
    expected = {"good": None, "no_text": "no_transcript", "no_file": "unreadable_audio"}
    assert reasons(entries) == broken | expected
    assert str(tmp_path / "text") in entries["no_text"].detail


@pytest.mark.parametrize("segments", [{}, {"segments": "u1 rec 0 0.5\n"}])
def test_kaldi_transcripts_without_audio_are_counted(segments, tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    recording = "rec" if segments else "u1"
    kaldi(tmp_path, wav_scp=f"{recording} a.wav\n", text="u1 您好\nu2 请问\n", **segments)
    assert reasons(read("kaldi", tmp_path)) == {"u1": None, "u2": "no_audio"}


@pytest.mark.parametrize("segments", [{}, {"segments": "u1 rec 0 0.5\nu1 rec 0.5 1\n"}])
def test_kaldi_repeated_keys_are_all_listed(segments, tmp_path, pcm):
    """The corpus stage rejects the later ones as duplicate ids; here none may disappear."""
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    table = "rec a.wav\n" if segments else "u1 a.wav\nu1 a.wav\n"
    kaldi(tmp_path, wav_scp=table, text="u1 您好\n", **segments)
    assert [item.id for item in list_items("kaldi", tmp_path, KEY)] == ["u1", "u1"]


def test_kaldi_an_empty_transcript_is_left_to_the_filter(tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    kaldi(tmp_path, wav_scp="u1 a.wav\n", text="u1\n")
    assert read("kaldi", tmp_path)["u1"].text == ""


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("other 0 0.5", "unreadable_line"),
        ("rec 0 half", "unreadable_line"),
        ("rec 0", "unreadable_line"),
        ("", "unreadable_line"),
        ("rec 0 nan", "unreadable_line"),
        ("rec 0 inf", "unreadable_line"),
        ("rec 0.5 0.5", "empty_audio"),
        ("rec 0.5 0.1", "empty_audio"),
        ("rec 7 8", "outside_audio"),
    ],
)
def test_kaldi_segments_that_cannot_be_used(segment, reason, tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    kaldi(
        tmp_path,
        wav_scp="rec a.wav\n",
        segments=f"u1 {segment}\nu2 rec 0 0.5\n",
        text="u1 您好\nu2 请问\n",
    )
    entries = read("kaldi", tmp_path)
    assert_sound(entries["u2"], pcm[:4000])
    assert reasons(entries)["u1"] == reason


def test_kaldi_commands_are_refused(tmp_path):
    kaldi(tmp_path, wav_scp="u1 sph2pipe -f wav a.sph |\n", text="u1 您好\n")
    with pytest.raises(InputError, match=r"wav\.scp: u1 is a command"):
        list_items("kaldi", tmp_path, KEY)


@pytest.mark.parametrize("name", ["wav.scp", "text", "utt2spk", "segments"])
def test_kaldi_tables_that_are_not_utf_8(name, tmp_path):
    kaldi(tmp_path, wav_scp="u1 a.wav\n", text="u1 您好\n")
    (tmp_path / name).write_bytes(b"u1 " + "您好".encode("gb18030") + b"\n")
    with pytest.raises(InputError) as error:
        list_items("kaldi", tmp_path, KEY)
    assert f"{tmp_path / name}:1 is not UTF-8: convert it" in str(error.value)


@pytest.mark.parametrize("name", ["wav.scp", "text"])
def test_kaldi_tables_that_are_missing(name, tmp_path):
    kaldi(tmp_path, wav_scp="u1 a.wav\n", text="u1 您好\n")
    (tmp_path / name).unlink()
    with pytest.raises(InputError) as error:
        list_items("kaldi", tmp_path, KEY)
    assert f"{tmp_path / name} does not exist" in str(error.value)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_kaldi_lines_end_at_line_ends_alone(mark, tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    odd = "您\u2028好\x85请\v问\f吧"
    kaldi(
        tmp_path,
        wav_scp=f"{mark}rec a.wav\r\n",
        segments=f"{mark}u1 rec 0 0.5\nu2 rec 0.5 -1\n",
        text=f"{mark}u1 {odd}\r\nu2 您好\r\n",
        utt2spk=f"{mark}u1 \u3000甲\u3000\nu2 甲 \n",
    )
    entries = read("kaldi", tmp_path)
    assert reasons(entries) == {"u1": None, "u2": None}
    assert entries["u1"].text == odd
    assert {u.speaker for u in entries.values()} == {"甲"}
    assert_sound(entries["u1"], pcm[:4000])
    assert_sound(entries["u2"], pcm[4000:])


def test_kaldi_segments_with_a_channel(tmp_path, stereo):
    soundfile.write(tmp_path / "a.wav", stereo, RATE_HZ)
    kaldi(
        tmp_path,
        wav_scp="rec a.wav\n",
        segments="u0 rec 0 0.5 0\nu1 rec 0 -1.0 1\nu2 rec 0 1 left\nu3 rec 0 1 2\n",
        text="u0 您好\nu1 您好\nu2 您好\nu3 您好\n",
    )
    entries = read("kaldi", tmp_path)
    assert_sound(entries["u0"], stereo[:4000, 0])
    assert_sound(entries["u1"], stereo[:, 1])
    assert reasons(entries)["u2"] == "unreadable_line"
    assert reasons(entries)["u3"] == "no_such_channel"


@pytest.mark.parametrize("name", ["wav.scp", "text", "utt2spk"])
def test_kaldi_tables_that_say_two_things(name, tmp_path, pcm):
    """Nobody knows which of them is true, and half the guesses would be a wrong pair."""
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    soundfile.write(tmp_path / "b.wav", pcm[::-1], RATE_HZ)
    kaldi(
        tmp_path,
        wav_scp="r1 a.wav\nr2 b.wav\n",
        segments="u1 r1 0 0.5\nu2 r2 0 0.5\n",
        text="u1 您好\nu2 再见\n",
        utt2spk="u1 甲\nu2 乙\n",
    )
    other = {"wav.scp": "r1 b.wav\n", "text": "u1 再见\n", "utt2spk": "u1 乙\n"}[name]
    with open(tmp_path / name, "a", encoding="utf-8") as file:
        file.write(other)
    entries = read("kaldi", tmp_path)
    assert reasons(entries) == {"u1": "unreadable_line", "u2": None}
    assert f"{name}:3" in entries["u1"].detail


def test_kaldi_files_with_names_in_another_encoding(tmp_path, pcm):
    kaldi(tmp_path, wav_scp="", text="u1 您好\n")
    name = "录音.wav".encode("gb18030")
    with open(bytes(tmp_path) + b"/" + name, "wb") as file:
        soundfile.write(file, pcm, RATE_HZ, format="WAV")
    (tmp_path / "wav.scp").write_bytes(b"u1 " + name + b"\n")
    (item,) = list_items("kaldi", tmp_path, KEY)
    assert (item.id, item.problem) == ("u1", None)
    assert_sound(load(item), pcm)
