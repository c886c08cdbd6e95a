"""FFmpeg's codecs, by PyAV: speech to packets and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np


def encode(
    encoder: str,
    pcm_int16: np.ndarray,
    sample_rate_hz: int,
    bit_rate: int,
    options: Mapping[str, str] | None = None,
) -> list[bytes]:
    """Returns the packets of a libavcodec encoder. pcm_int16: at least one sample."""
    import av  # 0.1 s, and only some calls need it

    context = av.CodecContext.create(encoder, "w")
    context.sample_rate = sample_rate_hz
    context.bit_rate = bit_rate
    context.layout, context.format = "mono", "s16"
    context.options = dict(options or {})
    frame = av.AudioFrame.from_ndarray(pcm_int16[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = sample_rate_hz
    return [bytes(packet) for packet in context.encode(frame) + context.encode(None)]


def decode(
    decoder: str,
    packets: Iterable[bytes],
    sample_rate_hz: int,
    options: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Returns what a libavcodec decoder makes of packets, one or more: int16 (n,).

    `sample_rate_hz` is what the packets do not say; libopus gives 48 kHz whatever it is.
    """
    import av

    context = av.CodecContext.create(decoder, "r")
    context.sample_rate = sample_rate_hz
    context.layout = "mono"
    context.options = dict(options or {})
    frames = [frame for packet in packets for frame in context.decode(av.Packet(packet))]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames + context.decode(None)])
