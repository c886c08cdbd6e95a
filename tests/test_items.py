"""Sound files of all kinds: each is read, or rejected with its reason."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpus_fixtures import RATE_HZ, assert_sound, broken_files
from telephone_asr.corpora import items
from telephone_asr.corpora.items import Item, load, load_all
from telephone_asr.corpora.sound import open_sound
from telephone_asr.shards import Rejected, Utterance


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
    assert load(Item("u", tmp_path / "a.flac")).reason == "too_long"


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "GSM610", "MS_ADPCM"])
def test_wav_as_telephone_systems_write_it(subtype, tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ, subtype=subtype)
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert_sound(load(Item("u", tmp_path / "a.wav")), expected)
    assert_sound(load(Item("u", tmp_path / "a.wav", 0.5, 0.6)), expected[4000:4800])


def encoded(path: Path, pcm: np.ndarray, codec: str, rate_hz: int, bit_rate: int) -> Path:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz)
        for ready in resampler.resample(frame):
            file.mux(stream.encode(ready))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [("a.amr", "libopencore_amrnb", 8000), ("a.m4a", "aac", 16000), ("a.ogg", "libopus", 16000)],
)
def test_what_phones_record(name, codec, rate_hz, tmp_path, speech):
    """Coded with loss: the same sound, near enough, at the same place."""
    pcm = speech(1.0, rate_hz=rate_hz)
    entry = load(Item("u", encoded(tmp_path / name, pcm, codec, rate_hz, 12200)))
    assert isinstance(entry, Utterance), entry
    assert entry.sample_rate_hz == rate_hz
    n = min(len(pcm), len(entry.samples))
    assert abs(len(entry.samples) - len(pcm)) < 0.15 * rate_hz
    likeness = [
        np.corrcoef(pcm[: n - lag], entry.samples[lag:n])[0, 1] for lag in range(rate_hz // 10)
    ]
    assert max(likeness) > 0.7


def test_a_part_of_an_amr_file(tmp_path, speech):
    path = encoded(tmp_path / "a.amr", speech(1.0, rate_hz=8000), "libopencore_amrnb", 8000, 12200)
    whole = load(Item("u", path)).samples
    part = load(Item("u", path, start_s=0.25, end_s=0.75))
    assert_sound(part, whole[2000:6000])


@pytest.mark.parametrize("content", [b"", b"#!AMR\n", b"<html>404</html>" * 9, bytes(range(256))])
def test_an_amr_file_that_is_none(content, tmp_path):
    (tmp_path / "a.amr").write_bytes(content)
    assert load(Item("u", tmp_path / "a.amr")).reason in ("unreadable_audio", "empty_audio")


def test_a_long_recording_is_opened_once(tmp_path, pcm, monkeypatch):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, pcm, RATE_HZ)
    opened = []
    monkeypatch.setattr(items, "open_sound", lambda path: opened.append(path) or open_sound(path))
    spans = [(0.0, 0.2), (0.2, 0.5), (0.1, 0.3), (0.9, 1.0)]
    listed = [
        Item(f"{name}-{start}", tmp_path / name, start, end)
        for name in ("a.wav", "b.wav")
        for start, end in spans
    ]
    for entry, (start, end) in zip(load_all(listed), spans * 2, strict=True):
        assert_sound(entry, pcm[round(start * RATE_HZ) : round(end * RATE_HZ)])
    assert opened == [tmp_path / "a.wav", tmp_path / "b.wav"]


def test_one_bad_segment_does_not_touch_its_neighbours(tmp_path, pcm):
    soundfile.write(tmp_path / "a.wav", pcm, RATE_HZ)
    spans = [(0.0, 0.2), (0.5, 1.05), (0.5, 1.2), (3.0, 4.0), (-0.2, 0.1), (0.2, 0.5)]
    entries = list(
        load_all([Item(str(i), tmp_path / "a.wav", *span) for i, span in enumerate(spans)])
    )
    outside = "outside_audio"
    found = [getattr(entry, "reason", None) for entry in entries]
    assert found == [None, None, outside, outside, outside, None]
    assert_sound(entries[5], pcm[1600:4000])
    assert "1.00 s" in entries[2].detail
