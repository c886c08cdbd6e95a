"""One telephone line: level, noise, band-pass, codec, packet loss, in this order.

The order is that of a call: the noise is in the room and on the wire, so it passes the band-pass
and the codec with the speech; packets are lost after they have been coded.

    rng = generator(seed, utterance_id)
    pcm, done = simulate(samples, 16000, Line(), babble_pool, rng, speaker)
"""

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np

from telephone_asr.channel import noise
from telephone_asr.channel.band import NYQUIST_HZ, WIDEBAND_RATE_HZ, telephone_band, to_wideband
from telephone_asr.channel.codecs import check_codec, through_codec
from telephone_asr.channel.loss import lose_packets, max_rate
from telephone_asr.errors import InputError

MAX_SAMPLE = 1000.0  # a float further from the scale -1..1 is a mistake, not speech


@dataclass(frozen=True)
class Hum:
    """Mains hum: lines at k * frequency_hz; snr_db is of all of them together."""

    frequency_hz: float = 50.0
    harmonics: int = 5
    snr_db: tuple[float, float] = (25.0, 45.0)


@dataclass(frozen=True)
class Babble:
    """Other people talking. `talkers` is the range `BabblePool.build` draws from."""

    talkers: tuple[int, int] = (4, 8)
    snr_db: tuple[float, float] = (10.0, 25.0)


@dataclass(frozen=True)
class Loss:
    """Lost 20 ms packets: their expected share and the mean length of a run of them."""

    rate: float = 0.0
    mean_burst_packets: float = 2.0


@dataclass(frozen=True)
class Line:
    """What the line does. Every range is (low, high) and drawn from uniformly per utterance.

    level_db is the active speech level in dBov; each SNR is against it, over 0-8 kHz, before the
    band-pass. A value that makes no sense raises InputError naming its key ("babble.snr_db: ...").
    """

    level_db: tuple[float, float] = (-32.0, -18.0)
    white_noise_snr_db: tuple[float, float] = (25.0, 40.0)
    hum: Hum = field(default_factory=Hum)
    babble: Babble = field(default_factory=Babble)
    band_hz: tuple[float, float] = (300.0, 3400.0)
    codec: str = "mulaw"
    loss: Loss = field(default_factory=Loss)

    def __post_init__(self) -> None:
        _check_range("level_db", self.level_db, highest=0.0)
        _check_range("white_noise_snr_db", self.white_noise_snr_db)
        _check("hum.harmonics", self.hum.harmonics >= 1, "at least 1", self.hum.harmonics)
        _check(
            "hum.frequency_hz",
            0 < self.hum.frequency_hz < WIDEBAND_RATE_HZ / 2 / self.hum.harmonics,
            f"above 0, with all {self.hum.harmonics} harmonics below 8000 Hz",
            self.hum.frequency_hz,
        )
        _check_range("hum.snr_db", self.hum.snr_db)
        _check_range("babble.talkers", self.babble.talkers, lowest=1)
        _check_range("babble.snr_db", self.babble.snr_db)
        _check_range("band_hz", self.band_hz, lowest=0.0, highest=NYQUIST_HZ)
        _check("band_hz", self.band_hz[0] < self.band_hz[1], "low < high", list(self.band_hz))
        try:
            check_codec(self.codec)
        except InputError as error:
            raise InputError(f"codec: {error}") from None
        burst = self.loss.mean_burst_packets
        _check("loss.mean_burst_packets", 1 <= burst < math.inf, "at least 1", burst)
        limit = max_rate(burst)
        wanted = f"0 <= rate <= {limit:.3g} for bursts of {burst} packets"
        _check("loss.rate", 0 <= self.loss.rate <= limit, wanted, self.loss.rate)


def generator(seed: int, utterance_id: str) -> np.random.Generator:
    """The random numbers of one utterance: they depend on nothing but the seed and its id, so the
    bytes are the same in any order and for any number of workers."""
    digest = hashlib.sha256(utterance_id.encode()).digest()[:8]
    key = np.random.SeedSequence([seed, int.from_bytes(digest, "little")])
    return np.random.Generator(np.random.SFC64(key))


def simulate(
    samples: np.ndarray,
    sample_rate_hz: int,
    line: Line,
    babble_pool: noise.BabblePool | None,
    rng: np.random.Generator,
    speaker: str,
) -> tuple[np.ndarray, dict]:
    """One utterance as it arrives at the other end of `line`, and what was done to it.

    samples: mono (n,), float on the scale -1..1 or int16. Returns int16
    (ceil(n * 8000 / sample_rate_hz),) at 8 kHz, time-aligned, saturated where it is too loud, and
    a JSON-able dict: codec, level_db, babble_snr_db and babble_talkers (None without a pool),
    white_noise_snr_db, hum_snr_db (dB, 2 decimals), lost_packets (a share, 4 decimals).
    Speech below -80 dBov counts as silence: it is not amplified, the noises have the level they
    would have beside speech. Raises InputError for samples that are not mono or not finite.
    """
    speech = to_wideband(_finite_mono(samples), sample_rate_hz)
    # All draws that need no signal come first and always, so that changing a range or leaving
    # babble out does not change the other values.
    level_db = rng.uniform(*line.level_db)
    white_snr_db = rng.uniform(*line.white_noise_snr_db)
    hum_snr_db = rng.uniform(*line.hum.snr_db)
    babble_snr_db = rng.uniform(*line.babble.snr_db)

    speech = _at_level(speech, level_db)
    noise.add_at_snr(speech, noise.white_noise(rng, len(speech)), 1.0, level_db, white_snr_db)
    hum = noise.mains_hum(rng, len(speech), line.hum.frequency_hz, line.hum.harmonics)
    noise.add_at_snr(speech, hum, 1.0, level_db, hum_snr_db)
    n_talkers = None
    if babble_pool is not None:
        babble, n_talkers = babble_pool.draw(rng, len(speech), speaker)
        babble_rms = max(noise.rms(babble), noise.TRACK_RMS / 100)  # a pause is not blown up
        noise.add_at_snr(speech, babble, babble_rms, level_db, babble_snr_db)

    pcm = _to_int16(telephone_band(speech, WIDEBAND_RATE_HZ, line.band_hz))
    pcm = through_codec(pcm, line.codec)
    pcm, n_lost, n_packets = lose_packets(pcm, rng, line.loss.rate, line.loss.mean_burst_packets)
    return pcm, {
        "codec": line.codec,
        "level_db": round(level_db, 2),
        "babble_snr_db": None if babble_pool is None else round(babble_snr_db, 2),
        "babble_talkers": n_talkers,
        "white_noise_snr_db": round(white_snr_db, 2),
        "hum_snr_db": round(hum_snr_db, 2),
        "lost_packets": round(n_lost / max(n_packets, 1), 4),
    }


def _finite_mono(samples: np.ndarray) -> np.ndarray:
    """float32 (n,) on the scale -1..1."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise InputError(f"expected mono samples of shape (n,), got {samples.shape}")
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32768)
    if not np.issubdtype(samples.dtype, np.floating):
        raise InputError(f"expected float or int16 samples, got {samples.dtype}")
    # Checked by magnitude before float32, where 1e300 would be infinite; a NaN compares as false.
    if len(samples) and not (samples.max() <= MAX_SAMPLE and samples.min() >= -MAX_SAMPLE):
        raise InputError("expected samples on the scale -1..1, got NaN, infinity or beyond 1000")
    return samples.astype(np.float32)


def _at_level(speech: np.ndarray, level_db: float) -> np.ndarray:
    """A copy of the speech with this active level in dBov; silence stays as it is."""
    present_db = noise.active_level_db(speech, WIDEBAND_RATE_HZ)
    gain_db = level_db - present_db if present_db > noise.SILENCE_DB else 0.0
    return speech * np.float32(10 ** (gain_db / 20))


def _to_int16(samples: np.ndarray) -> np.ndarray:
    """Scale -1..1 to 16 bits; what is beyond saturates."""
    scaled = np.rint(samples * np.float32(32768))
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def _check_range(
    key: str, bounds: tuple[float, float], lowest: float = -math.inf, highest: float = math.inf
) -> None:
    low, high = bounds
    _check(key, low <= high, "low <= high", list(bounds))
    finite = math.isfinite(low) and math.isfinite(high)
    wanted = f"two numbers within {lowest:g}..{highest:g}"
    _check(key, finite and lowest <= low and high <= highest, wanted, list(bounds))


def _check(key: str, holds: bool, wanted: str, got: object) -> None:
    if not holds:
        raise InputError(f"{key}: expected {wanted}, got {got}")
