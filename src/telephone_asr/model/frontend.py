"""Sound to features: FunASR's own WavFrontend (80 mel bins, LFR 7/6), without dither."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


class Frontend:
    """Features of one utterance at a time.

    Args:
        config: `frontend_conf` of the model's config.yaml.
    """

    def __init__(self, config: dict[str, Any]):
        from funasr.frontends.wav_frontend import WavFrontend

        self.fs = config["fs"]
        self._frontend = WavFrontend(**config)

    def __call__(self, samples: np.ndarray, sample_rate_hz: int) -> torch.Tensor:
        """(n,) int16 -> (ceil(frames / 6), 560) float32: log mel energies, 60 ms a row.

        Sound of another rate is resampled as FunASR does it (torchaudio's default filter), so that
        funasr.AutoModel sees the same features.
        """
        import torch

        waveform = torch.from_numpy(samples.astype(np.float32) / 32768)
        if sample_rate_hz != self.fs:
            waveform = _resampler(sample_rate_hz, self.fs)(waveform)
        features, _ = self._frontend(waveform[None], torch.tensor([len(waveform)]))
        return features[0]


@lru_cache(maxsize=8)
def _resampler(from_hz: int, to_hz: int):
    from torchaudio.transforms import Resample

    return Resample(from_hz, to_hz)


def fbank_frames(n_samples: int, sample_rate_hz: int, fs: int) -> int:
    """Frames of 10 ms that WavFrontend makes of so many samples (25 ms windows, edges snipped)."""
    samples_at_fs = -(-n_samples * fs // sample_rate_hz)
    window, shift = fs * 25 // 1000, fs * 10 // 1000
    if samples_at_fs < window:  # WavFrontend shortens its window for such a clip
        return 1 if samples_at_fs > 1 else 0  # torchaudio refuses a window of one sample
    return 1 + (samples_at_fs - window) // shift
