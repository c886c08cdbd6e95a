"""The scratch directory: whole states, one process at a time, a kill that leaves no trace."""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from telephone_asr.errors import InputError
from telephone_asr.scratch import Scratch, fingerprint

PRINT = "ab" * 32


@pytest.fixture
def scratch(tmp_path):
    opened = Scratch(tmp_path / ".scratch", "encoder", PRINT)
    yield opened
    opened.close(remove=False)


# --- Fingerprints


@pytest.fixture
def files(tmp_path) -> list[Path]:
    (tmp_path / "code" / "sub").mkdir(parents=True)
    for name, content in {"code/a.py": "1", "code/sub/b.py": "2", "data.txt": "3"}.items():
        (tmp_path / name).write_text(content)
    return [tmp_path / "code", tmp_path / "data.txt"]


def test_a_fingerprint_is_of_contents_and_names(files):
    before = fingerprint(["lr 1"], files)
    assert re.fullmatch("[0-9a-f]{64}", before)
    os.utime(files[1], (1, 1))
    (files[0] / "__pycache__").mkdir()
    (files[0] / "__pycache__" / "a.pyc").write_text("compiled")
    assert fingerprint(["lr 1"], files) == before

    (files[0] / "sub" / "b.py").write_text("4")
    changed = fingerprint(["lr 1"], files)
    assert changed != before
    (files[0] / "sub" / "b.py").rename(files[0] / "sub" / "c.py")
    assert fingerprint(["lr 1"], files) not in (before, changed)


def test_a_fingerprint_tells_texts_apart():
    prints = [fingerprint(texts, []) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"])]
    assert len(set(prints)) == 4


def test_a_fingerprint_is_the_same_in_another_clone(files, tmp_path):
    clone = tmp_path / "elsewhere"
    clone.mkdir()
    for path in files:
        path.rename(clone / path.name)
    moved = fingerprint([], [clone / path.name for path in files])
    for path in files:
        (clone / path.name).rename(path)
    assert fingerprint([], files) == moved


# --- States


def test_a_state_is_loaded_as_it_was_saved(scratch):
    state = {"step": 3, "weights": {"w": torch.randn(4)}, "history": [{"step": 0, "cer": 0.5}]}
    assert scratch.load("state.pt") is None
    scratch.save("state.pt", state)
    loaded = scratch.load("state.pt")
    assert torch.equal(loaded.pop("weights")["w"], state.pop("weights")["w"])
    assert loaded == state


def test_states_of_another_training_are_not_seen(scratch, tmp_path):
    scratch.save("state.pt", {"step": 1})
    for name, other in (("encoder", "cd" * 32), ("adaptor", PRINT)):
        beside = Scratch(tmp_path / ".scratch", name, other)
        assert beside.load("state.pt") is None
        beside.close(remove=True)
    assert scratch.load("state.pt") == {"step": 1}


def test_states_stay_until_the_result_is_written(tmp_path):
    first = Scratch(tmp_path, "encoder", PRINT)
    first.save("state.pt", {"step": 1})
    first.close(remove=False)
    second = Scratch(tmp_path, "encoder", PRINT)
    assert second.load("state.pt") == {"step": 1}
    second.close(remove=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")]
)
def test_a_save_that_fails_leaves_the_state_before_it(scratch, monkeypatch, error):
    scratch.save("state.pt", {"step": 1})

    def half(_, file):
        file.write(b"half a state")
        raise error

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(InputError, match=r"state\.pt") as caught:
        scratch.save("state.pt", {"step": 2})
    assert str(error) in str(caught.value)
    assert scratch.load("state.pt") == {"step": 1}
    assert sorted(p.name for p in scratch.directory.iterdir()) == ["lock", "state.pt"]


def test_a_kill_in_the_middle_of_a_save_leaves_the_state_before_it(scratch, monkeypatch):
    scratch.save("state.pt", {"step": 1})

    def killed(*_):
        raise KeyboardInterrupt

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, killed)
            with pytest.raises(KeyboardInterrupt):
                scratch.save("state.pt", {"step": 2})
        assert scratch.load("state.pt") == {"step": 1}
    scratch.save("state.pt", {"step": 2})
    assert scratch.load("state.pt") == {"step": 2}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "file"))):
        Scratch(tmp_path / "file", "encoder", PRINT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_the_right_to_write_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="writable"):
        Scratch(tmp_path / ".scratch", "encoder", PRINT)


# --- One process at a time


HOLD = """
import sys, time
from pathlib import Path
from telephone_asr.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]), "encoder", sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_told_who_trains_until_that_one_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path), PRINT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout.readline() == "held\n"
            for _ in range(2):  # the first attempt does not wipe out the number
                with pytest.raises(InputError, match=f"encoder.* process {first.pid} "):
                    Scratch(tmp_path, "encoder", PRINT)
        finally:
            first.send_signal(signal.SIGKILL)
    Scratch(tmp_path, "encoder", PRINT).close(remove=True)


def test_an_experiment_beside_another_that_does_the_same_has_a_place_of_its_own(tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    first = Scratch(shared, "encoder", PRINT, spare=tmp_path / "first")
    second = Scratch(shared, "encoder", PRINT, spare=own)
    assert first.directory.parent == shared
    assert second.directory.parent == own
    with pytest.raises(InputError, match=f"process {os.getpid()} .*{own}"):
        Scratch(shared, "encoder", PRINT, spare=own)
    second.close(remove=True)
    assert first.directory.exists()
    first.close(remove=True)
    last = Scratch(shared, "encoder", PRINT, spare=own)
    assert last.directory == first.directory
    last.close(remove=True)


def test_trainings_of_other_parts_run_beside_it(scratch, tmp_path):
    Scratch(tmp_path / ".scratch", "adaptor", PRINT).close(remove=True)


# --- kill -9

TRAIN = textwrap.dedent("""
    import os, random, signal, sys, threading, time
    from pathlib import Path
    from types import SimpleNamespace
    import torch
    from accelerate import Accelerator
    from telephone_asr.model.fun_asr_nano import Batch
    from telephone_asr.model.parts import weights_sha256
    from telephone_asr.training import loop
    from telephone_asr.scratch import Scratch
    from telephone_asr.training.plan import Plan

    torch.manual_seed(0)
    kill_at = int(sys.argv[2])
    loop.SAVE_EVERY_S, loop.SAVE_SHARE = 0.05, 1.0
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1), torch.nn.Flatten(1)
    )
    loss_of = torch.nn.Module()
    loss_of.model = model
    loss_of.tokens = lambda b: [4]
    loss_of.forward = (
        lambda b, totals: (model(b.inputs).sum(1) - b.inputs[:, 0, 0]).square().sum() / totals[0]
    )

    def batch_at(number):
        print("step", number, flush=True)
        time.sleep(0.01)
        if number == kill_at:  # whatever it does by then; it gets no further than three steps
            killed = os.getpid(), signal.SIGKILL
            threading.Timer(0.03 * random.random(), os.kill, killed).start()
        if 0 <= kill_at < number - 3 < 60:
            time.sleep(900)
        rows = torch.randn(4, 1, 8, generator=torch.Generator().manual_seed(number))
        return Batch([], rows, torch.ones(4), [], ["x"] * 4)

    def validate():
        with torch.inference_mode():
            return loss_of(batch_at(10_000), [4]).item()

    trained = dict(model.named_parameters())
    plan = Plan("test", (), (), "features", 0.01, 0, 1, 100, 1.0, 0.0)
    options = SimpleNamespace(
        warmup_share=0.1, clip=5.0, evaluations=6, weight_decay=0.01, batches_per_step=1,
        average=2, workers=0,
    )
    scratch = Scratch(Path(sys.argv[1]), "test", "0" * 64)
    result = loop.train(
        loss_of, trained, batch_at, 60, [0], validate, plan, options, scratch, lambda row: None,
        Accelerator(cpu=True),
    )
    print("result", weights_sha256(result.weights), result.step, result.cer, result.history)
""")


def child(directory: Path, kill_at: int = -1) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", TRAIN, str(directory), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_training_that_was_killed_goes_on_to_the_same_bytes(tmp_path):
    whole = child(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    expected = whole.stdout
    assert (
        sum(line.startswith("step ") for line in expected.splitlines()) == 60 + 7 + 2
    )  # the largest batch first, the mean of the best last

    step = random.randrange(15, 55)
    killed = child(tmp_path / "killed", step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    resumed = child(tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    found = resumed.stdout
    assert "goes on at step" in found, f"killed at step {step}"
    assert found.count("step 1\n") == 0
    results = [text.splitlines()[-1] for text in (expected, found)]
    assert results[0].startswith("result")
    assert results[1] == results[0], f"killed at step {step}"
