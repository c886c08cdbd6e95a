"""The same words as others would say them, and with holes: features changed anew in each epoch.

A small model learns a few dozen voices by heart. Speed and vocal tract are changed on the features,
in a hundredth of the time that it takes on the sound: frames are interpolated in time (Ko et al.
2015, "Audio augmentation for speech recognition", change the sound), filters along the mel scale
(Jaitly and Hinton 2013, "Vocal tract length perturbation"). A band and a stretch are hidden as in
SpecAugment (Park et al. 2019), whose time warp is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from telephone_asr.dataset.options import Augment

STACKED, STEP = 7, 6  # frames of a row, and from one row to the next (LFR 7/6)
LONGEST_SHARE = 0.15  # of an utterance, that is hidden


def augmented(rows: torch.Tensor, options: Augment, rng: np.random.Generator) -> torch.Tensor:
    """Returns other rows, (T', 560) float32, of the front end's rows (T, 560)."""
    frames = rows.view(len(rows), STACKED, -1)[:, :STEP].reshape(len(rows) * STEP, -1).numpy()
    speed, tract = (rng.uniform(1 - most, 1 + most) for most in (options.speed, options.tract))
    length = max(1, round(len(frames) / speed))
    frames = _between(frames, np.linspace(0, len(frames) - 1, length))
    frames = _between(frames.T, np.arange(frames.shape[1]) * tract).T.copy()
    mean = frames.mean(axis=0)
    band = _piece(frames.shape[1], options.hidden_filters, rng)
    frames[:, band] = mean[band]
    most = min(options.hidden_frames, int(LONGEST_SHARE * len(frames)))
    frames[_piece(len(frames), most, rng)] = mean
    n_rows = -(-len(frames) // STEP)
    places = np.arange(n_rows)[:, None] * STEP + np.arange(STACKED)
    return torch.from_numpy(frames[np.minimum(places, len(frames) - 1)].reshape(n_rows, -1))


def _between(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolates along the first axis, at places between its first and its last."""
    places = np.clip(places, 0, len(values) - 1)
    below = places.astype(int)
    share = (places - below).astype(np.float32)[:, None]
    return values[below] * (1 - share) + values[np.minimum(below + 1, len(values) - 1)] * share


def _piece(length: int, most: int, rng: np.random.Generator) -> slice:
    """Draws a piece of up to `most` of `length` places."""
    size = int(rng.integers(min(most, length) + 1))
    start = int(rng.integers(length - size + 1))
    return slice(start, start + size)
