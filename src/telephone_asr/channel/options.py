"""The `channel` section of params.yaml: what a line does. docs/channel.md describes each value.

Every range is (low, high) and drawn from uniformly for each utterance; every share is that of the
utterances that something happens to. A value that makes no sense raises InputError, which names
its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, StrictFloat, StrictStr, Tag

from telephone_asr.channel.band import NYQUIST_HZ, WIDEBAND_RATE_HZ
from telephone_asr.channel.codecs import CHOICE, is_codec
from telephone_asr.channel.loss import max_rate
from telephone_asr.sections import (
    NAME,
    WEIGHTS,
    Count,
    Finite,
    Mismatch,
    Positive,
    Range,
    Share,
    Span,
    section,
)

Db = Finite
Level = Annotated[Finite, Field(le=0)]  # dBov
Attenuation = Annotated[Finite, Field(ge=0)]  # dB
Delay = Annotated[Finite, Field(ge=0, le=10_000)]  # ms
Edge = Annotated[Finite, Field(ge=0, le=NYQUIST_HZ)]  # Hz
Burst = Annotated[Finite, Field(ge=1)]  # packets
Density = Annotated[StrictFloat, Field(gt=0, le=1)]
Weight = Annotated[Finite, Field(ge=0)]


def _known(name: str) -> str:
    if not is_codec(name):
        raise ValueError(CHOICE)
    return name


def _some(weights: dict[str, float]) -> dict[str, float]:
    if not sum(weights.values()) > 0:
        raise ValueError("a codec with a weight above 0")
    return weights


CodecName = Annotated[StrictStr, AfterValidator(_known)]
CodecWeights = Annotated[dict[CodecName, Weight], AfterValidator(_some)]
Codec = Annotated[
    Annotated[CodecName, Tag(NAME)] | Annotated[CodecWeights, Tag(WEIGHTS)],
    Discriminator(lambda codec: WEIGHTS if isinstance(codec, dict) else NAME),
]


@section
class Hum:
    """Mains hum: lines at k * frequency_hz; snr_db is of all of them together."""

    frequency_hz: Positive = 50.0
    harmonics: Count = 5
    snr_db: Range[Db] = (25.0, 45.0)

    def __post_init__(self) -> None:
        if self.frequency_hz * self.harmonics >= WIDEBAND_RATE_HZ / 2:
            wanted = f"all {self.harmonics} harmonics below {WIDEBAND_RATE_HZ // 2} Hz"
            raise Mismatch("frequency_hz", wanted, self.frequency_hz)


@section
class Babble:
    """Other people talking. `talkers` is the range `BabblePool.build` draws from."""

    talkers: Range[Count] = (4, 8)
    snr_db: Range[Db] = (10.0, 25.0)


@section
class Noise:
    """Noise that a user recorded, `corpus.noise`; never louder than the speech."""

    share: Share = 0.0
    snr_db: Range[Attenuation] = (10.0, 30.0)


@section
class Music:
    """Music on hold, heard behind the speech."""

    share: Share = 0.0
    snr_db: Range[Db] = (10.0, 25.0)


@section
class Clipping:
    """An overloaded microphone: what lies more than headroom_db above the active level is cut."""

    share: Share = 0.0
    soft: Share = 0.5  # share of the clipped that are rounded off (tanh) rather than cut
    headroom_db: Range[Db] = (3.0, 12.0)


@section
class Echo:
    """The speaker's own voice, sent back by the far end."""

    share: Share = 0.0
    delay_ms: Range[Delay] = (50.0, 300.0)
    loss_db: Range[Attenuation] = (20.0, 40.0)


@section
class Loss:
    """Lost 20 ms packets, in bursts; see `loss.lost_packets`."""

    share: Share = 0.0
    rate: Range[Share] = (0.005, 0.05)  # share of an utterance's packets
    mean_burst_packets: Burst = 2.0
    burst_density: Density = 1.0  # share of the packets of a burst that are lost
    concealed: Share = 0.5  # share of the utterances with loss whose receiver fills the gaps

    def __post_init__(self) -> None:
        burst, density = self.mean_burst_packets, self.burst_density
        limit = max_rate(burst, density)
        if self.rate[1] > limit:
            bursts = f"bursts of {burst:g} packets and density {density:g}"
            raise Mismatch("rate", f"at most {limit:.3g} for {bursts}", self.rate)


@section
class Line:
    """A line: all that happens on it, in the order in which it happens.

    level_db is the active speech level in dBov; each SNR is against it, over 0-8 kHz, before the
    band-pass. room is the share of the utterances spoken in one of the rooms of `corpus.rooms`.
    noise_suppression and gain_control are the shares of the utterances whose telephone
    does so (`enhancement`); handset is that of those spoken into a handset with the response of
    ITU-T P.48. codec is one of `codecs.CODECS`, a tandem of them ("gsm+alaw"), or several of
    these with their weights.
    """

    room: Share = 0.0
    level_db: Range[Level] = (-32.0, -18.0)
    white_noise_snr_db: Range[Db] = (25.0, 40.0)
    pink_noise_snr_db: Range[Db] = (25.0, 40.0)
    hum: Hum = field(default_factory=Hum)
    babble: Babble = field(default_factory=Babble)
    noise: Noise = field(default_factory=Noise)
    music: Music = field(default_factory=Music)
    clipping: Clipping = field(default_factory=Clipping)
    noise_suppression: Share = 0.0
    gain_control: Share = 0.0
    handset: Share = 0.0
    band_hz: Span[Edge] = (300.0, 3400.0)
    echo: Echo = field(default_factory=Echo)
    codec: Codec = "mulaw"
    loss: Loss = field(default_factory=Loss)


def codec_weights(codec: str | Mapping[str, float]) -> dict[str, float]:
    """Returns the codecs of a line with their probabilities."""
    weights = {codec: 1.0} if isinstance(codec, str) else dict(codec)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
