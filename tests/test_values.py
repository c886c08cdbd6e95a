"""Fields of a corpus's list: what they say, and what they cannot say."""

import doctest
import os

import pytest

from telephone_asr.corpora import values


def test_doctests():
    result = doctest.testmod(values)
    assert result.attempted >= 4
    assert result.failed == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.0, "0"),
        (1.5, "1.5"),
        (10**9, "1000000000"),
        (None, ""),
        ("", ""),
        (" 甲 ", " 甲 "),
    ],
)
def test_any_single_value_is_text(value, said):
    assert values.text(value, "speaker") == said


@pytest.mark.parametrize("value", [True, ["甲"], {"name": "甲"}, "\ud800", "甲\udcc4"])
def test_what_is_no_text(value):
    with pytest.raises(ValueError, match="speaker"):
        values.text(value, "speaker")


def test_one_person_has_one_name():
    spellings = ["张三", " 张三", "张三 ", "\u3000张三\u3000", "张三\u200b", "\ufeff张三", "张三\t"]
    assert {values.name(spelling, "speaker") for spelling in spellings} == {"张三"}
    assert (
        values.name("ｋｅｆｕ　０１", "speaker") == values.name("kefu  01", "speaker") == "kefu 01"
    )
    assert values.name("\u200b\u3000", "speaker") == ""  # as good as missing


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, 0.0),
        ("1.5", 1.5),
        (" 1.5 ", 1.5),
        ("１．５", 1.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        (-1, -1.0),
        (None, None),
        ("", None),
    ],
)
def test_times(value, said):
    assert values.seconds(value, "start") == said


@pytest.mark.parametrize(
    "value", [True, "1,5", "1_5", "soon", "nan", "inf", float("nan"), 1e305, [1], "1:30", 10**400]
)
def test_what_is_no_time(value):
    with pytest.raises(ValueError, match="'start' with a time in seconds, got ") as error:
        values.seconds(value, "start")
    assert len(str(error.value)) < 100


@pytest.mark.parametrize(
    ("value", "said"), [(0, 0), (1.0, 1), ("0.0", 0), ("1", 1), ("１", 1), (None, None), (-1, -1)]
)
def test_channels(value, said):
    found = values.channel(value, "channel")
    assert (found, type(found)) == (said, type(said))


@pytest.mark.parametrize("value", [1.7, True, False, "left", "1.5", [0], float("inf")])
def test_what_is_no_channel(value):
    with pytest.raises(ValueError, match="'channel' with the number of a channel, got "):
        values.channel(value, "channel")


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, True), ("TRUE", True), (1, True), ("0", False), (None, False), ("", False)],
)
def test_flags(value, said):
    assert values.flag(value, "annotation_error") is said


@pytest.mark.parametrize("value", ["perhaps", 2, [True]])
def test_what_is_no_flag(value):
    with pytest.raises(ValueError, match="annotation_error"):
        values.flag(value, "annotation_error")


@pytest.mark.parametrize(
    "id_", ["a", "客户-1_甲.wav", "a" * 200, "客" * 66, "Y0_--5llN02F84_S00000", "a b", "été", "７"]
)
def test_ids_that_can_name_files(id_):
    assert values.bad_id(id_) is None


@pytest.mark.parametrize(
    "id_",
    [
        *("", "a/b", "../a", ".a", " a", "a ", "a\\b", "a\nb", "a\0", "a\x1b[31m", "a\u2028b"),
        *(
            "a" * 201,
            "客" * 67,
            "\ud800",
            "a\u200b",
            "\ufeffa",
            'a"b',
            "a|b",
            "a*",
            "<b>",
            "a\u3000b",
        ),
    ],
)
def test_ids_that_cannot(id_):
    assert values.bad_id(id_)


def test_sound_files(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a.wav").touch()
    expected = str(tmp_path / "audio" / "a.wav")
    for written in ("audio/a.wav", "audio\\a.wav", expected, "audio/../audio/a.wav"):
        assert os.path.samefile(values.sound_file(written, tmp_path), expected)
    assert values.sound_file("lost\\b.wav", tmp_path) == str(tmp_path / "lost/b.wav")
    (tmp_path / "c\\d.wav").touch()  # which Linux allows
    assert values.sound_file("c\\d.wav", tmp_path) == str(tmp_path / "c\\d.wav")


def test_a_sound_file_whose_name_is_in_another_encoding(tmp_path):
    name = "您好.wav".encode("gb18030")
    with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
        pass
    path = values.sound_file(os.fsdecode(name), tmp_path)
    assert os.path.exists(path)
    for value in ("\ud800.wav", None, 5):
        with pytest.raises(ValueError, match="audio"):
            values.sound_file(value, tmp_path)
