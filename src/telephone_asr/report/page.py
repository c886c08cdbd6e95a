"""Writes the report as one page that opens offline, by page.html.j2 and page.css."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from telephone_asr.pages import templates
from telephone_asr.report import blocks, figures
from telephone_asr.report.blocks import Document

HERE = Path(__file__).parent
# Of Markdown what blocks.py names, and no HTML: texts of the corpora cannot break the page.
_INLINE = MarkdownIt("zero").enable(["emphasis", "backticks", "escape"])
HEAT_STEPS = 6  # shades of a heat map in page.css
HEAT_TOP = 0.6  # CER of the darkest


def html(document: Document) -> str:
    """Returns the whole index.html; the same document gives the same bytes."""
    environment = templates(HERE)
    environment.filters["inline"] = inline
    environment.filters["svg"] = lambda panel: Markup(figures.svg(panel))
    environment.filters["shade"] = shade
    environment.globals["few_characters"] = blocks.FEW_CHARACTERS
    environment.tests["table"] = lambda block: isinstance(block, blocks.Table)
    environment.tests["heat_map"] = lambda block: isinstance(block, blocks.HeatMap)
    environment.tests["pictures"] = lambda block: isinstance(block, blocks.Pictures)
    environment.tests["utterances"] = lambda block: isinstance(block, blocks.Utterances)
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    template = environment.get_template("page.html.j2")
    return template.render(document=document, style=style)


def inline(text: str) -> Markup:
    """Turns inline Markdown to HTML.

    >>> print(inline("**3 < 4** `a_b` \\\\<b\\\\>"))
    <strong>3 &lt; 4</strong> <code>a_b</code> &lt;b&gt;
    """
    return Markup(_INLINE.renderInline(text.replace(" %", "\N{NO-BREAK SPACE}%")))


def shade(rate: float) -> int:
    """Returns the shade of a CER in a heat map, 0 the lightest.

    >>> [shade(rate) for rate in (0, 0.09, 0.1, 0.59, 0.6, 2)]
    [0, 0, 1, 5, 5, 5]
    """
    return min(int(rate * HEAT_STEPS / HEAT_TOP), HEAT_STEPS - 1)
