"""The door of sound: what its bytes say, whatever its name, and no less than it promises."""

import io
import os
import socket
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpus_fixtures import assert_sound
from telephone_asr.corpora.items import Item, load, load_all
from telephone_asr.shards import Rejected, Utterance

RATE_HZ = 8000
UNKNOWN = [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF - 36]


def wav_bytes(samples: np.ndarray, riff: int | None = None, data: int | None = None) -> bytes:
    """16 bits at 8 kHz, with other sizes than there is."""
    sound = samples.astype("<i2").tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    riff = 36 + len(sound) if riff is None else riff
    head = struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + fmt
    return head + struct.pack("<4sI", b"data", len(sound) if data is None else data) + sound


def encoded(
    samples: np.ndarray, rate_hz: int, container: str, codec: str, bit_rate: int = 0, **options
) -> bytes:
    """The file that FFmpeg makes of int16 samples (n,)."""
    import av

    # In a file, since "faststart" reads what it wrote.
    with (
        tempfile.NamedTemporaryFile() as file,
        av.open(file.name, "w", format=container, options=options) as opened,
    ):
        stream = opened.add_stream(codec, rate=rate_hz, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz)
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            opened.mux(stream.encode(ready))
        opened.mux(stream.encode(None))
        opened.close()
        return Path(file.name).read_bytes()


def written(samples: np.ndarray, rate_hz: int, **kind) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, **kind)
    return file.getvalue()


def heard(directory: Path, content: bytes, name: str = "a.wav", **span) -> Utterance | Rejected:
    (directory / name).write_bytes(content)
    return load(Item("u", directory / name, **span))


def reason(entry: Utterance | Rejected) -> str | None:
    return getattr(entry, "reason", None)


def likeness(entry: Utterance | Rejected, samples: np.ndarray) -> float:
    """The correlation where they fit best; a codec delays."""
    assert isinstance(entry, Utterance), entry
    a, b = entry.samples.astype(float), samples.astype(float)
    n = 1 << (len(a) + len(b)).bit_length()
    across = np.fft.irfft(np.fft.rfft(a, n) * np.fft.rfft(b, n).conj(), n)
    return float(np.abs(across).max() / np.sqrt((a @ a) * (b @ b)))


# --- sizes that are not what is there


@pytest.mark.parametrize("data", UNKNOWN)
@pytest.mark.parametrize("riff", [None, 36, 0, 0xFFFFFFFF])
def test_a_recorder_that_never_wrote_its_sizes(riff, data, tmp_path, pcm):
    assert_sound(heard(tmp_path, wav_bytes(pcm, riff, data)), pcm)


def test_a_recorder_that_wrote_its_sizes_some_time_before_it_was_stopped(tmp_path, pcm):
    assert_sound(heard(tmp_path, wav_bytes(pcm, riff=36 + 9000, data=9000)), pcm)


@pytest.mark.parametrize("cut", [1, 2, 100, 8000])
def test_less_than_was_promised_is_truncated(cut, tmp_path, pcm):
    entry = heard(tmp_path, wav_bytes(pcm)[:-cut])
    assert reason(entry) == "truncated"
    assert "16,044 bytes are promised" in entry.detail
    # The whole was written in front, and no size of the sound.
    assert reason(heard(tmp_path, wav_bytes(pcm, data=0)[:-cut])) == "truncated"


def test_segments_before_the_damage_are_good(tmp_path, pcm):
    (tmp_path / "a.wav").write_bytes(wav_bytes(pcm)[: 44 + 8000])  # half a second of one
    spans = [(0.0, 0.2), (0.3, 0.5), (0.3, 0.51), (0.6, 0.8), (0.4, None)]
    entries = list(load_all([Item(str(i), tmp_path / "a.wav", *s) for i, s in enumerate(spans)]))
    assert list(map(reason, entries)) == [None, None, "truncated", "truncated", "truncated"]
    assert_sound(entries[1], pcm[2400:4000])


@pytest.mark.parametrize(
    "tail",
    [
        struct.pack("<4sI4s", b"LIST", 4, b"INFO"),
        struct.pack("<4sI", b"LIST", 900) + b"INFO" + b"x" * 300,  # itself cut off
        b"\0",
        bytes(1000),
        b"TAG" + b"title".ljust(125, b"\0"),
        b"<recorder><station>17</station></recorder>" * 20,
        np.random.default_rng(0).bytes(3000),
    ],
)
def test_what_is_no_sound_behind_it_is_left_alone(tail, tmp_path, pcm):
    assert_sound(heard(tmp_path, wav_bytes(pcm) + tail), pcm)


def test_an_empty_recording_with_notes_behind_it(tmp_path, pcm):
    notes = struct.pack("<4sI", b"LIST", 300) + b"INFOISFT" + bytes(292)
    assert reason(heard(tmp_path, wav_bytes(pcm[:0]) + notes)) == "empty_audio"
    assert reason(heard(tmp_path, wav_bytes(pcm[:0]))) == "empty_audio"


def test_half_of_two_pieces_of_sound_is_not_taken_for_all(tmp_path, pcm):
    content = wav_bytes(pcm) + struct.pack("<4sI", b"data", 2 * len(pcm)) + pcm.tobytes()
    assert "several pieces" in heard(tmp_path, content).detail


def test_chunks_before_the_sound(tmp_path, pcm):
    """JUNK of odd length and a BWF's description."""
    extra = struct.pack("<4sI", b"JUNK", 5) + b"12345\0"
    extra += struct.pack("<4sI", b"bext", 602) + bytes(602)
    changed = wav_bytes(pcm)[:12] + extra + wav_bytes(pcm)[12:]
    assert_sound(heard(tmp_path, changed), pcm)
    assert reason(heard(tmp_path, changed[:-50])) == "truncated"


KINDS = {  # codec by name of FFmpeg's or subtype of libsndfile's, as recorders write them
    "alaw.wav": lambda x: written(x, 8000, format="WAV", subtype="ALAW"),
    "mulaw_extensible.wav": lambda x: written(x, 8000, format="WAVEX", subtype="ULAW"),
    "gsm.wav": lambda x: written(x, 8000, format="WAV", subtype="GSM610"),
    "ima.wav": lambda x: written(x, 8000, format="WAV", subtype="IMA_ADPCM"),
    "ms.wav": lambda x: written(x, 8000, format="WAV", subtype="MS_ADPCM"),
    "big_endian.wav": lambda x: written(x, 8000, format="WAV", subtype="PCM_16", endian="BIG"),
    "g726.wav": lambda x: encoded(x, 8000, "wav", "g726"),
    "g723.wav": lambda x: encoded(x, 8000, "wav", "g723_1", bit_rate=6300),
    "rf64.wav": lambda x: written(x, 8000, format="RF64", subtype="PCM_16"),
    "a.w64": lambda x: written(x, 8000, format="W64", subtype="PCM_16"),
    "a.aiff": lambda x: written(x, 8000, format="AIFF", subtype="PCM_16"),
    "alaw.aifc": lambda x: written(x, 8000, format="AIFF", subtype="ALAW"),
    "a.au": lambda x: written(x, 8000, format="AU", subtype="ULAW"),
    "a.caf": lambda x: written(x, 8000, format="CAF", subtype="PCM_16"),
    "alac.caf": lambda x: written(x, 8000, format="CAF", subtype="ALAC_16"),
    "a.sph": lambda x: written(x, 8000, format="NIST", subtype="ULAW"),
    "a.voc": lambda x: written(x, 8000, format="VOC", subtype="ULAW"),
    "a.flac": lambda x: written(x, 8000, format="FLAC", subtype="PCM_16"),
    "vorbis.ogg": lambda x: written(x, 8000, format="OGG", subtype="VORBIS"),
    "opus.ogg": lambda x: written(x, 8000, format="OGG", subtype="OPUS"),
    "a.mp3": lambda x: written(x, 8000, format="MP3", subtype="MPEG_LAYER_III"),
    "no_xing.mp3": lambda x: encoded(x, 8000, "mp3", "libmp3lame", write_xing="0"),
    "a.amr": lambda x: encoded(x, 8000, "amr", "libopencore_amrnb"),
    "a.3gp": lambda x: encoded(x, 8000, "3gp", "libopencore_amrnb"),
    "a.m4a": lambda x: encoded(x, 8000, "ipod", "aac"),
    "fast.m4a": lambda x: encoded(x, 8000, "ipod", "aac", movflags="faststart"),
    "a.aac": lambda x: encoded(x, 8000, "adts", "aac"),
    "a.mka": lambda x: encoded(x, 8000, "matroska", "pcm_s16le"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_each_kind(name, tmp_path, speech):
    """Whole it is read, under any name; cut off it is not; what is appended does no harm."""
    samples = speech(1.5, rate_hz=RATE_HZ)
    content = KINDS[name](samples)
    whole = heard(tmp_path, content, name)
    assert likeness(whole, samples) > 0.85
    assert abs(len(whole.samples) - len(samples)) < 0.2 * RATE_HZ
    for other in ("a.wav", "a.mp3", "recording"):
        assert_sound(heard(tmp_path, content, other), whole.samples)
    for size in (0.3, 0.51, 0.8):
        entry = heard(tmp_path, content[: round(size * len(content))], name)
        assert reason(entry) == "truncated", entry
    if name not in ("a.amr", "a.sph", "a.voc"):  # of which all that follows is sound
        behind = heard(tmp_path, content + np.random.default_rng(0).bytes(999), name)
        assert_sound(behind, whole.samples)


def test_wma(tmp_path, speech):
    samples = speech(1.5, rate_hz=16000)
    content = encoded(samples, 16000, "asf", "wmav2", bit_rate=64000)
    assert likeness(heard(tmp_path, content, "a.mp3"), samples) > 0.9
    assert reason(heard(tmp_path, content[: len(content) // 2])) == "truncated"


@pytest.mark.parametrize("tag", [0x028F, 0x0064, 0x0065])
def test_g722_as_exchanges_tag_it(tag, tmp_path, speech):
    """Two of the tags are G.726's too, which has 40 kbit/s at the most and these 64."""
    samples = speech(1.0, rate_hz=16000)
    content = bytearray(encoded(samples, 16000, "wav", "g722"))
    content[20:22] = struct.pack("<H", tag)
    entry = heard(tmp_path, bytes(content))
    assert entry.sample_rate_hz == 16000
    assert likeness(entry, samples) > 0.95


@pytest.mark.parametrize("tag", [0x0045, 0x0064, 0x0065])
def test_g726_as_exchanges_tag_it(tag, tmp_path, speech):
    samples = speech(1.0, rate_hz=RATE_HZ)
    content = bytearray(encoded(samples, RATE_HZ, "wav", "g726"))
    content[20:22] = struct.pack("<H", tag)
    assert likeness(heard(tmp_path, bytes(content)), samples) > 0.95


# --- what is no sound, or none that is read here


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.amr", "a.m4a", "a.aac", "a.raw"])
def test_random_bytes_are_no_sound(name, tmp_path):
    for seed in range(20):
        entry = heard(tmp_path, np.random.default_rng(seed).bytes(20000), name)
        assert reason(entry) == "unreadable_audio"
        assert "does not exist" not in entry.detail


def test_what_cannot_be_recognised_is_told_how_to_convert(tmp_path, pcm):
    assert "docs/data.md" in heard(tmp_path, pcm.tobytes(), "a.pcm").detail
    assert "SILK" in heard(tmp_path, b"\x02#!SILK_V3" + bytes(99), "a.amr").detail


def test_no_source_but_a_regular_file(tmp_path, monkeypatch):
    """Nothing is fetched and nothing blocks."""
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda *_: asked.append(_))
    os.mkfifo(tmp_path / "fifo")
    sources = ["http://127.0.0.1:9/a.wav", "tcp://127.0.0.1:9", "rtp://127.0.0.1:9", "pipe:0"]
    sources += [tmp_path / "fifo", "/dev/zero", "/dev/null", tmp_path, "concat:a.wav|b.wav"]
    sources += ["/" + "a" * 300, "file:" + str(tmp_path / "fifo")]
    for source in sources:
        assert load(Item("u", source)).reason == "unreadable_audio", source
    assert not asked


def test_a_playlist_that_names_other_places_is_no_sound(tmp_path):
    for content in (b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\nfile a.wav\n"):
        assert reason(heard(tmp_path, content * 9, "a.wav")) == "unreadable_audio"


def test_a_name_in_another_encoding(tmp_path, pcm):
    name = os.fsdecode("客户.wav".encode("gbk"))
    assert_sound(heard(tmp_path, wav_bytes(pcm), name), pcm)
    broken = heard(tmp_path, wav_bytes(pcm)[:-100], name)
    assert "\ufffd" in broken.detail.encode().decode()  # it can be written down


# --- rates, channels, lengths


@pytest.mark.parametrize("rate_hz", [1, 3999, 192_001, 1_000_000, 0xFFFFFFFF])
def test_rates_that_no_speech_has(rate_hz, tmp_path, pcm):
    content = bytearray(wav_bytes(pcm))
    content[24:28] = struct.pack("<I", rate_hz)
    assert reason(heard(tmp_path, bytes(content))) in ("wrong_rate", "unreadable_audio")


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [(16001, 16000), (8003, 8000), (11127, 11125), (7999, 8000), (11025, 11025), (22050, 22050)],
)
def test_odd_clocks_are_rounded(rate_hz, expected, tmp_path, pcm):
    """To 25 Hz: converting 16,001 Hz to 16 kHz exactly takes a filter of gigabytes."""
    content = bytearray(wav_bytes(pcm))
    content[24:28] = struct.pack("<I", rate_hz)
    assert_sound(heard(tmp_path, bytes(content)), pcm, expected)


def test_channels_that_cancel_each_other_out(tmp_path, pcm):
    """One wire turned round: the mean of both would be silence."""
    for second, kept in ((-pcm, pcm), (-0.8 * pcm, pcm), (-pcm // 2 * 3, -pcm // 2 * 3)):
        both = np.stack([pcm, second], axis=1).astype(np.int16)
        entry = heard(tmp_path, written(both, RATE_HZ, format="WAV", subtype="PCM_16"))
        assert_sound(entry, np.asarray(kept).astype(np.int16))


def test_a_recording_of_hours_is_left_out(tmp_path, pcm):
    content = written(np.tile(pcm, 60), RATE_HZ, format="FLAC", subtype="PCM_16")
    (tmp_path / "a.flac").write_bytes(content)
    item = Item("u", tmp_path / "a.flac", 1.0, 2.0)
    assert load(item, max_hours=60 / 3600).id == "u"
    entry = load(item, max_hours=59 / 3600)
    assert reason(entry) == "too_long"
    assert "corpus.max_hours" in entry.detail


@pytest.mark.parametrize("span", [(0.0, 1e305), (1e305, None), (1e305, 1e306), (-1e305, 1.0)])
def test_times_that_no_recording_has(span, tmp_path, pcm):
    entry = heard(tmp_path, wav_bytes(pcm), start_s=span[0], end_s=span[1])
    assert reason(entry) in ("outside_audio", "empty_audio")


def test_segments_of_a_stream_may_overlap(tmp_path, speech):
    """An M4A is decoded from the front on; agent and customer speak at the same time."""
    content = KINDS["a.m4a"](speech(3.0, rate_hz=RATE_HZ))
    whole = heard(tmp_path, content, "a.m4a").samples
    spans = [(0.5, 1.5), (1.0, 2.0), (0.25, 0.5), (2.0, None), (0.0, 3.0)]
    entries = load_all([Item(str(i), tmp_path / "a.m4a", *s) for i, s in enumerate(spans)])
    for entry, (start_s, end_s) in zip(entries, spans, strict=True):
        end = None if end_s is None else round(end_s * RATE_HZ)
        assert_sound(entry, whole[round(start_s * RATE_HZ) : end])
