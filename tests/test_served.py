"""FunASR's own OpenAI-compatible server on an exported model, called as docs/deploy.md says."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import soundfile

from repository_fixtures import ROOT
from speech_fixtures import CALL_RATE_HZ

sys.path.append(str(ROOT / "bench"))
from server import broken, call, calls, leave, serving

for package in ("fastapi", "multipart", "openai", "uvicorn"):
    pytest.importorskip(package, reason="pip install -c constraints.txt -e '.[dev]'")

pytestmark = pytest.mark.slow

DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")

# Python imports this first: what the server binds and connects to is written down.
WATCH = """
import sys

def hook(event, arguments):
    if event in ("socket.bind", "socket.connect", "socket.getaddrinfo"):
        with open({log!r}, "a") as log:
            print(event, arguments[-1] if event != "socket.getaddrinfo" else arguments[0], file=log)

sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, utterances) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    for one in utterances:
        soundfile.write(folder / f"{one.id}.wav", one.samples, CALL_RATE_HZ)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def model(fitted_directory, tmp_path_factory) -> Path:
    """An exported model that was trained on transcripts without digits and punctuation, and without
    dither, which FunASR draws anew each time."""
    from omegaconf import OmegaConf

    from telephone_asr.model.export import export
    from telephone_asr.model.pretrained import load

    directory = tmp_path_factory.mktemp("models") / "final"
    export(load(fitted_directory), directory, verbatim=True)
    config = OmegaConf.load(directory / "config.yaml")
    config.frontend_conf.dither = 0.0
    OmegaConf.save(config, directory / "config.yaml")
    return directory


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(model, folder):
    (folder / "sitecustomize.py").write_text(WATCH.format(log=str(folder / "network")))
    (folder / "tmp").mkdir()
    python_path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": python_path, "TMPDIR": str(folder / "tmp")}
    with serving(model, folder / "log", environment) as running:
        yield running


@pytest.fixture(scope="module")
def expected(model, recordings) -> list[str]:
    """What `telephone-asr transcribe --whole` writes."""
    import telephone_asr

    nano = telephone_asr.load_model(model, "cpu")
    found = [telephone_asr.transcribe(path, nano, whole=True) for path in recordings]
    return ["".join(turn.text for turn in one.turns) for one in found]


@pytest.fixture
def goes_on(server, recordings, expected):
    """After a test, the next call has its text."""
    yield
    assert call(server, "call.wav", recordings[0].read_bytes()).text == expected[0]


def test_ten_calls_at_a_time_have_the_texts_of_transcribe(server, recordings, expected):
    answers = calls(server, [path.read_bytes() for path in recordings], at_a_time=10)
    assert [answer.text for answer in answers] == expected
    assert len(set(expected)) > 3


@pytest.mark.usefixtures("goes_on")
@pytest.mark.parametrize("what", broken(b""))
def test_what_is_no_whole_sound_is_an_error_of_that_call_alone(server, recordings, what):
    name, content = broken(recordings[-1].read_bytes())[what]
    answer = call(server, name, content)
    if what == "the first half of a WAV":
        assert answer.text is not None  # of what is there: docs/deploy.md warns of it
    else:
        assert answer.error == "HTTP 500"


@pytest.mark.usefixtures("goes_on")
@pytest.mark.parametrize("share", [0.5, 1], ids=["while it sends", "before its answer"])
def test_a_client_may_go_away(server, recordings, share):
    leave(server, recordings[-1].read_bytes(), share)


@pytest.mark.usefixtures("goes_on")
def test_a_list_is_read_from_the_servers_disk_as_the_page_warns(server, recordings, expected):
    answer = call(server, "list.txt", f"id {recordings[3]}".encode())
    assert answer.text == expected[3], "FunASR has mended it: docs/deploy.md need not warn"


def test_the_commands_of_the_page_are_as_funasr_has_them():
    from funasr.bin import realtime_ws, server

    parsers = {
        "funasr-server": server.build_parser(),
        "funasr-realtime-server": realtime_ws.build_arg_parser(),
    }
    commands = [shlex.split(line) for line in re.findall(r"^funasr-.*$", DEPLOY, re.MULTILINE)]
    assert {words[0] for words in commands} == parsers.keys()
    assert parsers.keys() <= {one.name for one in entry_points(group="console_scripts")}
    for words in commands:
        parsers[words[0]].parse_args(words[1:])


def test_the_examples_of_the_page_work(server, recordings, expected, tmp_path):
    examples = [
        *re.findall(r"^curl .*transcriptions$", DEPLOY, re.MULTILINE),
        *re.findall(r"^```python\n(.*?)^```", DEPLOY, re.MULTILINE | re.DOTALL),
    ]
    assert len(examples) == 2
    (tmp_path / "call.wav").write_bytes(recordings[0].read_bytes())
    for example in examples:
        mine = example.replace("http://127.0.0.1:8000", server.url)
        assert mine != example
        command = shlex.split(mine) if mine.startswith("curl") else [sys.executable, "-c", mine]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert expected[0] in done.stdout


def test_nothing_leaves_the_machine_and_nothing_stays_on_its_disk(server, folder, recordings):
    assert call(server, "call.wav", recordings[0].read_bytes()).text
    network = (folder / "network").read_text().splitlines()
    assert any(line.startswith("socket.bind ('127.0.0.1'") for line in network)
    assert not [line for line in network if line.startswith(("socket.connect", "socket.geta"))]
    assert not list((folder / "tmp").glob("*.*"))
