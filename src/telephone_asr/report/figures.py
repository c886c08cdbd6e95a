"""Draws the pictures of the report by matplotlib, once for the page and once for the Markdown.

A picture is some panels. In `report/index.html` each is an SVG of its own, so that a telephone
shows them below each other, its words in the reader's font and its colours those of the page,
light or dark; beside `report/README.md` they are one PNG. The same data gives the same bytes.
Words in a picture are Latin only: matplotlib has no hanzi, and the reader's font is unknown.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from telephone_asr.names import COLUMNS, TEST_SETS
from telephone_asr.titles import title_of

PANEL_IN = (3.6, 2.5)  # a telephone is 3.6 inches of CSS wide
PNG_DPI = 130
TITLE_CHARACTERS = 32  # of a line above a panel, which is as wide
LINE_IN = 0.17
RASTER_DPI = 110  # of the spectrograms in an SVG
INK, MUTED, GRID = "#1c2024", "#5b6169", "#d9dce0"
ACCENT, SECOND, PAPER = "#0b62a4", "#b34700", "#fefefe"
# Each colour of a picture is a variable of page.css, which has a light and a dark value for it.
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
VARIABLES |= {ACCENT: "var(--accent)", SECOND: "var(--second)", PAPER: "var(--paper)"}
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=[ACCENT, SECOND]),
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "grid.color": GRID,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}
SHORT = {"base": "base", "encoder": "stage 1", "adaptor": "stage 2", "final": "final"}
TRAININGS = {
    "base_ctc": "Base: encoder (CTC)",
    "base_llm": "Base: adaptor and LLM",
    "encoder": "Stage 1: encoder",
    "adaptor": "Stage 2: adaptor",
    "lora": "Stage 3: LoRA",
}

Curve = Sequence[tuple[int, float]]  # step, value


@dataclass(frozen=True)
class Panel:
    """A picture, with the words for who cannot see it."""

    name: str  # unique in the report
    title: str
    alt: str
    draw: Callable[[FigureBase], None]
    height_in: float = PANEL_IN[1]


def svg(panel: Panel) -> str:
    """Returns the panel as an SVG element for a page, its ids starting with the panel's name."""
    with matplotlib.style.context(["default", STYLE, {"svg.hashsalt": panel.name}]):
        figure = Figure(figsize=(PANEL_IN[0], panel.height_in), layout="constrained")
        panel.draw(figure)
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing, transparent=True, dpi=RASTER_DPI)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    # Of a font only its size is kept: the page chooses the family.
    text = re.sub(r"font: (?:bold )?([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"( id=\"|url\(#|href=\"#)", rf"\g<1>{panel.name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    # The size is that of the page's column.
    head = f'<svg \\1 role="img" aria-label="{escape(panel.alt)}">'
    return re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', head, text)


def png(panels: Sequence[Panel], title: str, columns: int) -> bytes:
    """Returns the panels in rows of so many, each under its title, which is in lines where it is
    longer than a panel is wide."""
    rows = -(-len(panels) // columns)
    titles = [
        textwrap.fill(panel.title, TITLE_CHARACTERS, break_on_hyphens=False) for panel in panels
    ]
    needed = [p.height_in + LINE_IN * t.count("\n") for p, t in zip(panels, titles, strict=True)]
    heights = [max(needed[i * columns :][:columns]) for i in range(rows)]
    with matplotlib.style.context(["default", STYLE]):
        size = (PANEL_IN[0] * columns, sum(heights) + 0.3 * rows + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, fontsize=13)
        grid = figure.subfigures(rows, columns, squeeze=False, height_ratios=heights)
        for panel, above, part in zip(panels, titles, grid.flat, strict=False):
            part.suptitle(above, fontsize=10)
            panel.draw(part)
        file = io.BytesIO()
        # The name of the software holds a version, and would change the bytes.
        figure.savefig(file, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return file.getvalue()


def cer(metrics: Mapping[str, dict], test_sets: Sequence[str] = TEST_SETS) -> list[Panel]:
    """Draws CERs with their intervals, a panel for each test set, a point for each checkpoint."""
    panels = []
    for name in test_sets:
        title = title_of(name)
        ones = {checkpoint: metrics[checkpoint][name] for checkpoint in COLUMNS}
        known = {label: one for label, one in ones.items() if one["cer"] is not None}
        alt = "; ".join(
            f"{SHORT[label]} {100 * one['cer']:.1f} %, 95 % interval "
            f"{100 * one['cer_low']:.1f} to {100 * one['cer_high']:.1f} %"
            for label, one in known.items()
        )
        draw = _cer_drawer(known)
        panels.append(Panel(f"cer-{name}", f"CER on {title}", f"CER on {title}: {alt}.", draw))
    return panels


def _cer_drawer(ones: Mapping[str, dict]) -> Callable[[FigureBase], None]:
    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        for x, (name, one) in enumerate(ones.items()):
            colour = MUTED if name == "base" else ACCENT
            low, middle, high = (100 * one[key] for key in ("cer_low", "cer", "cer_high"))
            axes.vlines(x, low, high, colour, lw=2.5)
            axes.plot(x, middle, "o", ms=6, color=colour)
            label(axes, f"{middle:.1f}", (x, max(high, middle)))
        axes.set_xticks(range(len(ones)), [SHORT[name] for name in ones])
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.5, max(len(ones), 1) - 0.5)
        axes.set_ylim(0, 1.15 * max(axes.get_ylim()[1], 1))
        axes.set_ylabel("CER (%)")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y")

    return draw


def label(axes: Axes, text: str, place: tuple[float, float]) -> None:
    """Writes a number above what it belongs to."""
    axes.annotate(text, place, (0, 5), textcoords="offset points", ha="center", fontsize=9)


def curves(trainings: Mapping[str, Mapping[str, Curve]]) -> list[Panel]:
    """Draws loss above and validation CER below, by step, of each training that left curves.

    Args:
        trainings: of TRAININGS, each with its "loss" and "cer".
    """
    panels = []
    for name, title in TRAININGS.items():
        loss, cer_curve = (trainings.get(name, {}).get(key, ()) for key in ("loss", "cer"))
        if not loss and not cer_curve:
            continue
        words = [
            f"{what} from {scale * curve[0][1]:.{digits}f}{unit} at step {curve[0][0]} "
            f"to {scale * curve[-1][1]:.{digits}f}{unit} at step {curve[-1][0]}"
            for what, curve, scale, digits, unit in (
                ("training loss", loss, 1, 2, ""),
                ("validation CER", cer_curve, 100, 1, " %"),
            )
            if curve
        ]
        alt = f"{title}: {'; '.join(words)}."
        panels.append(Panel(f"curves-{name}", title, alt, _curve_drawer(loss, cer_curve), 3.3))
    return panels


def _curve_drawer(loss: Curve, cer_curve: Curve) -> Callable[[FigureBase], None]:
    def draw(figure: FigureBase) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        _draw_loss(above, loss)
        _draw_valid_cer(below, cer_curve)
        for axes in (above, below):
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.grid(axis="y")
        below.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
        above.set_ylabel("loss (nats)")
        below.set_ylabel("valid. CER (%)")
        below.set_xlabel("step (batches)")
        figure.align_ylabels()

    return draw


def _draw_loss(axes: Axes, curve: Curve) -> None:
    if not curve:
        return
    steps, values = zip(*curve, strict=True)
    axes.plot(steps, values, lw=1.3)
    axes.set_ylim(0, 1.05 * max(values) or 1)


def _draw_valid_cer(axes: Axes, curve: Curve) -> None:
    """Draws and names the first and the best; what is far above 100 % would squeeze the rest."""
    if not curve:
        return
    steps, values = zip(*((step, 100 * value) for step, value in curve), strict=True)
    best = int(np.argmin(values))
    axes.plot(steps, values, marker="o", ms=4, lw=1.3)
    axes.plot(steps[best], values[best], "o", ms=9, mfc="none", mec=INK, clip_on=False)
    axes.set_ylim(0, min(1.1 * max(values), 120) or 1)
    axes.set_title(f"start {values[0]:.0f} %, best {values[best]:.1f} %")
