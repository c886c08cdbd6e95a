"""Call recordings in JSONL and CSV: each line comes, or is rejected with its reason."""

import json

import numpy as np
import pytest
import soundfile

from corpus_fixtures import KEY, RATE_HZ, assert_sound, call, calls, read, reasons
from telephone_asr.corpora.imported import list_items
from telephone_asr.corpora.items import load
from telephone_asr.errors import InputError
from telephone_asr.shards import Rejected


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
    "audio null": call(audio=None),
    "text a list": call(text=["您好"]),
    "start a word": call(start="soon"),
    "end a list": call(end=[1]),
    "channel a word": call(channel="left"),
    "annotation_error a word": call(annotation_error="perhaps"),
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


CSV = """id,audio,text,speaker,scene,annotation_error,start,end,channel,note
c1,c1.wav,"您好,请问",客户1,collections,false,,,,x
c2,c1.wav,好的,,,TRUE,0.25,0.75,1,
c3,c1.wav,,,,,,,,
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_is_the_same_as_jsonl(encoding, newline, tmp_path, stereo):
    soundfile.write(tmp_path / "c1.wav", stereo, RATE_HZ)
    path = tmp_path / "calls.csv"
    path.write_text(CSV.replace("\n", newline), encoding=encoding, newline="")
    entries = read("calls", path)
    same = calls(
        tmp_path,
        call(text="您好,请问", speaker="客户1", scene="collections"),
        call(id="c2", audio="c1.wav", text="好的", annotation_error=True, start=0.25, end=0.75)
        | {"channel": 1},
        call(id="c3", audio="c1.wav", text=""),
    )
    for entry, expected in zip(entries.values(), read("calls", same).values(), strict=True):
        assert_sound(entry, expected.samples)
        one, other = ({**vars(u), "samples": None} for u in (entry, expected))
        assert one == other


def test_csv_lines_that_cannot_be_used_are_named(tmp_path, pcm):
    soundfile.write(tmp_path / "c1.wav", pcm, RATE_HZ)
    path = tmp_path / "calls.csv"
    lines = ["id,audio,text,annotation_error,start", "a,c1.wav,好,,", ",c1.wav,好,,", "c,,好,,"]
    lines += ["d,c1.wav,好,perhaps,", "e,c1.wav,好,,soon", "f,c1.wav", "g,c1.wav,,,"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    entries = list(map(load, list_items("calls", path, KEY)))
    found = [getattr(entry, "reason", None) for entry in entries]
    assert found == [None, *["unreadable_line"] * 5, None]  # g has no text: the filter's business
    assert [entry.id for entry in entries[1:6]] == [f"calls.csv:{n}" for n in (3, 4, 5, 6, 7)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,text\na,好\n".encode(), r"calls\.csv:1: the column 'audio' is missing"),
        (
            "id,audio,text\na,c1.wav,好\n".encode("gb18030"),
            r"calls\.csv:2 is not UTF-8: convert it, as with `iconv",
        ),
        (b"", "holds no utterances"),
        (b"id,audio,text\n", "holds no utterances"),
    ],
)
def test_a_csv_that_cannot_be_used(content, message, tmp_path):
    path = tmp_path / "calls.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list_items("calls", path, KEY)


def csv_entries(tmp_path, pcm, content: str, name: str = "calls.csv"):
    """What becomes of each row: id, or file and line; and text, or the reason."""
    soundfile.write(tmp_path / "c1.wav", pcm, RATE_HZ)
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    entries = list(map(load, list_items("calls", tmp_path / name, KEY)))
    return [(entry.id, getattr(entry, "reason", None) or entry.text) for entry in entries]


HEAD = "id,audio,text\n"
BAD = "unreadable_line"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # A quote that nobody closes takes no row with it but its own.
        (
            HEAD + 'a,c1.wav,"好的\nb,c1.wav,再见\nc,c1.wav,"您好"\nd,c1.wav,是\n',
            [("calls.csv:2", BAD), ("b", "再见"), ("c", "您好"), ("d", "是")],
        ),
        (
            HEAD + 'a,c1.wav,"好的\nb,c1.wav,再见"\nc,c1.wav,是\n',
            [("calls.csv:2", BAD), ("calls.csv:3", BAD), ("c", "是")],
        ),
        (
            HEAD + '"a","c1.wav","好的\n"b","c1.wav","再见"\n"c","c1.wav","是"\n',
            [("calls.csv:2", BAD), ("b", "再见"), ("c", "是")],
        ),
        (HEAD + 'a,c1.wav,"好的" 他说\nb,c1.wav,是\n', [("calls.csv:2", BAD), ("b", "是")]),
        (HEAD + 'a,c1.wav,他说"好的"\nb,c1.wav,是\n', [("calls.csv:2", BAD), ("b", "是")]),
        (HEAD + 'a,c1.wav,"他说""好的"""\n', [("a", '他说"好的"')]),
        (HEAD + 'a,c1.wav,"好的\n', [("calls.csv:2", BAD)]),
        # A comma in a text without quotes.
        (
            "id,audio,text,speaker\na,c1.wav,您好,请问,甲\nb,c1.wav,您好,请问\n",
            [("calls.csv:2", BAD), ("b", "您好")],
        ),
        (
            "id,audio,text,speaker,scene\na,c1.wav,您好,请问\nb,c1.wav,是,甲,\n",
            [("calls.csv:2", BAD), ("b", "是")],
        ),
        # A cell with line ends, wherever it stands.
        (HEAD + 'a,c1.wav,"您好\n请问, 您"\nb,c1.wav,是\n', [("a", "您好\n请问, 您"), ("b", "是")]),
        (
            'text,audio,id\n"您好\n请问",c1.wav,a\n是,c1.wav,b\n',
            [("a", "您好\n请问"), ("b", "是")],
        ),
        # Excel's other marks between columns, under the same name.
        ("id;audio;text\na;c1.wav;您好,请问\n", [("a", "您好,请问")]),
        ("id\taudio\ttext\na\tc1.wav\t您好,请问\n", [("a", "您好,请问")]),
        # Columns without a name, as a sheet has them beside its table.
        ("id,audio,text,,\na,c1.wav,您好,,\n", [("a", "您好")]),
        (HEAD + "a,c1.wav,您\u2028好\x85请\v问\n", [("a", "您\u2028好\x85请\v问")]),
        (HEAD + "a,c1.wav,您好\n\0\0\0\0\0\0", [("a", "您好"), ("calls.csv:3", BAD)]),
        (HEAD + f"a,c1.wav,{'好' * 200_000}\nb,c1.wav,是\n", [("calls.csv:2", BAD), ("b", "是")]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_rows_in_are_rows_out(content, expected, end, tmp_path, pcm):
    found = csv_entries(tmp_path, pcm, content.replace("\n", end))
    assert [(id_, text.replace("\r\n", "\n")) for id_, text in found] == expected


def test_a_column_that_is_there_twice(tmp_path, pcm):
    with pytest.raises(InputError, match=r"calls\.csv:1: the column 'text' is there twice"):
        csv_entries(tmp_path, pcm, "id,audio,text,text\na,c1.wav,您好,再见\n")


def test_values_of_jsonl_as_pandas_and_people_write_them(tmp_path, stereo):
    soundfile.write(tmp_path / "c1.wav", stereo, RATE_HZ)
    path = calls(
        tmp_path,
        b"\xef\xbb\xbf" + json.dumps(call(id="a", speaker=0, channel=1.0)).encode(),
        call(id=7, speaker="0", channel="0.0", text=12),
        call(id="c", speaker="\u3000张三 ", annotation_error="TRUE", start="0.25"),
        call(id="d", speaker="张三\u200b", audio=".\\c1.wav", start=None, annotation_error=None),
        json.dumps(call(id="e", text="您\u2028好\x85请问"), ensure_ascii=False).encode(),
    )
    entries = read("calls", path)
    assert [u.speaker for u in entries.values()] == ["0", "0", "张三", "张三", "c1.wav"]
    assert entries["7"].text == "12"
    assert_sound(entries["a"], stereo[:, 1])
    assert_sound(entries["7"], stereo[:, 0])
    assert entries["c"].annotation_error
    assert len(entries["c"].samples) == 6000
    assert entries["e"].text == "您\u2028好\x85请问"


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": 1.7},
        {"channel": True},
        {"start": True},
        {"start": "0,5"},
        {"start": 1e305},
        {"speaker": ["甲"]},
        {"scene": {}},
        {"text": None},
        {"audio": 5},
    ],
)
def test_values_that_are_of_another_kind(fields, tmp_path, stereo):
    soundfile.write(tmp_path / "c1.wav", stereo, RATE_HZ)
    entry = load(list_items("calls", calls(tmp_path, call(**fields)), KEY)[0])
    assert entry.reason == "unreadable_line"
    assert f"'{next(iter(fields))}'" in entry.detail
