"""The doctor: what is there is said, and what is wrong is found before a run."""

import pytest

from model_fixtures import write_params
from telephone_asr.commands.doctor import Finding, consult, examine


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
