"""The door of text files: what a line is, and what a file that is none of ours says."""

import codecs
import doctest
import gzip
import os

import pytest

from telephone_asr import textfiles
from telephone_asr.errors import InputError
from telephone_asr.textfiles import byte_lines, json_lines, json_object, read_lines, read_text

# What str.splitlines cuts at, beside \n and \r.
NO_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_doctests():
    assert doctest.testmod(textfiles).failed == 0


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_lines(mark, end, tmp_path):
    lines = ["甲 您好", f"乙{NO_ENDS}丙", "", "丁"]
    path = tmp_path / "list"
    path.write_bytes(mark + end.join(line.encode() for line in lines))
    expected = [(1, lines[0]), (2, lines[1]), (4, lines[3])]
    assert read_lines(path) == expected
    found = [(number, line.rstrip(b"\r\n").decode()) for number, line in byte_lines(path)]
    assert found == expected
    assert read_text(path) == "\n".join(lines)


def test_packed_lines(tmp_path):
    for name in ("list.jsonl.gz", "list.jsonl"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(codecs.BOM_UTF8 + b'{"id": "a"}\n\n{"id": "b"}\n'))
        assert [json_object(line)["id"] for _, line in byte_lines(path)] == ["a", "b"]


def test_empty_files_have_no_lines(tmp_path):
    for content in (b"", b"\n \r\n", codecs.BOM_UTF8):
        (tmp_path / "list").write_bytes(content)
        assert read_lines(tmp_path / "list") == list(byte_lines(tmp_path / "list")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("甲 1\n乙 您好\n".encode("gb18030")[:-1], r"list:1 is not UTF-8: .*`iconv -f GB18030"),
        ("a 1\nb 您好\n".encode("gb18030"), r"list:2 is not UTF-8: .*`iconv -f GB18030"),
        ("a 您好\n".encode("utf-16"), r"list is UTF-16, .*`iconv -f UTF-16 -t UTF-8`"),
        ("a 您好\n".encode("utf-16-be"), r"list is UTF-16, .*`iconv -f UTF-16"),
        ("abc 您好\n".encode("utf-16-le"), r"list is UTF-16, .*`iconv -f UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0", r"list is a spreadsheet or an archive: save it as CSV UTF-8"),
        (b"a 1\rb 2\r", r"list ends its lines with a carriage return alone: .*`tr '\\r' '\\n'`"),
    ],
)
def test_files_in_other_encodings(content, message, tmp_path):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_lines(tmp_path / "list")


def test_what_is_no_file(tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        read_text(tmp_path / "list")
    with pytest.raises(InputError, match="is a directory"):
        read_text(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="no regular file"):  # and does not wait for a writer
        read_text(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' is there twice"),
        (b'{"a": NaN}', "NaN is no JSON: write null"),
        (b'{"a": -Infinity}', "-Infinity is no JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"a": "\xc4\xe3"}', "not UTF-8: convert it"),
        (b'{"a": 1}\0\0', "Extra data"),
    ],
)
def test_json_that_says_nothing_or_two_things(line, message):
    with pytest.raises(ValueError, match=message):
        json_object(line)


def test_a_list_of_ours_that_is_damaged_says_where_and_what_to_do(tmp_path):
    path = tmp_path / "rejected.jsonl"
    path.write_text('{"id": "a"}\n\n{"id": "b"', encoding="utf-8")
    lines = json_lines(path, "run `dvc repro`")
    assert next(lines) == {"id": "a"}
    with pytest.raises(InputError, match=r"rejected\.jsonl:3 is no JSON \(.*\): run `dvc repro`\."):
        next(lines)
