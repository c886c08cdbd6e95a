"""What `make upgrade` says, and that every package has its version in constraints.txt."""

import doctest
import importlib.util
import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from repository_fixtures import ROOT

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SPEC = importlib.util.spec_from_file_location("upgrade", ROOT / ".ci" / "upgrade.py")
upgrade = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(upgrade)


def test_its_example_holds():
    assert doctest.testmod(upgrade).failed == 0


def test_a_version_of_one_python_alone_is_said():
    before = "av==17.1.0; python_version < '3.11'\nav==18.1.0; python_version >= '3.11'\n"
    after = before.replace("18.1.0", "18.2.0")
    assert upgrade.changes(before, after) == ["av 17.1.0, 18.1.0 -> 17.1.0, 18.2.0"]
    assert upgrade.changes(before, before) == []
    assert upgrade.changes("a==1\nz==1.1\n", "a==1.1\nz==1\n") == [
        "z 1.1 -> 1 (lower)",
        "a 1 -> 1.1",
    ]
    assert upgrade.oldest() == "3.10"


def test_the_file_keeps_its_head_and_gets_what_uv_resolved(tmp_path, monkeypatch, capsys):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# The versions.\nnumpy==2.2.6\n")
    monkeypatch.setattr(upgrade, "CONSTRAINTS", constraints)
    monkeypatch.setattr(upgrade, "resolve", lambda path, _: path.write_text("numpy==2.3.0\n"))
    upgrade.main([])
    assert constraints.read_text() == "# The versions.\nnumpy==2.3.0\n"
    assert capsys.readouterr().out == "numpy 2.2.6 -> 2.3.0\n"


def test_every_package_of_the_project_has_its_version():
    """As pyproject.toml has them: what is installed may be of another checkout."""
    pinned = upgrade.versions((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    code = "".join(line.split("#")[0] for line in table.splitlines())
    named = {canonicalize_name(Requirement(one).name) for one in re.findall(r'"([^"]+)"', code)}
    assert len(named) > 40
    assert named - pinned.keys() <= {"telephone-asr", "ray"}  # a cluster has its own Ray


def test_it_refuses_where_uv_is_missing_or_finds_nothing(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.10"\n')
    monkeypatch.setattr(upgrade, "ROOT", tmp_path)  # a project without a name
    with pytest.raises(SystemExit) as ended:
        upgrade.resolve(tmp_path / "new.txt", [])
    assert ended.value.code != 0


def test_every_version_can_be_had_by_the_first_python_that_it_is_for():
    """Debian's Python is 3.11.2: a version that asks for 3.11.5 is none for Python 3.11. Of what is
    installed here."""
    seen = 0
    for line in upgrade.CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        pin = Requirement(line)
        try:
            package = metadata(pin.name)
        except PackageNotFoundError:
            continue
        if f"=={package['Version']}" != str(pin.specifier):
            continue
        for_python = [
            python for python in PYTHONS if pin.marker is None or fits(pin.marker, python)
        ]
        if for_python:
            wanted = SpecifierSet(package.get("Requires-Python", ""))
            assert wanted.contains(f"{for_python[0]}.0"), f"{line} asks for Python {wanted}"
            seen += 1
    assert seen > 50


def fits(marker: Marker, python: str) -> bool:
    return marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})
