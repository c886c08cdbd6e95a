"""G.711 against tables written from the text of ITU-T G.711, not from the code's formulas."""

import numpy as np
import pytest

from telephone_asr.channel import g711
from telephone_asr.errors import InputError

ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)
ALL_CODES = np.arange(256).astype(np.uint8)

# Tables 1a/1b and 2a/2b, column 2: (number of intervals, interval size) from 0 outwards, in the
# standard's own units, of which a 16-bit sample has `UNIT`.
SEGMENTS = {
    "alaw": [(32, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128)],
    "mulaw": [
        *[(1, 1), (15, 2), (16, 4), (16, 8), (16, 16)],
        *[(16, 32), (16, 64), (16, 128), (16, 256)],
    ],
}
UNIT = {"alaw": 8, "mulaw": 4}
VIRTUAL_DECISION_VALUE = {"alaw": 4096, "mulaw": 8159}


def decision_values(law: str) -> np.ndarray:
    """x_1 .. x_129: the edges of the 128 intervals of one sign."""
    sizes = np.concatenate([np.full(count, size) for count, size in SEGMENTS[law]])
    return np.concatenate([[0], np.cumsum(sizes)])


def quantised_values(law: str) -> np.ndarray:
    """y_n: the middle of each interval, but 0 for mu-law's first, which reaches across zero."""
    edges = decision_values(law)
    middle = (edges[:-1] + edges[1:]) / 2
    if law == "mulaw":
        middle[0] = 0
    return middle


def wire_code(law: str, interval: int, positive: bool) -> int:
    """Column 6: the character signal. A-law counts up from 1000 0000 and inverts the even bits
    (note 2 of table 1a); mu-law counts down from 1111 1111."""
    if law == "alaw":
        return ((0b1000_0000 if positive else 0) + interval) ^ 0b0101_0101
    return (0b1111_1111 if positive else 0b0111_1111) - interval


def reference_codes(law: str) -> np.ndarray:
    """Codes of ALL_SAMPLES. On a decision value, positive goes outwards and negative inwards."""
    edges = decision_values(law) * UNIT[law]
    codes = []
    for sample in ALL_SAMPLES.tolist():
        side = "right" if sample >= 0 else "left"
        interval = int(np.searchsorted(edges, abs(sample), side)) - 1
        codes.append(wire_code(law, min(interval, 127), sample >= 0))
    return np.array(codes, dtype=np.uint8)


@pytest.mark.parametrize("law", g711.LAWS)
def test_the_reference_tables_end_at_the_virtual_decision_value(law):
    edges = decision_values(law)
    assert len(edges) == 129
    assert edges[-1] == VIRTUAL_DECISION_VALUE[law]


@pytest.mark.parametrize("law", g711.LAWS)
def test_every_sample_is_coded_as_in_the_standard(law):
    codes = g711.encode(ALL_SAMPLES, law)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, reference_codes(law))


@pytest.mark.parametrize("law", g711.LAWS)
def test_every_code_is_decoded_as_in_the_standard(law):
    pcm = g711.decode(ALL_CODES, law)
    assert pcm.dtype == np.int16
    expected = np.zeros(256)
    for interval, value in enumerate(quantised_values(law)):
        expected[wire_code(law, interval, positive=True)] = value * UNIT[law]
        expected[wire_code(law, interval, positive=False)] = -value * UNIT[law]
    np.testing.assert_array_equal(pcm, expected)


@pytest.mark.parametrize(
    ("law", "loudest", "quietest"), [("mulaw", 4 * 8031, 0), ("alaw", 8 * 4032, 8)]
)
def test_values_printed_in_the_standard(law, loudest, quietest):
    pcm = np.abs(g711.decode(ALL_CODES, law).astype(int))
    assert (pcm.max(), pcm.min()) == (loudest, quietest)


def test_silence_on_the_wire():
    zero = np.zeros(1, dtype=np.int16)
    assert g711.encode(zero, "mulaw")[0] == 0xFF
    assert g711.encode(zero, "alaw")[0] == 0xD5


@pytest.mark.parametrize("law", g711.LAWS)
def test_a_decoded_code_is_coded_as_itself(law):
    again = g711.encode(g711.decode(ALL_CODES, law), law)
    different = np.flatnonzero(again != ALL_CODES).tolist()
    # mu-law has two codes for zero; negative zero comes back as positive zero.
    assert different == ([0x7F] if law == "mulaw" else [])


@pytest.mark.parametrize("law", g711.LAWS)
def test_a_second_pass_changes_nothing(law):
    once = g711.through(ALL_SAMPLES, law)
    np.testing.assert_array_equal(once, g711.decode(g711.encode(ALL_SAMPLES, law), law))
    np.testing.assert_array_equal(once, g711.through(once, law))


@pytest.mark.parametrize("law", g711.LAWS)
def test_sign_order_and_error(law):
    heard = g711.through(ALL_SAMPLES, law).astype(int)
    samples = ALL_SAMPLES.astype(int)
    assert np.all(np.diff(heard) >= 0)
    assert np.all(heard[samples >= 0] >= 0)
    assert np.all(heard[samples < 0] <= 0)
    # At most half an interval away: 1/32 of the sample (mu-law: of the sample plus its bias of
    # 132), or half the smallest step. mu-law clips beyond its last decision value.
    inside = np.abs(samples) <= decision_values(law)[-1] * UNIT[law]
    bound = np.maximum(np.abs(samples) / 32 + 132 / 32, UNIT[law])
    assert np.all(np.abs(heard - samples)[inside] <= bound[inside])


def test_any_shape_and_no_samples():
    for shape in [(0,), (1,), (3, 4)]:
        codes = g711.encode(np.ones(shape, dtype=np.int16), "alaw")
        assert codes.shape == g711.decode(codes, "alaw").shape == shape
    strided = ALL_SAMPLES[::7]
    np.testing.assert_array_equal(
        g711.encode(strided, "mulaw"), g711.encode(ALL_SAMPLES, "mulaw")[::7]
    )


def test_wrong_arguments():
    with pytest.raises(InputError, match=r"'ulaw'.*mulaw, alaw"):
        g711.encode(ALL_SAMPLES, "ulaw")
    with pytest.raises(TypeError, match="int16"):
        g711.encode(np.zeros(3), "mulaw")
    with pytest.raises(TypeError, match="uint8"):
        g711.decode(np.zeros(3, dtype=np.int16), "mulaw")
