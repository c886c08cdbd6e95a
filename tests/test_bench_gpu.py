"""bench/gpu.py cannot rot: it runs on a CPU with a small model (all of its checks: -m slow, ten
minutes)."""

import importlib
import json
import subprocess
import sys
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


@pytest.mark.slow
def test_every_check_passes_or_needs_a_gpu(tmp_path, gpu):
    checks = run(tmp_path)
    assert set(checks) == {check.name for check in gpu.CHECKS}
    assert {name: row["text"] for name, row in checks.items() if row["ok"] is False} == {}
    assert {name for name, row in checks.items() if row["ok"] is None} == {"doctor", "full_gpu"}
