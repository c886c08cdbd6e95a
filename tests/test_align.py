"""A transcript of a whole call becomes turns: times, what is wrong in it, nothing lost."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from call_fixtures import RATE_HZ
from corpus_fixtures import calls
from repository_fixtures import write_params
from telephone_asr import cli
from telephone_asr.calls.cuts import cut
from telephone_asr.corpora.calls import call_items
from telephone_asr.corpora.items import load
from telephone_asr.shards import Utterance

PAUSE_S = 1.5
UNSAID = "今天下午公园里的花都开了"


@pytest.fixture
def call(by_heart, tmp_path) -> tuple[Path, list[tuple[str, float, float]]]:
    """A recording of the known utterances on the right channel, and what is said when."""
    rng, said, parts, at_s = np.random.default_rng(0), [], [], PAUSE_S
    parts.append(np.zeros(round(PAUSE_S * RATE_HZ)))
    for samples, text in by_heart[1]:
        said.append((text, at_s, at_s + len(samples) / RATE_HZ))
        parts += [samples, np.zeros(round(PAUSE_S * RATE_HZ))]
        at_s = said[-1][2] + PAUSE_S
    right = np.concatenate(parts) + 1e-4 * rng.standard_normal(sum(map(len, parts)))
    path = tmp_path / "call.wav"
    soundfile.write(path, np.column_stack([np.zeros(len(right)), right]), RATE_HZ)
    return path, said


@pytest.fixture
def align(by_heart, monkeypatch, capsys):
    """align(list, *options): the turns, what is left out, what is printed, and on stderr."""

    def run(path: Path, *options: str) -> tuple[list[dict], list[dict], str, str]:
        output = path.parent / "out" / "turns.jsonl"
        output.parent.mkdir(exist_ok=True)
        words = ["telephone-asr", "data", "align", path, "--output", output, *options]
        if "--model" not in options:
            words += ["--model", by_heart[0]]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        cli.main()
        lists = [
            [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            for file in (output, output.with_name("turns.left-out.jsonl"))
        ]
        return *lists, *capsys.readouterr()

    return run


def transcript(path: Path, texts: list[str], **fields: object) -> Path:
    head = {"id": "a", "audio": path.name, "channel": 1, "speaker": "客户"}
    return calls(path.parent, {**head, "text": "，".join(texts), **fields})


def assert_all_there(text: str, turns: list[dict], left_out: list[dict]) -> None:
    assert sorted(text) == sorted("".join(line["text"] for line in [*turns, *left_out]))


def test_turns_are_where_they_are_said_and_make_a_corpus(align, call):
    path, said = call
    listed = transcript(path, [text for text, _, _ in said])
    turns, left_out, printed, _ = align(listed)
    assert left_out == []
    assert [turn["text"].rstrip("，") for turn in turns] == [text for text, _, _ in said]
    for turn, (_, start_s, end_s) in zip(turns, said, strict=True):
        assert turn["start"] == pytest.approx(start_s, abs=0.4)
        assert turn["end"] == pytest.approx(end_s, abs=0.4)
        assert -2.5 < turn["score"] <= 0
    assert f"1 of 1 transcripts: {len(said)} turns" in printed
    read = [load(item) for item in call_items(path.parent / "out" / "turns.jsonl")]
    assert all(isinstance(one, Utterance) and one.speaker == "客户" for one in read)
    assert [one.text for one in read] == [turn["text"] for turn in turns]


def test_what_is_not_said_and_what_is_not_written_leave_the_rest_as_it_is(align, call):
    path, said = call
    texts = [text for text, _, _ in said]
    whole = align(transcript(path, texts))[0]
    texts[8:8] = [UNSAID]
    del texts[3]
    listed = transcript(path, texts)
    turns, left_out, printed, _ = align(listed)
    assert_all_there("，".join(texts), turns, left_out)
    assert UNSAID in "".join(line["text"] for line in left_out)
    assert {line["reason"] for line in left_out} <= {"not_said", "low_score"}
    assert "not_said: " in printed
    far = [
        turn for turn in whole if turn["text"].strip("，") in texts[:2] + texts[5:6] + texts[-2:]
    ]
    known = [(turn["start"], turn["end"]) for turn in turns]
    assert all((turn["start"], turn["end"]) in known for turn in far)
    assert len(far) == 5


def test_a_limit_leaves_out_and_loses_nothing(align, call):
    path, said = call
    texts = [text for text, _, _ in said]
    turns, left_out, _, _ = align(transcript(path, texts), "--min-score", "0.1")
    assert turns == []
    assert {line["reason"] for line in left_out} == {"low_score"}
    assert_all_there("，".join(texts), turns, left_out)


def test_of_silence_everything_is_left_out(align, call):
    path, said = call
    turns, left_out, _, _ = align(transcript(path, [said[0][0]], channel=0))
    assert turns == []
    assert [(line["text"], line["reason"]) for line in left_out] == [(said[0][0], "not_said")]


def test_transcripts_that_cannot_be_used_are_each_a_sentence(align, call, monkeypatch):
    path, said = call
    head = {"audio": path.name, "channel": 1, "text": said[0][0]}
    soundfile.write(path.with_name("mono.wav"), np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(path.with_name("long.wav"), np.zeros((RATE_HZ * 200, 2)), RATE_HZ)
    write_params(path.parent, {"corpus.max_hours": 0.05})
    monkeypatch.chdir(path.parent)
    listed = calls(
        path.parent,
        {"id": "good", **head, "text": "".join(text for text, _, _ in said)},
        {"id": "lost", **head, "audio": "lost.wav"},
        {"id": "mono", **head, "audio": "mono.wav"},
        {"id": "long", **head, "audio": "long.wav"},
        {"id": "empty", **head, "text": " "},
        {"id": "turn", **head, "start": 1, "end": 2},
        {"id": "wrong", **head, "annotation_error": True},
        {"id": "third", **head, "channel": 2},
        b"{",
    )
    turns, _, printed, warned = align(listed)
    assert len(turns) > 5
    assert "1 of 9 transcripts" in printed
    lines = [line for line in warned.replace("\r", "\n").splitlines() if "left out: " in line]
    assert len(lines) == 8
    for words in (
        *("lost: No such file", "no right channel", "limit 0.05 (corpus.max_hours", "is empty"),
        *("it has times", "marked as wrong", "channel 2: expected 0, 1", "calls.jsonl:9"),
    ):
        assert sum(words in line for line in lines) == 1, words


def test_a_list_or_a_model_that_cannot_be_used_is_named(align, call, tiny_directory, tmp_path):
    from model_fixtures import write_variant

    def without_ctc(config: dict) -> None:
        for key in [key for key in config if "ctc" in key]:
            del config[key]

    path, said = call
    listed = transcript(path, [said[0][0]])
    bare = write_variant(tiny_directory, tmp_path / "bare", without_ctc)
    for options, words in (
        (("--model", str(bare)), "has no CTC branch"),
        (("--model", str(tmp_path / "nowhere")), "nowhere"),
    ):
        with pytest.raises(SystemExit, match=words):
            align(listed, *options)
    with pytest.raises(SystemExit, match="holds no transcript that can be aligned"):
        align(transcript(path, [said[0][0]], audio="lost.wav"))


# --- Where a transcript is cut


def test_a_transcript_is_cut_where_both_sides_are_sure():
    written = list("您好请问您是谁我是张三明天还款")
    heard = ["您好请问", "您是谁", "我是张三", "明大还款"]
    groups = cut(heard, written, [1.0] * 4)
    assert [(g.segments, g.characters) for g in groups] == [
        (range(0, 1), [0, 1, 2, 3]),
        (range(1, 2), [4, 5, 6]),
        (range(2, 3), [7, 8, 9, 10]),
        (range(3, 4), [11, 12, 13, 14]),
    ]


def test_a_pause_in_doubt_is_no_cut():
    groups = cut(["您好请", "您是谁", "我是张三"], list("您好请问您是谁我是张三"), [1.0] * 3)
    assert [(g.segments, len(g.characters)) for g in groups] == [(range(2), 7), (range(2, 3), 4)]


def test_nobody_says_a_long_run_and_what_is_not_written_is_of_its_neighbours():
    written = list(f"您好请问{UNSAID}您是谁我是张三明天还款")
    groups = cut(["您好请问", "您是谁", "我是张三", "啊啊啊啊", "明天还款"], written, [1.0] * 5)
    texts = ["".join(written[n] for n in group.characters) for group in groups]
    assert texts == ["您好请问", "您是谁", "我是张三明天还款"]
    assert groups[-1].segments == range(2, 5)


def test_without_a_sure_pause_groups_stay_short():
    written = list("甲" * 300)
    groups = cut(["乙" * 3] * 100, written, [20.0] * 100)
    assert [n for g in groups for n in g.segments] == list(range(100))
    assert max(len(g.segments) for g in groups) <= 4
    characters = [n for g in groups for n in g.characters]
    assert characters == sorted(set(characters))
