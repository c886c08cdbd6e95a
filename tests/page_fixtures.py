"""Pages, read as HTML and shown by a browser."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
LOADING = ("src", "srcset", "poster", "data", "action", "background")
VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, its text, and that of its table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.cells: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if not {"script", "style"} & set(self.open):
            self.words.append(text)
        if {"td", "th"} & set(self.open):
            self.cells[-1] += text

    def of(self, *tags: str) -> list[dict]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@contextmanager
def opened(
    path: Path, width: int, scheme: str, **options: Any
) -> Iterator[tuple[Any, list[str], list[str]]]:
    """Yields the page in Chromium, without a network, and what it asks for and complains of."""
    sync_api = pytest.importorskip("playwright.sync_api")
    requests: list[str] = []
    messages: list[str] = []
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        viewport = {"width": width, "height": 800}
        shown = browser.new_page(viewport=viewport, color_scheme=scheme, offline=True, **options)
        shown.on("request", lambda one: requests.append(one.url))
        shown.on("console", lambda one: messages.append(one.text))
        shown.on("pageerror", lambda one: messages.append(str(one)))
        shown.goto(path.as_uri())
        yield shown, requests, messages
        browser.close()


def is_dark(shown: Any) -> bool:
    back = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", back))) < 200


def until(shown: Any, condition: str, attempts: int = 200) -> None:
    """Waits in Python: what waits in the page needs `eval`, which a page's policy may forbid."""
    while not shown.evaluate(condition):
        assert attempts, condition
        attempts -= 1
        shown.wait_for_timeout(50)
