"""Real servers on 127.0.0.1 for DVC's remotes: rclone's S3, OpenSSH's sshd, wsgidav; and a line to
them that can be cut."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from storage_fixtures import flip, flipped

KEY, SECRET = "ACCESSKEY123", "SECRETKEY123"
USER, PASSWORD = "team", "a-password"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server whose files lie in `root`; `url` and `settings` are what DVC needs to reach it.

    `settings` go to .dvc/config.local; `wrong` is one of them, of somebody who may not.
    """

    needs: tuple[str, ...] = ()  # programs and modules
    wrong: str

    def __init__(self, directory: Path):
        self.directory, self.root = directory, directory / "root"
        self.store = self.root / "team" / "calls"  # as DVC's url has it
        self.port, self.process = free_port(), None
        self.make_root()
        self.prepare()

    def make_root(self) -> None:
        """Makes what must be there before the first push: a bucket, a WebDAV collection."""
        self.store.mkdir(parents=True)

    def prepare(self) -> None:
        """Writes what the server reads when it starts."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def url(self) -> str:
        raise NotImplementedError

    def settings(self, port: int | None = None) -> list[str]:
        """Of a remote that is reached at a port: the server's own, or a line's."""
        raise NotImplementedError

    def start(self) -> None:
        log = open(self.directory / "log", "ab")  # noqa: SIM115 - the server's
        self.process = subprocess.Popen(
            self.command(), stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.directory / "log").read_text()) from None
                time.sleep(0.05)

    def flip(self, path: Path) -> None:
        """Changes a bit of a file that it serves."""
        flip(path)

    def kill(self) -> None:
        """SIGKILL, to those that serve a connection too."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class S3(Server):
    needs = ("rclone", "dvc_s3")
    wrong = "secret_access_key = WRONGKEY456"

    def command(self) -> list[str]:
        return [
            *(program("rclone"), "serve", "s3", str(self.root), "--config", os.devnull),
            *("--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}"),
            *("--dir-cache-time", "0s"),  # the tests change files behind its back
        ]

    def url(self) -> str:
        return "s3://team/calls"

    def flip(self, path: Path) -> None:
        """Has somebody upload other bytes in its place: what changes below it, S3 itself sees."""
        import s3fs

        store = s3fs.S3FileSystem(
            **{"key": KEY, "secret": SECRET, "endpoint_url": f"http://127.0.0.1:{self.port}"}
        )
        data = path.read_bytes()
        place = f"team/calls/{path.relative_to(self.store)}"
        store.pipe_file(place, flipped(data))
        assert path.read_bytes() != data

    def settings(self, port: int | None = None) -> list[str]:
        return [
            *(f"endpointurl = http://127.0.0.1:{port or self.port}", "region = us-east-1"),
            *(f"access_key_id = {KEY}", f"secret_access_key = {SECRET}"),
        ]


class SSH(Server):
    needs = ("sshd", "dvc_ssh")

    def prepare(self) -> None:
        for name in ("host", "user", "stranger"):
            key = self.directory / name
            if not key.exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True
                )
        self.wrong = f"keyfile = {self.directory / 'stranger'}"
        shutil.copy(self.directory / "user.pub", self.directory / "authorized")
        (self.directory / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.directory}/host\n"
            f"AuthorizedKeysFile {self.directory}/authorized\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPidFile none\nSubsystem sftp internal-sftp\n"
            "MaxStartups 100\n"
        )

    def command(self) -> list[str]:
        if os.geteuid() == 0:  # where sshd, of root, lives without rights
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        return [program("sshd"), "-D", "-e", "-f", str(self.directory / "config")]

    def url(self) -> str:
        return f"ssh://127.0.0.1{self.store}"

    def settings(self, port: int | None = None) -> list[str]:
        name = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout
        keyfile = f"keyfile = {self.directory / 'user'}"
        return [f"port = {port or self.port}", f"user = {name.strip()}", keyfile]


class WebDAV(Server):
    needs = ("wsgidav", "cheroot", "dvc_webdav")
    wrong = "password = another"

    def prepare(self) -> None:
        (self.directory / "config.yaml").write_text(
            f"host: 127.0.0.1\nport: {self.port}\nprovider_mapping: {{'/': '{self.root}'}}\n"
            "http_authenticator: {accept_basic: true, accept_digest: false}\n"
            f"simple_dc: {{user_mapping: {{'*': {{{USER}: {{password: {PASSWORD}}}}}}}}}\n"
        )

    def command(self) -> list[str]:
        config = str(self.directory / "config.yaml")
        return [sys.executable, "-m", "wsgidav.server.server_cli", "--config", config]

    def url(self) -> str:
        return "webdav://127.0.0.1/team/calls"

    def settings(self, port: int | None = None) -> list[str]:
        url = f"url = webdav://127.0.0.1:{port or self.port}/team/calls"
        return [url, f"user = {USER}", f"password = {PASSWORD}"]


SERVERS = {"s3": S3, "ssh": SSH, "webdav": WebDAV}


def program(name: str) -> str | None:
    """The path of a program: of the virtual environment, or of the system, sbin too."""
    places = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


class Line:
    """A TCP line to a port; once `limit_bytes` went over it, both ways together, `then` is called
    and it is cut for good."""

    def __init__(self, to_port: int, limit_bytes: int, then: Callable[[], None] = lambda: None):
        self.to_port, self.left, self.then = to_port, limit_bytes, then
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self) -> bool:
        return self.left <= 0

    def _accept(self) -> None:
        while not self.is_cut:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to_port))
            except OSError:
                return
            self.sockets += [near, far]
            if self.is_cut:  # while it was being made
                self.cut()
                return
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(2**14):
                other.sendall(data)
                self.left -= len(data)
                if self.is_cut:
                    self.then()
                    self.cut()
                    return
        except OSError:
            pass
        finally:
            for end in (one, other):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.left = 0
        for one in (self.listener, *self.sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
