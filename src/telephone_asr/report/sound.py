"""Draws sound: spectrograms, and what the simulated line did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import FigureBase

from telephone_asr.report.figures import ACCENT, INK, MUTED, Panel
from telephone_asr.scoring.slices import codec_family

WINDOW_S, HOP_S = 0.032, 0.008
RANGE_DB = 80.0
EVENTS = {  # what happens to some utterances only, and the key of it in a cut's custom fields
    "handset": "handset",
    "clipping": "clipping",
    "noise suppression": "noise_suppression_db",
    "automatic gain": "gain_control",
    "echo": "echo_delay_ms",
    "music on hold": "music_snr_db",
    "lost packets": "lost_packets",
    "of them concealed": "loss_concealed",
}


def spectrograms(
    name: str, sounds: Sequence[tuple[str, np.ndarray, int]], top_khz: float
) -> list[Panel]:
    """Draws a spectrogram of each sound, from its loudest level down RANGE_DB.

    Args:
        name: starts the name of each panel.
        sounds: what is written above it, samples (int16, mono) and sample rate in Hz of each.
        top_khz: where the frequency axis ends.
    """
    return [
        Panel(
            f"{name}-{i}",
            title,
            f"Spectrogram: {title}, {len(samples) / rate_hz:.1f} s at {rate_hz / 1000:g} kHz.",
            _spectrogram_drawer(samples, rate_hz, top_khz),
            height_in=2.0,
        )
        for i, (title, samples, rate_hz) in enumerate(sounds)
    ]


def _spectrogram_drawer(samples: np.ndarray, rate_hz: int, top_khz: float) -> Callable:
    def draw(figure: FigureBase) -> None:
        level = spectrogram_db(samples, rate_hz)
        top_db = 10 * np.ceil(level.max() / 10)
        khz, seconds = rate_hz / 2000, len(samples) / rate_hz
        axes = figure.subplots()
        scale = {"vmin": top_db - RANGE_DB, "vmax": top_db, "cmap": "magma"}
        axes.imshow(level, extent=(0, seconds, 0, khz), origin="lower", aspect="auto", **scale)
        axes.set(xlim=(0, seconds), ylim=(0, top_khz))
        axes.set_yticks(np.arange(0, top_khz + 0.1, top_khz / 4))
        axes.set_ylabel("kHz")
        axes.set_xlabel("time (s)")
        if khz < top_khz:
            middle = (seconds / 2, (khz + top_khz) / 2)
            axes.text(*middle, f"nothing above {khz:g} kHz", ha="center", va="center", color=MUTED)

    return draw


def spectrogram_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Returns the level in dB against a full-scale sine (frequencies × frames), comparable between
    rates."""
    size, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    scaled = samples.astype(np.float64) / 32768
    scaled = np.pad(scaled, size // 2 + 1)  # also a sound shorter than a window has a frame
    frames = np.lib.stride_tricks.sliding_window_view(scaled, size)[::hop]
    window = np.hanning(size)
    spectrum = np.abs(np.fft.rfft(frames * window)) * 2 / window.sum()
    return 20 * np.log10(np.maximum(spectrum.T, 1e-8))


def line_caption(done: Mapping) -> str:
    """Says what a line did to an utterance, in a few words.

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
    named = ("handset", "clipping", "noise suppression", "automatic gain", "echo")
    words += [name for name in named if done.get(EVENTS[name])]
    if done.get("lost_packets"):
        fate = "concealed" if done.get("loss_concealed") else "silent"
        words.append(f"{100 * done['lost_packets']:.0f} % lost, {fate}")
    return ", ".join(words)


def channel(cuts: Sequence[Mapping]) -> list[Panel]:
    """Draws what was done to the simulated utterances: distributions and shares."""
    done = [cut.get("custom") or {} for cut in cuts]
    lost = [100 * one["lost_packets"] or None for one in done if "lost_packets" in one]
    panels = [
        _histogram("babble", "Babble", "SNR (dB)", [one.get("babble_snr_db") for one in done]),
        _histogram("level", "Speech level", "dBov", [one.get("level_db") for one in done]),
        _histogram("lost", "Lost packets, where any are", "% of the packets", lost),
    ]
    codecs = Counter(codec_family(one["codec"]) or "none" for one in done if one)
    panels.append(_shares("codecs", "Codecs", dict(codecs.most_common()), len(done)))
    events = {name: sum(bool(one.get(key)) for one in done) for name, key in EVENTS.items()}
    panels.append(_shares("events", "What else happened", events, len(done)))
    return panels


def _histogram(name: str, title: str, label: str, values: Sequence[float | None]) -> Panel:
    known = [value for value in values if value is not None]
    middle = f"median {np.median(known):.1f}".replace("-", "−") if known else "none"

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        axes.set_xlabel(label)
        axes.set_ylabel("utterances")
        axes.set_title(middle, loc="right")
        if known:
            axes.hist(known, bins=30, color=ACCENT)
            axes.axvline(float(np.median(known)), color=INK, lw=1, ls="--")
        axes.grid(axis="y")

    alt = f"{title}, {label}, of {len(known):,} simulated utterances: {middle}."
    return Panel(f"channel-{name}", title, alt, draw)


def _shares(name: str, title: str, counts: Mapping[str, int], total: int) -> Panel:
    """Draws a bar for each name, from top to bottom."""
    shares = {key: 100 * n / max(total, 1) for key, n in counts.items()}

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots()
        axes.barh(list(shares)[::-1], list(shares.values())[::-1], color=ACCENT)
        for place, value in enumerate(list(shares.values())[::-1]):
            at, offset = (value, place), "offset points"
            axes.annotate(f"{value:.0f}", at, (4, 0), textcoords=offset, va="center")
        axes.margins(x=0.12)
        axes.set_xlabel("% of utterances")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")

    alt = f"{title}: " + ", ".join(f"{key} {value:.0f} %" for key, value in shares.items()) + "."
    return Panel(f"channel-{name}", title, alt, draw, height_in=0.9 + 0.26 * len(shares))
