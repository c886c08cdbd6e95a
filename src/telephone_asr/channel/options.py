"""What a line may do: the `channel` section of params.yaml. docs/channel.md describes each value.

Every range is (low, high) and drawn from uniformly for each utterance; every share is that of the
utterances that something happens to. A value that makes no sense raises InputError and names its
key within the section ("babble.snr_db: ...").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from telephone_asr.channel.band import NYQUIST_HZ, WIDEBAND_RATE_HZ
from telephone_asr.channel.codecs import check_codec
from telephone_asr.channel.loss import max_rate
from telephone_asr.errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True)
class Hum:
    """Mains hum: lines at k * frequency_hz; snr_db is of all of them together."""

    frequency_hz: float = 50.0
    harmonics: int = 5
    snr_db: Range = (25.0, 45.0)


@dataclass(frozen=True)
class Babble:
    """Other people talking. `talkers` is the range `BabblePool.build` draws from."""

    talkers: tuple[int, int] = (4, 8)
    snr_db: Range = (10.0, 25.0)


@dataclass(frozen=True)
class Music:
    """Music on hold, heard behind the speech."""

    share: float = 0.0
    snr_db: Range = (10.0, 25.0)


@dataclass(frozen=True)
class Clipping:
    """An overloaded microphone: what lies more than headroom_db above the active level is cut."""

    share: float = 0.0
    soft: float = 0.5  # share of the clipped that are rounded off (tanh) rather than cut
    headroom_db: Range = (3.0, 12.0)


@dataclass(frozen=True)
class Echo:
    """The speaker's own voice, sent back by the far end."""

    share: float = 0.0
    delay_ms: Range = (50.0, 300.0)
    loss_db: Range = (20.0, 40.0)


@dataclass(frozen=True)
class Loss:
    """Lost 20 ms packets, in bursts; see `loss.lost_packets`."""

    share: float = 0.0
    rate: Range = (0.005, 0.05)  # share of an utterance's packets
    mean_burst_packets: float = 2.0
    burst_density: float = 1.0  # share of the packets of a burst that are lost
    concealed: float = 0.5  # share of the utterances with loss whose receiver fills the gaps


@dataclass(frozen=True)
class Line:
    """All that happens on a line, in the order in which it happens.

    level_db is the active speech level in dBov; each SNR is against it, over 0-8 kHz, before the
    band-pass. handset is the share of the utterances spoken into a handset with the response of
    ITU-T P.48. codec is one of `codecs.CODECS`, a tandem of them ("gsm+alaw"), or several of
    these with their weights.
    """

    level_db: Range = (-32.0, -18.0)
    white_noise_snr_db: Range = (25.0, 40.0)
    pink_noise_snr_db: Range = (25.0, 40.0)
    hum: Hum = field(default_factory=Hum)
    babble: Babble = field(default_factory=Babble)
    music: Music = field(default_factory=Music)
    clipping: Clipping = field(default_factory=Clipping)
    handset: float = 0.0
    band_hz: Range = (300.0, 3400.0)
    echo: Echo = field(default_factory=Echo)
    codec: str | dict[str, float] = "mulaw"
    loss: Loss = field(default_factory=Loss)

    def __post_init__(self) -> None:
        _check_range("level_db", self.level_db, highest=0.0)
        _check_range("white_noise_snr_db", self.white_noise_snr_db)
        _check_range("pink_noise_snr_db", self.pink_noise_snr_db)
        _check_hum(self.hum)
        _check_range("babble.talkers", self.babble.talkers, lowest=1)
        _check_range("babble.snr_db", self.babble.snr_db)
        _check_share("music.share", self.music.share)
        _check_range("music.snr_db", self.music.snr_db)
        _check_share("clipping.share", self.clipping.share)
        _check_share("clipping.soft", self.clipping.soft)
        _check_range("clipping.headroom_db", self.clipping.headroom_db)
        _check_share("handset", self.handset)
        _check_range("band_hz", self.band_hz, lowest=0.0, highest=NYQUIST_HZ)
        _check("band_hz", self.band_hz[0] < self.band_hz[1], "low < high", list(self.band_hz))
        _check_share("echo.share", self.echo.share)
        _check_range("echo.delay_ms", self.echo.delay_ms, lowest=0.0, highest=10_000.0)
        _check_range("echo.loss_db", self.echo.loss_db, lowest=0.0)
        codec_weights(self.codec)
        _check_loss(self.loss)


def codec_weights(codec: str | Mapping[str, float]) -> dict[str, float]:
    """`codec` as names and probabilities.

    Raises InputError for an unknown codec, a negative weight, or weights that are all zero.
    """
    weights = {codec: 1.0} if isinstance(codec, str) else dict(codec)
    for name, weight in weights.items():
        try:
            check_codec(name)
        except InputError as error:
            raise InputError(f"codec: {error}") from None
        _check(f"codec.{name}", 0 <= weight < math.inf, "a weight of 0 or more", weight)
    total = sum(weights.values())
    _check("codec", total > 0, "a codec with a weight above 0", weights)
    return {name: weight / total for name, weight in weights.items()}


def _check_hum(hum: Hum) -> None:
    _check("hum.harmonics", hum.harmonics >= 1, "at least 1", hum.harmonics)
    _check(
        "hum.frequency_hz",
        0 < hum.frequency_hz < WIDEBAND_RATE_HZ / 2 / hum.harmonics,
        f"above 0, with all {hum.harmonics} harmonics below 8000 Hz",
        hum.frequency_hz,
    )
    _check_range("hum.snr_db", hum.snr_db)


def _check_loss(loss: Loss) -> None:
    _check_share("loss.share", loss.share)
    _check_share("loss.concealed", loss.concealed)
    burst, density = loss.mean_burst_packets, loss.burst_density
    _check("loss.mean_burst_packets", 1 <= burst < math.inf, "at least 1", burst)
    _check("loss.burst_density", 0 < density <= 1, "above 0 and at most 1", density)
    _check_range("loss.rate", loss.rate, lowest=0.0)
    limit = max_rate(burst, density)
    wanted = f"at most {limit:.3g} for bursts of {burst:g} packets and density {density:g}"
    _check("loss.rate", loss.rate[1] <= limit, wanted, list(loss.rate))


def _check_share(key: str, share: float) -> None:
    _check(key, 0 <= share <= 1, "a share from 0 to 1", share)


def _check_range(
    key: str, bounds: Range, lowest: float = -math.inf, highest: float = math.inf
) -> None:
    low, high = bounds
    _check(key, low <= high, "low <= high", list(bounds))
    finite = math.isfinite(low) and math.isfinite(high)
    wanted = f"two numbers within {lowest:g}..{highest:g}"
    _check(key, finite and lowest <= low and high <= highest, wanted, list(bounds))


def _check(key: str, holds: bool, wanted: str, got: object) -> None:
    if not holds:
        raise InputError(f"{key}: expected {wanted}, got {got}")
