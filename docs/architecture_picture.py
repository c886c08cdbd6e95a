"""Draws docs/architecture.svg: the packages as they stand on each other, from the imports in src.

    python docs/architecture_picture.py

tests/test_architecture.py holds the order that is drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from test_architecture import LAYERS, PACKAGE  # noqa: E402

WORDS = {
    "stages": "one a stage of dvc.yaml",
    "commands": "one a command",
    "report": "page and review",
    "calls": "turns of whole calls",
    "unlabelled": "calls without text",
    "training": "steps, states",
    "decoding": "sound to text",
    "exports": "other runtimes",
    "dataset": "batches of features",
    "model": "Fun-ASR-Nano",
    "scoring": "CER, gate",
    "manifests": "what is kept",
    "corpora": "what users bring",
    "channel": "the telephone line",
    "params": "params.yaml, checked",
    "cli": "telephone-asr",
    "processes": "one or several, on GPUs too",
    "shards": "utterances in tar files",
    "measures": "level, SNR, pitch",
    "sameness": "the same recording twice",
    "simulation": "shards over the line",
    "telephone_rate": "8 kHz",
    "no_speech": "sound without a voice",
    "outs": "written whole or not",
    "program": "errors as sentences",
    "scratch": "work that goes on",
    "errors": "what is refused",
    "paths": "where things lie",
    "keys": "by name, in params.yaml",
    "pages": "templates of the report's and a call's",
    "sections": "of params.yaml",
    "names": "stages, sets, corpora",
    "titles": "the same in English",
    "tags": "what is not said",
    "textfiles": "the door for text",
    "workers": "all cores",
}
HEIGHT, GAP = 0.72, 0.06


def draw(target: Path) -> None:
    plt.rcParams |= {"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "telephone-asr"}
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(LAYERS)))
    for level, layer in enumerate(LAYERS):
        names = [name for name in layer if name != "__init__"]
        width = 10 / len(names)
        for place, name in enumerate(names):
            is_package = (PACKAGE / name).is_dir()
            left, colour = place * width + GAP, "#dbe9f6" if is_package else "#f2f2f2"
            axes.add_patch(
                plt.Rectangle((left, level), width - 2 * GAP, HEIGHT, fc=colour, ec="#5b7894")
            )
            middle = {"ha": "center", "va": "center"}
            axes.text(left + width / 2 - GAP, level + 0.46, name, **middle)
            axes.text(left + width / 2 - GAP, level + 0.17, WORDS[name], fontsize=6, **middle)
    axes.set(xlim=(0, 10), ylim=(-0.1, len(LAYERS)))
    axes.axis("off")
    figure.tight_layout(pad=0.2)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    draw(ROOT / "docs" / "architecture.svg")
