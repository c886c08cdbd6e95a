"""The command line: what it writes and prints, and how it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from repository_fixtures import ROOT
from speech_fixtures import CALL_RATE_HZ, TEXTS, write_wav
from telephone_asr import cli
from telephone_asr.calls import transcriber
from telephone_asr.channel import g711
from telephone_asr.params import load_params
from telephone_asr.paths import SHARDS
from telephone_asr.shards import sound_index


@pytest.fixture
def call(monkeypatch, capsys):
    """call("profile", "x"): what is printed; a refusal must be one sentence."""

    def run(*arguments: str, fails: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["telephone-asr", *map(str, arguments)])
        capsys.readouterr()
        if not fails:
            cli.main()
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as caught:
            cli.main()
        message = str(caught.value)
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return run


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Path:
    """params.yaml and profiles of the repository, in the working directory."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params.yaml"


def profile(text: str) -> str:
    Path("profiles/mine.yaml").write_text(text, encoding="utf-8")
    return "mine"


def comments(text: str) -> list[str]:
    return re.findall(r"#.*", text)


# --- profile


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "profiles").glob("*.yaml")))
def test_the_profiles_of_the_repository_fit_its_params(settings, call, name):
    call("profile", name)
    load_params(settings)
    assert comments(settings.read_text()) == comments((ROOT / "params.yaml").read_text())
    once = settings.read_text()
    call("profile", name)
    assert settings.read_text() == once


def test_a_profile_changes_its_keys_and_no_other_line(settings, call):
    before = settings.read_text().splitlines()
    call("profile", profile("train: {lr: 1.0e-5, lora: {r: 8}}\nchannel: {band_hz: [200, 3000]}"))
    after = settings.read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split()[0] for line in changed] == ["band_hz:", "lr:", "lora:"]
    assert comments("\n".join(after)) == comments("\n".join(before))
    params = load_params(settings)
    assert params.train.lr == 1e-5
    assert (params.train.lora.r, params.train.lora.alpha) == (8, 32)
    assert params.channel.band_hz == (200, 3000)


def test_an_empty_profile_changes_nothing(settings, call):
    before = settings.read_bytes()
    call("profile", profile("# nothing yet\n"))
    assert settings.read_bytes() == before


def test_an_unknown_profile_says_which_there_are(settings, call):
    before = settings.read_bytes()
    message = call("profile", "fun-asr-nona", fails=True)
    assert "profiles/fun-asr-nona.yaml" in message
    assert "fun-asr-nano" in message
    assert "smallest" in message
    assert settings.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("train: {learning_rate: 1}", "learning_rate"),
        ("trian: {lr: 0.1}", "trian"),
        ("train: {lr: fast}", "train.lr"),
        ("seed: 1.5", "seed"),
        ("train: 5", "train"),
        ("frontend: {fs: 11025}", "frontend.fs"),
        ("seed: 3\ntrain: {lr: 7}", "train.lr"),
        ("seed: {value: 3}", "seed"),
        ("train: {max_frames: 3}", "train.max_frames is now called train.max_batch_rows"),
        ("base: {path: {nano: x}}", "path"),
        ("- seed", "mine.yaml"),
        ("seed: [", "mine.yaml"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused_and_params_stay(settings, call, text, named):
    before = settings.read_bytes()
    message = call("profile", profile(text), fails=True)
    assert named in message
    assert settings.read_bytes() == before


def test_a_terminal_that_lacks_a_character_gets_another(tmp_path):
    """As a console in GBK does, of which not even --help may fail."""
    for name, text in (("ref", "a 您好吗\n"), ("hyp", "a 您好𠮷é\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    for encoding in ("gbk", "ascii"):
        for words in (["score", "ref", "hyp"], ["score", "--help"]):
            done = subprocess.run(
                [sys.executable, "-m", "telephone_asr.cli", *words],
                cwd=tmp_path,
                env={**os.environ, "PYTHONIOENCODING": encoding},
                capture_output=True,
            )
            assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "telephone_asr.cli", "score", "ref", "hyp"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "gbk"},
        capture_output=True,
    ).stdout.decode("gbk")
    assert "您好?é" in shown


# --- unpack


def test_unpack_writes_the_files_that_the_manifests_name(repository, call):
    call("unpack")
    total = 0
    for source, shards in SHARDS.items():
        sounds = sound_index(shards)
        for path in sorted(Path("data/manifests", source).glob("t*.jsonl")):
            for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                user = line["messages"][1]["content"]
                audio = re.search(r"<\|startofspeech\|>!(.*)<\|endofspeech\|>", user)[1]
                samples, rate_hz = soundfile.read(audio, dtype="int16")
                expected, expected_rate_hz = sounds.read(line["key"])
                assert rate_hz == expected_rate_hz
                np.testing.assert_array_equal(samples, expected)
                assert len(samples) / rate_hz == pytest.approx(line["duration"], abs=1e-4)
                total += 1
    assert total > 40
    valid = json.loads(Path("data/manifests/telecall/valid.jsonl").read_text().splitlines()[0])
    assert Path(f"data/unpacked/telecall/{valid['key']}.flac").exists()


@pytest.mark.parametrize(
    "place",
    [
        "../outside.wav",
        "data/unpacked/../../outside.wav",
        "{tmp}/outside.wav",
        "data/unpacked/link/outside.wav",
        "data/unpacked/telecall",
        "data/unpacked/a\0.wav",
    ],
)
def test_unpack_writes_nowhere_else(place, repository, call, tmp_path):
    Path("data/unpacked/telecall").mkdir(parents=True)
    Path("data/unpacked/link").symlink_to(tmp_path)
    manifest = Path("data/manifests/telecall/train.jsonl")
    text = manifest.read_text(encoding="utf-8")
    place = json.dumps(place.format(tmp=tmp_path))[1:-1]
    odd = re.sub(r"!data/unpacked/[^<]*", lambda _: f"!{place}", text, count=1)
    assert odd != text
    manifest.write_text(odd, encoding="utf-8")
    message = call("unpack", fails=True)
    assert f"{manifest}: the line of 'c" in message
    assert not list(tmp_path.glob("outside.wav"))
    assert not Path("../outside.wav").exists()


@pytest.mark.parametrize("line", ['{"key": 1}', "[]", "{", '{"key": "x", "messages": [1, 2]}'])
def test_unpack_of_what_is_no_manifest(line, repository, call):
    path = Path("data/manifests/telecall/train.jsonl")
    path.write_text(line + "\n", encoding="utf-8")
    assert str(path) in call("unpack", fails=True)


def test_unpack_without_manifests_says_what_to_run(settings, call):
    assert "dvc repro manifests" in call("unpack", fails=True)


# --- simulate


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_one_file_is_simulated_mono_or_stereo(settings, call, speech, tmp_path, rate_hz):
    source = tmp_path / "in.wav"
    sound = np.stack([speech(1.0, seed=s, rate_hz=rate_hz) for s in (1, 2)], axis=1)
    write_wav(source, sound, rate_hz)
    said = call("simulate", source, tmp_path / "out.wav")
    assert "codec " in said
    assert "no babble" in said  # there is no corpus beside params.yaml
    samples, out_hz = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert (out_hz, samples.shape) == (8000, (8000,))

    power = np.abs(np.fft.rfft(samples / 32768.0)) ** 2
    assert power[1000:].sum() > 0
    assert power[3700:].sum() < 0.01 * power[300:3400].sum()  # Hz: 1 s of sound


def test_values_of_the_line_can_be_set(settings, call, speech, tmp_path):
    write_wav(tmp_path / "in.wav", speech(0.5), 16000)
    target = tmp_path / "out.wav"
    changes = ["--set", "channel.codec=gsm+mulaw", "-S", "channel.level_db=[-30, -30]"]
    said = call("simulate", tmp_path / "in.wav", target, *changes)
    assert "codec gsm+mulaw" in said
    assert "level_db -30.0" in said
    samples, _ = soundfile.read(target, dtype="int16")
    np.testing.assert_array_equal(samples, g711.through(samples, "mulaw"))
    bad = call("simulate", tmp_path / "in.wav", target, "--set", "channel.codec=mp3", fails=True)
    assert "params.yaml: channel.codec: expected mulaw, alaw" in bad


def test_a_picture_of_before_and_after(settings, call, speech, tmp_path):
    write_wav(tmp_path / "in.wav", speech(0.5), 16000)
    picture = tmp_path / "out.png"
    call("simulate", tmp_path / "in.wav", tmp_path / "out.wav", "--picture", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    lost = tmp_path / "none" / "out.png"
    arguments = ["simulate", tmp_path / "in.wav", tmp_path / "out.wav", "--picture", lost]
    assert str(lost) in call(*arguments, fails=True)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("mp3", {}), ("flac", {}), ("ogg", {"subtype": "OPUS"}), ("wav", {"subtype": "ULAW"})],
)
def test_any_file_that_people_have(settings, call, speech, tmp_path, suffix, kind):
    source = tmp_path / f"in.{suffix}"
    sound = np.stack([speech(1.0, seed=s, rate_hz=48000) for s in (1, 2)], axis=1)
    soundfile.write(source, sound, 48000, **kind)
    call("simulate", source, tmp_path / "out.wav")
    samples, rate_hz = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert rate_hz == 8000
    assert len(samples) == pytest.approx(8000, abs=400)  # MP3 pads
    assert np.abs(samples).max() > 500


def test_a_simulation_is_a_function_of_its_seed(settings, call, speech, tmp_path):
    write_wav(tmp_path / "in.wav", speech(0.5), 16000)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        call("simulate", tmp_path / "in.wav", tmp_path / f"{name}.wav", "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert a == b != c


def test_a_file_that_cannot_be_simulated_is_named(settings, call, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    for name in ("bad.wav", "lost.wav"):
        assert name in call("simulate", tmp_path / name, tmp_path / "out.wav", fails=True)
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("target", ["no/such/directory/out.wav", "out.unknown"])
def test_a_target_that_cannot_be_written_is_named(settings, call, speech, tmp_path, target):
    write_wav(tmp_path / "in.wav", speech(0.5), 16000)
    assert target in call("simulate", tmp_path / "in.wav", tmp_path / target, fails=True)


# --- transcribe


def test_files_are_transcribed_a_line_each(fitted_directory, utterances, call, tmp_path):
    paths = [write_wav(tmp_path / f"{u.id}.wav", u.samples, CALL_RATE_HZ) for u in utterances[:6]]
    lines = call("transcribe", *paths, "--whole", "--model", fitted_directory).splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(path) for path in paths]
    texts = [line.split("\t")[1] for line in lines]
    assert sum(text == expected for text, expected in zip(texts, TEXTS, strict=False)) >= 2


def test_a_text_that_is_cut_off_says_so_and_the_exit_code_tells(
    fitted_directory, utterances, monkeypatch, capsys, tmp_path
):
    path = write_wav(tmp_path / "long.wav", utterances[0].samples, CALL_RATE_HZ)
    monkeypatch.setattr(transcriber, "MAX_TOKENS", 1)
    monkeypatch.setattr(transcriber, "MAX_TOKENS_PER_S", 0)
    words = ["telephone-asr", "transcribe", str(path), "--whole", "--model", str(fitted_directory)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    printed = capsys.readouterr()
    assert len(printed.out.strip().split("\t")[1]) == 1
    assert f"error: {path}: the text of 1 of its 1 turns is cut off" in printed.err


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_transcribed(
    fitted_directory, utterances, monkeypatch, capsys, tmp_path
):
    good = write_wav(tmp_path / "good.wav", utterances[0].samples, CALL_RATE_HZ)
    tiny = write_wav(tmp_path / "tiny.wav", utterances[0].samples[:80], CALL_RATE_HZ)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    arguments = [tmp_path / "bad.wav", tmp_path / "lost.wav", tiny, good]
    arguments += ["--whole", "--model", fitted_directory]
    monkeypatch.setattr(sys, "argv", ["telephone-asr", "transcribe", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    printed = capsys.readouterr()
    assert f"{good}\t" in printed.out
    assert f"{tiny}\t" in printed.out
    assert "bad.wav" in printed.err
    assert "lost.wav" in printed.err


def test_a_model_that_is_not_there_is_named(call, tmp_path):
    message = call("transcribe", tmp_path / "a.wav", "--model", tmp_path / "m", fails=True)
    assert str(tmp_path / "m") in message
    assert "--model" in message
    assert "params.yaml" not in message


# --- help


@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "--help"]])
def test_help_does_not_wait_for_torch(arguments):
    code = (
        "import sys; from telephone_asr import cli\n"
        "sys.argv = ['telephone-asr', *sys.argv[1:]]\n"
        "try: cli.main()\n"
        "finally: print(sorted({'torch', 'funasr', 'lhotse', 'numpy'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "usage: telephone-asr" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_does_not_exist_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["telephone-asr", "transcibe"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "transcribe" in capsys.readouterr().err


# --- The command as it is installed


def installed(directory: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs the script that pip wrote, as a shell does."""
    script = Path(sys.executable).with_name("telephone-asr")
    return subprocess.run([script, *arguments], cwd=directory, capture_output=True, text=True)


def test_the_installed_command_lists_what_there_is(tmp_path):
    done = installed(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    for command in cli.COMMANDS:
        assert command.__name__.rpartition(".")[2] in done.stdout


def test_the_installed_command_works_and_refuses_in_one_sentence(tmp_path):
    (tmp_path / "ref").write_text("a 还款三百\nb 您好\n", encoding="utf-8")
    (tmp_path / "hyp").write_text("a 还款300\nb 您\n", encoding="utf-8")
    done = installed(tmp_path, "score", "ref", "hyp")
    assert done.returncode == 0, done.stderr
    assert "14.29" in done.stdout  # one of seven characters: 还 款 3 0 0 您 好
    refused = installed(tmp_path, "score", "ref", "nowhere")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
