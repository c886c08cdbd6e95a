"""Imports point one way: no circle, and no package knows of one that stands on it."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

# Written where it is used, for a type alone: the section of params.yaml that says how large.
ALLOWED = {("telephone_asr.model.tiny", "telephone_asr.params")}
# For their types too: what a program that imports the package calls; it is imported when called.
ALLOWED |= {("telephone_asr", "telephone_asr.calls.api")}
PACKAGE = Path(__file__).parents[1] / "src" / "telephone_asr"
# From the ground up. What is in one line may use the lines above it, and itself.
LAYERS = (
    ("__init__", "names", "paths", "titles"),
    ("errors", "keys", "pages", "sections", "tags", "textfiles", "workers"),
    ("outs", "program", "scratch", "channel"),
    ("shards", "measures", "sameness", "silero", "simulation", "telephone_rate", "no_speech"),
    ("corpora", "scoring", "manifests", "model"),
    ("params",),
    ("processes",),
    ("dataset", "decoding", "exports"),
    ("training", "report", "calls", "unlabelled"),
    ("stages", "commands"),
    ("cli",),
)


def imports(path: Path) -> set[str]:
    """The package's modules that a file imports: within functions and for types, too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name in MODULES}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def test_no_module_imports_itself_by_way_of_others():
    graph = {
        name: {used for used in imports(path) - {name} if (name, used) not in ALLOWED}
        for name, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_imports_point_one_way():
    height = {name: level for level, layer in enumerate(LAYERS) for name in layer}
    upward = []
    for module, path in MODULES.items():
        for used in imports(path):
            own, other = (
                name.split(".")[1] if "." in name else "__init__" for name in (module, used)
            )
            if height[other] > height[own] and (module, used) not in ALLOWED:
                upward.append(f"{module} imports {used}")
    assert not upward, upward
