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
NYQUIST_KHZ = 8.0
WINDOW_S, HOP_S = 0.032, 0.008
RANGE_DB = 80.0

Curve = Sequence[tuple[int, float]]  # step, value


def _png(draw: Callable[..., Figure]) -> Callable[..., bytes]:
    """Makes a function that draws a figure return its bytes, in our style on every machine."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> bytes:
        with matplotlib.style.context(["default", STYLE]):
            file = io.BytesIO()
            # The name of the software holds a version, and would change the bytes.
            draw(*args, **kwargs).savefig(file, format="png", dpi=DPI, metadata={"Software": None})
        return file.getvalue()

    return drawn


def _figure(title: str, height_in: float) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.suptitle(title)
    return figure


@_png
def cer(metrics: Mapping[str, dict], title: str) -> Figure:
    """CER with its interval, grouped by test set, a point for each checkpoint."""
    figure = _figure(title, 4.4)
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


@_png
def curves(trainings: Mapping[str, Mapping[str, Curve]], title: str) -> Figure:
    """Loss above and validation CER below of each training that left curves, by step.

    Args:
        trainings: of TRAININGS, each with its "loss" and "cer".
    """
    names = [name for name in TRAININGS if any(trainings.get(name, {}).values())]
    figure = _figure(title, 4.8)
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


@_png
def spectrograms(sounds: Sequence[tuple[str, np.ndarray, int]], title: str) -> Figure:
    """Spectrograms on one scale of time, frequency and level.

    Args:
        sounds: name, samples (int16, mono) and sample rate in Hz of each.
    """
    figure = _figure(title, 2.0 * len(sounds) + 0.6)
    panels = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    levels = [spectrogram_db(samples, rate_hz) for _, samples, rate_hz in sounds]
    top_db = 10 * np.ceil(max(level.max() for level in levels) / 10)
    end_s = max(len(samples) / rate_hz for _, samples, rate_hz in sounds)
    for axes, (name, samples, rate_hz), level in zip(panels, sounds, levels, strict=True):
        khz, seconds = rate_hz / 2000, len(samples) / rate_hz
        image = axes.imshow(
            level,
            extent=(0, seconds, 0, khz),
            vmin=top_db - RANGE_DB,
            vmax=top_db,
            cmap="magma",
            origin="lower",
            aspect="auto",
        )
        axes.set(xlim=(0, end_s), ylim=(0, NYQUIST_KHZ), yticks=range(0, 9, 2))
        axes.set_ylabel("frequency (kHz)")
        axes.set_title(f"{name}, sampled at {rate_hz / 1000:g} kHz", loc="left")
        if khz < NYQUIST_KHZ:
            note = f"nothing above {khz:g} kHz"
            middle = (seconds / 2, (khz + NYQUIST_KHZ) / 2)
            axes.text(*middle, note, ha="center", va="center", color="#555555")
    panels[-1].set_xlabel("time (s)")
    bar = figure.colorbar(image, ax=list(panels), aspect=40, pad=0.02)
    bar.set_label("level (dB, full-scale sine = 0)")
    return figure


def spectrogram_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Level in dB against a full-scale sine (frequencies × frames), comparable between rates."""
    size, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    scaled = samples.astype(np.float64) / 32768
    scaled = np.pad(scaled, size // 2 + 1)  # also a sound shorter than a window has a frame
    frames = np.lib.stride_tricks.sliding_window_view(scaled, size)[::hop]
    window = np.hanning(size)
    spectrum = np.abs(np.fft.rfft(frames * window)) * 2 / window.sum()
    return 20 * np.log10(np.maximum(spectrum.T, 1e-8))


@_png
def channel(cuts: Sequence[Mapping], title: str) -> Figure:
    """Histograms of what was done to the simulated utterances, and of their duration."""
    done = [cut.get("custom") or {} for cut in cuts]
    panels = [
        ("babble SNR (dB)", [one.get("babble_snr_db") for one in done]),
        ("speech level (dBov)", [one.get("level_db") for one in done]),
        ("white-noise SNR (dB)", [one.get("white_noise_snr_db") for one in done]),
        ("duration (s)", [cut["duration"] for cut in cuts]),
    ]
    figure = _figure(title, 4.8)
    for axes, (label, values) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        known = [value for value in values if value is not None]
        axes.set_xlabel(label)
        axes.set_ylabel("utterances")
        if not known:
            axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
            continue
        axes.hist(known, bins=30, color=ACCENT)
        middle = float(np.median(known))
        axes.axvline(middle, color="black", lw=1, ls="--")
        axes.set_title(f"median {middle:.1f}".replace("-", "−"), loc="right", fontsize=9)
        axes.grid(axis="y")
    return figure
