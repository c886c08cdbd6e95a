"""Lhotse's manifests and recipes: each utterance comes, or is rejected with its reason."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpus_fixtures import KEY, RATE_HZ, assert_sound, read, reasons
from telephone_asr.corpora.imported import list_items
from telephone_asr.corpora.items import load
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected, Utterance


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
    "half a character in the text": lambda cut: with_supervision(cut, text="\ud800"),
    "half a character in the id": lambda cut: {**cut, "id": "\ud800"},
    "half a character in the speaker": lambda cut: with_supervision(cut, speaker="\udfff"),
    "id a list": lambda cut: {**cut, "id": ["u"]},
    "speaker a list": lambda cut: with_supervision(cut, speaker=["甲"]),
    "scene an object": lambda cut: with_supervision(cut, custom={"scene": {}}),
    "annotation_error a word": lambda cut: with_supervision(cut, custom={"annotation_error": "?"}),
    "channel a fraction": lambda cut: {**cut, "channel": 0.5},
    "channel true": lambda cut: {**cut, "channel": True},
    "start a word": lambda cut: {**cut, "start": "soon"},
    "start beyond all numbers": lambda cut: {**cut, "start": 1e305},
    "duration true": lambda cut: {**cut, "duration": True},
    "source a number": lambda cut: with_source(cut, source=5),
    "a key twice": lambda cut: json.dumps(cut).encode()[:-1] + b', "id": "other"}',
    "deep": lambda cut: b"[" * 100_000,
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


@pytest.mark.parametrize("field", ["start", "duration"])
def test_a_line_without_its_times_says_so(field, tmp_path, recordings):
    cut = lhotse_cut(recordings["mono"], "u").to_dict() | {field: None}
    (tmp_path / "cuts.jsonl").write_text(json.dumps(cut) + "\n", encoding="utf-8")
    (entry,) = map(load, list_items("lhotse", tmp_path / "cuts.jsonl", KEY))
    assert isinstance(entry, Rejected)
    assert "expected a start and a duration in seconds" in entry.detail


def test_a_byte_order_mark_and_odd_line_ends_in_manifests(tmp_path, recordings, pcm):
    cut = lhotse_cut(recordings["mono"], "u").to_dict()
    cut = with_supervision(cut, text="您\u2028好\x85请问", speaker=" 甲\u3000")
    line = json.dumps(cut, ensure_ascii=False).encode()
    (tmp_path / "cuts.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n")
    entry = read("lhotse", tmp_path / "cuts.jsonl")["u"]
    assert_sound(entry, pcm)
    assert (entry.text, entry.speaker) == ("您\u2028好\x85请问", "甲")


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


# --- What `lhotse prepare` writes, and its recipes themselves


def wenet_speech(root: Path, speech) -> Path:
    """WenetSpeech in its own layout: long Opus recordings, segments in several subsets."""
    audios = []
    for number, folder in enumerate(("podcast/B00000", "youtube/B00001")):
        path = root / "audio" / "train" / folder / f"Y{number}.opus"
        path.parent.mkdir(parents=True)
        sound = speech(6.0, seed=number)
        soundfile.write(path, sound, 16000, format="OGG", subtype="OPUS")
        segments = [
            {
                "sid": f"Y{number}_S{i:05d}",
                "confidence": 1.0 if i else 0.95,
                "begin_time": 0.5 + 1.5 * i,
                "end_time": 1.7 + 1.5 * i,
                "subsets": ["L", "M"] + (["S"] if i == 1 else []),
                "text": f"这 是 第{i}句",
            }
            for i in range(3)
        ]
        place = str(path.relative_to(root))
        audios.append({"aid": f"Y{number}", "duration": 6.0, "path": place, "segments": segments})
    (root / "WenetSpeech.json").write_text(json.dumps({"audios": audios}), encoding="utf-8")
    return root


def aishell(root: Path, speech) -> Path:
    """AISHELL-1 in its own layout."""
    lines = []
    for part, speaker in (("train", "S0002"), ("dev", "S0724"), ("test", "S0764")):
        for i in range(2):
            id_ = f"BAC009{speaker}W012{i}"
            path = root / "data_aishell" / "wav" / part / speaker / f"{id_}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, speech(0.5, seed=len(lines)), 16000)
            lines.append(f"{id_} 而 对 楼市 第{i}句\n")
    transcript = root / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt"
    transcript.parent.mkdir(parents=True)
    transcript.write_text("".join(lines), encoding="utf-8")
    return root


def test_wenet_speech_as_it_was_downloaded(tmp_path, speech):
    root = wenet_speech(tmp_path, speech)
    items = {part: list_items("wenet_speech", root, KEY, part) for part in ("S", "M")}
    assert [item.id for item in items["S"]] == ["Y0_S00001", "Y1_S00001"]
    assert len(items["M"]) == 6
    whole, rate_hz = soundfile.read(root / "audio/train/podcast/B00000/Y0.opus", dtype="int16")
    entries = [load(item) for item in items["M"]]
    for entry, start_s in zip(entries[:3], (0.5, 2.0, 3.5), strict=True):
        assert isinstance(entry, Utterance), entry
        assert entry.sample_rate_hz == rate_hz
        expected = whole[round(start_s * rate_hz) : round((start_s + 1.2) * rate_hz)]
        assert np.abs(entry.samples.astype(int) - expected).max() <= 64  # Opus decodes from a seek
        assert entry.speaker == "Y0"  # unknown: the recording stands for the speaker
    assert entries[1].text == "这 是 第1句"


def test_aishell_as_it_was_downloaded(tmp_path, speech):
    root = aishell(tmp_path, speech)
    items = list_items("aishell", root, KEY)
    assert len(items) == 6
    (test,) = {item.speaker for item in list_items("aishell", root, KEY, "test")}
    assert test == "S0764"
    for item in items:
        path = next(root.rglob(f"{item.id}.wav"))
        assert_sound(load(item), soundfile.read(path, dtype="int16")[0], 16000)


def test_what_lhotse_prepare_leaves_is_the_same(tmp_path, speech):
    from lhotse.recipes import prepare_wenet_speech

    root, manifests = wenet_speech(tmp_path / "corpus", speech), tmp_path / "manifests"
    prepare_wenet_speech(root, ["S", "M"], manifests)
    for part in ("S", "M"):
        direct = list_items("wenet_speech", root, KEY, part)
        assert list_items("lhotse", manifests, KEY, part) == direct
    assert len(list_items("lhotse", manifests, KEY)) == 8


def prepared(tmp_path: Path, speech) -> Path:
    from lhotse.recipes import prepare_aishell

    prepare_aishell(aishell(tmp_path / "corpus", speech), tmp_path / "manifests")
    return tmp_path / "manifests"


@pytest.mark.parametrize(
    "line",
    [b"{", b"5", b'{"id": "x"}', b'{"id": "x", "recording_id": "gone", "start": 0, "duration": 1}'],
)
def test_a_supervision_that_cannot_be_used(line, tmp_path, speech):
    manifests = prepared(tmp_path, speech)
    path = manifests / "aishell_supervisions_dev.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + line + b"\n"))
    good, also_good, bad = map(load, list_items("lhotse", manifests, KEY, "dev"))
    assert isinstance(good, Utterance)
    assert isinstance(also_good, Utterance)
    assert bad.reason == "unreadable_line"
    assert f"{path}:3: " in bad.detail


@pytest.mark.parametrize("broken", [b"{", b'{"id": ["x"]}', b"twice"])
def test_a_recording_that_cannot_be_used_costs_its_own_utterances(broken, tmp_path, speech):
    manifests = prepared(tmp_path, speech)
    path = manifests / "aishell_recordings_dev.jsonl.gz"
    first, second = sorted(gzip.decompress(path.read_bytes()).splitlines())
    if broken == b"twice":
        other = first.replace(b"W0120.wav", b"W0121.wav")
        assert other != first
        path.write_bytes(gzip.compress(b"\n".join([first, second, other])))
    else:
        path.write_bytes(gzip.compress(b"\n".join([broken, second])))
    loaded = map(load, list_items("lhotse", manifests, KEY, "dev"))
    bad, good = sorted(loaded, key=lambda entry: entry.id)
    assert bad.reason == "unreadable_line"
    assert f"{path}:{3 if broken == b'twice' else 1}: " in bad.detail
    assert isinstance(good, Utterance)


def test_manifests_that_are_not_there(tmp_path, speech):
    manifests = prepared(tmp_path, speech)
    with pytest.raises(InputError, match=r"holds no \*supervisions\*_S\.jsonl\.gz"):
        list_items("lhotse", manifests, KEY, "S")
    (manifests / "aishell_recordings_dev.jsonl.gz").unlink()
    with pytest.raises(InputError, match=r"supervisions_dev.* has no recordings manifest"):
        list_items("lhotse", manifests, KEY)


def test_a_recipe_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"no recipe 'aishel'; expected synthetic.*aishell"):
        list_items("aishel", tmp_path, KEY)


def test_a_recipe_on_what_is_not_its_corpus(tmp_path):
    with pytest.raises(InputError, match=r"recipe aishell cannot prepare .*FileNotFoundError"):
        list_items("aishell", tmp_path, KEY)


def test_a_part_that_does_not_exist(tmp_path, speech):
    with pytest.raises(InputError, match=r"no part 'L'; it has train, dev, test"):
        list_items("aishell", aishell(tmp_path, speech), KEY, "L")
    with pytest.raises(InputError, match=r"corpus\.calls\.part: a kaldi corpus has no parts"):
        list_items("kaldi", tmp_path, KEY, "L")
