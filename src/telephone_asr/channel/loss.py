"""Packets that never arrive.

Losses on a network come in bursts. Gilbert's model (E. N. Gilbert, "Capacity of a burst-noise
channel", 1960) has two states: in one every packet arrives, in the other none does.
"""

import numpy as np

PACKET_SAMPLES = 160  # 20 ms at 8 kHz, the usual packet of G.711 over RTP (RFC 3551)


def lose_packets(
    pcm_int16_8k: np.ndarray, rng: np.random.Generator, rate: float, mean_burst_packets: float
) -> tuple[np.ndarray, int, int]:
    """Replace lost 20 ms packets by zeros.

    pcm_int16_8k: (n,). rate: expected share of lost packets, 0 <= rate < 1. mean_burst_packets:
    expected length of a run of lost packets, at least 1.
    Returns int16 (n,), how many packets were lost and how many there are (the last may be short).
    """
    n_packets = -(-len(pcm_int16_8k) // PACKET_SAMPLES)
    if rate == 0:
        return pcm_int16_8k, 0, n_packets
    lost = lost_packets(rng, n_packets, rate, mean_burst_packets)
    silenced = np.repeat(lost, PACKET_SAMPLES)[: len(pcm_int16_8k)]
    return np.where(silenced, np.int16(0), pcm_int16_8k), int(lost.sum()), n_packets


def lost_packets(
    rng: np.random.Generator, n_packets: int, rate: float, mean_burst_packets: float
) -> np.ndarray:
    """Which packets are lost, bool (n_packets,), by Gilbert's model in its steady state.

    A burst goes on with probability 1 - 1 / mean_burst_packets; one begins so often that the
    share of lost packets is `rate`. That is possible up to a rate of b / (b + 1), b the mean
    burst; see `max_rate`.
    """
    stay_lost = 1 - 1 / mean_burst_packets
    become_lost = rate / ((1 - rate) * mean_burst_packets)
    lost = np.zeros(n_packets, dtype=bool)
    probability = rate  # of the first packet
    for packet, draw in enumerate(rng.random(n_packets).tolist()):
        lost[packet] = draw < probability
        probability = stay_lost if lost[packet] else become_lost
    return lost


def max_rate(mean_burst_packets: float) -> float:
    """The highest loss rate that bursts of this mean length can give: single packets between."""
    return mean_burst_packets / (mean_burst_packets + 1)
