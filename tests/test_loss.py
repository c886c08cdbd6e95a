"""Gilbert loss: its statistics over 1e5 packets, and which samples go."""

import math

import numpy as np
import pytest

from telephone_asr.channel.loss import PACKET_SAMPLES, lose_packets, lost_packets, max_rate

N_PACKETS = 100_000


def burst_lengths(lost: np.ndarray) -> np.ndarray:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize(
    ("rate", "burst"), [(0.01, 1.0), (0.05, 2.0), (0.2, 4.0), (0.5, 3.0), (0.666, 2.0)]
)
def test_rate_and_burst_length(rate, burst):
    lost = lost_packets(np.random.default_rng(11), N_PACKETS, rate, burst)
    bursts = burst_lengths(lost)
    # Four standard errors. Successive packets are correlated by rho, which widens the first.
    rho = 1 - 1 / burst - rate / ((1 - rate) * burst)
    error = math.sqrt(rate * (1 - rate) * (1 + rho) / (1 - rho) / N_PACKETS)
    assert lost.mean() == pytest.approx(rate, abs=4 * error)
    error = math.sqrt(burst * (burst - 1) / len(bursts))  # of a geometric distribution
    assert bursts.mean() == pytest.approx(burst, abs=4 * error + 1e-9)


def test_bursts_are_geometric():
    bursts = burst_lengths(lost_packets(np.random.default_rng(0), N_PACKETS, 0.1, 2.0))
    for length in (1, 2, 3):
        share = 0.5**length
        error = math.sqrt(share * (1 - share) / len(bursts))
        assert np.mean(bursts == length) == pytest.approx(share, abs=4 * error)


def test_the_first_packet_is_lost_as_often_as_any():
    rng = np.random.default_rng(0)
    first = [bool(lost_packets(rng, 1, 0.3, 3.0)[0]) for _ in range(10_000)]
    assert np.mean(first) == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 10_000))


def test_lost_packets_are_whole_and_zero():
    pcm = np.full(100 * PACKET_SAMPLES + 37, 1000, dtype=np.int16)
    out, n_lost, n_packets = lose_packets(pcm, np.random.default_rng(2), 0.3, 2.0)
    assert n_packets == 101
    assert out.dtype == np.int16
    assert out.shape == pcm.shape
    packets = [out[i : i + PACKET_SAMPLES] for i in range(0, len(out), PACKET_SAMPLES)]
    gone = [bool(np.all(p == 0)) for p in packets]
    assert all(np.all(p == 1000) for p, g in zip(packets, gone, strict=True) if not g)
    assert sum(gone) == n_lost > 0


def test_no_loss_and_no_samples():
    pcm = np.arange(500, dtype=np.int16)
    out, n_lost, n_packets = lose_packets(pcm, np.random.default_rng(0), 0.0, 2.0)
    np.testing.assert_array_equal(out, pcm)
    assert (n_lost, n_packets) == (0, 4)
    out, n_lost, n_packets = lose_packets(pcm[:0], np.random.default_rng(0), 0.5, 2.0)
    assert (len(out), n_lost, n_packets) == (0, 0, 0)


def test_max_rate():
    assert max_rate(1.0) == 0.5  # every second packet
    assert lost_packets(np.random.default_rng(0), 1000, 0.5, 1.0).mean() == 0.5
