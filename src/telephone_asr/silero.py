"""Silero's voice activity detector, over minutes at a time instead of one frame of 32 ms.

Its weights are part of the package `silero-vad`; nothing is fetched. Its own `model(frame, 8000)`
spends its time in calls: what does not depend on the frame before is computed for a block at once,
and the recurrent layer runs over the block, which gives the same probabilities in a tenth of the
time (upstream does so too, for 16 kHz and ONNX Runtime alone).
"""

from __future__ import annotations

import math
import warnings
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soxr
import torch

RATE_HZ = 8000
FRAME = 256  # samples: 32 ms
CONTEXT = 32  # samples of the frame before that the network sees with each
FRAMES = 512  # that it is given at a time: 16 s
FRAME_S = FRAME / RATE_HZ
FULL_SCALE = 2**15  # of int16
SILENCE_DB = -120.0  # of digital silence, which has no logarithm


@dataclass(frozen=True)
class Activity:
    """How likely it is that somebody speaks, and how loud it is, in each frame of a channel."""

    speech: np.ndarray  # (n,) float32, 0 to 1
    level_db: np.ndarray  # (n,) float32, of full scale


class Listener:
    """Listens to a recording block by block.

    Memory grows by 250 bytes for each second of a channel: a megabyte an hour.

    Args:
        rate_hz: of the recording; it is resampled to 8 kHz, above which a telephone has nothing.
        channels: columns of the blocks, each listened to by itself.
    """

    def __init__(self, rate_hz: int, channels: int):
        self._network, self._channels = _network(), channels
        self._resample = None
        if rate_hz != RATE_HZ:
            self._resample = soxr.ResampleStream(rate_hz, RATE_HZ, channels, dtype="float32")
        self._waiting = np.zeros((0, channels), dtype=np.float32)
        self._context = torch.zeros(channels, CONTEXT)
        self._state: Any = None
        # One piece of memory for each: thousands of small ones would lie between the blocks', and
        # keep it from being used again.
        self._speech = [array("f") for _ in range(channels)]
        self._level_db = [array("f") for _ in range(channels)]

    def add(self, block: np.ndarray, last: bool = False) -> None:
        """Listens to (n, channels) float32 on the scale -1..1."""
        if self._resample:
            block = self._resample.resample_chunk(np.ascontiguousarray(block), last=last)
        waiting = np.concatenate([self._waiting, block.reshape(-1, self._channels)])
        size = FRAMES * FRAME
        for first in range(0, len(waiting) - size + 1, size):
            self._listen(waiting[first : first + size])
        self._waiting = waiting[len(waiting) // size * size :]

    def heard(self) -> list[Activity]:
        """Returns what there was on each channel, once all of it was added."""
        if self._resample:
            self.add(np.zeros((0, self._channels), dtype=np.float32), last=True)
        rest = -(-len(self._waiting) // FRAME) * FRAME
        self._listen(np.pad(self._waiting, ((0, rest - len(self._waiting)), (0, 0))))
        return [
            Activity(np.frombuffer(speech, np.float32), np.frombuffer(level_db, np.float32))
            for speech, level_db in zip(self._speech, self._level_db, strict=True)
        ]

    @torch.inference_mode()
    def _listen(self, samples: np.ndarray) -> None:
        """Computes whole frames: (frames * FRAME, channels)."""
        if not len(samples):
            return
        frames = torch.from_numpy(samples.T.copy()).reshape(self._channels, -1, FRAME)
        before = torch.cat([self._context[:, None], frames[:, :-1, -CONTEXT:]], dim=1)
        self._context = frames[:, -1, -CONTEXT:].clone()
        speech, self._state = self._network(torch.cat([before, frames], dim=2), self._state)
        power = frames.square().mean(dim=2).clamp(min=10 ** (SILENCE_DB / 10))
        level_db = 10 * power.log10()
        for channel in range(self._channels):
            self._speech[channel].frombytes(speech[channel].numpy().tobytes())
            self._level_db[channel].frombytes(level_db[channel].numpy().tobytes())


def speech_likely(sounds: Sequence[tuple[np.ndarray, int]]) -> list[float]:
    """Returns how likely it is, at most, in any frame of each sound, that somebody speaks.

    They are listened to side by side, in a third of the time that one after the other takes.

    Args:
        sounds: samples (int16, mono) and sample rate in Hz of each.
    """
    found = [0.0] * len(sounds)
    for rate_hz in {rate_hz for _, rate_hz in sounds}:
        own = [i for i, (_, rate) in enumerate(sounds) if rate == rate_hz]
        padded = np.zeros((max(len(sounds[i][0]) for i in own), len(own)), dtype=np.float32)
        for column, i in enumerate(own):
            padded[: len(sounds[i][0]), column] = sounds[i][0] / FULL_SCALE
        listener = Listener(rate_hz, len(own))
        listener.add(padded)
        for i, activity in zip(own, listener.heard(), strict=True):
            frames = math.ceil(len(sounds[i][0]) / rate_hz / FRAME_S)
            found[i] = float(activity.speech[:frames].max(initial=0.0))
    return found


class _Network:
    """The network for 8 kHz out of the package's TorchScript."""

    def __init__(self, script: Any):
        self._front, self._encoder = script.run_extractors, script.encoder
        self._head = script.decoder.decoder
        weights = script.decoder.rnn.state_dict()
        self._rnn = torch.nn.LSTM(weights["weight_ih"].shape[1], weights["weight_hh"].shape[1])
        self._rnn.load_state_dict({f"{name}_l0": weight for name, weight in weights.items()})

    def __call__(self, frames: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Maps (channels, n, CONTEXT + FRAME) to the probabilities (channels, n)."""
        channels, n, size = frames.shape
        encoded = self._encoder(self._front(frames.reshape(-1, size))).reshape(channels, n, -1)
        hidden, state = self._rnn(encoded.transpose(0, 1), state)
        return self._head(hidden.reshape(n * channels, -1, 1)).reshape(n, channels).T, state


@cache
def _package() -> Any:
    threads = torch.get_num_threads()
    import silero_vad

    torch.set_num_threads(threads)  # the package sets one, for everybody
    return silero_vad


@cache
def _network() -> _Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, which would like TorchScript to go
        return _Network(_package().load_silero_vad()._model_8k)


def spoken_frames(activity: Activity, shortest_s: float, pause_s: float) -> list[tuple[int, int]]:
    """Returns the frames at which speech begins and ends, by the package's own thresholds."""
    pause = np.zeros(1 + round(pause_s / FRAME_S))  # else it ends with the recording, not before
    found = _package().get_speech_timestamps_from_probs(
        np.append(activity.speech, pause),
        sampling_rate=RATE_HZ,
        min_speech_duration_ms=round(1000 * shortest_s),
        min_silence_duration_ms=round(1000 * pause_s),
        speech_pad_ms=0,
    )
    n = len(activity.speech)
    return [(one["start"] // FRAME, min(n, -(-one["end"] // FRAME))) for one in found]
