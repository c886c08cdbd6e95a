"""bench/gpu.py cannot rot: it runs on a CPU with a small model (all of its checks: -m slow, ten
minutes)."""

import importlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from types import ModuleType

import pytest

from repository_fixtures import ROOT


def run(out: Path, *options: str) -> dict:
    """Runs it; what it wrote. Its table has a row for each check."""
    command = [sys.executable, str(ROOT / "bench" / "gpu.py"), "--small", "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    results = json.loads((out / "gpu.json").read_text(encoding="utf-8"))
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == list(results["checks"])
    assert done.returncode == any(row["ok"] is False for row in results["checks"].values())
    assert not (out / "gpu.md").read_text(encoding="utf-8").startswith("On a machine that did not")
    return results["checks"]


@pytest.fixture
def gpu(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("gpu")


def test_a_step_is_measured_on_both_sides(tmp_path):
    from ruamel.yaml import YAML

    checks = run(tmp_path, "--only", "adaptor")
    assert {name: row["ok"] for name, row in checks.items()} == {"model": True, "adaptor": True}
    row = checks["adaptor"]
    for side in ("ours", "fp32", "funasr"):
        assert all(seconds > 0 for seconds in row[side]["seconds"])
        assert row[side]["trained_parameters"] == row["ours"]["trained_parameters"]
    (rates,) = YAML(typ="safe").load((tmp_path / "rates.yaml").read_text(encoding="utf-8"))
    assert rates["adaptor"] == row["rates"]
    assert rates["adaptor"]["rows_a_second"] > 0


def test_a_check_that_fails_or_hangs_says_so_and_the_others_go_on(gpu, tmp_path, monkeypatch):
    for name, value in gpu.environment([]).items():
        monkeypatch.setenv(name, value)
    bench = gpu.Bench(tmp_path, tmp_path / "out", small=True)
    for check in (gpu.Check("no_such_check", 60), gpu.Check("model", 0.01), gpu.Check("rates", 60)):
        bench.run(check)
    checks = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))["checks"]
    assert "no_such_check" in checks["no_such_check"]["text"]
    assert "not through" in checks["model"]["text"]
    assert "| no_such_check | FAILED |" in gpu.markdown(bench.results)
    assert (tmp_path / "out" / "rates.yaml").is_file()


def test_without_wheels_in_the_folder_it_says_so(gpu, tmp_path):
    with pytest.raises(SystemExit, match="holds no wheels"):
        gpu.install(tmp_path, tmp_path / "site")


# There, and what every version of them brings.
GIVEN = {"accelerate", "peft", "torch", "torchaudio", "transformers"}
GIVEN |= {"jinja2", "numpy", "safetensors", "tokenizers", "tqdm", "typing-extensions"}
NEEDED = "gpu_checks telephone_asr.stages.train telephone_asr.stages.evaluate"
BLOCKED = """
import importlib, sys
from importlib.machinery import ModuleSpec

class Missing:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in {missing} else None

    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {{spec.name!r}}", name=spec.name)

    exec_module = None

sys.meta_path.insert(0, Missing())
from telephone_asr.model.layout import import_funasr
import_funasr()
for name in "{names}".split():
    importlib.import_module(name)
from telephone_asr.training import loop, objective, trainer
from telephone_asr.dataset import speech
"""


def normal(requirement: str) -> str:
    return re.sub("[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_its_wheels_are_all_that_is_missing_where_pytorch_is(gpu):
    """Of what this project depends on: a first try on a GPU is too late to find out."""
    lines = (ROOT / "bench" / "gpu_wheels.txt").read_text(encoding="utf-8").splitlines()
    there = GIVEN | {normal(line) for line in lines if not line.startswith("#")}
    own = {normal(line) for line in requires("telephone-asr") or [] if "extra ==" not in line}
    assert own - there > {"dvc", "lhotse"}
    modules = packages_distributions().items()
    missing = {name for name, found in modules if set(map(normal, found)) <= own - there}
    code = BLOCKED.format(missing=missing, names=NEEDED)
    environment = gpu.environment([])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, text=True)
    assert done.returncode == 0


@pytest.mark.slow
def test_every_check_passes_or_needs_a_gpu(tmp_path, gpu):
    checks = run(tmp_path)
    assert set(checks) == {check.name for check in gpu.CHECKS}
    assert {name: row["text"] for name, row in checks.items() if row["ok"] is False} == {}
    assert {name for name, row in checks.items() if row["ok"] is None} == {"doctor", "full_gpu"}
