"""Writes the report as Markdown, for README.md, whose pictures are PNG files beside it; and keeps
texts that others chose from being taken for Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from telephone_asr.report.blocks import (
    Answer,
    Block,
    Document,
    HeatMap,
    Pictures,
    Table,
    Utterance,
    Utterances,
)
from telephone_asr.scoring.difference import percent
from telephone_asr.textfiles import one_line

SIGNS = {"good": "✓", "bad": "✗", "neutral": "≈", "unknown": "?"}


def markdown(document: Document) -> str:
    """Returns the whole README.md."""
    parts = [f"# {document.title}", document.lead, *map(_answer, document.answers)]
    parts.append("\n".join(f"- {note}" for note in document.notes))
    for section in document.sections:
        parts += [f"## {section.title}", *map(_block, section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(answer: Answer) -> str:
    head = f"### {answer.question}\n\n{SIGNS[answer.tone]} **{answer.headline}.** {answer.text}"
    return "\n".join(
        [head.rstrip(), "", *(f"- {SIGNS[tone]} {text}" for tone, text in answer.points)]
    ).rstrip()


def _block(block: Block) -> str:
    match block:
        case Table():
            return f"{block.caption}:\n\n{table(block.heads, block.rows, block.left)}"
        case HeatMap():
            return heat_map(block)
        case Pictures():
            alt = " ".join(panel.alt for panel in block.panels)
            return f"![{literal(alt)}]({block.name}.png)"
        case Utterances():
            return utterances(block.utterances)
    return block


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Returns a Markdown table; all but the first `left` columns are aligned to the right."""
    aligned = [":--" if column < left else "--:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, aligned, *rows))


def heat_map(block: HeatMap) -> str:
    """Returns CERs with the characters behind them, in brackets what rests on too few."""
    rows = []
    for name, cells in block.rows:
        texts = [f"{percent(c.rate)} of {c.characters:,}" if c else "" for c in cells]
        few = [bool(c and c.few) for c in cells]
        rows.append([name, *(f"({t})" if f else t for t, f in zip(texts, few, strict=True))])
    corner = literal(block.corner)
    body = table([corner, *map(literal, block.columns)], rows)
    return f"{block.caption} (of so many characters; in brackets: too few to tell):\n\n{body}"


def utterances(shown: Sequence[Utterance]) -> str:
    rows = [
        [
            literal(one.key),
            literal(one.about) or "–",
            _marked((said, kind) for said, _, kind in one.columns),
            _marked((heard, kind) for _, heard, kind in one.columns),
            one.cer,
            one.counts,
        ]
        for one in shown
    ]
    heads = ["utterance", "about", "reference", "recognised", "CER", "subst. / del. / ins."]
    return table(heads, rows, left=4)


def _marked(characters: Iterable[tuple[str, str]]) -> str:
    """Returns a text with its errors in bold.

    >>> _marked([("还", ""), ("款", "D"), ("3", "S"), ("", "I"), ("0", "")])
    '还**款3**0'
    """
    text = ""
    for wrong, run in groupby(characters, lambda one: bool(one[1])):
        part = literal("".join(character for character, _ in run))
        text += f"**{part}**" if wrong and part else part
    return text or "(empty)"


# --- Words that others chose


def literal(text: str) -> str:
    """Returns Markdown that shows a text as it is, whatever characters are in it.

    >>> print(literal("<a*b|c_d _e_>"))
    \\<a\\*b\\|c_d \\_e\\_\\>
    """
    return re.sub(r"([\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w))", r"\\\1", one_line(text))


def inert(text: str) -> str:
    """Returns the same for where a forge shows it, which makes mentions, references and links of
    plain text, and headings of how a line begins: a word joiner, which nobody sees, prevents that.

    >>> inert("@all #1 http://x www.y").split("\\u2060")
    ['@', 'all #', '1 http:', '//x www.', 'y']
    """
    text = re.sub(r"^(#|[+-] |\d+(?=[.)]))", lambda start: f"\u2060{start[0]}", literal(text))
    return re.sub(r"([@#!](?=\w)|\b\w+:(?=//)|\bwww\.)", "\\1\u2060", text, flags=re.I)


def code(name: str) -> str:
    """Returns a name as code, or as inert text where code could not hold it.

    >>> code("evaluate@final"), code("a`b")
    ('`evaluate@final`', 'a\\\\`b')
    """
    return f"`{name}`" if re.fullmatch(r"[\w@./:,+ -]+", name) else inert(name)
