"""What is forgotten is left nowhere: not in data, caches, the remote, nor in git's objects."""

import gzip
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from dvc.repo import Repo

from repository_fixtures import SMALL, run_stage
from review_fixtures import commit, write_cheap_pipeline
from telephone_asr.commands import forget
from telephone_asr.corpora import lists
from telephone_asr.corpora.forgotten import add_forgotten, line_of, read_forgotten
from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.paths import FORGOTTEN, RAW, SHARDS
from telephone_asr.shards import read_cuts, sound_index
from telephone_asr.stages.train import SOURCES

TEXT = "请叫我林黛玉"  # of one utterance alone


# --- What is edited, and how


def test_lists_of_each_kind_lose_what_is_forgotten_and_nothing_else(tmp_path):
    kaldi = tmp_path / "kaldi"
    kaldi.mkdir()
    tables = {
        "wav.scp": "r1 r1.wav\nr2 r2.wav\n",
        "segments": "a r1 0 1\nb r1 1 2\nc r2 0 1\n",
        "text": "a 甲\nb 乙\nc 丙\n",
        "utt2spk": "a s\nb s\nc t\n",
        "spk2utt": "s a b\nt c\n",
    }
    for name, table in tables.items():
        (kaldi / name).write_text(table, encoding="utf-8")
    for edit in lists.edits("kaldi", kaldi, {"b", "c"}, set()):
        edit.write()
    left = {name: (kaldi / name).read_text(encoding="utf-8") for name in tables}
    assert left == {
        "wav.scp": "r1 r1.wav\n",  # of r1 there is still a
        "segments": "a r1 0 1\n",
        "text": "a 甲\n",
        "utt2spk": "a s\n",
        "spk2utt": "s a\n",
    }

    table = tmp_path / "calls.csv"
    first, cell, last = b"a,a.wav,x\r\n", b'b,b.wav,"two\r\nlines"\r\n', b"c,c.wav,z"
    table.write_bytes(b"\xef\xbb\xbfid,audio,text\r\n" + first + cell + last)
    [edit] = lists.edits("calls", table, {"b"}, set())
    assert edit.gone == [cell]
    edit.write()
    assert table.read_bytes() == b"\xef\xbb\xbfid,audio,text\r\n" + first + last

    manifests = tmp_path / "lhotse"
    manifests.mkdir()
    spoken = [{"id": "u1", "recording_id": "r1"}, {"id": "u2", "recording_id": "r2"}]
    for name, rows in (("recordings", [{"id": "r1"}, {"id": "r2"}]), ("supervisions", spoken)):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (manifests / f"x_{name}_all.jsonl.gz").write_bytes(gzip.compress(content))
    for edit in lists.edits("lhotse", manifests, {"u1"}, set()):
        edit.write()
    for name, key in (("recordings", "r2"), ("supervisions", "u2")):
        with gzip.open(manifests / f"x_{name}_all.jsonl.gz") as file:
            assert [json.loads(line)["id"] for line in file] == [key]


def test_the_list_of_hashes_names_nobody_and_says_what_is_wrong_with_it(tmp_path):
    path = tmp_path / "forgotten.txt"
    assert not read_forgotten(path).holds("13912345678", "王伟")
    path.write_text("# why\n", encoding="utf-8")
    add_forgotten(path, [line_of("id", "13912345678"), line_of("speaker", "王伟")])
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# why\nid ")
    assert "139123" not in text
    assert "王" not in text
    forgotten = read_forgotten(path)
    assert forgotten.holds("13912345678", "x")
    assert forgotten.holds("x", "王伟")
    assert not forgotten.holds("王伟", "13912345678")
    path.write_text("13912345678\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"forgotten\.txt:1: expected 'id' or 'speaker'"):
        read_forgotten(path)


def test_the_checkpoints_that_heard_it_are_those_that_are_trained_on_its_corpus():
    assert {name: forget.HEARD[name] for name in SOURCES} == SOURCES


# --- All of it, in a repository with a cache and a remote


@pytest.fixture(scope="module")
def pushed(tmp_path_factory, speech) -> Path:
    """A repository after two of its stages, pushed to a remote; one call says TEXT."""
    directory = tmp_path_factory.mktemp("forget") / "repository"
    write_cheap_pipeline(directory, speech)
    calls = directory.parent / SMALL["corpus.calls"]["path"]
    rows = calls.read_bytes().split(b"\n")
    rows[2] = json.dumps({**json.loads(rows[2]), "text": TEXT}, ensure_ascii=False).encode()
    calls.write_bytes(b"\n".join(rows))
    run(directory, f"{sys.executable} -m dvc init --quiet")
    run(
        directory, f"{sys.executable} -m dvc remote add --default storage {directory.parent}/remote"
    )
    run(directory, f"{sys.executable} -m dvc repro --quiet && {sys.executable} -m dvc push --quiet")
    commit(directory, "reproduced")
    return directory


def run(directory: Path, command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(directory / "src"), "LOKY_MAX_CPU_COUNT": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    subprocess.run(command, shell=True, cwd=directory, env=environment, check=True)


def places(directory: Path, traces: dict[str, bytes]) -> dict[str, set[str]]:
    """By trace, the files below a directory that hold it, packed or not, in data or names."""
    holding: dict[str, set[str]] = {name: set() for name in traces}
    for path in directory.rglob("*"):
        content = os.fsencode(path.name)
        if path.is_file():
            content += path.read_bytes() + unpacked(path)
        for name, trace in traces.items():
            if trace in content:
                holding[name].add(str(path.relative_to(directory)))
    return holding


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        return gzip.decompress(content)
    if "objects" in path.parts and content[:1] == b"\x78":  # git's
        return zlib.decompress(content)
    return b""


def test_no_byte_is_left_after_the_printed_commands(pushed, monkeypatch, capsys):
    monkeypatch.chdir(pushed)
    outside = pushed.parent
    gone, stays = "c2", "c3"
    cut = next(cut for cut in read_cuts(SHARDS["telecall"]) if cut["id"] == gone)
    others = {cut["id"] for cut in read_cuts(SHARDS["telecall"])} - {gone}
    sounds = {SHARDS["telecall"]: b"", Path("data/raw/calls"): b""}
    traces = {"id": b'"c2"', "text": TEXT.encode(), "name": b"c2.wav"}
    for shards in sounds:
        file = sound_index(shards).read_file(gone)
        traces[f"sound in {shards}"] = file[len(file) // 2 :][:64]
    with Repo(str(pushed)) as repo:
        site = Path(repo.site_cache_dir)
    before = places(outside, traces)
    assert all(before.values()), before
    assert {Path(one).parts[0] for one in before["text"]} == {"repository", "remote", "import"}
    assert cut["supervisions"][0]["text"] == TEXT

    lines = [*forget.forget([gone], [], yes=False)]
    assert lines[-1] == forget.NOTHING_CHANGED
    assert places(outside, traces) == before
    lines = [*forget.forget([gone], [], yes=True)]
    assert any(TEXT in line for line in lines)  # the line of the user's list that is gone
    for line in lines:
        if line.startswith("    "):
            run(pushed, line)

    assert not any(places(outside, traces).values()), places(outside, traces)
    assert not site.exists() or not any(places(site, traces).values())
    kept = {cut["id"] for cut in read_cuts(SHARDS["telecall"])}
    assert kept == others
    assert stays in kept
    with pytest.raises(InputError, match=r"^c77: no list, shard or forgotten.txt names it"):
        next(forget.forget(["c77"], [], yes=True))


def test_what_a_list_names_still_is_left_out_and_counted_without_its_name(repository):
    before = {part: {c["id"] for c in read_cuts(RAW / part)} for part in ("wideband", "calls")}
    speaker = {c["id"] for c in read_cuts(RAW / "calls") if speaker_of(c) == "call-5"}
    assert len(speaker) == 3
    backup = Path("import/calls/calls.jsonl").read_bytes()
    lines = [*forget.find(load_params(), frozenset(["w3"]), frozenset(["call-5"])).edits]
    assert {edit.path.name: len(edit.gone) for edit in lines} == {
        **{"wav.scp": 1, "text": 1, "utt2spk": 1},
        "calls.jsonl": 3,
    }
    train = Path("data/manifests/telecall/train.jsonl").read_text(encoding="utf-8")
    learnt = json.loads(train.splitlines()[0])["key"]
    said = [*forget.trained_on(load_params(), {learnt})]
    for name in ("encoder", "adaptor", "lora"):
        assert f"models/{name}: trained on {learnt}" in said
    assert "models/base: not trained on any of them" in said
    assert said[-1] == "models/final: made of these checkpoints, so trained on them too"
    add_forgotten(FORGOTTEN, [line_of("id", "w3"), line_of("speaker", "call-5")])
    run_stage(repository, "corpus")
    assert Path("import/calls/calls.jsonl").read_bytes() == backup
    assert {c["id"] for c in read_cuts(RAW / "wideband")} == before["wideband"] - {"w3"}
    assert {c["id"] for c in read_cuts(RAW / "calls")} == before["calls"] - speaker
    rejected = (RAW / "calls" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    gone = [one for one in map(json.loads, rejected) if one["reason"] == "forgotten"]
    assert len(gone) == len({one["id"] for one in gone}) == 3
    assert not any(id_ in json.dumps(gone) for id_ in speaker)


def speaker_of(cut: dict) -> str:
    return cut["supervisions"][0]["speaker"]
