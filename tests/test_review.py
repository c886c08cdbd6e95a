"""The comment on a pull request, from real git, DVC and metrics."""

import doctest
import json
import os
import re
import sys
from itertools import product
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from review_fixtures import BRANCH, commit, dvc, shell
from telephone_asr.names import CHECKPOINTS, TEST_SETS
from telephone_asr.report import changes, review
from telephone_asr.scoring.difference import Difference, Results
from telephone_asr.titles import TITLES

FINAL = "final (stage 3, merged)"
CALLS = ("telephone calls", FINAL)


def table(text: str, *heads: str) -> list[list[str]]:
    """The rows of the first table of a comment that has these columns first."""
    lines = text.splitlines()
    start = next(i for i, x in enumerate(lines) if x.startswith(f"| {' | '.join(heads)} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def row(text: str, *first: str) -> list[str]:
    rows = table(text.split("<summary>Every checkpoint")[1], "test set", "checkpoint")
    return next(one[len(first) :] for one in rows if tuple(one[: len(first)]) == first)


def cer(branch: Path, rev: str, checkpoint: str, test_set: str) -> float:
    shown = shell(branch, "git", "show", f"{rev}:metrics/{checkpoint}.json").stdout
    return json.loads(shown)[test_set]["cer"]


@pytest.fixture(scope="module")
def comment(two_commits) -> str:
    command = [sys.executable, "-m", "telephone_asr.cli", "review", "main"]
    return shell(two_commits, *command).stdout


def test_the_first_line_is_the_verdict(comment):
    assert comment.splitlines()[0] == (
        "## ▼ Better on telephone calls, ≈ within noise on simulated telephone speech; "
        "gate **not passed**"
    )


def test_every_test_set_and_checkpoint_has_its_row_with_the_rates_of_both(comment, two_commits):
    rows = table(comment.split("<summary>Every checkpoint")[1], "test set", "checkpoint")
    assert len(rows) == 15
    for test_set, name in product(TEST_SETS, CHECKPOINTS):
        title, label = TITLES[test_set], TITLES[name]
        rates = [100 * cer(two_commits, rev, name, test_set) for rev in ("main", BRANCH)]
        _, before, after, difference, *_ = row(comment, title, label)
        assert (before, after) == (f"{rates[0]:.1f}", f"**{rates[1]:.1f}**")
        if rates[0] == rates[1]:
            assert difference == "–"
        else:
            value = float(difference.replace("−", "-"))
            assert value == pytest.approx(rates[1] - rates[0], abs=0.051)


def test_the_last_checkpoint_stands_before_everything_else(comment):
    top = comment.split("**Gate:**")[0]
    shown = {one[0]: one[1] for one in table(top, "test set", "change")}
    assert shown == {
        "telephone calls": "▼ **better**",
        "simulated telephone speech": "≈ within noise",
        "wideband speech": "▲ **worse**",
    }


def test_arrows_come_with_words_and_p_values_where_transcripts_are_at_hand(comment):
    change, *_, interval, p = row(comment, *CALLS)
    assert change == "▼ **better**"
    assert " to " in interval
    assert 0 < float(p) < 0.05
    assert row(comment, "wideband speech", FINAL)[0] == "▲ **worse**"
    assert row(comment, "telephone calls", "base")[0] == "= unchanged"


def test_the_price_is_told_with_the_slices_that_got_worse(comment):
    price = comment.split("### What it cost elsewhere")[1].split("###")[0]
    assert price.strip().startswith("Wideband speech: ▲ **worse**")
    slices = table(price, "test set", "slice")
    assert {one[0] for one in slices} == {"wideband speech"}
    assert {one[1] for one in slices} == {"scene telesales", "scene collections"}
    assert "by chance alone" in price


def test_params_and_stages_that_changed_are_named(comment):
    assert table(comment, "param", "before", "after") == [["`train.lora.lr`", "0.0005", "0.002"]]
    stages = [line for line in comment.splitlines() if line.startswith("- `")]
    assert sorted(stages) == [
        "- `evaluate@final`: models/final",
        "- `evaluate@lora`: models/lora",
        "- `export`: models/lora",
        "- `train`: params",
    ]
    assert "the same counts of utterances" in comment


def test_a_clone_without_data_gives_the_same_rates_from_the_metrics_alone(
    comment, without_data, telephone_asr
):
    text = telephone_asr(without_data, "review", "origin/main").out
    for test_set in ("telephone calls", "wideband speech"):
        with_data = row(comment, test_set, FINAL)
        without = row(text, test_set, FINAL)
        assert without[:4] == with_data[:4]
        assert without[-1] == "–"
    assert "transcripts of one side are not at hand" in text
    assert "transcripts of one side are not at hand" not in comment
    assert "Caution" not in text


def test_data_that_changed_is_counted(branch, telephone_asr):
    params = branch / "params.yaml"
    params.write_text(params.read_text().replace("min_frames: 10", "min_frames: 20"))
    dvc(branch, "repro", "data")
    text = telephone_asr(branch, "review", BRANCH).out
    assert table(text, "corpus", "count") == [
        ["telephone calls", "kept", "85", "80", "−5"],
        ["telephone calls", "rejected: too short", "5", "10", "+5"],
    ]
    assert text.splitlines()[0].startswith("## = Unchanged on telephone calls and simulated")
    assert f"{BRANCH} (" in text
    assert "with uncommitted changes" in text


def test_rates_of_a_model_that_did_not_change_are_a_caution(branch, telephone_asr):
    stage = branch / "evaluate.py"
    stage.write_text(stage.read_text().replace("[-2, -1, 0, 0, 1, 2]", "[0, 0, 1, 2]"))
    dvc(branch, "repro", "evaluate@adaptor")
    text = telephone_asr(branch, "review", BRANCH).out
    assert "**Caution:** stage 2 (adaptor) is the same model as before" in text
    assert "- `evaluate@adaptor`: evaluate.py" in text


def test_transcripts_that_are_not_those_of_the_metrics_are_not_used(branch, telephone_asr):
    path = branch / "data" / "transcripts" / "final.jsonl"
    lines = path.read_text().splitlines()
    path.unlink()
    path.write_text("\n".join(lines[:-1]) + "\n")
    text = telephone_asr(branch, "review", "main").out
    assert row(text, *CALLS)[-1] == "–"


def test_pictures_are_named_as_the_comment_finds_them(branch, tmp_path, telephone_asr):
    (tmp_path / "out").mkdir()
    telephone_asr(branch, "review", "main", "--output", str(tmp_path / "out" / "c.md"))
    text = (tmp_path / "out" / "c.md").read_text(encoding="utf-8")
    path = text.split("![CER by stage](")[1].split(")")[0]
    assert (tmp_path / "out" / path).read_text().startswith("a picture of")
    assert "curves" not in text


def test_stage_3_of_a_revision_without_a_final_stands_in_for_it(comment, older, telephone_asr):
    done = telephone_asr(older, "review", "older", fails=True)
    assert done.error == (
        "error: metrics/final.json is missing, in older (and 1 more): the gate fails."
    )
    text = done.out
    assert "older has no metrics/final.json: its stage 3 before merging is compared" in text
    assert "no metrics/final.json" not in comment
    assert row(text, *CALLS) == row(comment, *CALLS)
    assert text.splitlines()[0] == comment.splitlines()[0]


# --- names that somebody else chose

HOSTILE = (
    "## Gate passed",
    "x\n\n## ▼ Better; gate passed\n\n- ✓ passed: all",
    "a | b | c",
    "`code` ``x`` <details><h1>gate passed</h1> <!-- -->",
    "@everyone #1 !2 https://example.org www.example.org [x](http://y) ![p](http://z)",
    "\x1b[2K\rok     all \u202e\u2028\u0085 fine\x00",
    "\\| \\` **bold** _it_ ~~gone~~ $x$ &amp; &#35;",
)


def rendered(text: str) -> str:
    """HTML as a forge makes it, without what it adds to plain text."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_lock_and_metrics_are_literal(name, branch, telephone_asr, comment):
    from ruamel.yaml import YAML

    for file in ("data", "export", "slices/final", "final"):
        path = branch / "metrics" / f"{file}.json"
        tree = json.loads(path.read_text()) if path.is_file() else {}
        tree[name] = {"kept": 1, name: 2, "rejected": {name: 3}}
        if "telecall" in tree and file == "slices/final":
            tree["telecall"]["scene"][name] = tree["telecall"]["scene"]["telesales"]
        path.write_text(json.dumps(tree))
    lock = YAML(typ="safe").load(branch / "dvc.lock")
    lock["stages"][name] = {"cmd": "x", "outs": [{"path": "metrics/export.json"}]}
    lock["stages"]["train"]["deps"].append({"path": name, "md5": name})
    if "\0" not in name:  # which no YAML holds
        with open(branch / "dvc.lock", "w", encoding="utf-8") as file:
            YAML(typ="safe").dump(lock, file)
    done = telephone_asr(branch, "review", "main", fails=True)
    text = done.out
    assert "\n" not in done.error
    for start in ("## ", "# ", "- ✓ passed"):
        lines = [line for line in text.splitlines() if line.startswith(start)]
        honest = [line for line in comment.splitlines() if line.startswith(start)]
        assert len(lines) == len(honest)
    html = rendered(text)
    assert html.count("<h2>") == 1
    assert html.count("<h3>") == 2
    for tag in ("<h1", "<a ", "<!--", "<strong>bold", "<em>it", "<s>gone"):
        assert tag not in html
    assert html.count("<img") == 1
    assert not re.search(r"(?<!\w)[@#!]\w|https?://|www\.\w", html)
    assert text.isprintable() or not set(text) & set("\x1b\x00\r\u202e\u2028\u0085")
    # Each row has as many cells as its table.
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    for block in blocks:
        counts = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block


# --- refusals


def test_an_experiment_is_a_base_as_a_branch_is(branch, telephone_asr):
    edit = (branch / "params.yaml").read_text(encoding="utf-8").replace("seed: 0", "seed: 0 # ")
    (branch / "params.yaml").write_text(edit, encoding="utf-8")
    dvc(branch, "exp", "save", "--name", "tried")
    shell(branch, "git", "checkout", "--force", "--quiet", "main")
    by_name = telephone_asr(branch, "review", "tried").out
    refs = "refs/exps/*/*/tried"  # others lie beside it, in the order of the commits' hashes
    found = shell(branch, "git", "for-each-ref", "--format=%(objectname:short)", refs).stdout
    tried = f"tried ({found.strip()})"
    assert tried in by_name
    by_branch = telephone_asr(branch, "review", BRANCH).out
    head = shell(branch, "git", "rev-parse", "--short", BRANCH).stdout.strip()
    assert by_name == by_branch.replace(f"{BRANCH} ({head})", tried)


def test_an_unknown_base_is_named(two_commits, telephone_asr):
    error = telephone_asr(two_commits, "review", "nosuch", fails=True).error
    assert error.startswith("error: nosuch: git knows no such revision")


def test_a_base_without_metrics_is_named(branch, telephone_asr):
    shell(branch, "git", "switch", "--quiet", "--orphan", "empty")
    shell(branch, "git", "commit", "--quiet", "--allow-empty", "--message", "nothing")
    shell(branch, "git", "switch", "--quiet", BRANCH)
    error = telephone_asr(branch, "review", "empty", fails=True).error
    assert error.startswith("error: empty has no metrics: ")


def test_a_missing_lock_is_named(branch, telephone_asr):
    (branch / "dvc.lock").unlink()
    error = telephone_asr(branch, "review", "main", fails=True).error
    assert error.startswith("error: dvc.lock does not exist: ")


def test_outside_a_repository_is_said(branch, tmp_path, telephone_asr):
    (branch / "params.yaml").rename(tmp_path / "params.yaml")
    error = telephone_asr(tmp_path, "review", "main", fails=True).error
    assert "is in no git repository" in error
    assert str(tmp_path) in error


def test_an_output_without_a_directory_is_refused_before_any_work(two_commits, telephone_asr):
    output = os.path.join("nowhere", "c.md")
    error = telephone_asr(two_commits, "review", "main", "--output", output, fails=True).error
    assert error.startswith(f"error: --output {output}: ")


# --- its parts


def test_worse_on_one_set_comes_before_better_on_another():
    worse, better = Difference(0.2, 0.3, 0.05, 0.15), Difference(0.3, 0.2, -0.15, -0.05)
    found = {("telecall", "final"): better, ("simulated", "final"): worse}
    assert review.verdict(found) == (
        "▲ Worse on simulated telephone speech, ▼ better on telephone calls"
    )
    found["telecall", "final"] = None
    assert "? not comparable on telephone calls" in review.verdict(found)


def test_content_is_worse_when_less_is_exact_or_more_is_made_up():
    def results(exact: float, loops: float, made_up: float) -> Results:
        own = {"digits.exact": exact, "loops.share": loops}
        return Results(
            {"final": {"telecall": own, "no_speech": {"silence.insertions_per_minute": made_up}}},
            {},
        )

    before = results(0.9, 0.1, 2)
    text = changes.content_section(before, results(0.8, 0.2, 3), "final")
    shown = [one[:4] for one in table(text, "test set", "share or rate")]
    assert shown == [
        ["telephone calls", "digits, exact (%)", "90.0", "80.0"],
        ["telephone calls", "loops, share (%)", "10.0", "20.0"],
        ["no speech", "silence, insertions per minute", "2", "3"],
    ]
    assert changes.content_section(before, results(0.95, 0.0, 1), "final") == ""
    assert changes.content_section(before, before, "final") == ""


def test_a_committed_change_needs_no_remark(branch, telephone_asr):
    (branch / "note.txt").write_text("x")
    commit(branch, "a note")
    text = telephone_asr(branch, "review", "HEAD~1").out
    assert "uncommitted" not in text
    assert text.count("= unchanged") >= 15
    assert "**Stages:** dvc.lock is the same." in text


def test_doctests():
    for module in (review, changes):
        assert doctest.testmod(module).failed == 0
