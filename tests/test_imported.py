"""Corpora that people bring: each utterance comes, or is rejected with its reason."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from telephone_asr.corpora.imported import Item, list_items, load
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected, Utterance

KEY = "corpus.calls.path"
RATE_HZ = 8000


@pytest.fixture
def pcm(speech) -> np.ndarray:
    return speech(1.0, rate_hz=RATE_HZ)


@pytest.fixture
def stereo(speech) -> np.ndarray:
    """The agent on channel 0, the customer on channel 1."""
    return np.stack([speech(1.0, seed=s, rate_hz=RATE_HZ) for s in (1, 2)], axis=1)


def read(kind: str, path: Path) -> dict[str, Utterance | Rejected]:
    """Everything in a corpus by id, nothing lost on the way."""
    items = list_items(kind, path, KEY)
    entries = {item.id: load(item) for item in items}
    assert len(entries) == len(items)
    assert all(id_ == entry.id for id_, entry in entries.items())
    return entries


def reasons(entries: dict[str, Utterance | Rejected]) -> dict[str, str | None]:
    return {id_: getattr(entry, "reason", None) for id_, entry in entries.items()}


def assert_sound(entry: Utterance | Rejected, samples: np.ndarray, rate_hz: int = RATE_HZ):
    assert isinstance(entry, Utterance), entry
    assert entry.samples.dtype == np.int16
    assert entry.sample_rate_hz == rate_hz
    np.testing.assert_array_equal(entry.samples, samples)


def kaldi(directory: Path, **tables: str) -> Path:
    """A Kaldi directory; `wav_scp` stands for wav.scp."""
    directory.mkdir(exist_ok=True)
    for name, table in tables.items():
        path = directory / name.replace("_", ".")
        path.write_text(table, encoding="utf-8")
    return directory


def calls(directory: Path, *lines: dict | bytes) -> Path:
    path = directory / "calls.jsonl"
    packed = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(packed) + b"\n")
    return path


def call(**fields) -> dict:
    return {"id": "c1", "audio": "c1.wav", "text": "您好"} | fields


# --- Sound files of all kinds


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_16_bits_come_bit_exact(name, tmp_path, pcm):
    extremes = np.concatenate([pcm, np.array([-32768, 32767, 0, -1], dtype=np.int16)])
    soundfile.write(tmp_path / name, extremes, RATE_HZ, subtype="PCM_16")
    assert_sound(load(Item("u", tmp_path / name)), extremes)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_any_rate_is_kept(rate_hz, tmp_path, speech):
    samples = speech(0.5, rate_hz=rate_hz)
    soundfile.write(tmp_path / "a.flac", samples, rate_hz)
    assert_sound(load(Item("u", tmp_path / "a.flac")), samples, rate_hz)


@pytest.mark.parametrize(("name", "subtype"), [("a.mp3", None), ("a.ogg", "VORBIS")])
def test_compressed_files(name, subtype, tmp_path, speech):
    samples = speech(1.0, rate_hz=48000)
    soundfile.write(tmp_path / name, samples / 32768, 48000, subtype=subtype)
    heard = load(Item("u", tmp_path / name))
    assert heard.sample_rate_hz == 48000
    assert len(heard.samples) == len(samples)
    assert np.corrcoef(heard.samples, samples)[0, 1] > 0.98


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_sample_formats(subtype, tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm / 32768, RATE_HZ, subtype=subtype)
    assert_sound(load(Item("u", tmp_path / "a.wav")), pcm)


def test_too_loud_saturates(tmp_path):
    samples = np.array([-3.0, -1.0, 0.5, 1.0, 3.0])
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    expected = [-32768, -32768, 16384, 32767, 32767]
    assert_sound(load(Item("u", tmp_path / "a.wav")), expected)


def test_channels_are_averaged_or_chosen(tmp_path, stereo):
    soundfile.write(tmp_path / "a.flac", stereo, 48000)
    mean = load(Item("u", tmp_path / "a.flac"))
    assert np.abs(mean.samples - stereo.astype(float).mean(axis=1)).max() <= 0.5
    for channel in (0, 1):
        chosen = load(Item("u", tmp_path / "a.flac", channel=channel))
        assert_sound(chosen, stereo[:, channel], 48000)
    assert load(Item("u", tmp_path / "a.flac", channel=2)).reason == "no_such_channel"


def broken_files(directory: Path, pcm: np.ndarray) -> dict[str, str]:
    """Name and expected reason of each file that cannot be used."""
    soundfile.write(directory / "whole.flac", pcm, RATE_HZ)
    soundfile.write(directory / "whole.wav", pcm, RATE_HZ)
    flac, wav = ((directory / f"whole.{s}").read_bytes() for s in ("flac", "wav"))
    contents = {
        "nothing.wav": b"",
        "text.wav": b"RIFF this is no sound at all" * 40,
        "header_only.wav": wav[:44],
        "no_format.wav": wav[:12] + bytes(24) + wav[36:],
        "half.flac": flac[: len(flac) // 2],
        "damaged.flac": flac[: len(flac) // 2] + bytes(100) + flac[len(flac) // 2 + 100 :],
        "text.mp3": b"<html>404</html>" * 40,
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    samples = np.array([0.1, np.nan, 0.1])
    soundfile.write(directory / "nan.wav", samples, RATE_HZ, subtype="FLOAT")
    (directory / "folder.wav").mkdir()
    reasons = dict.fromkeys([*contents, "folder.wav", "missing.wav"], "unreadable_audio")
    return reasons | {"header_only.wav": "empty_audio", "nan.wav": "not_finite"}


def test_broken_files_are_rejected_and_named(tmp_path, pcm):
    for name, reason in broken_files(tmp_path, pcm).items():
        entry = load(Item("u", tmp_path / name))
        assert isinstance(entry, Rejected), name
        assert entry.reason == reason, name
        assert str(tmp_path / name) in entry.detail


def test_a_file_without_header(tmp_path, pcm):
    """Nothing says what is in it."""
    (tmp_path / "a.raw").write_bytes(pcm.tobytes())
    assert load(Item("u", tmp_path / "a.raw")).reason == "unreadable_audio"


def test_a_header_that_promises_terabytes(tmp_path, pcm):
    soundfile.write(tmp_path / "a.flac", pcm, RATE_HZ)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F  # the 36 bits of STREAMINFO's number of samples
    content[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(content)
    assert load(Item("u", tmp_path / "a.flac")).reason == "unreadable_audio"


# --- Kaldi


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
        ("rec 7 8", "empty_audio"),
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
    assert f"{tmp_path / name} is not UTF-8" in str(error.value)


@pytest.mark.parametrize("name", ["wav.scp", "text"])
def test_kaldi_tables_that_are_missing(name, tmp_path):
    kaldi(tmp_path, wav_scp="u1 a.wav\n", text="u1 您好\n")
    (tmp_path / name).unlink()
    with pytest.raises(InputError) as error:
        list_items("kaldi", tmp_path, KEY)
    assert f"{tmp_path / name} does not exist" in str(error.value)


# --- Call recordings


def test_calls(tmp_path, pcm, stereo):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "c1.wav", pcm, RATE_HZ)
    soundfile.write(tmp_path / "c2.wav", stereo, RATE_HZ)
    path = calls(
        tmp_path,
        call(audio="audio/c1.wav", speaker="客户1", scene="collections", duration=1.0),
        call(id="c2", audio=str(tmp_path / "c2.wav"), start=0.25, end=0.7, channel=1),
        call(id="c3", audio="c2.wav", start=0.25, channel=0, annotation_error=True),
        call(id="c4", audio="c2.wav", end=0.5, start=None, channel=None, speaker=None, scene=None),
    )
    entries = read("calls", path)
    assert list(entries) == ["c1", "c2", "c3", "c4"]
    assert_sound(entries["c1"], pcm)
    assert_sound(entries["c2"], stereo[2000:5600, 1])
    assert_sound(entries["c3"], stereo[2000:, 0])
    mean = stereo[:4000].astype(float).mean(axis=1)
    assert np.abs(entries["c4"].samples - mean).max() <= 0.5
    assert [u.text for u in entries.values()] == ["您好"] * 4
    assert [u.annotation_error for u in entries.values()] == [False, False, True, False]
    assert [u.scene for u in entries.values()] == ["collections", "", "", ""]
    assert entries["c1"].speaker == "客户1"
    assert all(u.speaker for u in entries.values())


BAD_LINES = {
    "no JSON": b"{'id': 'x'}",
    "cut off": b'{"id": "x", "audio": "c1.wav", "te',
    "empty object": b"{}",
    "list": b'["x", "c1.wav"]',
    "number": b"5",
    "null": b"null",
    "not UTF-8": b'{"id": "x", "audio": "c1.wav", "text": "' + "您好".encode("gb18030") + b'"}',
    "binary": bytes(range(128, 256)),
    "id missing": b'{"audio": "c1.wav", "text": "x"}',
    "audio missing": b'{"id": "x", "text": "x"}',
    "text missing": b'{"id": "x", "audio": "c1.wav"}',
    "id a number": call(id=7),
    "audio null": call(audio=None),
    "text a list": call(text=["您好"]),
    "start a word": call(start="soon"),
    "end a list": call(end=[1]),
    "channel a word": call(channel="left"),
    "annotation_error a word": call(annotation_error="yes"),
    "start NaN": call(start=float("nan")),
    "end NaN": call(end=float("nan")),
    "end infinite": call(end=float("inf")),
    "start of 400 digits": b'{"id": "x", "audio": "c1.wav", "text": "x", "start": 1'
    + b"0" * 400
    + b"}",
    "channel infinite": b'{"id": "x", "audio": "c1.wav", "text": "x", "channel": 1e999}',
    "deep": b"[" * 100_000,
    "half a character in the path": call(audio="\ud800.wav"),
    "half a character in the text": call(text="\ud800"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_line_of_calls_that_cannot_be_used(name, tmp_path, pcm):
    soundfile.write(tmp_path / "c1.wav", pcm, RATE_HZ)
    path = calls(tmp_path, call(id="first"), b"", BAD_LINES[name], call(id="last"))
    entries = list(map(load, list_items("calls", path, KEY)))
    assert [getattr(entry, "reason", None) for entry in entries] == [None, "unreadable_line", None]
    assert f"{path}:3: " in entries[1].detail
    assert "\n" not in entries[1].detail
    json.dumps(vars(entries[1]), ensure_ascii=False).encode()  # can be written to rejected.jsonl
    assert_sound(entries[2], pcm)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"channel": 2}, "no_such_channel"),
        ({"channel": -1}, "no_such_channel"),
        ({"start": 0.5, "end": 0.5}, "empty_audio"),
        ({"start": 0.5, "end": 0.2}, "empty_audio"),
        ({"start": 60}, "empty_audio"),
        ({"start": 1e300}, "empty_audio"),
        ({"audio": "elsewhere.wav"}, "unreadable_audio"),
        ({"audio": ""}, "unreadable_audio"),
        ({"audio": "calls.jsonl"}, "unreadable_audio"),
        ({"audio": "c1\0.wav"}, "unreadable_audio"),
    ],
)
def test_a_call_whose_sound_cannot_be_used(fields, reason, tmp_path, stereo):
    soundfile.write(tmp_path / "c1.wav", stereo, RATE_HZ)
    entry = read("calls", calls(tmp_path, call(**fields)))["c1"]
    assert isinstance(entry, Rejected)
    assert entry.reason == reason


def test_calls_a_start_before_the_file(tmp_path, pcm):
    soundfile.write(tmp_path / "c1.wav", pcm, RATE_HZ)
    assert isinstance(read("calls", calls(tmp_path, call(start=-0.5)))["c1"], Rejected)


def test_calls_with_windows_line_ends(tmp_path, pcm):
    soundfile.write(tmp_path / "c1.wav", pcm, RATE_HZ)
    path = calls(tmp_path, call(id="a"), call(id="b"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert reasons(read("calls", path)) == {"a": None, "b": None}


def test_calls_a_directory(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        list_items("calls", tmp_path, KEY)


# --- Lhotse cuts


def lhotse_cut(recording, id_: str, channel=0, **more):
    """A cut with one supervision, as Lhotse's recipes make them."""
    from lhotse import MonoCut, SupervisionSegment

    span = {"start": 0.0, "duration": recording.duration} | more
    supervision = SupervisionSegment(
        id=id_,
        recording_id=recording.id,
        start=0.0,
        duration=span["duration"],
        channel=channel,
        text=f"文本 {id_}",
        speaker="甲",
        custom={"scene": "telesales", "annotation_error": id_ == "wrong"},
    )
    return MonoCut(id=id_, channel=channel, supervisions=[supervision], recording=recording, **span)


@pytest.fixture
def recordings(tmp_path, pcm, stereo):
    from lhotse import AudioSource, Recording

    soundfile.write(tmp_path / "mono.wav", pcm, RATE_HZ)
    soundfile.write(tmp_path / "stereo.flac", stereo, RATE_HZ)
    for channel in (0, 1):
        soundfile.write(tmp_path / f"side{channel}.wav", stereo[:, channel], RATE_HZ)
    sides = [AudioSource("file", [c], str(tmp_path / f"side{c}.wav")) for c in (0, 1)]
    return {
        "mono": Recording.from_file(tmp_path / "mono.wav"),
        "stereo": Recording.from_file(tmp_path / "stereo.flac"),
        "sides": Recording("sides", sides, RATE_HZ, len(stereo), len(stereo) / RATE_HZ),
    }


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_cuts_written_by_lhotse(name, tmp_path, recordings):
    from lhotse import CutSet

    cuts = [
        lhotse_cut(recordings["mono"], "whole"),
        lhotse_cut(recordings["mono"], "part", start=0.3, duration=0.45),
        lhotse_cut(recordings["mono"], "wrong"),
        lhotse_cut(recordings["stereo"], "agent", channel=0),
        lhotse_cut(recordings["stereo"], "customer", channel=1, start=0.125, duration=0.5),
    ]
    CutSet.from_cuts(cuts).to_file(tmp_path / name)
    entries = read("lhotse", tmp_path / name)
    assert list(entries) == [cut.id for cut in cuts]
    for cut in cuts:
        entry = entries[cut.id]
        assert_sound(entry, cut.load_audio()[0] * 32768)
        assert (entry.text, entry.speaker) == (f"文本 {cut.id}", "甲")
        assert (entry.scene, entry.annotation_error) == ("telesales", cut.id == "wrong")


def odd_cut(name: str, recordings: dict):
    mono = lhotse_cut(recordings["mono"], "odd")
    if name == "both channels":
        cut = recordings["stereo"].to_cut()
        cut.supervisions = lhotse_cut(recordings["stereo"], "odd", channel=[0, 1]).supervisions
        return cut
    if name == "a file for each channel":
        return lhotse_cut(recordings["sides"], "odd", channel=1)
    if name == "speed changed":
        return mono.perturb_speed(1.1)
    if name == "padded":
        return mono.pad(duration=2.0)
    mono.supervisions = [] if name == "no supervision" else mono.supervisions * 2
    return mono


@pytest.mark.parametrize("name", ["both channels", "a file for each channel", "speed changed"])
def test_cuts_sound_as_lhotse_plays_them_or_are_rejected(name, tmp_path, recordings):
    from lhotse import CutSet

    cut = odd_cut(name, recordings)
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
    (entry,) = read("lhotse", tmp_path / "cuts.jsonl").values()
    if isinstance(entry, Utterance):
        expected = cut.load_audio().mean(axis=0) * 32768
        assert entry.samples.shape == expected.shape
        assert np.abs(entry.samples - expected).max() <= 0.5


@pytest.mark.parametrize("name", ["padded", "no supervision", "two supervisions"])
def test_cuts_that_are_not_one_utterance_are_rejected(name, tmp_path, recordings):
    from lhotse import CutSet

    cuts = [odd_cut(name, recordings), lhotse_cut(recordings["mono"], "good")]
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl")
    first, second = read("lhotse", tmp_path / "cuts.jsonl").values()
    assert isinstance(second, Utterance)
    assert isinstance(first, Rejected)
    assert first.reason == "unreadable_line"
    assert f"{tmp_path / 'cuts.jsonl'}:1: " in first.detail


def with_supervision(cut: dict, **fields) -> dict:
    return {**cut, "supervisions": [cut["supervisions"][0] | fields]}


def with_source(cut: dict, **fields) -> dict:
    source = cut["recording"]["sources"][0] | fields
    return {**cut, "recording": {**cut["recording"], "sources": [source]}}


BAD_CUTS = {
    "no JSON": lambda cut: b"{" + json.dumps(cut).encode(),
    "not UTF-8": lambda cut: json.dumps(cut).encode().replace(b"good", b"\xff"),
    "number": lambda cut: b"5",
    "null": lambda cut: b"null",
    "recording missing": lambda cut: {k: v for k, v in cut.items() if k != "recording"},
    "recording null": lambda cut: {**cut, "recording": None},
    "start null": lambda cut: {**cut, "start": None},
    "duration NaN": lambda cut: {**cut, "duration": float("nan")},
    "custom a word": lambda cut: with_supervision(cut, custom="x"),
    "text a number": lambda cut: with_supervision(cut, text=5),
    "audio from a command": lambda cut: with_source(cut, type="command", source="sox a.wav -"),
}


@pytest.mark.parametrize("name", BAD_CUTS)
def test_a_line_of_cuts_that_cannot_be_used(name, tmp_path, recordings):
    good = lhotse_cut(recordings["mono"], "good").to_dict()
    bad = BAD_CUTS[name](good)
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in (bad, good)]
    (tmp_path / "cuts.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    first, second = map(load, list_items("lhotse", tmp_path / "cuts.jsonl", KEY))
    assert isinstance(second, Utterance)
    assert isinstance(first, Rejected)
    assert first.reason == "unreadable_line"
    assert f"{tmp_path / 'cuts.jsonl'}:1: " in first.detail


def test_cuts_beside_their_audio(tmp_path, recordings, pcm):
    cut = lhotse_cut(recordings["mono"], "u").to_dict()
    cut["recording"]["sources"][0]["source"] = "mono.wav"
    (tmp_path / "cuts.jsonl").write_text(json.dumps(cut) + "\n", encoding="utf-8")
    assert_sound(read("lhotse", tmp_path / "cuts.jsonl")["u"], pcm)


def test_cuts_whose_audio_is_gone(tmp_path, recordings):
    from lhotse import CutSet

    CutSet.from_cuts([lhotse_cut(recordings["mono"], "u")]).to_file(tmp_path / "cuts.jsonl")
    (tmp_path / "mono.wav").unlink()
    assert reasons(read("lhotse", tmp_path / "cuts.jsonl")) == {"u": "unreadable_audio"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cuts.jsonl.gz", b"no gzip"),
        ("cuts.jsonl.gz", gzip.compress(b'{"id": "u1"}\n' * 9)[:-9]),
        ("cuts", None),
    ],
    ids=["no gzip", "cut off", "a directory"],
)
def test_cuts_that_cannot_be_read_at_all(name, content, tmp_path):
    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        list_items("lhotse", path, KEY)
    assert str(path) in str(error.value)


# --- Corpora that are not there


@pytest.mark.parametrize("kind", ["kaldi", "lhotse", "calls"])
@pytest.mark.parametrize("key", ["corpus.calls.path", "corpus.wideband.path"])
def test_a_path_that_does_not_exist(kind, key, tmp_path):
    with pytest.raises(InputError) as error:
        list_items(kind, tmp_path / "nowhere", key)
    text = str(error.value)
    assert f"params.yaml: {key}: {tmp_path / 'nowhere'} does not exist" in text
    assert kind in text


@pytest.mark.parametrize("kind", ["kaldi", "lhotse", "calls"])
def test_a_corpus_without_utterances(kind, tmp_path):
    path = kaldi(tmp_path / "corpus", wav_scp="\n", text="\n")
    if kind != "kaldi":
        path = tmp_path / "corpus.jsonl"
        path.write_bytes(b"")
    with pytest.raises(InputError, match=rf"params\.yaml: {KEY}: .* holds no utterances"):
        list_items(kind, path, KEY)
