"""Reads what DVC holds of a checkout, in its cache and on its remote, byte by byte, and takes what
one of the two lacks from the other.

DVC itself asks for names: `dvc push` and `dvc status --cloud` believe that a file on the remote is
whole, that a directory is there when its list is, and that a file of the cache that nobody may
write to is what it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telephone_asr.errors import InputError

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

CHUNK_BYTES = 2**20
READERS = 4  # at a time; each holds a chunk, and what its library reads ahead
REFUSED = "FlexibleChecksumError"  # botocore's, which compares the checksum that S3 keeps
AHEAD = {"s3": {"block_size": 2**23}}  # bytes; s3fs takes 50 MB


@dataclass(frozen=True)
class Stored:
    """An object that dvc.lock or a .dvc file names."""

    oid: str  # its MD5; of a directory's list, with .dir behind it
    path: str  # the out, or a file of it
    stage: str
    is_made: bool  # by the stage's command; else it is somebody's file
    cache: HashFileDB
    remote: HashFileDB

    @property
    def sides(self) -> tuple[HashFileDB, HashFileDB]:
        return self.cache, self.remote


@dataclass(frozen=True)
class Copy:
    """What lies where an object belongs."""

    bytes: int | None  # None: nothing
    is_whole: bool  # its bytes have the MD5 that it is named by


@dataclass(frozen=True)
class Finding:
    """An object and its copies, in the order of its sides."""

    stored: Stored
    copies: list[Copy]

    @property
    def is_sound(self) -> bool:
        return all(copy.is_whole for copy in self.copies)

    @property
    def is_lost(self) -> bool:
        return not any(copy.is_whole for copy in self.copies)


def outs_of(repo: Repo, remote: str | None) -> Iterator[tuple[Output, Stored]]:
    """Yields the outs of the checkout that belong on both sides: git has those of `cache: false`,
    this machine those of `push: false`, another repository those that are imported from it.

    Args:
        repo: the checkout.
        remote: its name; None: the default.

    Raises:
        DvcException: there is no such remote, or what reads it is not installed.
    """
    for out in repo.index.outs:
        stage = out.stage
        if not (out.use_cache and out.can_push and out.hash_info) or stage.is_repo_import:
            continue
        side = repo.cloud.get_remote_odb(out.remote or remote, "storage check", out.hash_name)
        is_made = stage.cmd is not None
        oid = out.hash_info.value
        yield out, Stored(oid, str(out), stage.addressing, is_made, out.cache, side)


def examine(outs: Iterable[Stored], seen: Callable[[int], object]) -> Iterator[Finding]:
    """Yields a finding for each object, the files of directories too, each once.

    Args:
        outs: as `outs_of` yields them.
        seen: told how many bytes were read, from several threads.

    Raises:
        InputError: a remote does not answer, or refuses.
    """
    firsts: dict[tuple, Stored] = {}
    for stored in outs:
        firsts.setdefault(_identity(stored), stored)
    members: dict[tuple, Stored] = {}
    for finding in _read_all(firsts.values(), seen):
        yield finding
        for member in _members(finding):
            if _identity(member) not in firsts:
                members.setdefault(_identity(member), member)
    yield from _read_all(members.values(), seen)


def _identity(stored: Stored) -> tuple:
    return stored.oid, stored.cache.path, stored.remote.path


def _members(finding: Finding) -> Iterator[Stored]:
    """Yields the files of a directory, by its list where that is whole."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    stored = finding.stored
    if finding.is_lost or not stored.oid.endswith(".dir"):
        return
    [side, *_] = [
        side for side, copy in zip(stored.sides, finding.copies, strict=True) if copy.is_whole
    ]
    for names, _, hash_info in Tree.load(side, HashInfo(side.hash_name, stored.oid)):
        path = "/".join([stored.path, *names])
        yield Stored(
            hash_info.value, path, stored.stage, stored.is_made, stored.cache, stored.remote
        )


def _read_all(objects: Iterable[Stored], seen: Callable[[int], object]) -> Iterator[Finding]:
    from dvc_objects.executors import ThreadPoolExecutor

    stopped = False

    def count(n_bytes: int) -> None:
        if stopped:  # somebody waits for the threads to end
            raise InterruptedError
        seen(n_bytes)

    def read(stored: Stored) -> Finding:
        return Finding(stored, [read_copy(side, stored.oid, count) for side in stored.sides])

    with ThreadPoolExecutor(READERS, cancel_on_error=True) as pool:
        try:
            yield from pool.imap_unordered(read, objects)
        finally:
            stopped = True


def read_copy(
    side: HashFileDB, oid: str, seen: Callable[[int], object], path: str | None = None
) -> Copy:
    """Reads an object to its end and compares its MD5.

    Args:
        side: the cache or the remote.
        oid: the object.
        seen: told how many bytes were read.
        path: where it lies, if not where it belongs.

    Raises:
        InputError: the remote does not answer, or refuses.
    """
    from dvc_data.hashfile.hash import get_hash_stream

    n_bytes = 0
    path = path or side.oid_to_path(oid)
    try:
        with side.fs.open(path, "rb", **AHEAD.get(side.fs.protocol, {})) as file:
            stream = get_hash_stream(file, side.hash_name)
            while chunk := stream.read(CHUNK_BYTES):
                n_bytes += len(chunk)
                seen(len(chunk))
    except FileNotFoundError:
        return Copy(None, False)
    except InterruptedError:
        raise
    except Exception as error:
        if side.fs.protocol == "local":
            if isinstance(error, OSError):  # a disk that fails
                return Copy(n_bytes, False)
            raise
        if type(error).__name__ == REFUSED:
            return Copy(side.fs.size(path), False)
        raise _no_answer(side, path, error) from error
    return Copy(n_bytes, stream.hash_value == oid.removesuffix(".dir"))


def _no_answer(side: HashFileDB, path: str, error: Exception) -> InputError:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return InputError(
        f"{side.fs.unstrip_protocol(path)} could not be had ({said}), which does not say that it "
        "is lost: see to the connection, the credentials and the room there, and run the same "
        "command again."
    )


def repair(finding: Finding) -> None:
    """Puts a whole copy where there is none. Until it lies there, read once more, beside its place,
    nothing is taken away; killed at any moment, the other side's copy is as it was.

    Raises:
        InputError: a side does not answer, refuses or has no room.
    """
    stored = finding.stored
    pairs = list(zip(stored.sides, finding.copies, strict=True))
    [source, *_] = [side for side, copy in pairs if copy.is_whole]
    for target, copy in pairs:
        if not copy.is_whole:
            try:
                _put(source, target, stored.oid, there=copy.bytes is not None)
            except InputError:
                raise
            except Exception as error:
                # The one that is not a disk of this machine's: that has sentences of its own.
                remote = target if target.fs.protocol != "local" else source
                if remote.fs.protocol == "local":
                    raise
                raise _no_answer(remote, remote.oid_to_path(stored.oid), error) from error


def _put(source: HashFileDB, target: HashFileDB, oid: str, *, there: bool) -> None:
    from dvc_objects.fs import generic
    from dvc_objects.fs.utils import tmp_fname

    fs, path = target.fs, target.oid_to_path(oid)
    new = tmp_fname(path)
    try:
        fs.makedirs(fs.parent(path), exist_ok=True)
        if source.fs.protocol == fs.protocol == "local":
            shutil.copyfile(source.oid_to_path(oid), new)  # DVC's leaves its half on a full disk
        else:
            generic.copy(source.fs, source.oid_to_path(oid), fs, new)
        if not read_copy(target, oid, lambda _: None, new).is_whole:
            raise InputError(
                f"{fs.unstrip_protocol(path)}: what was written there is not what was sent, and "
                "was not taken: see to that disk and the connection, and run the same command "
                "again."
            )
        aside = set_aside(target, oid) if there else None
        fs.mv(new, path)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(new)
        raise
    target.protect(path)
    if aside:
        fs.rm_file(aside)


def set_aside(side: HashFileDB, oid: str) -> str:
    """Gives what lies in an object's place another name, which `dvc gc` clears away; returns it.

    DVC would take it for the object, and not put there what a stage makes anew.
    """
    from dvc_objects.fs.utils import tmp_fname

    path = side.oid_to_path(oid)
    aside = tmp_fname(f"{path}.damaged")
    side.fs.mv(path, aside)
    return aside
