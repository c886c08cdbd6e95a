"""Writes docs/troubleshooting.md: every refusal that the code can end in, by where its reader is.

    python docs/troubleshooting.py

tests/test_troubleshooting.py holds the page against the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "telephone_asr"
PAGE = ROOT / "docs" / "troubleshooting.md"
VALUE = "…"
NAMED = {"path": "FILE", "file": "FILE", "directory": "DIRECTORY", "key": "KEY"}  # values' names
FEWEST_LETTERS = 12  # of a message without its values: with fewer there is nothing to search for
OTHERS = "Elsewhere"

# Where the reader is, what is said there first, and the modules whose messages belong there: a
# module's place is that of the longest of these names that it begins with.
GROUPS = {
    "Set-up and the machine": (
        "[README.md](../README.md) has the set-up. `telephone-asr doctor` looks for most of this "
        "before a long run does.",
        ("errors", "program", "outs", "scratch", "workers", "commands.doctor", "textfiles"),
    ),
    "params.yaml": (
        "A key, its value and what was expected are named: `params.yaml: train.lr: expected a "
        "number, got '2e-4x' (str).` Comments in params.yaml and `profiles/` have the values.",
        ("params", "keys", "sections", "commands.profile", "manifests.hotwords"),
    ),
    "The telephone line": (
        "[channel.md](channel.md) shows each value.",
        ("channel", "simulation", "commands.simulate"),
    ),
    "Corpora": (
        "[data.md](data.md) has the formats and the reasons why an utterance is left out; "
        "`telephone-asr data why ID` says what became of one.",
        (
            *("corpora", "shards", "sameness", "measures", "no_speech", "manifests", "tags"),
            *("stages.corpus", "stages.simulate", "stages.telecall", "stages.manifests"),
            *(
                "stages.no_speech",
                "commands.data",
                "commands.why",
                "commands.align",
                "commands.unpack",
            ),
            *("commands.forecast", "calls.references"),
        ),
    ),
    "The embedded corpus, made anew": (
        "`python -m telephone_asr.corpora.speak`, which nobody needs to run.",
        ("corpora.sentences", "corpora.speak", "corpora.pinyin", "corpora.synthetic"),
    ),
    "The base model": (
        "[training.md](training.md) has the published layouts, [security.md](security.md#models) "
        "what a model directory may hold.",
        ("model", "stages.base", "stages.tokenizer"),
    ),
    "Training": (
        "[training.md](training.md). The same command goes on where it stopped.",
        ("training", "dataset", "processes", "stages.train"),
    ),
    "Export, scores and review": (
        "[scoring.md](scoring.md), [review.md](review.md), [deploy.md](deploy.md).",
        (
            *("scoring", "report", "decoding", "exports", "stages.export", "stages.evaluate"),
            *("stages.export_formats", "stages.report", "commands.evaluate", "commands.score"),
            *("commands.gate", "commands.review", "commands.revisions", "commands.package"),
            "commands.left_out",
        ),
    ),
    "Whole calls": (
        "[transcribe.md](transcribe.md).",
        ("calls", "commands.arguments", "commands.transcribe", "commands.evaluate_calls"),
    ),
    "Calls without transcripts": (
        "[unlabelled.md](unlabelled.md).",
        (
            *("unlabelled", "stages.unlabelled", "stages.pseudo_label", "stages.self_train"),
            *("training.scripts", "commands.trust"),
        ),
    ),
    "Remotes": (
        "[remotes.md](remotes.md) sets them up; `telephone-asr storage check` says what DVC leaves "
        "unsaid. What DVC says itself:\n\n"
        "- **`failed to pull data from the cloud`, `missing-files`**: whoever committed dvc.lock "
        "did not `dvc push`, or who pushed did not commit dvc.lock: have them do it, or `dvc "
        "repro` makes it anew. `Checkout failed` of `dvc checkout` after a `git pull`: `dvc pull` "
        "brings it.\n"
        "- **`Some of the cache files do not exist neither locally nor on remote`**, in a push "
        "that ends well all the same: the same on your side.\n"
        "- **`config file error: no remote specified`**: `dvc remote list` must name one as the "
        "default ([README.md](../README.md#data-and-models-in-a-dvc-remote)).\n"
        "- **`Unable to acquire lock`**: another DVC command runs in this checkout: wait for it.\n"
        "- **dvc.lock in conflict**: [reproducible.md](reproducible.md).\n\n"
        "And this project:",
        ("commands.storage", "commands.stored", "commands.credentials"),
    ),
    "Callers' data": ("[privacy.md](privacy.md).", ("commands.forget", "corpora.forgotten")),
    OTHERS: ("", ()),
}
HEAD = """# Troubleshooting

Every refusal is one sentence behind `error: `, which names the file, line or key, what was
expected and what to do. Here they all are, to search in: … stands for what a message names. A
traceback is a fault of ours: [CONTRIBUTING.md](../CONTRIBUTING.md) says how to report it.

`python docs/troubleshooting.py` writes this page from the code.
"""


def messages() -> dict[str, list[str]]:
    """Returns the messages of each group, in the order of the modules and their lines."""
    places = {name: group for group, (_, names) in GROUPS.items() for name in names}
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        own = [n for n in places if f"{module}.".startswith(f"{n}.")]
        group = found[places[max(own, key=len)] if own else OTHERS]
        for text in templates(ast.parse(path.read_text(encoding="utf-8"))):
            if text not in group and len(re.findall(r"[^\W\d_]", text)) >= FEWEST_LETTERS:
                group.append(text)
    return found


def templates(tree: ast.AST) -> Iterator[str]:
    """Yields what a module's InputErrors say, and what `shortage` returns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "InputError" and node.args:
                yield one_line(written(node.args[0]))
        elif isinstance(node, ast.FunctionDef) and node.name == "shortage":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and isinstance(inner.value, ast.JoinedStr):
                    yield one_line(written(inner.value))


def written(node: ast.AST) -> str:
    """Returns a text as the code has it, its values as dots."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(written, parts))
        case ast.FormattedValue(value=ast.Name(id=name)):
            return NAMED.get(name, VALUE)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return written(left) + written(right)
    return VALUE


def one_line(text: str) -> str:
    text = re.sub(rf"{VALUE}(?:[ ,]*{VALUE})+", VALUE, " ".join(text.split()))
    return re.sub(rf"^{VALUE}(?=\w)", "", text).rstrip(".") + "."


def item(text: str) -> str:
    """Returns a message as Markdown: what is wrong in bold, then what to do where it says so."""
    for place in reversed([match.start() for match in re.finditer("[:;] ", text)]):
        wrong, advice = text[:place], text[place + 2 :]
        whole = wrong.count("(") == wrong.count(")") and not wrong.count("`") % 2
        whole = whole and len(re.findall(r"[a-zA-Z]", wrong)) > 2
        if whole and len(advice) >= FEWEST_LETTERS and advice[0] not in f"{VALUE}'":
            return f"- **{literal(wrong)}**{text[place]} {literal(advice)}"
    return f"- **{literal(text)}**"


def literal(text: str) -> str:
    """Returns a text whose characters mean nothing to Markdown, but for those of its code."""
    parts = text.split("`")
    parts[::2] = (re.sub(r"([*<\[\]])", r"\\\1", part) for part in parts[::2])
    return "`".join(parts)


def page() -> str:
    parts = [HEAD]
    for group, texts in messages().items():
        about, _ = GROUPS[group]
        blocks = [f"## {group}", about, "\n".join(map(item, texts))]
        if texts:
            parts.append("\n\n".join(filter(None, blocks)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
