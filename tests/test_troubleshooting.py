"""docs/troubleshooting.md is what the code says, and what it says can be looked up."""

import ast
import sys

import pytest

from repository_fixtures import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import troubleshooting


def test_the_page_is_what_the_code_says():
    advice = "`python docs/troubleshooting.py` writes it anew"
    assert troubleshooting.PAGE.read_text(encoding="utf-8") == troubleshooting.page(), advice


def test_no_message_is_without_a_place():
    assert troubleshooting.messages()[troubleshooting.OTHERS] == []


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('InputError(f"{path}: no {kind} here: give one.")', "FILE: no … here: give one."),
        ('InputError("a " + sentence + ": do" " this")', "a …: do this."),
        ("def shortage(e):\n    return f'{place}no room: free some.'", "no room: free some."),
    ],
)
def test_a_message_is_read_from_the_code(code, text):
    assert list(troubleshooting.templates(ast.parse(code))) == [text]


def test_what_to_do_stands_apart():
    item = troubleshooting.item
    assert item("FILE is gone (…: …): run `dvc pull`.") == (
        "- **FILE is gone (…: …)**: run `dvc pull`."
    )
    assert item("FILE: … is none.") == "- **FILE: … is none.**"
    assert item("a*b needs c; install `x[y]`.") == "- **a\\*b needs c**; install `x[y]`."
