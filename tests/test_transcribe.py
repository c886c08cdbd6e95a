"""Calls transcribed, by the command and in Python: files, resuming, what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import telephone_asr
from call_fixtures import RATE_HZ
from repository_fixtures import ROOT
from telephone_asr import cli
from telephone_asr.calls.turns import Call
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM


@pytest.fixture
def transcribe(monkeypatch, capsys, fitted_directory):
    """transcribe(*arguments): exit code, stdout, and the errors of stderr."""

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        words = ["telephone-asr", "transcribe", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", [*words, "--model", str(fitted_directory)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            if isinstance(exit_.code, str):
                return 1, "", [exit_.code]
            code = exit_.code
        printed = capsys.readouterr()
        lines = printed.err.replace("\r", "\n").splitlines()
        return code, printed.out, [line for line in lines if line.startswith("error: ")]

    return run


@pytest.fixture(scope="module")
def call(made_call) -> tuple[Path, list]:
    return made_call(0.5, 2)


@pytest.fixture
def folder(call, tmp_path) -> Path:
    """A folder with a call, a silent one, a broken one, and what is no sound."""
    folder = tmp_path / "calls"
    (folder / "monday").mkdir(parents=True)
    shutil.copy(call[0], folder / "monday" / "a.wav")
    soundfile.write(folder / "silent.wav", np.zeros((RATE_HZ * 20, 2)), RATE_HZ)
    (folder / "broken.wav").write_bytes(call[0].read_bytes()[:9999])
    (folder / "notes.txt").write_text("call back", encoding="utf-8")
    return folder


def test_a_folder_is_transcribed_and_what_is_broken_is_a_line(transcribe, folder, call):
    code, out, errors = transcribe(folder, "--format", "json", "--names", "agent", "customer")
    assert (code, out) == (1, "")
    assert len(errors) == 1
    assert "broken.wav" in errors[0]
    found = json.loads((folder / "monday" / "a.json").read_text("utf-8"))
    assert found["audio"] == "a.wav"
    for said in call[1]:
        own = [turn for turn in found["turns"] if turn["channel"] == said.channel]
        assert any(said.start_s - 0.3 < turn["start"] < said.end_s for turn in own)
    for turn in found["turns"]:
        assert turn["speaker"] == ("agent", "customer")[turn["channel"]]
        characters = turn["characters"]
        assert "".join(text for text, _, _ in characters) in ("", turn["text"])
        sure = [one for one in turn["confidences"] if one is not None]
        assert len(turn["confidences"]) == len(characters)
        assert all(0 <= one <= 1 for one in sure)
        times = [time for _, start, end in characters for time in (start, end)]
        assert times == sorted(times)
        assert all(turn["start"] <= time <= turn["end"] for time in times)
    assert json.loads((folder / "silent.json").read_text("utf-8"))["turns"] == []
    assert not (folder / "broken.json").exists()
    assert not list(folder.rglob("*.new"))


def test_a_page_has_the_turns_and_the_sound_in_it(transcribe, folder, call):
    code, _, errors = transcribe(folder, "--format", "html", "--names", "agent", "customer")
    assert (code, len(errors)) == (1, 1)  # broken.wav
    page = (folder / "monday" / "a.html").read_text("utf-8")
    assert page.count("<b>agent</b>") + page.count("<b>customer</b>") > 1
    assert page.count("<li ") == len(
        json.loads(transcribe(folder / "monday" / "a.wav", "--format", "json", "--out", "-")[1])[
            "turns"
        ]
    )
    assert len(page) > 30 * 3000  # 24 kbit/s, and a third more in base64
    assert "Nobody speaks" in (folder / "silent.html").read_text("utf-8")


def test_what_is_done_is_not_done_again_unless_it_is_to_be(transcribe, folder):
    (folder / "broken.wav").unlink()
    assert transcribe(folder, "--format", "txt")[0] == 0
    target = folder / "silent.txt"
    target.write_text("mine", encoding="utf-8")
    (folder / "monday" / "a.txt").unlink()
    assert transcribe(folder, "--format", "txt")[0] == 0
    assert (folder / "monday" / "a.txt").exists()
    assert target.read_text("utf-8") == "mine"
    assert transcribe(folder, "--format", "txt", "--force")[0] == 0
    assert target.read_text("utf-8") == ""


def test_files_go_where_they_are_to_go_as_the_folder_has_them(transcribe, folder, tmp_path):
    (folder / "broken.wav").unlink()
    out = tmp_path / "new" / "texts"
    assert transcribe(folder, "--out", out, "--format", "csv")[0] == 0
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert written == ["monday/a.csv", "silent.csv"]
    audio = (out / "monday" / "a.csv").read_text("utf-8-sig").splitlines()[1].split(",")[1]
    assert (out / "monday" / audio).samefile(folder / "monday" / "a.wav")


def test_a_list_names_files_and_folders_from_where_it_lies(transcribe, folder, tmp_path):
    listed = tmp_path / "mine.txt"
    listed.write_text("calls/monday\n\ncalls/silent.wav\ncalls/lost.wav\n", encoding="utf-8")
    code, out, errors = transcribe(listed, folder / "silent.wav")
    assert code == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        *(str(folder / "monday" / "a.wav"), str(folder / "silent.wav")),
    ]
    assert errors == [f"error: {listed}:4: {folder / 'lost.wav'} does not exist."]


def test_one_is_printed_in_any_format_and_several_where_they_can_be_parted(transcribe, folder):
    paths = folder / "monday" / "a.wav", folder / "silent.wav"
    assert "size = " in transcribe(paths[0], "--out", "-", "--format", "textgrid")[1]
    table = transcribe(*paths, "--out", "-", "--format", "csv")[1]
    assert table.count("id,audio") == 1
    lines = transcribe(*paths, "--out", "-", "--format", "json")[1].splitlines()
    assert [Path(json.loads(line)["audio"]).name for line in lines] == ["a.wav", "silent.wav"]
    code, _, (error,) = transcribe(*paths, "--out", "-", "--format", "srt")
    assert code == 1
    assert "run into each other" in error


def test_inputs_that_cannot_be_are_each_a_sentence(transcribe, folder, tmp_path):
    twin = tmp_path / "more" / "silent.wav"
    twin.parent.mkdir()
    shutil.copy(folder / "silent.wav", twin)
    empty = tmp_path / "empty"
    empty.mkdir()
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, np.zeros(RATE_HZ), RATE_HZ)
    out = tmp_path / "out"
    arguments = [folder / "silent.wav", twin, empty, tmp_path / "lost.wav", mono]
    code, _, errors = transcribe(*arguments, "--out", out, "--channels", "right")
    assert code == 1
    assert [path.name for path in out.iterdir()] == ["silent.txt"]
    for name, words in {
        "more/silent.wav": "is what is written of",
        "empty": "holds no sound",
        "lost.wav": "No such file",
        "mono.wav": "no right channel",
    }.items():
        assert sum(name in error and words in error for error in errors) == 1, name
    assert len(errors) == 4


def test_a_folder_that_cannot_be_written_to_is_named(transcribe, folder, tmp_path):
    (tmp_path / "file").touch()
    code, _, (error,) = transcribe(folder, "--out", tmp_path / "file" / "out")
    assert code == 1
    assert "cannot be made" in error


def test_the_longest_call_is_that_of_params_yaml(transcribe, folder, monkeypatch, tmp_path):
    text = (ROOT / "params.yaml").read_text("utf-8")
    changed, n = re.subn(r"max_hours: [\d.]+", "max_hours: 0.001", text)
    assert n == 1
    (tmp_path / "params.yaml").write_text(changed, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code, _, (error,) = transcribe(folder / "silent.wav")
    assert code == 1
    assert "limit 0.001 (corpus.max_hours" in error


def test_two_processes_write_what_one_writes(transcribe, folder, monkeypatch):
    from telephone_asr.calls import many

    monkeypatch.setattr(many, "CHUNK_BYTES", 1)
    alone = transcribe(folder)
    assert transcribe(folder, "--processes", 2) == alone
    assert len(alone[1].splitlines()) == 2


def test_killed_it_goes_on_where_it_was(transcribe, folder, fitted_directory):
    (folder / "broken.wav").unlink()
    for n in range(30):
        shutil.copy(folder / "monday" / "a.wav", folder / f"call-{n:02}.wav")
    command = [sys.executable, "-m", "telephone_asr.cli", "transcribe", str(folder)]
    command += ["--format", "json", "--model", str(fitted_directory), "--batch-size", "1"]
    wanted = {path.with_suffix(".json") for path in folder.rglob("*.wav")}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(folder.rglob("*.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert before
    for path in before:
        json.loads(path.read_text("utf-8"))
    code, _, errors = transcribe(folder, "--format", "json")
    assert (code, errors) == (0, [])
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert set(after) == wanted
    assert before.items() <= after.items()


# --- In Python


def test_a_call_in_python(call, fitted_directory):
    model = telephone_asr.load_model(fitted_directory)
    found = telephone_asr.transcribe(call[0], model, names=("agent", "customer"))
    assert isinstance(found, Call)
    assert found.duration_s == 30.0
    assert found.channels.items() <= {0: "agent", 1: "customer"}.items()
    assert (
        found.turns
        == telephone_asr.transcribe(
            str(call[0]), fitted_directory, names=("agent", "customer")
        ).turns
    )
    with pytest.raises(InputError, match=r"lost\.wav: No such file"):
        telephone_asr.transcribe("lost.wav", model)
    with pytest.raises(InputError, match="channels: expected one of both, left"):
        telephone_asr.transcribe(call[0], model, channels="stereo")


def test_an_utterance_of_one_segment_has_the_text_that_it_had(
    spoken_utterances, fitted_directory, tmp_path
):
    """As one that is recognised whole, to the last sample."""
    model = telephone_asr.load_model(fitted_directory)
    for n, (samples, _) in enumerate(spoken_utterances[:4]):
        path = tmp_path / f"{n}.wav"
        around = np.zeros(RATE_HZ // 3, dtype=np.float32)
        soundfile.write(path, np.concatenate([around, samples, around]), RATE_HZ)
        whole = telephone_asr.transcribe(path, model, whole=True)
        assert telephone_asr.transcribe(path, model).text == whole.text


@pytest.mark.parametrize(
    ("line", "prompt"),
    [("", PROMPT_VERBATIM), ("itn: false\n", PROMPT_VERBATIM), ("itn: true\n", PROMPT)],
)
def test_a_model_is_asked_as_it_was_adapted(
    call, fitted_directory, tmp_path, monkeypatch, capsys, line, prompt
):
    directory = Path(shutil.copytree(fitted_directory, tmp_path / "model"))
    with (directory / "config.yaml").open("a", encoding="utf-8") as config:
        config.write(line)
    model = telephone_asr.load_model(directory)
    encode, read = model.tokenizer.encode, []
    monkeypatch.setattr(model.tokenizer, "encode", lambda text: read.append(text) or encode(text))
    telephone_asr.transcribe(call[0], model)
    assert {text for text in read if "转写" in text} == {f"<|im_start|>user\n{prompt}"}
    assert "no key" not in capsys.readouterr().err


def test_the_ctc_branch_says_what_params_had_it_say(call, fitted_directory, tmp_path, capsys):
    directory = Path(shutil.copytree(fitted_directory, tmp_path / "model"))
    with (directory / "config.yaml").open("a", encoding="utf-8") as config:
        config.write("branch_conf: {doubt: 1.0}\n")
    assert telephone_asr.transcribe(call[0], fitted_directory).turns
    assert not telephone_asr.transcribe(call[0], directory).turns  # it has learnt nothing
    assert "no key" not in capsys.readouterr().err
    text = (
        (directory / "config.yaml")
        .read_text(encoding="utf-8")
        .replace("doubt: 1.0", "short: {ctc: 1.0}")
    )
    (directory / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"branch_conf\.short: expected characters and ctc"):
        telephone_asr.transcribe(call[0], directory)


@pytest.mark.parametrize("doubt", ["[1]", ".nan", "{ctc: 0.3, llm: 0.6}", "1.5"])
def test_a_doubt_that_is_no_share_is_not_used(call, fitted_directory, tmp_path, doubt, capsys):
    directory = Path(shutil.copytree(fitted_directory, tmp_path / "model"))
    with (directory / "config.yaml").open("a", encoding="utf-8") as config:
        config.write(f"branch_conf: {{doubt: {doubt}}}\n")
    if doubt == "1.5":
        with pytest.raises(InputError, match=r"branch_conf\.doubt: expected a mean .* got 1\.5"):
            telephone_asr.transcribe(call[0], directory)
    else:
        assert telephone_asr.transcribe(call[0], directory).turns
        assert re.search(r"branch_conf\.doubt: expected .*: not used", capsys.readouterr().out)


def test_a_model_without_a_ctc_branch_has_turns_without_characters(call, tiny_directory, tmp_path):
    from model_fixtures import write_variant

    def change(config: dict) -> None:
        for key in [key for key in config if "ctc" in key]:
            del config[key]

    directory = write_variant(tiny_directory, tmp_path / "model", change)
    found = telephone_asr.transcribe(call[0], directory)
    assert all(turn.characters == () and turn.start_s < turn.end_s for turn in found.turns)


def test_hotwords_are_in_the_prompt(transcribe, call, fitted_directory, tmp_path):
    (tmp_path / "words.txt").write_text("张三\n还款\n", encoding="utf-8")
    plain, by_file, by_name = (
        transcribe(call[0], *options)
        for options in ((), ("--hotwords", tmp_path / "words.txt"), ("--hotwords", "张三", "还款"))
    )
    assert by_file == by_name
    assert by_file[1] != plain[1]
    found = telephone_asr.transcribe(call[0], fitted_directory, hotwords=["张三", "还款"])
    assert by_file[1] == f"{call[0]}\t{found.text}\n"
    code, _, (error,) = transcribe(call[0], "--hotwords", "张[三")
    assert code == 1
    assert "expected a word without < >" in error


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="transcibe"):
        _ = telephone_asr.transcibe
    assert os.environ["OMP_WAIT_POLICY"]
