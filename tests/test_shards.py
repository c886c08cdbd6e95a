"""Shards: what Lhotse reads in them, how large they are, and what happens to damaged ones."""

import contextlib
import gzip
import io
import json
import struct
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from telephone_asr.channel import g711
from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.line import simulate
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import generator
from telephone_asr.errors import InputError
from telephone_asr.shards import (
    SoundIndex,
    Utterance,
    count_shards,
    read_cuts,
    read_shard,
    sound_index,
    write_shard,
    write_shards,
)

TAR = "recording.000000.tar.gz"
CUTS = "cuts.000000.jsonl.gz"


def utterance(id_: str, samples: np.ndarray, rate_hz: int = 8000, **more) -> Utterance:
    return Utterance(
        id_, samples, rate_hz, **{"text": "您好，请问是张先生吗？", "speaker": "甲", **more}
    )


def some(speech) -> list[Utterance]:
    """Both laws, other PCM, another rate, odd lengths, ids and texts of all kinds."""
    pcm = speech(0.5, rate_hz=8000)
    done = {"codec": "mulaw", "level_db": -21.5, "babble_talkers": None}
    return [
        utterance("mu", g711.through(pcm, "mulaw"), scene="collections", custom=done),
        utterance("a.law-1", g711.through(pcm[:801], "alaw"), annotation_error=True),
        utterance("linear", pcm[:999], text='3月5号 "ok"\u2028还款'),
        utterance("wideband", speech(0.3, seed=1)[:4567], 16000, speaker="sp 2"),
        utterance("one", np.array([-32768], dtype=np.int16), text=""),
    ]


def same(left: Utterance, right: Utterance) -> bool:
    described, expected = ({**vars(u), "samples": u.samples.tobytes()} for u in (left, right))
    return described == expected


def read_all(directory: Path) -> list[Utterance]:
    return [u for i in range(count_shards(directory)) for u in read_shard(directory, i)]


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_is_written_is_read_back_in_shards_of_the_wanted_size(tmp_path, speech):
    written = some(speech)
    assert write_shards(tmp_path, written, 2) == 5
    assert count_shards(tmp_path) == 3
    assert [len(list(read_shard(tmp_path, i))) for i in range(3)] == [2, 2, 1]
    read = read_all(tmp_path)
    assert all(u.samples.dtype == np.int16 for u in read)
    assert all(map(same, read, written))
    assert [cut["id"] for cut in read_cuts(tmp_path)] == [u.id for u in written]


def test_no_empty_shard_is_left_at_the_end(tmp_path, speech):
    assert write_shards(tmp_path / "even", some(speech)[:4], 2) == 4
    assert count_shards(tmp_path / "even") == 2
    assert write_shards(tmp_path / "none", [], 2) == 0
    assert count_shards(tmp_path / "none") == 0


def test_lhotse_reads_the_same(tmp_path, speech):
    from lhotse import CutSet

    written = some(speech)
    write_shards(tmp_path, written, 2)
    cuts = list(CutSet.from_shar(in_dir=tmp_path))
    assert [cut.id for cut in cuts] == [u.id for u in written]
    for cut, expected in zip(cuts, written, strict=True):
        assert len(cut.supervisions) == 1
        supervision = cut.supervisions[0]
        assert supervision.text == expected.text
        assert supervision.speaker == expected.speaker
        assert supervision.custom == {
            "scene": expected.scene,
            "annotation_error": expected.annotation_error,
        }
        # from_shar() adds where a cut comes from, write_shard where its sound lies.
        added = ("shard_origin", "shar_epoch", "stored")
        custom = {k: v for k, v in cut.custom.items() if k not in added}
        assert custom == expected.custom
        assert cut.sampling_rate == expected.sample_rate_hz
        assert cut.num_samples == cut.recording.num_samples == len(expected.samples)
        assert cut.duration == cut.recording.duration == supervision.duration
        audio = cut.load_audio()
        np.testing.assert_array_equal(audio * 32768, expected.samples[None])


@pytest.mark.parametrize("id_", ["通话-0001", "甲.乙", "x" * 120, "a b.wav"])
def test_any_id_that_names_a_file(id_, tmp_path, speech):
    from lhotse import CutSet

    written = [utterance(id_, g711.through(speech(0.1), "alaw")), utterance("next", speech(0.1))]
    write_shards(tmp_path, written, 2)
    assert [cut.id for cut in CutSet.from_shar(in_dir=tmp_path)] == [id_, "next"]
    assert all(map(same, read_all(tmp_path), written))
    assert id_ in sound_index(tmp_path)


def test_any_order_gives_what_reading_through_gives(tmp_path, speech):
    written = some(speech)
    write_shards(tmp_path, written, 2)
    sounds = sound_index(tmp_path)
    for index in np.random.default_rng(0).permutation(np.repeat(np.arange(5), 3)):
        samples, rate_hz = sounds.read(written[index].id)
        assert samples.dtype == np.int16
        np.testing.assert_array_equal(samples, written[index].samples)
        assert rate_hz == written[index].sample_rate_hz
    assert "mu" in sounds
    assert "mu.wav" not in sounds
    assert {u.id: sounds.suffix(u.id) for u in written} == {
        **{"mu": "wav", "a.law-1": "wav"},
        **{"linear": "flac", "wideband": "flac", "one": "flac"},
    }


def test_the_same_utterances_give_the_same_bytes(tmp_path, speech, monkeypatch):
    write_shards(tmp_path / "first", some(speech), 2)
    monkeypatch.setattr(time, "time", lambda: 2e9)  # years later
    written = some(speech)
    for index in (2, 0, 1):  # as other workers would
        write_shard(tmp_path / "second", index, written[2 * index : 2 * index + 2])
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_no_time_and_no_owner_in_the_bytes(tmp_path, speech):
    write_shards(tmp_path, some(speech), 5)
    for name, content in files(tmp_path).items():
        members = 0
        while content:
            assert content[4:8] == bytes(4), name  # the time in a gzip member's header
            unpacker = zlib.decompressobj(wbits=31)
            unpacker.decompress(content)
            content, members = unpacker.unused_data, members + 1
        assert members == (6 if name == TAR else 1)
    with tarfile.open(tmp_path / TAR) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, 0, "", "")}


def test_sound_is_compressed_to_the_bytes_of_zlib(tmp_path, speech):
    samples = g711.through(speech(40.0, rate_hz=8000), "alaw")
    write_shards(tmp_path, [Utterance("u", samples, 8000, "您好", "s")], 1)
    content = (tmp_path / TAR).read_bytes()
    unpacker = zlib.decompressobj(wbits=31)
    sound = unpacker.decompress(content)
    packer = zlib.compressobj(wbits=31, strategy=zlib.Z_HUFFMAN_ONLY)
    assert content.removesuffix(unpacker.unused_data) == packer.compress(sound) + packer.flush()


@pytest.mark.parametrize("law", g711.LAWS)
def test_an_hour_of_g711_takes_less_than_29_mb(law, tmp_path, speech):
    """Three minutes in utterances of 2.5 s, simulated as in the pipeline; sizes only add up."""
    talkers = [(f"s{i}", speech(4.0, seed=100 + i) / np.float32(32768)) for i in range(8)]
    pool = BabblePool.build(talkers, n_tracks=2, track_s=4.0)
    line = Line(white_noise_snr_db=(20.0, 30.0), codec=law)
    written = []
    for i in range(72):
        rng = generator(0, str(i))
        samples, done = simulate(speech(2.5, seed=i), 16000, line, pool, rng, "s0")
        written.append(utterance(f"sim-{i:06d}", samples, custom=done))
    write_shards(tmp_path, written, 30)
    assert all(map(same, read_all(tmp_path), written))
    n_bytes = sum(map(len, files(tmp_path).values()))
    hours = sum(len(u.samples) for u in written) / 8000 / 3600
    assert n_bytes / 1e6 / hours < 29


@pytest.mark.parametrize("law", g711.LAWS)
def test_every_g711_value_survives(law, tmp_path):
    values = g711.decode(np.arange(256).astype(np.uint8), law)
    write_shards(tmp_path, [utterance("u", values)], 1)
    assert same(read_all(tmp_path)[0], utterance("u", values))
    assert sound_index(tmp_path).suffix("u") == "wav"


def test_every_16_bit_value_survives(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.permutation(np.arange(-32768, 32768)).astype(np.int16)
    write_shards(tmp_path, [utterance("u", values), utterance("back", values[::-1])], 2)
    np.testing.assert_array_equal(read_all(tmp_path)[0].samples, values)
    np.testing.assert_array_equal(read_all(tmp_path)[1].samples, values[::-1])


@pytest.mark.parametrize("n", [1, 2, 3, 159, 160, 161, 4095, 4097])
@pytest.mark.parametrize("kind", ["mulaw", "alaw", "linear"])
def test_any_length(kind, n, tmp_path, speech):
    pcm = speech(0.6, rate_hz=8000)[-n:] + np.int16(3)
    pcm = pcm if kind == "linear" else g711.through(pcm, kind)
    write_shards(tmp_path, [utterance("u", pcm), utterance("after", pcm)], 2)
    assert [u.samples.tolist() for u in read_shard(tmp_path, 0)] == [pcm.tolist()] * 2


@pytest.mark.parametrize(("law", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
@pytest.mark.parametrize("n", [1, 160, 161])
def test_a_wav_taken_out_of_a_shard_is_a_wav(law, subtype, n, tmp_path, speech):
    pcm = g711.through(speech(0.5, rate_hz=8000)[800:][:n], law)
    write_shards(tmp_path, [utterance("u", pcm)], 1)
    content = sound_index(tmp_path).read_file("u")
    with tarfile.open(tmp_path / TAR) as tar:
        assert tar.extractfile("u.wav").read() == content
    (tmp_path / "u.wav").write_bytes(content)
    info = soundfile.info(tmp_path / "u.wav")
    described = (info.format, info.subtype, info.samplerate, info.channels, info.frames)
    assert described == ("WAV", subtype, 8000, 1, n)
    samples, _ = soundfile.read(tmp_path / "u.wav", dtype="int16")
    np.testing.assert_array_equal(samples, pcm)
    assert len(content) % 2 == 0  # RIFF: chunks begin at even offsets
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8


def test_a_flac_taken_out_of_a_shard_is_a_flac(tmp_path, speech):
    write_shards(tmp_path, [utterance("u", speech(0.2), 16000)], 1)
    file = io.BytesIO(sound_index(tmp_path).read_file("u"))
    samples, rate_hz = soundfile.read(file, dtype="int16")
    np.testing.assert_array_equal(samples, speech(0.2))
    assert file.getvalue()[:4] == b"fLaC"
    assert rate_hz == 16000


def test_a_shard_appears_whole_or_not_at_all(tmp_path, speech):
    with pytest.raises(TypeError):
        write_shards(tmp_path, [utterance("u", speech(0.1)), utterance("v", np.zeros(8))], 2)
    assert files(tmp_path) == {}
    write_shards(tmp_path, [utterance("u", speech(0.1))], 2)
    assert set(files(tmp_path)) == {TAR, CUTS}


def shard_of_three(directory: Path, speech) -> bytes:
    """Writes three utterances; returns the tar's bytes."""
    pcm = g711.through(speech(0.1, rate_hz=8000)[-600:], "mulaw")
    write_shards(directory, [utterance(f"u{i}", pcm[200 * i :][:200]) for i in range(3)], 3)
    return (directory / TAR).read_bytes()


def end_of_members(packed: bytes) -> list[int]:
    ends = [0]
    while ends[-1] < len(packed):
        unpacker = zlib.decompressobj(wbits=31)
        unpacker.decompress(packed[ends[-1] :])
        ends.append(len(packed) - len(unpacker.unused_data))
    return ends


def assert_damage_is_reported(directory: Path, name: str = TAR):
    with pytest.raises(InputError) as error:
        read_all(directory)
    assert str(directory / name) in str(error.value)
    assert "\n" not in str(error.value)
    assert "dvc" in str(error.value)  # what to do


def test_a_truncated_tar(tmp_path, speech):
    whole = shard_of_three(tmp_path, speech)
    ends = end_of_members(whole)
    for length in set(range(1, len(whole), 7)) - set(ends):
        (tmp_path / TAR).write_bytes(whole[:length])
        assert_damage_is_reported(tmp_path)


def test_a_tar_truncated_between_two_utterances(tmp_path, speech):
    whole = shard_of_three(tmp_path, speech)
    ends = end_of_members(whole)
    assert len(ends) == 5  # the start, three utterances, the end of the tar
    for length in ends[:-2]:
        (tmp_path / TAR).write_bytes(whole[:length])
        assert_damage_is_reported(tmp_path)


def test_one_flipped_byte_in_the_middle(tmp_path, speech):
    whole = bytearray(shard_of_three(tmp_path, speech))
    whole[len(whole) // 2] ^= 0x10
    (tmp_path / TAR).write_bytes(whole)
    assert_damage_is_reported(tmp_path)


def test_no_flipped_byte_changes_the_sound_unnoticed(tmp_path, speech):
    whole = shard_of_three(tmp_path, speech)
    expected = read_all(tmp_path)
    unnoticed = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / TAR).write_bytes(damaged)
        with contextlib.suppress(InputError):
            assert all(map(same, read_all(tmp_path), expected))
            unnoticed += 1
    assert unnoticed < 20  # fields of gzip's headers that nothing depends on


def test_a_tar_damaged_after_its_index_was_made(tmp_path, speech):
    whole = bytearray(shard_of_three(tmp_path, speech))
    sounds = sound_index(tmp_path)
    first, second = end_of_members(bytes(whole))[1:3]
    whole[(first + second) // 2] ^= 0xFF
    (tmp_path / TAR).write_bytes(whole)
    assert len(sounds.read("u0")[0]) == 200
    with pytest.raises(InputError, match=r"recording\.000000\.tar\.gz.*u1"):
        sounds.read("u1")


def test_a_truncated_list_of_cuts(tmp_path, speech):
    shard_of_three(tmp_path, speech)
    packed = (tmp_path / CUTS).read_bytes()
    (tmp_path / CUTS).write_bytes(packed[: len(packed) // 2])
    assert_damage_is_reported(tmp_path, CUTS)


def test_a_tar_that_is_missing(tmp_path, speech):
    shard_of_three(tmp_path, speech)
    (tmp_path / TAR).unlink()
    assert_damage_is_reported(tmp_path)


def test_a_directory_without_shards(tmp_path):
    with pytest.raises(InputError, match=r"nowhere holds no shards.*dvc repro"):
        next(read_cuts(tmp_path / "nowhere"))
    assert count_shards(tmp_path / "nowhere") == 0


def test_cuts_are_plain_lines_of_json(tmp_path, speech):
    write_shards(tmp_path, some(speech), 5)
    lines = gzip.decompress((tmp_path / CUTS).read_bytes()).decode("utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == list(read_cuts(tmp_path))
    assert "您好" in lines[0]  # legible, not escaped


def test_an_index_over_several_directories(tmp_path, speech):
    write_shards(tmp_path / "a", [utterance("a", speech(0.1))], 1)
    write_shards(tmp_path / "b", [utterance("b", speech(0.1, seed=1))], 1)
    sounds = SoundIndex([tmp_path / "a", tmp_path / "b"])
    np.testing.assert_array_equal(sounds.read("b")[0], speech(0.1, seed=1))
    assert "c" not in sounds
