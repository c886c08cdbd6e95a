"""A stage of dvc.yaml depends on the code it imports: on all of it, and on nothing else.

`python tests/test_dependencies.py` writes the right ones into dvc.yaml.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PACKAGE = SRC / "telephone_asr"
# What no stage depends on, although all import it: an edit there must not train everything anew.
EXEMPT = {
    "params.py": "a new key changes no stage, and those that a stage reads are its params",
    "errors.py": "what a refusal is, not what a stage writes",
    "paths.py": "the stage's deps and outs",
    "program.py": "how a refusal ends",
    "outs.py": "how an out is put in place, not what is in it",
}

yaml = YAML()
yaml.width = 4096
yaml.preserve_quotes = True
yaml.indent(mapping=2, sequence=4, offset=2)
STAGES = yaml.load(ROOT / "dvc.yaml")["stages"]


# --- What the code imports. (grimp knows this of modules, and not of the files they read.)


@cache
def needed(stage: str) -> set[Path]:
    """The files of the package that a stage runs or reads, but for the exempt."""
    exempt = {PACKAGE / name for name in EXEMPT}
    [module] = re.findall(r"-m telephone_asr\.stages\.(\w+)", STAGES[stage]["cmd"])
    found, todo = set(), [PACKAGE / "stages" / f"{module}.py"]
    while todo:
        path = todo.pop()
        if path not in found | exempt:
            found.add(path)
            todo += uses(path)
    return {path for path in found if path.suffix != ".py" or has_code(path)}


@cache
def uses(path: Path) -> list[Path]:
    """The package's files that one of them imports, or names because it reads them."""
    if path.suffix != ".py":
        return []
    found, beside = [], {file.name: file for file in path.parent.iterdir() if file.is_file()}
    for node in statements(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                found += module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Constant) and node.value in beside:
            found.append(beside[node.value])
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, also within functions, but for what only a type checker sees."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield from statements(child)


def module(name: str) -> list[Path]:
    """The files that an import of this module, or of a name in a module, runs."""
    *packages, last = name.split(".")
    found = [SRC.joinpath(*packages[:n], "__init__.py") for n in range(1, len(packages) + 1)]
    found += [SRC.joinpath(*packages).with_suffix(".py")]
    found += [SRC.joinpath(*packages, last, "__init__.py"), SRC.joinpath(*packages, f"{last}.py")]
    return [path for path in found if path.is_file() and path.is_relative_to(PACKAGE)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def has_code(path: Path) -> bool:
    """Whether there is more in it than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in tree(path).body)


# --- What dvc.yaml says


def is_code(dep: str) -> bool:
    return dep.startswith("src/telephone_asr/")


def files(path: Path) -> set[Path]:
    """Of a dependency: itself, or all in a directory that could change what is run."""
    paths = [p for p in path.rglob("*.*") if p.is_file()] if path.is_dir() else [path]
    code = {p for p in paths if "__pycache__" not in p.parts}
    return {p for p in code if p.suffix != ".py" or has_code(p)}


def as_dependencies(paths: set[Path]) -> list[str]:
    """The same as dvc.yaml has it: a directory where all of it is needed, files elsewhere."""
    whole = {d for d in PACKAGE.iterdir() if d.is_dir() and files(d) and files(d) <= paths}
    rest = {path for path in paths if path.parent not in whole}
    return sorted(path.relative_to(ROOT).as_posix() for path in whole | rest)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_imports(stage):
    listed = set().union(*(files(ROOT / dep) for dep in STAGES[stage]["deps"] if is_code(dep)))
    missing, unused = needed(stage) - listed, listed - needed(stage)
    advice = "; `python tests/test_dependencies.py` mends dvc.yaml"
    assert not missing, f"imported and no dependency: {as_dependencies(missing)}{advice}"
    assert not unused, f"a dependency and not imported: {as_dependencies(unused)}{advice}"


def mend() -> None:
    """Writes the dependencies on code into dvc.yaml, where the first of them stood."""
    path = ROOT / "dvc.yaml"
    pipeline = yaml.load(path)
    for name, stage in pipeline["stages"].items():
        deps = stage["deps"]
        places = [i for i, dep in enumerate(deps) if is_code(dep)]
        for i in reversed(places):  # one by one: comments on the others stay
            del deps[i]
        for i, dep in enumerate(as_dependencies(needed(name)), places[0]):
            deps.insert(i, dep)
    yaml.dump(pipeline, path)


if __name__ == "__main__":
    mend()
