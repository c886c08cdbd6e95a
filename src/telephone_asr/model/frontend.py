"""Sound to features: 80 log mel energies every 10 ms, seven frames a row (LFR 7/6).

Two front ends: FunASR's own WavFrontend, at 16 or 8 kHz, and one at 8 kHz whose filters are those
of the 16 kHz one, so that an encoder that was trained at 16 kHz still understands it.

Dither is white noise of so many steps of 16 bits. Fun-ASR-Nano was trained with FunASR's default of
1, so it never saw digital silence: -15.9 in every filter without the noise, 4.4 on average with it.
FunASR draws it anew in every call. Here it is a function of the sound, so that two runs, any number
of processes, training and evaluation hear the same. Kaldi and torchaudio (compliance.kaldi,
_get_window) draw it for each frame; here each sample is given one value. To a frame that is the
same noise; neighbours, which share 15 of 25 ms, are correlated by 0.19 in silence, not by 0.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Filters = Literal["aligned", "native"]
WIDEBAND_FS, TELEPHONE_FS = 16000, 8000
LOW_HZ = 20.0  # Kaldi's lower edge of the first filter
PREEMPHASIS = 0.97
BIN_HZ = 31.25  # of a spectrum: 16 kHz / 512 and 8 kHz / 256
FUNASR_DITHER = 1.0  # where config.yaml says nothing, as the published one


class Frontend:
    """Computes features of one utterance at a time.

    Args:
        config: `frontend_conf` of the model's config.yaml; `filters` "aligned" in it asks for the
            16 kHz filters at 8 kHz, anything else for WavFrontend at `fs`. `dither` is in steps of
            16 bits; 0 adds none, and gives WavFrontend's features to the bit.
    """

    def __init__(self, config: dict[str, Any]):
        from funasr.frontends.wav_frontend import WavFrontend

        self.fs = config["fs"]
        self._config = config
        self._aligned = config.get("filters") == "aligned" and self.fs == TELEPHONE_FS
        self._dither = config.get("dither", FUNASR_DITHER)
        self._frontend = WavFrontend(**(config | {"dither": 0.0}))

    def __call__(self, samples: np.ndarray, sample_rate_hz: int) -> torch.Tensor:
        """Maps (n,) int16 to (ceil(frames / 6), 560) float32: log mel energies, 60 ms a row.

        Sound of another rate is resampled as FunASR does it (torchaudio's default filter), so that
        funasr.AutoModel sees the same features, but for its own dither.
        """
        import torch

        waveform = torch.from_numpy(samples.astype(np.float32) / 32768)
        if sample_rate_hz != self.fs:
            waveform = _resampler(sample_rate_hz, self.fs)(waveform)
        if self._dither:
            # Of noise at 16 kHz, half the power lies in the band of 8 kHz sound.
            deviation = self._dither * (0.5**0.5 if self._aligned else 1.0) / 32768
            waveform = waveform + deviation * _noise(samples, len(waveform))
        if self._aligned:
            return self._aligned_features(waveform)
        features, _ = self._frontend(waveform[None], torch.tensor([len(waveform)]))
        return features[0]

    def _aligned_features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Computes WavFrontend's rows of the same sound at 16 kHz, as far as 8 kHz sound can tell.

        At both rates a bin of the spectrum is 31.25 Hz wide, so that the 16 kHz filters that end
        below 4 kHz can be laid over it as they are. What else differs is undone: the window has
        half as many samples, and pre-emphasis another response. The filters above hold what the
        rounding of 16-bit samples and dither put there: speech that once was at 8 kHz has little
        more.
        """
        import torch
        from funasr.frontends.wav_frontend import apply_lfr
        from funasr.utils import fbank as kaldi

        config, n_mels = self._config, self._config["n_mels"]
        count, top_hz, offsets, above = _telephone_filters(n_mels, self._dither)
        low = kaldi.fbank(
            waveform[None] * 32768,
            num_mel_bins=count,
            low_freq=LOW_HZ,
            high_freq=top_hz,
            frame_length=min(config["frame_length"], len(waveform) / self.fs * 1000),
            frame_shift=config["frame_shift"],
            dither=0.0,
            energy_floor=0.0,
            window_type=config["window"],
            sample_frequency=self.fs,
            preemphasis_coefficient=PREEMPHASIS,
        )
        features = torch.hstack(
            [low + torch.tensor(offsets), torch.tensor(above).expand(len(low), -1)]
        )
        return apply_lfr(features, config["lfr_m"], config["lfr_n"])


def _noise(samples: np.ndarray, count: int) -> torch.Tensor:
    """Draws (count,) normal float32, always the same for the same sound."""
    import torch

    digest = hashlib.blake2b(samples.tobytes(), digest_size=8).digest()
    generator = np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))
    return torch.from_numpy(generator.standard_normal(count, dtype=np.float32))


@lru_cache(maxsize=2)
def _telephone_filters(
    n_mels: int, dither: float
) -> tuple[int, float, tuple[float, ...], tuple[float, ...]]:
    """Derives from the 16 kHz mel filters: how many end below 4 kHz, where the last of them ends
    (Hz), what to add to the log energy of each at 8 kHz, and the log energy of the others."""
    bottom, top = (1127 * math.log(1 + hz / 700) for hz in (LOW_HZ, WIDEBAND_FS / 2))
    step = (top - bottom) / (n_mels + 1)

    def hz(filters: float) -> float:
        return 700 * (math.exp((bottom + filters * step) / 1127) - 1)

    count = max(n for n in range(n_mels) if hz(n + 1) <= TELEPHONE_FS / 2)
    offsets = tuple(
        math.log(4 * _preemphasis(hz(n + 1), WIDEBAND_FS) / _preemphasis(hz(n + 1), TELEPHONE_FS))
        for n in range(count)
    )
    # Rounding has a variance of 1/12; 159 is the sum of the squares of a Hamming window of 400.
    noise = 159 * (1 / 12 + dither**2)
    above = tuple(
        math.log(noise * _preemphasis(hz(n + 1), WIDEBAND_FS) * (hz(n + 2) - hz(n)) / 2 / BIN_HZ)
        for n in range(count, n_mels)
    )
    return count, hz(count + 1), offsets, above


def _preemphasis(frequency_hz: float, fs: int) -> float:
    """Returns the power response of 1 - 0.97 z^-1."""
    return abs(1 - PREEMPHASIS * np.exp(-2j * np.pi * frequency_hz / fs)) ** 2


@lru_cache(maxsize=8)
def _resampler(from_hz: int, to_hz: int) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    return Resample(from_hz, to_hz)


def fbank_frames(n_samples: int, sample_rate_hz: int, fs: int) -> int:
    """Returns the 10 ms frames that WavFrontend makes of so many samples (25 ms, edges snipped)."""
    samples_at_fs = -(-n_samples * fs // sample_rate_hz)
    window, shift = fs * 25 // 1000, fs * 10 // 1000
    if samples_at_fs < window:  # WavFrontend shortens its window for such a clip
        return 1 if samples_at_fs > 1 else 0  # torchaudio refuses a window of one sample
    return 1 + (samples_at_fs - window) // shift


def feature_rows(n_samples: int, sample_rate_hz: int, fs: int) -> int:
    """Returns the rows of 60 ms that Frontend makes of so many samples."""
    return -(-fbank_frames(n_samples, sample_rate_hz, fs) // 6)
