"""Outs are new files, whole or not there, and what the machine lacks is one sentence."""

import errno
import gc
import hashlib
import os
import resource
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from repository_fixtures import ROOT, run_stage
from review_fixtures import dvc, shell
from telephone_asr import program
from telephone_asr.errors import InputError, shortage
from telephone_asr.outs import new_out, write_json

PIPELINE = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def outs(stage: dict) -> list[str]:
    """The paths of a stage's outs that DVC's cache holds."""
    return [out for out in stage.get("outs", []) if isinstance(out, str)]


def hashes(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(p.relative_to(directory)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


# --- A stage run by hand after `dvc pull`


@pytest.mark.slow
def test_no_stage_writes_through_a_link_into_the_cache(trained_repository, tmp_path, monkeypatch):
    """Every file of every out is a hard link to another place, as after `dvc pull`."""
    repository = tmp_path / "repository"
    shutil.copytree(trained_repository, repository)
    shutil.copyfile(ROOT / "dvc.yaml", repository / "dvc.yaml")
    for name in ("encoder", "adaptor"):  # which the fixture has not evaluated
        run_stage(repository, "evaluate", name)
    run_stage(repository, "report")
    cache, linked = tmp_path / "cache", set()
    for stage in PIPELINE.values():
        for out in outs(stage):
            for word in stage.get("matrix", {}).get("checkpoint", [""]):
                linked.add(out.replace("${item.checkpoint}", word))
    for out in sorted(linked):
        assert (repository / out).exists(), out
        files = [repository / out, *(repository / out).rglob("*")]
        for path in (path for path in files if path.is_file()):
            (cache / path.relative_to(repository)).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, cache / path.relative_to(repository))
    before = hashes(cache)
    assert len(before) > 60

    for name, stage in PIPELINE.items():
        words = stage.get("matrix", {}).get("checkpoint")
        for word in words or [None]:
            run_stage(repository, name, *([word] if word else []))
    assert hashes(cache) == before
    for name in before:  # all of them were made anew
        assert not (repository / name).exists() or not (cache / name).samefile(repository / name)
    assert not list(repository.rglob(".*.new"))


STAGE = """
import sys
from pathlib import Path
from telephone_asr.outs import new_out, write_json
with new_out(Path("data/calls")) as new:
    new.mkdir()
    (new / "text").write_text(sys.argv[1])
with new_out(Path("data/one.jsonl")) as new:
    new.write_text(sys.argv[1])
"""


def test_dvc_sees_what_was_run_by_hand_and_its_cache_stays_whole(tmp_path):
    shell(tmp_path, "git", "init", "--quiet")
    dvc(tmp_path, "init")
    dvc(tmp_path, "config", "cache.type", "hardlink")
    (tmp_path / "make.py").write_text(STAGE)
    command = f"{sys.executable} make.py first"
    (tmp_path / "dvc.yaml").write_text(
        f"stages: {{make: {{cmd: {command}, deps: [make.py], outs: [data/calls, data/one.jsonl]}}}}"
    )
    dvc(tmp_path, "repro")
    for path in ("data/calls/text", "data/one.jsonl"):
        (tmp_path / path).unlink()
    dvc(tmp_path, "checkout", "--force")
    assert (tmp_path / "data" / "one.jsonl").stat().st_nlink > 1  # it is the cache's
    shell(tmp_path, sys.executable, "make.py", "second")
    assert (tmp_path / "data" / "one.jsonl").read_text() == "second"
    status = shell(tmp_path, sys.executable, "-m", "dvc", "status").stdout
    assert "modified" in status
    assert "data/one.jsonl" in status
    assert "data/calls" in status
    for path in (tmp_path / ".dvc" / "cache" / "files" / "md5").rglob("*"):
        if path.is_file() and not path.name.endswith(".dir"):
            name = path.parent.name + path.name
            assert hashlib.md5(path.read_bytes()).hexdigest() == name
    dvc(tmp_path, "checkout", "--force")
    assert (tmp_path / "data" / "calls" / "text").read_text() == "first"


def test_an_out_stays_as_it_was_where_an_error_ends_the_work(tmp_path):
    old = tmp_path / "out"
    old.mkdir()
    (old / "file").write_text("old")
    for error in (InputError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")):
        with pytest.raises(type(error)):
            write_half(old, error)
        assert hashes(tmp_path) == {"out/file": hashlib.md5(b"old").hexdigest()}
    (tmp_path / ".out.new").mkdir()  # of a process that was killed
    with new_out(old) as new:
        new.write_text("new")
    assert old.read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def write_half(path: Path, error: BaseException) -> None:
    with new_out(path) as new:
        new.mkdir()
        (new / "file").write_text("half")
        raise error


def test_an_out_that_is_a_link_is_taken_off_not_followed(tmp_path):
    """As with cache.type symlink."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "file").write_text("old")
    (tmp_path / "out").symlink_to("cache")
    with new_out(tmp_path / "out") as new:
        new.mkdir()
    assert (tmp_path / "cache" / "file").read_text() == "old"
    assert not (tmp_path / "out").is_symlink()


# --- Disk full, no permission, no memory


@contextmanager
def no_file_above(n_bytes: int):
    """What is written beyond fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def ended(main) -> str:
    """The sentence in which `main` ends."""
    with pytest.raises(SystemExit) as stopped:
        program.run(main)
    sentence = str(stopped.value.code)
    assert sentence.startswith("error: ")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *[("corpus", ()), ("simulate", ()), ("telecall", ()), ("tokenizer", ()), ("manifests", ())],
        ("no_speech", ()),
        *[("base", ()), ("train_adaptor", ()), ("export", ()), ("evaluate", ("lora",))],
    ],
)
def test_a_full_disk_ends_a_stage_in_one_sentence_and_leaves_its_outs(
    name, arguments, trained_repository, tmp_path, capsys
):
    repository = tmp_path / "repository"
    shutil.copytree(trained_repository, repository)
    places = [repository / name for name in ("data", "models", "metrics")]
    before = [hashes(place) for place in places]
    with no_file_above(300):
        said = ended(lambda: run_stage(repository, name, *arguments))
    assert "no room" in said or "cannot be saved" in said
    assert [hashes(place) for place in places] == before
    gc.collect()  # the locks that its process held, which a stage leaves to its end
    run_stage(repository, name, *arguments)  # and goes on once there is room


def test_without_a_right_to_it_the_place_is_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may do anything")
    tmp_path.chmod(0o555)
    said = ended(lambda: write_json(tmp_path / "a.json", {}))
    assert str(tmp_path) in said
    assert "no permission" in said


def real_errors() -> dict[str, Exception]:
    """As the libraries raise them; what cannot be had without such a machine, in their words."""
    found = {}
    for name, work in {
        "memory": lambda: bytearray(1 << 60),
        "torch": lambda: torch.empty(1 << 55),
        "numpy": lambda: __import__("numpy").empty(1 << 55),
    }.items():
        try:
            work()
        except Exception as error:
            found[name] = error
    found["cuda"] = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    rust = "Error while serializing: I/O error: No space left on device (os error 28)"
    found["rust"] = RuntimeError(rust)
    found["archive"] = RuntimeError(
        "[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/3"
    )
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EMFILE):
        found[errno.errorcode[code]] = OSError(code, os.strerror(code), "data/raw/x")
    return found


def test_each_library_s_words_for_it_are_known():
    errors = real_errors()
    kinds = {"memory": ("memory", "torch", "numpy", "cuda"), "room": ("rust", "archive", "ENOSPC")}
    kinds["room"] += ("EDQUOT", "EFBIG")
    kinds["no permission"] = ("EROFS", "EACCES")
    for word, names in kinds.items():
        for name in names:
            assert word in shortage(errors[name]), name
    assert "data/raw/x: too many files" in shortage(errors["EMFILE"])
    assert "the GPU's memory" in shortage(errors["cuda"])
    assert "memory" in shortage(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    behind = ValueError("cannot write")
    behind.__cause__ = errors["ENOSPC"]
    assert "data/raw/x: there is no room" in shortage(behind)


def test_a_bug_stays_a_traceback():
    for error in (ValueError("x"), KeyError("y"), FileNotFoundError(errno.ENOENT, "no", "z")):
        assert shortage(error) is None
        with pytest.raises(type(error)):
            program.run(lambda error=error: (_ for _ in ()).throw(error))
