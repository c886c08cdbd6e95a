"""Lost packets: their statistics over 1e5 of them, which samples go, and what is put there."""

import math

import numpy as np
import pytest

from telephone_asr.channel.loss import (
    PACKET_SAMPLES,
    conceal,
    lose_packets,
    lost_packets,
    max_rate,
)

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


@pytest.mark.parametrize(("rate", "burst", "density"), [(0.05, 3.0, 0.6), (0.2, 8.0, 0.5)])
def test_sparse_bursts(rate, burst, density):
    """The loss of a packet and that of one k later: the bad state decays by rho at each step."""
    lost = lost_packets(np.random.default_rng(5), N_PACKETS, rate, burst, density).astype(float)
    bad_share = rate / density
    rho = 1 - 1 / burst - bad_share / ((1 - bad_share) * burst)
    variance = rate * (1 - rate)
    error = math.sqrt(variance * (1 + rho) / (1 - rho) / N_PACKETS)
    assert lost.mean() == pytest.approx(rate, abs=4 * error)
    for k in (1, 2, 5):
        found = np.mean((lost[:-k] - rate) * (lost[k:] - rate))
        expected = density**2 * bad_share * (1 - bad_share) * rho**k
        assert found == pytest.approx(expected, rel=0.1)


def test_lost_packets_are_whole_and_zero():
    pcm = np.full(100 * PACKET_SAMPLES + 37, 1000, dtype=np.int16)
    out, lost = lose_packets(pcm, np.random.default_rng(2), 0.3, 2.0)
    assert lost.shape == (101,)
    assert out.dtype == np.int16
    assert out.shape == pcm.shape
    expected = np.where(np.repeat(lost, PACKET_SAMPLES)[: len(pcm)], 0, 1000)
    np.testing.assert_array_equal(out, expected)
    assert 0 < lost.sum() < 101


@pytest.mark.parametrize("concealed", [False, True])
def test_no_loss_and_no_samples(concealed):
    pcm = np.arange(500, dtype=np.int16)
    out, lost = lose_packets(pcm, np.random.default_rng(0), 0.0, 2.0, concealed=concealed)
    np.testing.assert_array_equal(out, pcm)
    assert lost.tolist() == [False] * 4
    out, lost = lose_packets(pcm[:0], np.random.default_rng(0), 0.5, 2.0, concealed=concealed)
    assert (len(out), len(lost)) == (0, 0)


def test_max_rate():
    assert max_rate(1.0) == 0.5  # every second packet
    assert lost_packets(np.random.default_rng(0), 1000, 0.5, 1.0).mean() == 0.5
    assert max_rate(1.0, 0.5) == 0.25


# --- concealment


def voice(pitch_hz: float, n: int = 4000, level: float = 3000.0) -> np.ndarray:
    """Ten harmonics, each weaker than the one before."""
    t = np.arange(n) / 8000
    parts = (np.sin(2 * np.pi * k * pitch_hz * t + k * k) / k for k in range(1, 11))
    return np.rint(level * sum(parts) / 1.5).astype(np.int16)


def gap(n_packets: int, *lost: int) -> np.ndarray:
    return np.isin(np.arange(n_packets), lost)


def snr_db(clean: np.ndarray, heard: np.ndarray) -> float:
    error = clean.astype(float) - heard
    return 10 * math.log10(np.sum(clean.astype(float) ** 2) / max(np.sum(error**2), 1e-9))


@pytest.mark.parametrize("pitch_hz", [80.0, 100.0, 125.0, 160.0])  # whole periods in samples
def test_a_steady_voice_is_carried_over_the_first_10_ms(pitch_hz):
    pcm = voice(pitch_hz)
    out = conceal(pcm, gap(25, 12))
    start = 12 * PACKET_SAMPLES
    assert snr_db(pcm[start : start + 80], out[start : start + 80]) > 40
    # Until 20 ms it is weaker by a tenth on average, and still in step.
    assert np.corrcoef(pcm[start : start + 160], out[start : start + 160])[0, 1] > 0.99


@pytest.mark.parametrize("pitch_hz", [70.0, 93.0, 117.0, 190.0])
def test_any_pitch_is_found_to_half_a_sample(pitch_hz):
    pcm = voice(pitch_hz)
    start = 12 * PACKET_SAMPLES
    out = conceal(pcm, gap(25, 12))
    assert np.corrcoef(pcm[start : start + 80], out[start : start + 80])[0, 1] > 0.9


def test_nothing_steps_at_the_edges():
    pcm = voice(110.0)
    steepest = np.abs(np.diff(pcm.astype(int))).max()
    for lost in ((12,), (12, 13), (9, 10, 11, 12, 13)):
        out = conceal(pcm, gap(25, *lost)).astype(int)
        assert np.abs(np.diff(out)).max() <= 1.25 * steepest


def test_it_fades_and_is_silent_after_60_ms():
    pcm = voice(100.0)
    out = conceal(pcm, gap(25, *range(10, 20))).astype(float)
    start = 10 * PACKET_SAMPLES
    loudness = [np.sqrt(np.mean(out[start + t : start + t + 80] ** 2)) for t in range(0, 1600, 80)]
    whole = np.sqrt(np.mean(pcm[start : start + 80].astype(float) ** 2))
    for step, expected in enumerate((1.0, 0.9, 0.7, 0.5, 0.3, 0.1)):
        assert loudness[step] / whole == pytest.approx(expected, abs=0.07)
    assert max(loudness[6:]) == 0


def test_only_the_gap_and_10_ms_around_it_change(speech):
    pcm = speech(1.0, rate_hz=8000)
    lost = gap(50, 5, 20, 21, 40)
    changed = np.flatnonzero(conceal(pcm, lost) != pcm)
    near = np.convolve(np.repeat(lost, PACKET_SAMPLES), np.ones(161), "same") > 0
    assert near[changed].all()
    for packet in (5, 20, 40):  # a quarter of the longest period before the gap
        before = packet * PACKET_SAMPLES
        assert not np.isin(np.arange(before - 80, before - 30), changed).any()


def test_what_comes_after_the_gap_but_its_first_10_ms_is_not_looked_at(speech):
    pcm = speech(1.0, rate_hz=8000)
    other = pcm.copy()
    other[10 * PACKET_SAMPLES + 80 :] = 0
    a, b = (conceal(x, gap(50, 9))[: 10 * PACKET_SAMPLES + 80] for x in (pcm, other))
    np.testing.assert_array_equal(a, b)


def test_better_than_silence(speech):
    pcm = speech(4.0, seed=3, rate_hz=8000)
    lost = lost_packets(np.random.default_rng(4), 200, 0.1, 1.5)
    silent = np.where(np.repeat(lost, PACKET_SAMPLES), 0, pcm)

    def displacement_db(heard: np.ndarray) -> float:
        """Mean distance of log spectra, in 20 ms."""
        frames = (x.reshape(-1, PACKET_SAMPLES) * np.hanning(PACKET_SAMPLES) for x in (pcm, heard))
        spectra = [20 * np.log10(np.abs(np.fft.rfft(f)) + 30.0) for f in frames]
        return float(np.abs(spectra[0] - spectra[1])[lost].mean())

    assert displacement_db(conceal(pcm, lost)) < 0.7 * displacement_db(silent)


@pytest.mark.parametrize("n", [1, 37, 159, 160, 161, 479, 481, 1000])
@pytest.mark.parametrize("lost", [(0,), (1,), (2, 3), tuple(range(7))])
def test_odd_lengths_and_gaps_at_the_ends(n, lost):
    square = np.where(np.arange(n) // 40 % 2, 32767, -32768).astype(np.int16)
    n_packets = -(-n // PACKET_SAMPLES)
    out = conceal(square, gap(n_packets, *lost))
    assert out.dtype == np.int16
    assert len(out) == n
    if 0 in lost:
        assert not out[: min(n, PACKET_SAMPLES)].any()


def test_silence_stays_silent():
    assert not conceal(np.zeros(1000, np.int16), gap(7, 2, 3)).any()
