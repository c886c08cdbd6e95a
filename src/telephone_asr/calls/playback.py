"""A recording's sound for a page: as MP3, and the peaks of its waveform.

MP3, because Safari plays Opus in Ogg only since 18.4. At 16 kHz: players need not know the half
rates, which MPEG-2.5 added. At a constant bit rate: browsers jump into a variable one by a table of
a hundred places, which in a call of half an hour are 18 s apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from telephone_asr.calls.turns import Call
from telephone_asr.corpora.sound import open_sound

RATE_HZ = 16_000
BITS_PER_S = {1: 16_000, 2: 24_000}  # by channels: half an hour of two has 5.4 MB
LAME_QUALITY = 7  # of 0 to 9, the fastest: a telephone's band sounds no worse
PEAK_S = 0.1  # and less in a recording that would have
FEW_PEAKS = 900  # of them or fewer: all of these a large screen shows side by side
MOST_PEAKS = 20_000  # in calls of more than 33 minutes, each is of more than 0.1 s
STRETCH_S = 10.0  # of sound that the encoder is given at a time


@dataclass(frozen=True)
class Playback:
    """peaks: (channels, n) float32, the loudest sample of each stretch of `peak_s`, 0 to 1."""

    mp3: bytes
    peaks: np.ndarray
    peak_s: float


def playback(call: Call) -> Playback:
    """Reads a call's recording once more, a block at a time: its two channels where turns tell them
    apart, else their mean.

    Raises SoundError where it cannot be read.
    """
    sound = open_sound(call.path)
    try:
        told_apart = not call.turns or any(turn.channel is not None for turn in call.turns)
        channels = 2 if sound.channels == 2 and told_apart else 1
        peaks = _Peaks(call.duration_s, sound.rate_hz, channels)
        file = io.BytesIO()
        encoder = _Encoder(file, sound.rate_hz, channels)
        for block in sound.blocks(0, None):
            if channels == 1:
                block = block.mean(axis=1, keepdims=True)
            peaks.add(block)
            encoder.add(block)
        encoder.close()
    finally:
        sound.close()
    return Playback(file.getvalue(), peaks.values, peaks.size / sound.rate_hz)


class _Peaks:
    def __init__(self, duration_s: float, rate_hz: int, channels: int):
        peak_s = max(min(PEAK_S, duration_s / FEW_PEAKS), duration_s / MOST_PEAKS)
        self.size = max(1, round(rate_hz * peak_s))  # samples of a stretch
        count = max(1, -(-round(rate_hz * duration_s) // self.size))
        self.values = np.zeros((channels, count), dtype=np.float32)
        self._frames = 0

    def add(self, block: np.ndarray) -> None:
        """Takes (n, channels) in; what lies beyond the end that was told joins the last stretch."""
        if not len(block):
            return
        places = np.minimum(
            (self._frames + np.arange(len(block))) // self.size, self.values.shape[1] - 1
        )
        own, starts = np.unique(places, return_index=True)
        loudest = np.maximum.reduceat(np.abs(block), starts, axis=0).T
        self.values[:, own] = np.maximum(self.values[:, own], loudest)
        self._frames += len(block)


class _Encoder:
    """Writes an MP3 into a file."""

    def __init__(self, file: io.BytesIO, rate_hz: int, channels: int):
        import av

        self._rate_hz, self._layout = rate_hz, "mono" if channels == 1 else "stereo"
        self._opened = av.open(file, "w", format="mp3")
        self._stream = self._opened.add_stream("libmp3lame", RATE_HZ, layout=self._layout)
        codec = self._stream.codec_context
        codec.bit_rate, codec.format = BITS_PER_S[channels], "fltp"
        codec.options = {"compression_level": str(LAME_QUALITY)}
        codec.open()
        self._resampler = av.AudioResampler(
            "fltp", self._layout, RATE_HZ, frame_size=codec.frame_size
        )

    def add(self, block: np.ndarray) -> None:
        import av

        for piece in _pieces(block, round(STRETCH_S * self._rate_hz)):
            frame = av.AudioFrame.from_ndarray(piece, "fltp", self._layout)
            frame.sample_rate = self._rate_hz
            self._write(self._resampler.resample(frame))

    def _write(self, frames: list) -> None:
        for frame in frames:
            self._opened.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._write([*self._resampler.resample(None), None])
        self._opened.close()


def _pieces(block: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for first in range(0, len(block), size):
        yield np.ascontiguousarray(block[first : first + size].T, dtype=np.float32)
