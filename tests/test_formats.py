"""What a file of each format holds, read by whoever reads such files."""

import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from telephone_asr.calls.formats import FORMATS, clock
from telephone_asr.calls.turns import Call, Character, Turn, joined
from telephone_asr.corpora.calls import call_items

HELLO = (
    Character("您", 1.0, 1.25, 0.9),
    Character("好", 1.25, 1.5, 0.25),
    Character("，", 1.5, 1.5),
)
CALL = Call(
    Path("calls/call.wav"),
    10.0,
    8000,
    (
        Turn(0, "agent", 1.0, 1.5, "您好，", HELLO),
        Turn(1, "customer", 1.4, 3.0, '他说"好", 是'),
        Turn(0, "agent", 4.0, 4.5, "OK", cut_off=True),
    ),
)
SILENT = Call(Path("silent.wav"), 5.0, 16000)
MONO = Call(Path("mono.wav"), 5.0, 8000, (Turn(None, "", 0.5, 1.0, "您好"),))


def test_text_has_a_line_for_each_turn():
    assert FORMATS["txt"](CALL, "call.wav").splitlines() == [
        "[00:00:01.000] agent: 您好，",
        '[00:00:01.400] customer: 他说"好", 是',
        "[00:00:04.000] agent: OK",
    ]
    assert FORMATS["txt"](MONO, "mono.wav") == "[00:00:00.500] 您好\n"


def test_json_has_all_of_it_in_a_line():
    (line,) = FORMATS["json"](CALL, "call.wav").splitlines()
    found = json.loads(line)
    assert found["audio"] == "call.wav"
    assert found["duration_s"] == 10.0
    first, second, third = found["turns"]
    assert first["characters"] == [["您", 1.0, 1.25], ["好", 1.25, 1.5], ["，", 1.5, 1.5]]
    assert first["confidences"] == [0.9, 0.25, None]
    assert (second["channel"], second["speaker"], second["start"]) == (1, "customer", 1.4)
    assert third["cut_off"]
    assert "cut_off" not in first


def test_subtitles_are_numbered_and_parted_by_blank_lines():
    blocks = FORMATS["srt"](CALL, "call.wav").strip().split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == ["1", "2", "3"]
    assert blocks[1].split("\n")[1] == "00:00:01,400 --> 00:00:03,000"


@pytest.mark.parametrize("call", [CALL, MONO], ids=["stereo", "mono"])
def test_a_table_is_a_corpus_of_calls(call, tmp_path):
    audio = tmp_path / call.path.name
    audio.touch()
    table = tmp_path / "call.csv"
    table.write_text(FORMATS["csv"](call, audio.name), encoding="utf-8-sig", newline="")
    items = call_items(table)
    assert [item.problem for item in items] == [None] * len(call.turns)
    assert [(i.text, i.speaker, i.channel, i.start_s, i.end_s) for i in items] == [
        (t.text, t.speaker, t.channel, t.start_s, t.end_s) for t in call.turns
    ]
    assert len({item.id for item in items}) == len(items)


def tiers(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """A TextGrid's tiers, by name."""
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    found = {}
    for part in text.split('class = "IntervalTier"')[1:]:
        name = re.search(r'name = "((?:""|[^"])*)"', part)[1]
        rows = re.findall(r'xmin = ([\d.]+)\s+xmax = ([\d.]+)\s+text = "((?:""|[^"])*)"', part)
        assert len(rows) == int(re.search(r"intervals: size = (\d+)", part)[1])
        found[name] = [(float(a), float(b), label.replace('""', '"')) for a, b, label in rows]
    assert len(found) == int(re.search(r"^size = (\d+)", text, re.MULTILINE)[1])
    return found


@pytest.mark.parametrize("call", [CALL, SILENT, MONO], ids=["stereo", "silent", "mono"])
def test_tiers_cover_the_call_without_gaps(call):
    for intervals in tiers(FORMATS["textgrid"](call, "call.wav")).values():
        assert intervals[0][0] == 0
        assert intervals[-1][1] == call.duration_s
        assert all(start < end for start, end, _ in intervals)
        assert all(a[1] == b[0] for a, b in pairwise(intervals))


def test_tiers_hold_turns_and_characters_of_each_channel():
    found = tiers(FORMATS["textgrid"](CALL, "call.wav"))
    assert list(found) == [
        *("agent", "agent, characters", "customer", "customer, characters"),
    ]
    assert (1.4, 3.0, '他说"好", 是') in found["customer"]
    labels = [label for _, _, label in found["agent, characters"] if label]
    assert labels == ["您", "好，"]


def test_a_silent_call_is_a_whole_file_in_each_format():
    texts = FORMATS.keys() - {"html"}  # a page has the sound in it: tests/test_call_page.py
    found = {name: FORMATS[name](SILENT, "silent.wav") for name in texts}
    assert found["txt"] == found["srt"] == ""
    assert json.loads(found["json"])["turns"] == []
    assert len(list(csv.reader(io.StringIO(found["csv"])))) == 1


def test_times_and_texts_are_put_together():
    assert clock(3599.9996) == "01:00:00.000"
    assert joined(["您好", "OK", "3 yes", "是"]) == "您好OK 3 yes是"
    assert joined([]) == ""
    assert CALL.text == '您好，他说"好", 是OK'
    assert CALL.channels == {0: "agent", 1: "customer"}
