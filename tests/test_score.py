"""`telephone-asr score`: the numbers it prints, its alignments, and how it refuses."""

import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from telephone_asr import cli
from telephone_asr.scoring.alignment import blocks, columns
from telephone_asr.scoring.cer import count_errors, units
from telephone_asr.scoring.compare import bootstrap_interval

REFERENCE = """\
call-1 尾号 三二零，对吗？
call-2 请用 Wi-Fi
call-3 好的
call-4 再见
"""
HYPOTHESIS = """\
call-4\t再见
call-3
call-2 请用wife吧
call-1 尾号320对吗
"""


def cells(text: str) -> int:
    """What a terminal takes for it (Unicode Annex 11), without the library that was used."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("ref").write_text(REFERENCE, encoding="utf-8")
    Path("hyp").write_text(HYPOTHESIS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """call("ref", "hyp"): what is printed; a refusal must be one sentence."""

    def run(*arguments: str, fails: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["telephone-asr", "score", *map(str, arguments)])
        capsys.readouterr()
        if not fails:
            cli.main()
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as caught:
            cli.main()
        message = str(caught.value)
        assert message.startswith("error: ")
        assert message.count(". ") == message.count("\n") == 0
        return message

    return run


def test_character_and_mixed_error_rate(files, call):
    printed = call("ref", "hyp")
    # 尾号320对吗 7, 请用wifi 6, 好的 2, 再见 2; i for e, 吧, 好的 missing
    assert "CER 23.53 %" in printed
    assert "1 substituted, 2 deleted, 1 inserted, of 17 characters in 4 utterances" in printed
    printed = call("ref", "hyp", "--unit", "mixed")
    assert "MER 28.57 %" in printed
    assert "1 substituted, 2 deleted, 1 inserted, of 14 units in 4 utterances" in printed


def test_options_of_the_normaliser(files, call):
    Path("ref").write_text("a 嗯我在这儿\n", encoding="utf-8")
    Path("hyp").write_text("a 我在这呃\n", encoding="utf-8")
    assert "of 5 characters" in call("ref", "hyp")
    printed = call("ref", "hyp", "--fillers", "嗯,呃", "--erhua", "fold")
    assert "CER 0.00 %" in printed
    assert "of 3 characters" in printed


def test_the_interval_is_over_speakers_where_they_are_named(files, call):
    lines = [(f"u{i}", f"s{i % 6}", "好" * 10, "好" * (10 - 5 * (i % 6 == 0))) for i in range(30)]
    for name, content in (
        ("ref", "".join(f"{key} {text}\n" for key, _, text, _ in lines)),
        ("hyp", "".join(f"{key} {text}\n" for key, _, _, text in lines)),
        ("utt2spk", "".join(f"{key} {speaker}\n" for key, speaker, _, _ in lines)),
    ):
        Path(name).write_text(content, encoding="utf-8")
    errors = [count_errors(text, heard) for _, _, text, heard in lines]
    for arguments, groups, note in (
        ([], [key for key, *_ in lines], "30 utterances"),
        (["--utt2spk", "utt2spk"], [speaker for _, speaker, *_ in lines], "6 speakers"),
    ):
        low, high = bootstrap_interval(errors, groups, seed=0)
        printed = call("ref", "hyp", *arguments)
        assert f"95 % interval {100 * low:.2f} to {100 * high:.2f} (bootstrap over {note})" in (
            printed
        )


def test_few_groups_are_said_to_be_few(files, call):
    assert "too few to trust it" in call("ref", "hyp")


def test_the_worst_utterances_come_first_and_as_many_as_asked_for(files, call):
    shown = re.findall(r"^(call-\d):", call("ref", "hyp"), re.M)
    assert shown == ["call-3", "call-2"]  # two errors each; call-3 has fewer characters
    assert re.findall(r"^(call-\d):", call("ref", "hyp", "--errors", "1"), re.M) == ["call-3"]
    assert "call" not in call("ref", "hyp", "--errors", "0")


def test_texts_stand_under_each_other_in_a_terminals_cells(files, call):
    reference = "我要用Wi-Fi连iphone十五给王先生打电话" * 4
    hypothesis = "我用wife连苹果iphone 15给黄先生打了电话" * 4
    Path("ref").write_text(f"a {reference}\n", encoding="utf-8")
    Path("hyp").write_text(f"a {hypothesis}\n", encoding="utf-8")
    for unit in ("character", "mixed"):
        printed = call("ref", "hyp", "--unit", unit)
        rows = re.findall(r"^ref  (.*)\nhyp  (.*)\n", printed, re.M)
        assert len(rows) > 1
        assert all(cells(text) <= 75 for pair in rows for text in pair)
        for said, heard in rows:
            assert cells(said.rstrip()) == pytest.approx(cells(heard.rstrip()), abs=7)
        joined = ["".join(row).replace("*", "").replace(" ", "") for row in zip(*rows, strict=True)]
        assert joined == [
            "我要用wifi连iphone15给王先生打电话" * 4,
            "我用wife连苹果iphone15给黄先生打了电话" * 4,
        ]


@pytest.mark.parametrize("unit", ["character", "mixed"])
@pytest.mark.parametrize("width", [1, 9, 40])
def test_every_column_has_one_width_and_every_error_one_mark(unit, width):
    said, heard = (units(text, unit) for text in ("用wifi ok吗吗", "我用wife ok了吗"))
    row = columns(said, heard)
    for column in row:
        assert cells(column.reference) == cells(column.hypothesis) == column.cells
        assert (column.mark == " ") == (column.reference == column.hypothesis)
    errors = count_errors(said, heard)
    marks = "".join(column.mark for column in row)
    assert [marks.count(m) for m in "SDI"] == [
        *(errors.substitutions, errors.deletions, errors.insertions)
    ]
    cut = blocks(row, width)
    assert [column for block in cut for column in block] == row
    assert all(sum(c.cells for c in block) <= width or len(block) == 1 for block in cut)


def in_terminal(directory: Path, **environment: str) -> str:
    """What the command shows on a terminal."""
    leader, follower = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "telephone_asr.cli", "score", "ref", "hyp"],
        cwd=directory,
        stdout=follower,
        stdin=follower,
        env={**clean, "TERM": "xterm-256color", **environment},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while part := os.read(leader, 4096):
                shown += part
        except OSError:  # the other side is closed
            pass
        assert process.wait() == 0
    os.close(leader)
    return shown.decode()


def test_colours_are_for_terminals_that_want_them(files, call):
    assert "\x1b[1;31m" in in_terminal(files)
    plain = in_terminal(files, NO_COLOR="1")
    assert "call-3: 100.0 %" in plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)
    assert "\x1b" not in call("ref", "hyp")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("hyp", None, "hyp cannot be read (No such file or directory)"),
        ("ref", "call-1 您好\n".encode("gb18030"), "ref:1 is not UTF-8"),
        ("hyp", b"call-1 x\ncall-2\ncall-3\n", "hyp lacks call-4: every utterance needs a line"),
        ("hyp", b"call-9 x\n", "hyp lacks call-1 and 3 more"),
        ("ref", b"call-1 x\n", "ref lacks call-4 and 2 more: every utterance needs a reference"),
        ("hyp", b"call-1 x\n\ncall-1 y\n", "hyp:3: the id call-1 is already on line 1"),
        ("ref", b"call-1\ncall-2\ncall-3\ncall-4 .\n", "ref has no text to score against"),
    ],
)
def test_refusals_are_one_sentence(files, call, name, content, expected):
    Path(name).unlink()
    if content is not None:
        Path(name).write_bytes(content)
    assert expected in call("ref", "hyp", fails=True)


def test_an_utt2spk_must_know_every_utterance(files, call):
    Path("utt2spk").write_text("call-1 a\ncall-2 a\ncall-3 b\n")
    message = call("ref", "hyp", "--utt2spk", "utt2spk", fails=True)
    assert "utt2spk lacks call-4: every utterance needs a line with its speaker" in message


def test_a_byte_order_mark_and_windows_line_ends_are_no_text(files, call):
    Path("ref").write_bytes(b"\xef\xbb\xbf" + REFERENCE.replace("\n", "\r\n").encode())
    assert "CER 23.53 %" in call("ref", "hyp")
