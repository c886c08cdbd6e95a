"""Whole calls scored: by call and channel, in silence, what is missed; `evaluate --whole-calls`."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import telephone_asr
from call_fixtures import RATE_HZ
from corpus_fixtures import calls
from repository_fixtures import write_params
from telephone_asr import cli
from telephone_asr.calls.references import Reference, Said
from telephone_asr.calls.scores import CallScore, score_call
from telephone_asr.calls.turns import Call, Turn
from telephone_asr.scoring.options import Scoring

# --- Counts


def heard(*turns: tuple[int | None, float, float, str]) -> Call:
    made = [Turn(channel, "", start, end, text) for channel, start, end, text in turns]
    return Call(Path("a.wav"), 60.0, RATE_HZ, tuple(made))


def scored(said: list[Said], call: Call, timed: bool = True) -> CallScore:
    return score_call(Reference(Path("a.wav"), "a.wav", tuple(said), timed), call, Scoring())


def test_what_is_missed_and_what_is_written_in_silence_are_apart_from_recognition():
    said = [
        *(Said(0, 0.0, 2.0, "您好请问"), Said(0, 20.0, 22.0, "还款"), Said(1, 10.0, 12.0, "是的")),
    ]
    call = heard((0, 0.1, 1.9, "您号请问"), (0, 40.0, 41.0, "嗯嗯嗯"), (1, 10.2, 12.5, "是的"))
    left, right = scored(said, call).channels
    assert (left.by_time.missed, left.by_time.missed_turns, left.by_time.turns) == (2, 1, 2)
    assert (left.by_time.in_silence, left.by_time.recognition) == (3, 1)
    assert left.by_time.silence_s == 56.0
    assert left.by_time.tcp == 1 + 2 + 3
    assert (left.error.errors, left.error.length) == (4, 6)  # 嗯嗯 for 还款, one inserted
    assert right.by_time == type(right.by_time)(2, 0, 0, 0, 0, 1, 0, 58.0)
    assert (right.error.errors, right.error.length) == (0, 2)


def test_a_turn_on_the_other_channel_is_right_for_tcorc_alone():
    said = [Said(0, 0.0, 2.0, "您好"), Said(1, 3.0, 5.0, "还款")]
    score = scored(said, heard((0, 0.0, 2.0, "您好"), (0, 3.0, 5.0, "还款")))
    assert [own.by_time.tcp for own in score.channels] == [2, 2]
    assert score.tcorc == 0


def test_turns_without_a_channel_are_looked_for_on_each():
    said = [Said(None, 0.0, 2.0, "您好"), Said(None, 1.0, 3.0, "还款")]
    score = scored(said, heard((0, 0.0, 2.0, "您好"), (1, 1.0, 3.0, "还款")))
    assert score.tcorc == 0
    assert [own.channel for own in score.channels] == [None]


def test_one_transcript_for_all_channels_is_held_against_the_turns_as_they_begin():
    said = [Said(None, 0.0, None, "您好我是张三。明天还款")]
    call = heard((0, 0.0, 2.0, "您好"), (1, 3.0, 4.0, "我是李三"), (0, 5.0, 6.0, "明天还款"))
    score = scored(said, call, timed=False)
    assert [own.error.errors for own in score.channels] == [1]
    assert score.channels[0].by_time is None
    assert score.tcorc is None


def test_the_same_on_both_channels_is_held_against_all_that_is_said():
    said = [Said(0, 0.0, 2.0, "您好"), Said(1, 3.0, 5.0, "还款")]
    score = scored(said, heard((None, 0.0, 2.0, "您好"), (None, 3.0, 5.0, "还款")))
    assert [(own.channel, own.error.errors) for own in score.channels] == [(None, 0)]


def test_what_is_heard_where_a_transcript_is_wrong_does_not_count():
    said = [Said(0, 0.0, 2.0, "您好"), Said(0, 3.0, 5.0, "乱写", wrong=True)]
    (own,) = scored(said, heard((0, 0.0, 2.0, "您好"), (0, 3.0, 5.0, "还款"))).channels
    assert (own.error.errors, own.error.length, own.by_time.in_silence) == (0, 2, 0)


# --- The command


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    write_params(tmp_path, {"decode.batch_size": 8, "corpus.max_hours": 0.05})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def evaluate(monkeypatch, capsys, fitted_directory):
    """evaluate(list, *options): what is printed, and on stderr."""

    def run(*arguments: object) -> tuple[str, str]:
        words = ["telephone-asr", "evaluate", "--model", fitted_directory, "--whole-calls"]
        monkeypatch.setattr(sys, "argv", list(map(str, [*words, *arguments])))
        capsys.readouterr()
        cli.main()
        return capsys.readouterr()

    return run


def turn_lines(path: Path, said: list) -> list[dict]:
    return [
        {"id": f"{path.stem}-{n}", "audio": str(path), "channel": one.channel, "text": one.text}
        | {"start": one.start_s, "end": one.end_s}
        for n, one in enumerate(said)
    ]


def test_the_rates_are_those_of_what_transcribe_writes(
    evaluate, folder, made_call, fitted_directory
):
    own = [made_call(0.5, seed) for seed in (2, 3)]
    lines = [line for path, said in own for line in turn_lines(path, said)]
    output = folder / "out.jsonl"
    printed, warned = evaluate(calls(folder, *lines), "--output", output)
    assert "left out:" not in warned
    model = telephone_asr.load_model(fitted_directory)
    references, hypotheses = [], []
    for path, said in own:
        turns = telephone_asr.transcribe(path, model).turns
        for channel in (0, 1):
            references.append("".join(one.text for one in said if one.channel == channel))
            hypotheses.append("".join(one.text for one in turns if one.channel == channel))
    written = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [line["reference"] for line in written] == references
    assert [line["text"] for line in written] == hypotheses
    assert [(line["speaker"], line["channel"]) for line in written] == [
        (path.name, channel) for path, _ in own for channel in (0, 1)
    ] or all(line["channel"] in (0, 1) for line in written)
    errors = sum(line["substitutions"] + line["deletions"] + line["insertions"] for line in written)
    length = sum(line["characters"] for line in written)
    assert re.search(rf"2 calls +{errors / length:.2%} +{length:,} ", printed)
    assert "95 % interval" in printed
    assert "(by call)" in printed
    silence = sum(line["by_time"]["in_silence"] for line in written)
    assert re.search(rf"in silence +\S+ +{silence} ", printed)
    assert "left out: none; 0.02 h, real-time factor" in printed


def test_transcripts_without_times_are_scored_as_wholes(evaluate, folder, made_call):
    path, said = made_call(0.5, 2)
    lines = [
        {"id": side, "audio": str(path), "channel": channel}
        | {"text": "，".join(one.text for one in said if one.channel == channel)}
        for channel, side in enumerate(("left", "right"))
    ]
    whole, _ = evaluate(calls(folder, *lines))
    turns, _ = evaluate(calls(folder, *turn_lines(path, said)))
    assert "tcpCER" in turns
    assert "tcpCER" not in whole
    assert whole.splitlines()[:4] == turns.splitlines()[:4]


def test_calls_that_cannot_be_scored_are_each_a_sentence(evaluate, folder, made_call):
    path, said = made_call(0.5, 2)
    soundfile.write(folder / "mono.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(folder / "long.wav", np.zeros(RATE_HZ * 200), RATE_HZ)
    for name in ("empty.wav", "mixed.wav", "sides.wav", "wrong.wav"):
        (folder / name).write_bytes(path.read_bytes())
    whole = {"channel": 0, "text": "您好"}
    lines = [
        *turn_lines(path, said),
        {"id": "lost", "audio": "lost.wav", **whole},
        {"id": "mono", "audio": "mono.wav", **whole, "channel": 1},
        {"id": "long", "audio": "long.wav", **whole},
        {"id": "empty", "audio": "empty.wav", "channel": 0, "text": " "},
        {"id": "mixed", "audio": "mixed.wav", **whole},
        {"id": "mixed-2", "audio": "mixed.wav", **whole, "start": 1, "end": 2},
        {"id": "sides", "audio": "sides.wav", **whole},
        {"id": "sides-2", "audio": "sides.wav", "text": "再见"},
        {"id": "wrong", "audio": "wrong.wav", **whole, "annotation_error": True},
    ]
    printed, warned = evaluate(calls(folder, *lines, b"{"))
    assert "1 calls" in printed
    named = dict(re.findall(r"left out: (\S+) \((\w+)\): .", warned))
    assert named == {
        "lost.wav": "unreadable_audio",
        "mono.wav": "no_such_channel",
        "long.wav": "too_long",
        "empty.wav": "empty_text",
        "mixed.wav": "unreadable_line",
        "sides.wav": "unreadable_line",
        "wrong.wav": "annotation_error",
        f"calls.jsonl:{len(lines) + 1}": "unreadable_line",
    }
    for reason in set(named.values()):
        assert f"{list(named.values()).count(reason)} {reason}" in printed


def test_a_call_in_which_nobody_speaks_counts_what_is_written(evaluate, folder):
    soundfile.write(folder / "silent.wav", np.zeros((RATE_HZ * 60, 2)), RATE_HZ)
    line = {"id": "a", "audio": "silent.wav", "text": "", "no_speech": True, "start": 0, "end": 60}
    printed, _ = evaluate(calls(folder, line))
    assert re.search(r"in silence +- +0 0\.0 a minute of the 1\.0", printed)


def test_a_list_without_a_call_to_score_is_refused(evaluate, folder):
    output = folder / "out.jsonl"
    with pytest.raises(SystemExit, match="holds no call that can be scored"):
        evaluate(
            calls(folder, {"id": "a", "audio": "lost.wav", "text": "您好"}), "--output", output
        )
    assert not output.exists()
    with pytest.raises(SystemExit, match="takes no --beams"):
        evaluate(folder / "calls.jsonl", "--beams", 2)
    with pytest.raises(SystemExit, match=r"--whole-calls: .*nowhere does not exist"):
        evaluate(folder / "nowhere")
