"""The doctor: what is there is said, and what is wrong is found before a run."""

import shutil
from types import SimpleNamespace

import pytest
import torch

from repository_fixtures import run_stage, write_params
from telephone_asr.commands.doctor import Finding, consult, examine
from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.processes import on_processes


def by_subject() -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine()}


def test_a_healthy_repository(repository, tiny_directory):
    write_params(repository, {"base.path": str(tiny_directory)})
    found = by_subject()
    assert [finding.text for finding in found.values() if not finding.ok] == []
    assert "28 entries" in found["wideband corpus"].text
    assert "560 values a row" in found["base model"].text
    assert "4 shards" in found["data"].text


@pytest.mark.parametrize(
    ("changes", "subject", "words"),
    [
        ({"corpus.calls.path": "nowhere.jsonl"}, "call corpus", "corpus.calls.path: nowhere.jsonl"),
        ({"base.path": "nowhere"}, "base model", "nowhere is no directory"),
        ({"base.path": "TINY", "base.pins": "pins"}, "base model", "model.pt is not the file that"),
        ({"train.lr": "fast"}, "params", "train.lr: expected a number"),
    ],
)
def test_what_is_wrong_is_said_and_the_exit_code_tells(
    changes, subject, words, repository, tiny_directory, capsys
):
    changes = {k: str(tiny_directory) if v == "TINY" else v for k, v in changes.items()}
    write_params(repository, changes)
    (repository / "pins").write_text(f"{'0' * 64}  model.pt\n")
    with pytest.raises(SystemExit) as stopped:
        consult()
    assert stopped.value.code == 1
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("WRONG"))
    assert line.startswith(f"WRONG {subject}: ")
    assert words in line


def test_a_model_that_does_not_fit_the_front_end_is_wrong(repository, own_directory):
    config = own_directory / "config.yaml"
    config.write_text(config.read_text().replace("n_mels: 80", "n_mels: 40"))
    write_params(repository, {"base.path": str(own_directory)})
    finding = by_subject()["base model"]
    assert not finding.ok
    assert "n_mels" in finding.text


def have_gpus(monkeypatch, *majors: int) -> None:
    """GPUs of these compute capabilities: there are none where the tests run."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(majors))
    gpus = [SimpleNamespace(name=f"GPU {m}", total_memory=80 * 2**30, major=m) for m in majors]
    monkeypatch.setattr(torch.cuda, "get_device_properties", gpus.__getitem__)


@pytest.mark.parametrize(
    ("gpus", "changes", "words"),
    [
        ((9,), {"train.processes": 2}, "train.processes: expected at most 1"),
        ((9, 7), {"train.precision": "bf16"}, "train.precision: GPU 7 does not compute in bf16"),
    ],
)
def test_gpus_that_params_do_not_fit_are_wrong(repository, monkeypatch, gpus, changes, words):
    have_gpus(monkeypatch, *gpus)
    write_params(repository, {"train.batches_per_step": 2} | changes)
    finding = by_subject()["devices"]
    assert not finding.ok
    assert words in finding.text


@pytest.mark.parametrize(
    ("gpus", "changes", "words"),
    [
        ((9, 9), {"train.processes": 2, "train.precision": "bf16"}, "GPU 9 (80 GiB), GPU 9"),
        ((7,), {}, "GPU 7 (80 GiB)"),
        ((), {"train.processes": 2, "train.precision": "bf16"}, "everything runs on the CPU"),
        ((9,), {"train.processes": 2, "train.accelerate": "two_machines.yaml"}, "GPU 9"),
    ],
)
def test_gpus_that_fit_are_named(repository, monkeypatch, gpus, changes, words):
    have_gpus(monkeypatch, *gpus)
    write_params(repository, {"train.batches_per_step": 2} | changes)
    finding = by_subject()["devices"]
    assert finding.ok, finding.text
    assert words in finding.text


def test_a_training_with_too_few_gpus_says_so_before_it_starts(repository, monkeypatch):
    have_gpus(monkeypatch, 9)
    write_params(repository, {"train.processes": 2, "train.batches_per_step": 2})
    with pytest.raises(InputError, match=r"train\.processes: expected at most 1"):
        on_processes("telephone_asr.stages.train", load_params(), lambda: None)


@pytest.mark.parametrize("stage", ["corpus", "tokenizer", "base"])
def test_a_link_to_another_disk_is_told_before_the_work(stage, repository, tmp_path_factory):
    """DVC would say so when all is done, and keep nothing of it."""
    disk = tmp_path_factory.mktemp("disk")
    for name in ("data", "models"):
        shutil.rmtree(repository / name, ignore_errors=True)
        (repository / name).symlink_to(disk)
        with pytest.raises(InputError, match=f"{name} is a link .* cache dir"):
            run_stage(repository, stage)
        finding = by_subject()["disk"]
        assert not finding.ok
        assert f"{name} is a link" in finding.text
        (repository / name).unlink()
    assert not list(disk.iterdir())


def test_a_link_within_the_repository_is_good(repository):
    (repository / "data").rename(repository / "elsewhere")
    (repository / "data").symlink_to("elsewhere")
    assert by_subject()["disk"].ok
