"""Pictures of sound: spectrograms, and what the simulated line did."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from telephone_asr.report.figures import ACCENT, new_figure, png

NYQUIST_KHZ = 8.0
WINDOW_S, HOP_S = 0.032, 0.008
RANGE_DB = 80.0
EVENTS = {  # what happens to some utterances only, and the key of it in a cut's custom fields
    "handset": "handset",
    "clipping": "clipping",
    "echo": "echo_delay_ms",
    "music on hold": "music_snr_db",
    "lost packets": "lost_packets",
    "of them concealed": "loss_concealed",
}


@png
def spectrograms(sounds: Sequence[tuple[str, np.ndarray, int]], title: str) -> Figure:
    """Spectrograms on one scale of time, frequency and level.

    Args:
        sounds: name, samples (int16, mono) and sample rate in Hz of each.
    """
    figure = new_figure(title, 2.0 * len(sounds) + 0.6)
    panels = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    levels = [spectrogram_db(samples, rate_hz) for _, samples, rate_hz in sounds]
    top_db = 10 * np.ceil(max(level.max() for level in levels) / 10)
    end_s = max(len(samples) / rate_hz for _, samples, rate_hz in sounds)
    for axes, (name, samples, rate_hz), level in zip(panels, sounds, levels, strict=True):
        khz, seconds = rate_hz / 2000, len(samples) / rate_hz
        image = _draw_spectrogram(axes, level, seconds, khz, top_db)
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


def _draw_spectrogram(
    axes: Axes, level: np.ndarray, seconds: float, khz: float, top_db: float
) -> AxesImage:
    return axes.imshow(
        level,
        extent=(0, seconds, 0, khz),
        vmin=top_db - RANGE_DB,
        vmax=top_db,
        cmap="magma",
        origin="lower",
        aspect="auto",
    )


@png
def sheet(sounds: Sequence[tuple[str, np.ndarray, int]], title: str) -> Figure:
    """Spectrograms of telephone speech side by side, two a row, each with its own time axis.

    Args:
        sounds: what is written above it, samples (int16, mono) and sample rate in Hz of each.
    """
    rows = -(-len(sounds) // 2)
    figure = new_figure(title, 1.7 * rows + 0.6)
    grid = figure.subplots(rows, 2, squeeze=False)
    for axes in grid.flat[len(sounds) :]:
        axes.set_axis_off()
    for axes, (name, samples, rate_hz) in zip(grid.flat, sounds, strict=False):
        level = spectrogram_db(samples, rate_hz)
        top_db = 10 * np.ceil(level.max() / 10)
        _draw_spectrogram(axes, level, len(samples) / rate_hz, rate_hz / 2000, top_db)
        axes.set_title(name, loc="left", fontsize=8)
        axes.set_yticks(range(5))
        axes.tick_params(labelsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("kHz", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)", fontsize=8)
    return figure


def line_caption(done: Mapping) -> str:
    """What a line did to an utterance, in a few words for above its spectrogram.

    >>> line_caption({"codec": "gsm+alaw", "level_db": -24.6, "babble_snr_db": 14.2})
    'gsm+alaw, level −25 dB, babble 14 dB'
    """
    words = [str(done.get("codec", ""))]
    for key, name in (
        ("level_db", "level"),
        ("babble_snr_db", "babble"),
        ("music_snr_db", "music"),
    ):
        if done.get(key) is not None:
            words.append(f"{name} {done[key]:.0f} dB".replace("-", "−"))
    words += [name for name in ("handset", "clipping", "echo") if done.get(EVENTS[name])]
    if done.get("lost_packets"):
        fate = "concealed" if done.get("loss_concealed") else "silent"
        words.append(f"{100 * done['lost_packets']:.0f} % lost, {fate}")
    return ", ".join(words)


@png
def channel(cuts: Sequence[Mapping], title: str) -> Figure:
    """Distributions of what was done to the simulated utterances, and of their duration."""
    done = [cut.get("custom") or {} for cut in cuts]
    figure = new_figure(title, 7.2)
    grid = figure.subplots(3, 2)
    _draw_histogram(grid[0, 0], "babble SNR (dB)", [one.get("babble_snr_db") for one in done])
    _draw_histogram(grid[0, 1], "speech level (dBov)", [one.get("level_db") for one in done])
    _draw_histogram(grid[1, 0], "duration (s)", [cut["duration"] for cut in cuts])
    lost = [100 * one["lost_packets"] or None for one in done if "lost_packets" in one]
    _draw_histogram(grid[1, 1], "lost packets (%), where any are", lost)
    codecs = Counter(re.sub(r"amr_nb_\d+", "amr_nb", one["codec"]) for one in done if one)
    _draw_shares(grid[2, 0], "codecs (% of utterances)", dict(codecs.most_common()), len(done))
    events = {name: sum(bool(one.get(key)) for one in done) for name, key in EVENTS.items()}
    _draw_shares(grid[2, 1], "what else happened (% of utterances)", events, len(done))
    return figure


def _draw_histogram(axes: Axes, label: str, values: Sequence[float | None]) -> None:
    known = [value for value in values if value is not None]
    axes.set_xlabel(label)
    axes.set_ylabel("utterances")
    if not known:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    axes.hist(known, bins=30, color=ACCENT)
    middle = float(np.median(known))
    axes.axvline(middle, color="black", lw=1, ls="--")
    axes.set_title(f"median {middle:.1f}".replace("-", "−"), loc="right", fontsize=9)
    axes.grid(axis="y")


def _draw_shares(axes: Axes, label: str, counts: Mapping[str, int], total: int) -> None:
    """A bar for each name, from top to bottom."""
    names = list(counts)[::-1]
    axes.barh(names, [100 * counts[name] / total for name in names], color=ACCENT)
    axes.set_xlabel(label)
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.grid(axis="x")
