"""The pictures of the report: each function takes plain data and returns the bytes of a PNG.

The same data gives the same bytes. Text is Latin only, since no font with hanzi can be assumed.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from telephone_asr.report.findings import CHECKPOINTS, SETS

WIDTH_IN = 8.0
DPI = 150  # shown at 800 pixels, a point of type is 1.4 pixels
STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
# Okabe and Ito's colours, told apart in every kind of colour blindness; shapes besides.
COLOURS = {"base": "#555555", "encoder": "#0072B2", "adapter": "#D55E00", "lora": "#009E73"}
MARKERS = {"base": "o", "encoder": "s", "adapter": "^", "lora": "D"}
ACCENT = COLOURS["encoder"]
TRAININGS = {
    "base_ctc": "base: encoder\n(CTC)",
    "base_llm": "base: adapter\nand LLM",
    "encoder": "stage 1:\nencoder",
    "adapter": "stage 2:\nadapter",
    "lora": "stage 3:\nLoRA",
}

Curve = Sequence[tuple[int, float]]  # step, value


def png(draw: Callable[..., Figure]) -> Callable[..., bytes]:
    """Makes a function that draws a figure return its bytes, in our style on every machine."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> bytes:
        with matplotlib.style.context(["default", STYLE]):
            file = io.BytesIO()
            # The name of the software holds a version, and would change the bytes.
            draw(*args, **kwargs).savefig(file, format="png", dpi=DPI, metadata={"Software": None})
        return file.getvalue()

    return drawn


def new_figure(title: str, height_in: float) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.suptitle(title)
    return figure


@png
def cer(metrics: Mapping[str, dict], title: str) -> Figure:
    """CER with its interval, grouped by test set, a point for each checkpoint."""
    figure = new_figure(title, 4.4)
    axes = figure.subplots()
    offsets = np.linspace(-0.3, 0.3, len(CHECKPOINTS))
    for offset, (name, label) in zip(offsets, CHECKPOINTS.items(), strict=True):
        points = [(i + offset, metrics[name][test_set]) for i, test_set in enumerate(SETS)]
        points = [(x, one) for x, one in points if one["cer"] is not None]
        look = {"color": COLOURS[name], "marker": MARKERS[name], "label": label}
        axes.plot([x for x, _ in points], [100 * p["cer"] for _, p in points], ls="", ms=7, **look)
        for x, one in points:
            axes.vlines(x, 100 * one["cer_low"], 100 * one["cer_high"], COLOURS[name], lw=2)
            top = (x, 100 * max(one["cer_high"], one["cer"]))
            axes.annotate(
                f"{100 * one['cer']:.1f}",
                top,
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
    axes.set_xticks(range(len(SETS)), SETS.values())
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, len(SETS) - 0.5)
    axes.set_ylim(0, 1.08 * max(axes.get_ylim()[1], 1))
    axes.set_ylabel("CER (% of characters)\nwith 95 % interval")
    axes.grid(axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(CHECKPOINTS))
    return figure


@png
def curves(trainings: Mapping[str, Mapping[str, Curve]], title: str) -> Figure:
    """Loss above and validation CER below of each training that left curves, by step.

    Args:
        trainings: of TRAININGS, each with its "loss" and "cer".
    """
    names = [name for name in TRAININGS if any(trainings.get(name, {}).values())]
    figure = new_figure(title, 4.8)
    grid = figure.subplots(2, max(1, len(names)), sharex="col", squeeze=False)
    for (above, below), name in zip(grid.T, names, strict=False):
        above.set_title(TRAININGS[name])
        _draw_loss(above, trainings[name].get("loss", ()))
        _draw_valid_cer(below, trainings[name].get("cer", ()))
        for axes in (above, below):
            axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.grid(axis="y")
            axes.tick_params(labelsize=9)
    grid[0, 0].set_ylabel("training loss (nats)")
    grid[1, 0].set_ylabel("validation CER (%)")
    figure.supxlabel("step (batches)", fontsize=10)
    return figure


def _draw_loss(axes: Axes, curve: Curve) -> None:
    if not curve:
        return
    steps, values = zip(*curve, strict=True)
    axes.plot(steps, values, color=ACCENT, lw=1.2)
    axes.set_ylim(0, 1.05 * max(values))


def _draw_valid_cer(axes: Axes, curve: Curve) -> None:
    """Says the first and the best value; what is far above 100 % would squeeze the rest."""
    if not curve:
        return
    steps, values = zip(*((step, 100 * value) for step, value in curve), strict=True)
    best = int(np.argmin(values))
    axes.plot(steps, values, color=ACCENT, marker="o", ms=4, lw=1.2)
    axes.plot(steps[best], values[best], "o", ms=8, mfc="none", mec="black", clip_on=False)
    axes.set_ylim(0, min(1.1 * max(values), 120) or 1)
    axes.set_title(f"start {values[0]:.0f}, best {values[best]:.1f}", fontsize=8.5)
