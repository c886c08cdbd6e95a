"""What gate and review go by: no file of another revision is taken at its word."""

import doctest
import json
import re

import pytest

from review_fixtures import commit
from telephone_asr.commands import revisions
from telephone_asr.errors import InputError
from telephone_asr.names import CHECKPOINTS
from telephone_asr.scoring import evidence
from telephone_asr.scoring.evidence import own_metrics, read_metrics


def test_doctests():
    assert doctest.testmod(evidence).failed == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tree: tree["telecall"].update(cer=float("nan")), "holds NaN, which is no number"),
        (lambda tree: tree["telecall"].update(cer=float("-inf")), "holds -Infinity"),
        (lambda tree: tree["telecall"].update(cer="0.1"), "has no number at telecall.cer: '0.1'"),
        (lambda tree: tree["telecall"].update(cer=True), "has no number at telecall.cer: True"),
        (lambda tree: tree["telecall"].update(cer=10**400), "has no number at telecall.cer"),
        (lambda tree: tree["telecall"].update(cer=[0.1]), "has no number at telecall.cer"),
        (lambda tree: tree["telecall"].update(cer=None), "lacks telecall.cer"),
        (
            lambda tree: tree["telecall"].update(cer=0.01),
            "has a cer at telecall that is not that of",
        ),
        (lambda tree: tree["telecall"].update(characters=0), "has counts at telecall"),
        (lambda tree: tree["telecall"].update(insertions=-3), "has counts at telecall"),
        (lambda tree: tree["telecall"].update(cer_low="low"), "has no number at telecall.cer_low"),
        (lambda tree: tree["telecall"].update(cer_low=0.9, cer_high=0.1), "has no interval"),
        (lambda tree: tree["telecall"].pop("utterances"), "lacks telecall.utterances"),
        (lambda tree: tree.pop("wideband"), "lacks wideband"),
        (lambda tree: tree.update(telecall=3), "lacks telecall"),
        (lambda tree: tree.clear(), "holds no numbers"),
    ],
)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_no_number_is_no_evidence(name, change, why, two_commits):
    tree = json.loads((two_commits / "metrics" / f"{name}.json").read_text())
    read_metrics(f"metrics/{name}.json", json.dumps(tree))
    change(tree)
    with pytest.raises(ValueError, match="^" + re.escape(why)):
        read_metrics(f"metrics/{name}.json", json.dumps(tree))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "is missing: `dvc pull` brings it"),
        (b"\xff\xfe", "'utf-8' codec can't decode .*: `dvc repro` makes it anew"),
        (b'{"turns": ', "is no JSON .*: `dvc repro` makes it anew"),
        (b"<<<<<<< HEAD\n", ".*: `dvc repro` makes it anew"),
    ],
)
def test_metrics_of_ones_own_that_are_damaged_are_named(content, why, tmp_path):
    path = tmp_path / "unlabelled.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} {why}"):
        own_metrics(path)


def test_a_key_twice_a_list_a_directory_and_a_link_are_no_metrics(branch, monkeypatch):
    monkeypatch.chdir(branch)
    name = "metrics/data.json"
    path = branch / name
    for text, why in (
        ('{"telecall": {"in": 1, "in": 2}}', "has the key in twice"),
        ("[1]", "holds no numbers"),
        ("[" * 100_000, "is nested too deep"),
        ('{"a": "x"}', "has no number at a"),
    ):
        path.write_text(text)
        assert revisions.read(None).unreadable[name].startswith(why)
    path.unlink()
    path.symlink_to("final.json")
    commit(branch, "a link")
    for revision in (None, "HEAD"):
        assert revisions.read(revision).unreadable[name] == "is no file, or too large a one"
    path.unlink()
    path.mkdir()
    (path / "x").write_text("{}")
    commit(branch, "a directory")
    for revision in (None, "HEAD"):
        assert revisions.read(revision).unreadable[name] == "is no file, or too large a one"
