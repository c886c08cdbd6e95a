"""Sound that DVC does not watch: said at the import, and seen when it changes."""

from pathlib import Path

from repository_fixtures import run_stage
from speech_fixtures import write_wav
from telephone_asr.commands.doctor import examine
from telephone_asr.corpora import unwatched
from telephone_asr.params import load_params


def test_what_lies_below_a_directory_is_watched(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "elsewhere").mkdir()
    inside, outside = tmp_path / "corpus" / "a.wav", tmp_path / "elsewhere" / "b.wav"
    for path in (inside, outside):
        path.write_bytes(b"sound")
    sounds = [str(inside), str(outside), f"{tmp_path}/corpus/../elsewhere/b.wav", "", "gone\0.wav"]
    seen = unwatched.look(str(tmp_path / "corpus"), sounds)
    assert seen[str(outside)] == [5, outside.stat().st_mtime_ns]
    assert list(seen) == sounds[1:3] + sounds[4:]
    assert seen[sounds[4]] is None
    beside = unwatched.look(str(tmp_path / "calls.jsonl"), [str(inside)])
    assert list(beside) == [str(inside)]  # DVC watches a list alone


def test_sound_elsewhere_is_said_and_its_change_is_seen(repository, speech, capfd):
    run_stage(repository, "corpus")
    said = capfd.readouterr().out
    assert "corpus.calls: DVC watches import/calls/calls.jsonl, and not the 25 sound" in said
    assert "corpus.wideband" not in said  # a Kaldi directory, with all its sound in it
    corpus = load_params().corpus.calls.path
    assert unwatched.changes("calls", corpus) == ""

    sound = Path("import/calls/c0.wav")
    write_wav(sound, speech(1.0, seed=77, rate_hz=8000), 8000)
    said = unwatched.changes("calls", corpus)
    assert said.startswith("corpus.calls: 1 of 25 sound files that DVC does not watch have changed")
    assert f"{sound}: `dvc repro --force corpus` imports it anew" in said
    run_stage(repository, "telecall")
    assert f"warning: {said}" in capfd.readouterr().err
    (finding,) = (one for one in examine() if one.subject == "call corpus")
    assert not finding.ok
    assert said in finding.text

    run_stage(repository, "corpus")
    assert unwatched.changes("calls", corpus) == ""


def test_what_was_imported_elsewhere_is_not_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert unwatched.changes("calls", "calls.jsonl") == ""
