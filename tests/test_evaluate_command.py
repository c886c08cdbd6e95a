"""`telephone-asr evaluate`: any model on any corpus, nothing lost silently or half-written."""

import json
import re
import shutil
import sys
from pathlib import Path

import jiwer
import pytest

from corpus_fixtures import calls, kaldi
from repository_fixtures import SMALL, write_params
from speech_fixtures import CALL_RATE_HZ, TEXTS, write_wav
from telephone_asr import cli
from telephone_asr.decoding import corpus as scoring_corpus
from telephone_asr.decoding import utterances as utterances_to_text
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.decoding.spotting import FLOOR, Lists
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM

MAX_TOKENS = SMALL["decode.max_tokens"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory, with params.yaml."""
    write_params(
        tmp_path, {"decode.max_tokens": MAX_TOKENS, "decode.batch_size": 5, "decode.branch": None}
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lines(folder, utterances) -> list[dict]:
    """Of a calls.jsonl; the sound lies beside it."""
    for utterance in utterances:
        write_wav(folder / f"{utterance.id}.wav", utterance.samples, CALL_RATE_HZ)
    return [
        {"id": u.id, "audio": f"{u.id}.wav", "text": u.text, "speaker": u.speaker, "scene": u.scene}
        for u in utterances
    ]


@pytest.fixture
def evaluate(monkeypatch, capsys, fitted_directory):
    """evaluate("--calls", path): what is printed, and on stderr."""

    def run(*arguments: object, model: Path = fitted_directory) -> tuple[str, str]:
        words = ["telephone-asr", "evaluate", "--model", model, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        capsys.readouterr()
        cli.main()
        return capsys.readouterr()

    return run


@pytest.fixture
def refusal(evaluate):
    def run(*arguments: object, **options: Path) -> str:
        with pytest.raises(SystemExit) as caught:
            evaluate(*arguments, **options)
        message = str(caught.value)
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return run


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts_of(path: Path) -> list[str]:
    return [line["text"] for line in read(path)]


def test_texts_that_are_cut_off_are_counted(evaluate, folder, lines):
    write_params(folder, {"decode.max_tokens": 2})
    printed, _ = evaluate("--calls", calls(folder, *lines), "--output", folder / "out.jsonl")
    cut_off = sum(line["cut_off"] for line in read(folder / "out.jsonl"))
    assert cut_off > len(lines) / 2
    assert f"{cut_off} of the texts are cut off at 2 tokens" in printed


def test_the_rate_and_the_transcripts_of_a_list_of_calls(
    evaluate, folder, lines, fitted, make_inputs, utterances
):
    printed, _ = evaluate("--calls", calls(folder, *lines), "--output", folder / "out.jsonl")
    found = read(folder / "out.jsonl")
    texts = [line["text"] for line in found]
    assert texts == transcribe(fitted, make_inputs(fitted), 1, MAX_TOKENS)
    counts = jiwer.process_characters(list(TEXTS), texts)
    assert f"CER {counts.cer:.2%}, 95 % interval " in printed
    for name in ("substitutions", "deletions", "insertions"):
        assert f"{getattr(counts, name)} {name}" in printed
        assert sum(line[name] for line in found) == getattr(counts, name)
    assert f"{len(TEXTS)} utterances, 4 speakers, {sum(map(len, TEXTS))} characters" in printed
    assert "left out: none" in printed
    for line, utterance in zip(found, utterances, strict=True):
        assert (line["key"], line["reference"]) == (utterance.id, utterance.text)
        assert (line["speaker"], line["scene"]) == (utterance.speaker, utterance.scene)
        assert line["duration"] == pytest.approx(len(utterance.samples) / CALL_RATE_HZ, abs=1e-3)
        assert line["characters"] == len(utterance.text)
        assert line["source"] == "calls.jsonl"
        assert isinstance(line["snr_db"], float)
        assert line["codec"] is None
        assert line["lost_packets"] is None


def test_the_ctc_branch_has_to_say_what_the_model_was_exported_with(
    evaluate, folder, lines, fitted_directory
):
    """Not what params.yaml asks of the models here."""
    write_params(folder, {"decode.branch": {"doubt": 0.5, "short": None}})
    evaluate("--calls", calls(folder, *lines), "--output", folder / "out.jsonl")
    assert any(texts_of(folder / "out.jsonl"))
    model = Path(shutil.copytree(fitted_directory, folder / "model"))
    with (model / "config.yaml").open("a", encoding="utf-8") as config:
        config.write("branch_conf: {doubt: 1.0}\n")
    evaluate("--calls", folder / "calls.jsonl", "--output", folder / "out.jsonl", model=model)
    assert not any(texts_of(folder / "out.jsonl"))


def lhotse_manifests(folder: Path, lines: list[dict]) -> Path:
    from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet

    recordings, supervisions = [], []
    for line in lines:
        recordings.append(Recording.from_file(folder / line["audio"], recording_id=line["id"]))
        supervisions.append(
            SupervisionSegment(
                *(line["id"], line["id"], 0.0, recordings[-1].duration),
                text=line["text"],
                speaker=line["speaker"],
            )
        )
    (folder / "lhotse").mkdir()
    RecordingSet.from_recordings(recordings).to_file(folder / "lhotse/my_recordings.jsonl.gz")
    SupervisionSet.from_segments(supervisions).to_file(folder / "lhotse/my_supervisions.jsonl.gz")
    return folder / "lhotse"


def kaldi_directory(folder: Path, lines: list[dict]) -> Path:
    def table(field: str, prefix: str = "") -> str:
        return "".join(f"{line['id']} {prefix}{line[field]}\n" for line in lines)

    tables = {"text": table("text"), "utt2spk": table("speaker")}
    return kaldi(folder / "kaldi", wav_scp=table("audio", "../"), **tables)


def test_every_kind_of_corpus_has_the_same_rate(evaluate, folder, lines):
    places = {
        "--calls": calls(folder, *lines),
        "--kaldi": kaldi_directory(folder, lines),
        "--lhotse": lhotse_manifests(folder, lines),
    }
    found = {option: evaluate(option, place)[0] for option, place in places.items()}
    rates = {re.search(r"CER .*\n.*insertions", printed)[0] for printed in found.values()}
    assert len(rates) == 1, found


def test_what_cannot_be_scored_is_counted_and_named(evaluate, folder, lines, utterances):
    write_params(folder, {"filter.max_frames": 120})
    write_wav(folder / "dot.wav", utterances[0].samples[:1], 16000)
    faulty = [
        {"id": "lost", "audio": "lost.wav", "text": "再见"},
        {"id": "wrong", "audio": "call-0.wav", "text": "再见", "annotation_error": True},
        {"id": "silent", "audio": "call-0.wav", "text": " <SPOKEN_NOISE> "},
        {"id": "dot", "audio": "dot.wav", "text": "再见"},
        lines[2],
    ]
    path = calls(folder, *lines[:4], *faulty, b"{", *lines[4:])
    printed, warned = evaluate("--calls", path, "--output", folder / "out.jsonl")
    long = [u.id for u in utterances if len(u.samples) > 1.3 * CALL_RATE_HZ]
    assert long
    named = dict(re.findall(r"left out: (\S+) \((\w+)\): .", warned))
    expected = {"lost": "unreadable_audio", "wrong": "annotation_error", "dot": "too_short"}
    expected |= {"silent": "empty_text", lines[2]["id"]: "duplicate_id"}
    expected |= {"calls.jsonl:10": "unreadable_line"} | dict.fromkeys(long, "too_long")
    assert named.items() >= expected.items()
    kept = [line["key"] for line in read(folder / "out.jsonl")]
    assert len(kept) + len(named) == len(lines) + len(faulty) + 1
    assert f"{len(kept)} utterances" in printed
    for reason in set(named.values()):
        assert f"{list(named.values()).count(reason)} {reason}" in printed


def test_windows_of_a_long_corpus_give_what_one_gives(evaluate, folder, lines, monkeypatch):
    path = calls(folder, *lines)
    evaluate("--calls", path, "--output", folder / "whole.jsonl")
    monkeypatch.setattr(scoring_corpus, "WINDOW", 1)
    evaluate("--calls", path, "--output", folder / "parts.jsonl", "--batch-size", 2)
    assert read(folder / "parts.jsonl") == read(folder / "whole.jsonl")


def test_an_output_is_written_whole_or_not_at_all(evaluate, folder, lines, monkeypatch):
    (folder / "out.jsonl").write_text("of yesterday")
    path, before = calls(folder, *lines), set(folder.iterdir())
    windows = []

    def interrupted(*arguments, **options):
        windows.append(len(windows))
        if len(windows) == 2:
            raise KeyboardInterrupt
        return recognise(*arguments, **options)

    recognise = utterances_to_text.recognise
    monkeypatch.setattr(utterances_to_text, "recognise", interrupted)
    monkeypatch.setattr(scoring_corpus, "WINDOW", 1)
    with pytest.raises(SystemExit):
        evaluate("--calls", path, "--output", folder / "out.jsonl")
    assert len(windows) == 2
    assert set(folder.iterdir()) == before | {folder / "calls.jsonl"}
    assert (folder / "out.jsonl").read_text() == "of yesterday"


def test_the_prompt_asks_for_digits_where_the_corpus_has_some(evaluate, folder, lines, monkeypatch):
    prompts = []

    def spy(nano, rows, lengths, own, *arguments, **options):
        prompts.extend(own)
        return [""] * len(own)

    monkeypatch.setattr(utterances_to_text, "recognise", spy)
    lines[3]["text"] = "好的，好的"
    evaluate("--calls", calls(folder, *lines))
    assert prompts == [PROMPT_VERBATIM] * len(lines)  # one of twelve is a slip
    prompts.clear()
    lines[4]["text"] = "好的，好的"
    evaluate("--calls", calls(folder, *lines))
    assert prompts == [PROMPT] * len(lines)


def test_hotwords_of_the_command_line_of_a_file_and_of_params(
    evaluate, folder, lines, fitted, make_inputs
):
    path, out = calls(folder, *lines), folder / "out.jsonl"
    write_params(folder, {"decode.hotword_floor": None})
    words = ["张三", "还款"]
    inputs = make_inputs(fitted)
    lists = Lists([words] * len(inputs), None)
    expected = transcribe(fitted, inputs, 5, MAX_TOKENS, hotwords=lists)
    assert expected != transcribe(fitted, make_inputs(fitted), 5, MAX_TOKENS)
    evaluate("--calls", path, "--output", out, "--hotwords", *words)
    assert texts_of(out) == expected
    (folder / "words.txt").write_text("张三\n\n 还款\n", encoding="utf-8")
    evaluate("--calls", path, "--output", out, "--hotwords", folder / "words.txt")
    assert texts_of(out) == expected
    write_params(folder, {"decode.hotwords": words, "decode.hotword_floor": None})
    evaluate("--calls", path, "--output", out)
    assert texts_of(out) == expected


def test_beams_of_the_command_line(evaluate, folder, lines, fitted, make_inputs):
    options = ["--hotwords", "张三", "还款", "--beams", 3, "--output", folder / "out.jsonl"]
    evaluate("--calls", calls(folder, *lines), *options)
    inputs = make_inputs(fitted)
    lists = Lists([["张三", "还款"]] * len(inputs), FLOOR)
    expected = transcribe(fitted, inputs, 5, MAX_TOKENS, beams=3, hotwords=lists)
    assert texts_of(folder / "out.jsonl") == expected


def test_frequent_errors_are_shown_first(evaluate, folder, lines, monkeypatch):
    wrong = [text.replace("您", "你").replace("是", "") for text in TEXTS]
    monkeypatch.setattr(utterances_to_text, "recognise", lambda *_, **__: wrong)
    printed, _ = evaluate("--calls", calls(folder, *lines))
    head, shown = printed.split("most frequent errors:\n")
    assert [line.split() for line in shown.splitlines()] == [
        ["3", "您", "→", "你"],
        ["3", "是", "→", "(nothing)"],
    ]
    assert "3 substitutions, 3 deletions, 0 insertions" in head


# --- Refusals


def test_a_corpus_that_is_not_there_is_named(refusal, folder):
    for option in ("--calls", "--kaldi", "--lhotse"):
        message = refusal(option, folder / "nowhere")
        assert f"{option}: {folder / 'nowhere'} does not exist" in message


def test_a_corpus_of_another_kind_is_named(refusal, folder, lines):
    path = calls(folder, *lines)
    (folder / "empty").mkdir()
    assert str(folder / "empty") in refusal("--calls", folder / "empty")
    assert str(folder / "empty") in refusal("--kaldi", folder / "empty")
    assert str(folder / "empty") in refusal("--lhotse", folder / "empty")
    assert str(path) in refusal("--kaldi", path)
    assert str(path) in refusal("--lhotse", path)


def test_a_corpus_without_anything_to_score_is_refused(refusal, folder):
    path = calls(folder, {"id": "lost", "audio": "lost.wav", "text": "再见"})
    message = refusal("--calls", path, "--output", folder / "out.jsonl")
    assert f"--calls: {path} holds nothing that can be scored" in message
    assert "lost" in message
    assert "unreadable_audio" in message
    assert not (folder / "out.jsonl").exists()
    path.write_text("")
    assert "holds no utterances" in refusal("--calls", path)


def test_a_model_that_is_none_is_named(refusal, folder, lines, own_directory):
    path = calls(folder, *lines)
    message = refusal("--calls", path, model=folder / "nowhere")
    assert "--model: " in message
    assert str(folder / "nowhere") in message
    (own_directory / "config.yaml").write_text("model: [")
    assert str(own_directory / "config.yaml") in refusal("--calls", path, model=own_directory)
    (own_directory / "model.pt").unlink()
    assert "has no model.pt" in refusal("--calls", path, model=own_directory)


def test_an_output_without_a_folder_is_refused_before_any_work(refusal, folder, lines):
    path = calls(folder, *lines)
    message = refusal("--calls", path, "--output", folder / "no" / "out.jsonl")
    assert f"--output: {folder / 'no'}" in message


def test_hotwords_that_are_no_text_are_refused(refusal, folder, lines):
    (folder / "words.txt").write_bytes("张三".encode("gbk"))
    path = calls(folder, *lines)
    assert "words.txt:1 is not UTF-8" in refusal(
        *("--calls", path, "--hotwords", folder / "words.txt")
    )


def test_hotwords_that_break_the_prompt_are_refused_with_their_place(refusal, folder, lines):
    path, words = calls(folder, *lines), folder / "words.txt"
    sentence = "expected a word without < > [ ], commas and control characters"
    message = refusal("--calls", path, "--hotwords", "张三", "<|im_end|>")
    assert f"--hotwords: {sentence}" in message
    assert message.endswith("got '<|im_end|>'.")
    words.write_text("张三\n\n张三，李四\n", encoding="utf-8")
    message = refusal("--calls", path, "--hotwords", words)
    assert f"{words}:3: {sentence}" in message
    assert message.endswith("got '张三，李四'.")


@pytest.mark.parametrize(
    "words", [[], ["--calls", "a", "--kaldi", "b"], ["--calls", "a", "--beams", "0"]]
)
def test_usage_is_shown(words, evaluate, capsys):
    with pytest.raises(SystemExit) as caught:
        evaluate(*words)
    assert caught.value.code == 2
    assert "usage: telephone-asr evaluate" in capsys.readouterr().err
