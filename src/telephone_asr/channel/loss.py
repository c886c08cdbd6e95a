"""Packets that never arrive, and what the receiver plays instead.

Losses on a network come in bursts. The model of E. N. Gilbert ("Capacity of a burst-noise
channel", 1960) and E. O. Elliott (1963) has two states: in the good one every packet arrives, in
the bad one, a burst, packets are lost with a probability of their own.
"""

import math

import numpy as np

from telephone_asr.channel.portable import to_int16

PACKET_SAMPLES = 160  # 20 ms at 8 kHz, the usual packet of G.711 over RTP (RFC 3551)

# ITU-T G.711 Appendix I (09/99), in samples at 8 kHz.
SHORTEST_PITCH, LONGEST_PITCH = 40, 120  # 200 to 66 Hz
PITCH_WINDOW = 160
HISTORY = 390  # three of the longest pitch periods and a quarter
STEP = 80  # 10 ms: after each, one more pitch period is repeated, up to three
FADE_PER_STEP = 0.2  # from the second 10 ms on: nothing is left after 60 ms
LONGEST_OVERLAP, OVERLAP_PER_STEP = 80, 32  # with the first packet that arrives again


def lose_packets(
    pcm_int16_8k: np.ndarray,
    rng: np.random.Generator,
    rate: float,
    mean_burst_packets: float,
    burst_density: float = 1.0,
    concealed: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Loses 20 ms packets as `lost_packets` draws them; `conceal` fills them, or silence.

    pcm_int16_8k: (n,). Returns int16 (n,) and which packets were lost, bool (ceil(n / 160),); the
    last packet may be short.
    """
    n_packets = -(-len(pcm_int16_8k) // PACKET_SAMPLES)
    if rate == 0:
        return pcm_int16_8k, np.zeros(n_packets, dtype=bool)
    lost = lost_packets(rng, n_packets, rate, mean_burst_packets, burst_density)
    if concealed:
        return conceal(pcm_int16_8k, lost), lost
    silenced = np.repeat(lost, PACKET_SAMPLES)[: len(pcm_int16_8k)]
    return np.where(silenced, np.int16(0), pcm_int16_8k), lost


def lost_packets(
    rng: np.random.Generator,
    n_packets: int,
    rate: float,
    mean_burst_packets: float,
    burst_density: float = 1.0,
) -> np.ndarray:
    """Draws which packets are lost by the Gilbert-Elliott model in its steady state: bool
    (n_packets,).

    rate: expected share of lost packets, up to `max_rate`. mean_burst_packets: expected length of
    a stay in the bad state. burst_density: share of the packets lost in it (RFC 3611's term).
    """
    bad_share = rate / burst_density
    stay_bad = 1 - 1 / mean_burst_packets
    become_bad = bad_share / ((1 - bad_share) * mean_burst_packets)
    draws = rng.random((2, n_packets))
    bad = np.zeros(n_packets, dtype=bool)
    probability = bad_share  # of the first packet
    for packet, draw in enumerate(draws[0].tolist()):
        bad[packet] = draw < probability
        probability = stay_bad if bad[packet] else become_bad
    return bad & (draws[1] < burst_density)


def max_rate(mean_burst_packets: float, burst_density: float = 1.0) -> float:
    """Returns the highest loss rate of such bursts: single packets of the good state between."""
    return burst_density * mean_burst_packets / (mean_burst_packets + 1)


def conceal(pcm_int16_8k: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Fills lost packets by repeating the last pitch periods: int16 (n,), a copy.

    Written from the description in ITU-T G.711 Appendix I: one pitch period is repeated for the
    first 10 ms, two for the next, then three, overlapping by a quarter period wherever pieces meet;
    from 10 ms on it fades, after 60 ms it is silence; the first packet that arrives is faded in.
    The appendix delays its output by 3.75 ms to overlap with what was played before the gap; here
    that is still there, so nothing is delayed. The decisions of its reference code (pitch search
    on decimated samples) are not followed to the bit.
    """
    out = pcm_int16_8k.astype(np.float32)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    for first, end in (edges.reshape(-1, 2) * PACKET_SAMPLES).tolist():
        _fill(out, first, min(end, len(out)))
    return to_int16(out)


def _fill(out: np.ndarray, first: int, end: int) -> None:
    """Fills out[first:end] in place, and overlaps with a few samples on either side."""
    history = np.zeros(HISTORY, dtype=np.float32)
    known = out[max(0, first - HISTORY) : first]
    history[HISTORY - len(known) :] = known
    pitch = _pitch(history)
    quarter = pitch // 4
    steps = math.ceil((end - first) / STEP)
    overlap = min(quarter + OVERLAP_PER_STEP * (steps - 1), LONGEST_OVERLAP, len(out) - end)

    made = _repeat(history, pitch, end - first + overlap)
    made *= np.clip(1 + FADE_PER_STEP - FADE_PER_STEP / STEP * np.arange(len(made)), 0, 1)
    # Before the gap: its end becomes the end of the repeated period, which meets its beginning.
    rising = _ramp(quarter)
    before = out[max(0, first - quarter) : first]
    lead = history[HISTORY - pitch - quarter : HISTORY - pitch]
    if len(before) == quarter:
        before += rising * (lead - before)
    out[first:end] = made[: end - first]
    behind = out[end : end + overlap]
    behind += _ramp(overlap)[::-1] * (made[end - first :] - behind)


def _pitch(history: np.ndarray) -> int:
    """Returns the lag, 40 to 120 samples, at which the last 20 ms are most like what was before
    them, by normalised cross-correlation."""
    template = history[-PITCH_WINDOW:]
    windows = np.lib.stride_tricks.sliding_window_view(
        history[HISTORY - PITCH_WINDOW - LONGEST_PITCH : HISTORY - SHORTEST_PITCH], PITCH_WINDOW
    )  # the first lies LONGEST_PITCH back
    energies = np.einsum("ij,ij->i", windows, windows)
    likeness = np.einsum("ij,j->i", windows, template) / np.sqrt(energies + 1.0)
    return LONGEST_PITCH - int(np.argmax(likeness))


def _repeat(history: np.ndarray, pitch: int, n_samples: int) -> np.ndarray:
    """Returns float32 (n_samples,): the last pitch period over and over, from 10 ms on the last
    two, from 20 ms on the last three, each joined to the one before by a quarter period."""
    made = _loop(history, pitch, 1, 0, n_samples)
    for periods in (2, 3):
        start = (periods - 1) * STEP
        if start >= n_samples:
            break
        # In step with what was played so far: it goes on as many samples into a period.
        longer = _loop(history, pitch, periods, start % pitch, n_samples - start)
        ramp = np.ones(len(longer), dtype=np.float32)
        quarter = min(pitch // 4, len(longer))
        ramp[:quarter] = _ramp(pitch // 4)[:quarter]
        made[start:] += ramp * (longer - made[start:])
    return made


def _loop(history: np.ndarray, pitch: int, periods: int, offset: int, n_samples: int) -> np.ndarray:
    """Returns float32 (n_samples,): the last periods again and again, from `offset` on. The end of
    the last is bent to what comes before the first, so that it goes round without a step."""
    quarter = pitch // 4
    start = HISTORY - periods * pitch
    loop = history[start:].copy()
    loop[-quarter:] += _ramp(quarter) * (history[start - quarter : start] - loop[-quarter:])
    return np.resize(np.roll(loop, -offset), n_samples)


def _ramp(n: int) -> np.ndarray:
    """Returns float32 (n,), evenly from just above 0 to just below 1."""
    return (np.arange(1, n + 1) / (n + 1)).astype(np.float32)
