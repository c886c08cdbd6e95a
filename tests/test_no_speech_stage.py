"""Recordings in which nobody speaks, marked in a corpus or listed: where they go, what is told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from repository_fixtures import SMALL, run_stage, write_params
from speech_fixtures import write_wav
from telephone_asr.commands.why import why
from telephone_asr.errors import InputError
from telephone_asr.shards import read_cuts, read_shard, sound_index

MARKED = 5


def test_of_the_voices_of_babble_each_utterance_is_decoded_once(data_repository, monkeypatch):
    from telephone_asr.params import load_params
    from telephone_asr.stages.no_speech import babble_voices

    monkeypatch.chdir(data_repository.path)
    decoded, read = [], soundfile.read
    monkeypatch.setattr(soundfile, "read", lambda *a, **k: decoded.append(1) or read(*a, **k))
    found = babble_voices(Path("data/raw/wideband"), load_params().split)
    assert all(found.values())
    n = sum(map(len, found.values()))
    assert len(decoded) == n == len(list(read_cuts(Path("data/raw/wideband"))))


@pytest.fixture(scope="module")
def marked(tmp_path_factory, data_repository) -> Path:
    """The small repository, whose calls have lines that say that nobody speaks."""
    path = tmp_path_factory.mktemp("marked") / "repository"
    shutil.copytree(data_repository.path, path)
    calls = path / "import" / "calls"
    rng = np.random.default_rng(0)
    with open(calls / "calls.jsonl", "ab") as file:
        for i in range(MARKED):
            sound = np.rint(300 * rng.standard_normal(8000 * (25 if i == 0 else 2)))
            write_wav(calls / f"hold{i}.wav", sound.astype(np.int16), 8000)
            line = {"id": f"hold{i}", "audio": f"hold{i}.wav", "text": "[noise]" if i else ""}
            line |= {"no_speech": True, "speaker": f"call-{i}"}
            file.write(json.dumps(line).encode() + b"\n")
        line |= {"id": "said", "text": "您好"}
        file.write(json.dumps(line).encode() + b"\n")
    for name in ("corpus", "telecall", "no_speech", "manifests"):
        run_stage(path, name)
    return path


def test_what_a_corpus_marks_is_kept_and_in_no_set_of_speech(marked, data_repository):
    before, after = (
        json.loads((path / "metrics" / "data.json").read_text())["telecall"]
        for path in (data_repository.path, marked)
    )
    assert (before["no_speech"], after["no_speech"]) == (0, MARKED)
    assert (
        after["in"] == before["in"] + MARKED + 1 == after["kept"] + sum(after["rejected"].values())
    )
    assert after["kept"] == before["kept"] + MARKED
    # An empty transcript of what is not marked is rejected as before.
    rejected = {**before["rejected"], "unreadable_line": before["rejected"]["unreadable_line"] + 1}
    assert after["rejected"] == rejected
    for split in ("train", "valid", "test"):
        assert after[split] == before[split]
        old, new = (
            (path / "data" / "manifests" / "telecall" / f"{split}.jsonl").read_text()
            for path in (data_repository.path, marked)
        )
        assert old == new
    assert why("hold1", marked) == [
        "telecall: nobody speaks in hold1, its corpus says: it is in data/no_speech"
    ]
    assert "'no_speech' is true and 'text' is '您好'" in why("calls.jsonl:34", marked)[0]


def test_it_is_in_pieces_among_the_clips_by_the_hash_of_its_speaker(marked, data_repository):
    data = marked / "data"
    cuts = {name: list(read_cuts(data / "no_speech" / name)) for name in ("train", "test")}
    own = {
        name: [cut["id"] for cut in found if cut["custom"]["kind"] == "own"]
        for name, found in cuts.items()
    }
    assert sorted(own["train"] + own["test"]) == sorted(
        [f"no-speech-own-hold{i}-0" for i in range(MARKED)]
        + [f"no-speech-own-hold0-{i}" for i in (1, 2)]
    )
    tests = (data / "manifests" / "telecall" / "test.jsonl").read_text().splitlines()
    speakers = {json.loads(line)["speaker"] for line in tests}
    for name, ids in own.items():
        for id_ in ids:
            assert (f"call-{id_.split('-')[3][4:]}" in speakers) == (name == "test")
    # The rest are the clips that there were.
    for name, found in cuts.items():
        old = read_cuts(data_repository.path / "data" / "no_speech" / name)
        kinds = [cut["id"] for cut in found if cut["custom"]["kind"] != "own"]
        assert kinds == [cut["id"] for cut in old]
    sound = sound_index(data / "telecall").read("hold0")[0]
    pieces = [u for name in own for i in range(20) for u in _shard(data / "no_speech" / name, i)]
    first = {u.id: u.samples for u in pieces}
    joined = np.concatenate([first[f"no-speech-own-hold0-{i}"] for i in range(3)])
    np.testing.assert_array_equal(joined, sound)


def _shard(directory: Path, index: int) -> list:
    there = (directory / f"cuts.{index:06d}.jsonl.gz").is_file()
    return list(read_shard(directory, index)) if there else []


def test_a_list_of_the_users_own_joins_the_clips(repository, speech):
    silent = repository / "silent"
    silent.mkdir()
    write_wav(silent / "ring.wav", speech(1.0, rate_hz=44100), 44100)
    (silent / "damaged.wav").write_bytes(b"RIFF")
    (silent / "wav.scp").write_text("ring ring.wav\ndamaged damaged.wav\n")
    (silent / "text").write_text("ring\ndamaged <NOISE>\n")
    options = {**SMALL["corpus.no_speech"], "minutes": 0.1, "path": "silent"}
    write_params(repository, {"corpus.no_speech": options})
    run_stage(repository, "no_speech")
    found = [
        cut
        for name in ("train", "test")
        for cut in read_cuts(repository / "data" / "no_speech" / name)
        if cut["custom"]["kind"] == "own"
    ]
    assert [(cut["id"], cut["recording"]["sampling_rate"]) for cut in found] == [
        ("no-speech-own-ring-0", 8000)
    ]
    rejected = (repository / "data" / "no_speech" / "rejected.jsonl").read_text()
    assert json.loads(rejected)["id"] == "damaged"

    (silent / "text").write_text("ring 您好\ndamaged\n")
    with pytest.raises(InputError, match=r"ring of silent has the transcript '您好': name only"):
        run_stage(repository, "no_speech")
