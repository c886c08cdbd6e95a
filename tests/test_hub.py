"""The hubs' real download code, against a small hub on 127.0.0.1."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from repository_fixtures import SMALL, stage_command, write_params

HUBS = ("modelscope", "huggingface")
REPO, REVISION, COMMIT = "FunAudioLLM/Fun-ASR-Nano-2512", "v1.0", "c0ffee" + "0" * 34


class SmallHub:
    """Serves a directory as ModelScope and as Hugging Face serve a repository."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.asked: Counter = Counter()  # how often each file was asked for
        self.cut_off = 0  # how many transfers of model.pt end half way
        self.flipped = False  # whether a byte of model.pt changes on the way
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                hub.answer(self)

            def do_GET(self):
                hub.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False  # closing it waits for them
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urllib.parse.urlparse(request.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == f"/api/v1/models/{REPO}/repo/files" and query["Revision"] == [REVISION]:
            files = [self._listed(path) for path in self._files()]
            return self._json(request, {"Code": 200, "Success": True, "Data": {"Files": files}})
        if url.path == f"/api/v1/models/{REPO}/repo" and query["Revision"] == [REVISION]:
            return self._file(request, query["FilePath"][0])
        if url.path == f"/api/models/{REPO}/revision/{REVISION}":
            siblings = [{"rfilename": self._name(path)} for path in self._files()]
            return self._json(request, {"id": REPO, "sha": COMMIT, "siblings": siblings})
        if url.path == f"/api/models/{REPO}/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": self._name(p), "size": p.stat().st_size, "oid": _sha(p)}
                for p in self._files()
            ]
            return self._json(request, tree)
        prefix = f"/{REPO}/resolve/{COMMIT}/"
        if url.path.startswith(prefix):
            return self._file(request, url.path.removeprefix(prefix))
        missing = {"Code": 10010205001, "Success": False, "Message": "there is no such revision"}
        return self._json(request, missing, 404)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

    def _name(self, path: Path) -> str:
        return path.relative_to(self.directory).as_posix()

    def _listed(self, path: Path) -> dict:
        entry = {"Path": self._name(path), "Name": path.name, "Type": "blob"}
        return entry | {"Size": path.stat().st_size, "Sha256": _sha(path), "Revision": COMMIT}

    def _json(self, request: BaseHTTPRequestHandler, content, code: int = 200) -> None:
        self._send(request, json.dumps(content).encode(), code=code)

    def _file(self, request: BaseHTTPRequestHandler, name: str) -> None:
        path = self.directory / name
        if not path.is_file():
            return self._json(request, {"Code": 404, "Message": f"no {name}"}, 404)
        content = path.read_bytes()
        headers = {"ETag": f'"{_sha(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if request.command == "HEAD":
            return self._send(request, content, headers)
        self.asked[name] += 1
        start = 0
        if wanted := request.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if name == "model.pt" and self.flipped:
            content = content[:999] + bytes([content[999] ^ 1]) + content[1000:]
        body = content[start:]
        half = name == "model.pt" and self.cut_off > 0
        self.cut_off -= half
        self._send(request, body, headers, 206 if wanted else 200, len(body) // 2 if half else None)

    @staticmethod
    def _send(request, body: bytes, headers=(), code: int = 200, cut_at: int | None = None) -> None:
        request.send_response(code)
        for name, value in dict(headers).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body[:cut_at])
        if cut_at is not None:
            request.close_connection = True
            request.connection.close()


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hub(tiny_directory):
    hub = SmallHub(tiny_directory)
    yield hub
    hub.close()


@pytest.fixture
def environment(tmp_path, hub) -> dict[str, str]:
    """Both hubs at our address, and their caches here."""
    return {
        **os.environ,
        "MODELSCOPE_ENDPOINT": hub.url,
        "MODELSCOPE_CACHE": str(tmp_path / "modelscope"),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "huggingface"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture
def run(tmp_path, environment):
    """Runs a stage as DVC does."""
    write_params(tmp_path, SMALL | {"base.repo": REPO, "base.revision": REVISION})

    def run(stage: str, **changes) -> subprocess.CompletedProcess:
        write_params(tmp_path, {f"base.{key}": value for key, value in changes.items()})
        return subprocess.run(
            [sys.executable, "-m", *stage_command(stage)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    return run


def refusal(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    return line


def pinned(directory: Path, sha256: str) -> str:
    (directory / "model.sha256").write_text(f"{sha256}  model.pt\n")
    return "model.sha256"


@pytest.mark.parametrize("kind", HUBS)
def test_a_snapshot_becomes_the_base_and_is_fetched_once(kind, run, hub, tmp_path, tiny_directory):
    done = run("base", kind=kind, pins=pinned(tmp_path, _sha(tiny_directory / "model.pt")))
    assert done.returncode == 0, done.stderr
    for path in tiny_directory.rglob("*"):
        if path.is_file():
            name = path.relative_to(tiny_directory)
            assert (tmp_path / "models" / "base" / name).read_bytes() == path.read_bytes(), name
    assert set(hub.asked.values()) == {1}

    hub.close()  # from here on there is no network
    done = run("tokenizer")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "tokenizer" / "tokenizer.json").is_file()


@pytest.mark.parametrize("kind", HUBS)
def test_a_broken_transfer_goes_on(kind, environment, hub, tiny_directory):
    hub.cut_off = 1
    code = "from telephone_asr.model.hub import snapshot; "
    code += f"print(snapshot({kind!r}, {REPO!r}, {REVISION!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    fetched = Path(done.stdout.splitlines()[-1])
    assert _sha(fetched / "model.pt") == _sha(tiny_directory / "model.pt")
    assert hub.asked["model.pt"] == 2


@pytest.mark.parametrize("kind", HUBS)
def test_other_weights_than_those_pinned_are_refused(kind, run, tmp_path, tiny_directory):
    line = refusal(run("base", kind=kind, pins=pinned(tmp_path, "0" * 64)))
    assert "model.pt is not the file that model.sha256 pins" in line
    assert _sha(tiny_directory / "model.pt") in line
    assert not (tmp_path / "models" / "base").exists()


def test_what_changed_on_the_way_is_refused(run, hub, tmp_path, tiny_directory):
    """ModelScope's list has the hash of each file; of Hugging Face's, the pin is the check."""
    hub.flipped = True
    own = pinned(tmp_path, _sha(tiny_directory / "model.pt"))
    line = refusal(run("base", kind="huggingface", pins=own))
    assert "model.sha256" in line
    line = refusal(run("base", kind="modelscope", pins=None))
    assert "base.repo" in line
    assert not (tmp_path / "models" / "base").exists()


@pytest.mark.parametrize("kind", HUBS)
def test_each_place_that_was_looked_at_is_named(kind, run, hub, tmp_path):
    line = refusal(run("base", kind=kind, revision="v9"))
    assert f"base.repo: {REPO} at revision v9 is neither in the cache {tmp_path / kind}" in line
    assert hub.url in line
    assert "base.path" in line


def test_a_hub_without_a_revision_is_refused_before_anything_is_asked(run, hub):
    line = refusal(run("base", kind="modelscope", revision=None))
    assert "base.revision: expected a text" in line
    assert not hub.asked
