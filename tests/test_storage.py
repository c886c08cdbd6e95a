"""Faults in what DVC holds, on a remote that is a directory: each is named, and repaired where one
side has it; DVC's own commands show which of them it does not see."""

import re
import sys
from pathlib import Path

import pytest

from review_fixtures import shell
from storage_fixtures import content, cut, dvc_says, flip, lose, objects
from telephone_asr.commands import storage
from telephone_asr.commands.credentials import check_credentials
from telephone_asr.errors import InputError

CACHE, STORE = Path(".dvc/cache"), Path("../store")
FAULTS = {"flipped": flip, "half": cut, "lost": lose}
# The largest is the model; the list of raw is the one whose name ends in .dir.
OBJECTS = {
    "file": lambda root: objects(root)[0],
    "of a directory": lambda root: objects(root)[1],
    "list": lambda root: next(path for path in objects(root) if path.suffix == ".dir"),
}


def check(capsys, *, repair: bool = False, remote: str | None = None) -> tuple[int, str]:
    """The exit status of `telephone-asr storage check`, and what it prints."""
    try:
        storage.check(remote, repair)
        status = 0
    except SystemExit as stopped:
        status = stopped.code
    return status, capsys.readouterr().out


def test_what_is_whole(mine, capsys):
    status, said = check(capsys)
    assert status == 0
    # The model, four files and their list, notes; own is not pushed, cer.json is git's.
    assert said.splitlines() == [
        "objects         in the cache  on the remote",
        "whole                      7              7",
    ]


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("side", [CACHE, STORE], ids=["cache", "remote"])
def test_one_side_has_a_fault(side, fault, kind, mine, capsys):
    before = content(CACHE), content(STORE)
    FAULTS[fault](OBJECTS[kind](side))
    status, said = check(capsys)
    assert status == 1
    (line,) = (line for line in said.splitlines() if ", " in line and " on the remote" in line)
    word = {"flipped": "not its MD5", "half": "cut short", "lost": "missing"}[fault]
    states = [f"{word} in the cache", "whole on the remote"]
    if side == STORE:
        states = ["whole in the cache", f"{word} on the remote"]
    assert line.endswith(": " + ", ".join(states))
    assert line.startswith({"file": "model:", "list": "raw:"}.get(kind, "raw/"))

    status, said = check(capsys, repair=True)
    assert status == 0
    assert f"{states[1]}: repaired" in said
    assert (content(CACHE), content(STORE)) == before
    assert check(capsys)[0] == 0


@pytest.mark.parametrize("fault", ["flipped", "half"])
def test_dvc_does_not_see_it(fault, mine):
    """Why the command is there."""
    for side in (CACHE, STORE):
        FAULTS[fault](objects(side)[0])
    lose(objects(STORE)[1])
    assert "in sync" in dvc_says(mine, "status", "--cloud")
    assert "up to date" in dvc_says(mine, "push")
    assert "up to date" in dvc_says(mine, "status", "corpus")


def test_lost_on_both_sides_and_made_again(mine, capsys):
    before = content(STORE)
    for side in (CACHE, STORE):
        flip(objects(side)[0])
        lose(objects(side)[1])
    status, said = check(capsys, repair=True)
    assert status == 1
    assert "model and 1 more of corpus: whole nowhere: " in said
    assert "`dvc repro corpus`" in said
    (aside,) = re.findall("; set aside as (.*)", said)
    assert Path(aside).is_file()

    assert "Running stage 'corpus'" in dvc_says(mine, "repro", "corpus")
    assert check(capsys, repair=True)[0] == 0
    assert content(STORE) == before
    dvc_says(mine, "gc", "--workspace", "--force")
    assert not Path(aside).exists()


def test_what_was_added_by_hand_is_brought_again(mine, capsys):
    for side in (CACHE, STORE):
        flip(next(path for path in objects(side) if path.read_bytes() == b"by hand"))
    status, said = check(capsys)
    assert status == 1
    assert "notes of notes.dvc: whole nowhere: " in said
    assert "`dvc add notes` of another copy makes it again" in said


def test_a_full_disk_in_mid_repair(mine, capsys):
    """What is there is taken away when the whole copy lies beside it, and no sooner."""
    cut(objects(CACHE)[0])
    before = content(CACHE), content(STORE)
    command = f"ulimit -f 1000; exec {sys.executable} -m telephone_asr.cli storage check --repair"
    done = shell(mine, "bash", "-c", command, fails=True)
    assert "there is no room left to write" in done.stderr
    assert (content(CACHE), content(STORE)) == before
    assert check(capsys, repair=True)[0] == 0
    assert content(CACHE) != before[0]


def test_the_working_tree_gets_what_was_repaired(mine, capsys):
    """Its files can be links to the cache, damaged with it."""
    good = Path("model").read_bytes()
    flip(objects(CACHE)[0])
    Path("model").unlink()
    Path("model").hardlink_to(objects(CACHE)[0])
    assert "`dvc checkout --relink --force corpus`" in check(capsys, repair=True)[1]
    assert Path("model").read_bytes() != good
    dvc_says(mine, "checkout", "--relink", "--force", "corpus")
    assert Path("model").read_bytes() == good


def test_another_remote(mine, capsys):
    with open(".dvc/config", "a") as config:
        config.write("['remote \"second\"']\nurl = ../../second\n")
    status, said = check(capsys, remote="second", repair=True)
    assert status == 0
    assert "repaired                   0              7" in said
    assert content(Path("../second")) == content(STORE)
    with pytest.raises(InputError, match=r"DVC says: .*third"):
        check(capsys, remote="third")


def test_outside_of_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"not inside of a DVC repository"):
        check(capsys)


SECRETS = {
    "password": "url = webdavs://host/path\npassword = x",
    "secret_access_key": "url = s3://bucket\nsecret_access_key = x",
    "access_key_id": "url = s3://bucket\naccess_key_id = x",
    "token": "url = webdavs://host/path\ntoken = x",
    "connection_string": "url = azure://container\nconnection_string = x",
    "url": "url = ssh://me:x@host/path",
    "endpointurl": "url = s3://bucket\nendpointurl = https://me:x@host",
}


@pytest.mark.parametrize("key", SECRETS)
def test_credentials_in_git_are_refused(key, mine, capsys):
    with open(".dvc/config", "a") as config:
        config.write(f"['remote \"team\"']\n{SECRETS[key]}\n")
    with pytest.raises(InputError, match=rf"\.dvc/config: {key} of .*team.*config\.local"):
        check(capsys)


def test_what_is_no_secret(mine):
    with open(".dvc/config", "a") as config:
        config.write(
            "['remote \"team\"']\nurl = ssh://me@host:2222/path\nuser = me\nask_password = true\n"
            "keyfile = ~/.ssh/id_team\nbearer_token_command = pass show team\nverify = true\n"
        )
    check_credentials()


def test_this_repository_has_none():
    check_credentials(Path(__file__).parents[1] / ".dvc" / "config")
