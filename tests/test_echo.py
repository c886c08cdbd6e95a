"""The echo, found again by cross-correlation."""

import numpy as np
import pytest
import scipy.signal

from telephone_asr.channel.echo import add_echo
from telephone_asr.errors import InputError


def noise(n: int = 40_000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(n).astype(np.float32)


@pytest.mark.parametrize("delay", [1, 400, 2400])
@pytest.mark.parametrize("loss_db", [0.0, 15.0, 30.0])
def test_one_echo_of_that_delay_and_loss(delay, loss_db):
    samples = noise()
    added = add_echo(samples.copy(), delay, loss_db) - samples
    lags = scipy.signal.correlation_lags(len(added), len(samples))
    correlation = scipy.signal.correlate(added, samples, method="fft")
    assert lags[np.argmax(correlation)] == delay
    gain = correlation.max() / np.sum(samples[:-delay].astype(float) ** 2)
    assert 20 * np.log10(gain) == pytest.approx(-loss_db, abs=0.01)
    # Nothing else was added: no second echo, and no sound before the first.
    expected = np.concatenate([np.zeros(delay), samples[:-delay] * 10 ** (-loss_db / 20)])
    np.testing.assert_allclose(added, expected, atol=1e-6)


def test_power_of_speech_and_echo_adds_up():
    samples = noise()
    out = add_echo(samples.copy(), 800, 10.0)
    ratio_db = 10 * np.log10(np.mean(out[800:] ** 2) / np.mean(samples[800:] ** 2))
    assert ratio_db == pytest.approx(10 * np.log10(1.1), abs=0.05)


def test_no_delay_is_louder():
    np.testing.assert_allclose(add_echo(noise(), 0, 0.0), 2 * noise())


def test_in_place():
    samples = noise(100)
    out = add_echo(samples, 10, 20.0)
    assert out is samples
    assert out.dtype == np.float32
    assert not np.array_equal(out, noise(100))


@pytest.mark.parametrize("n", [0, 1, 8, 10])
def test_an_echo_after_the_end_is_not_heard(n):
    np.testing.assert_array_equal(add_echo(noise(n), 10, 0.0), noise(n))


def test_silence():
    assert not add_echo(np.zeros(100, np.float32), 10, 0.0).any()


def test_before_the_speech():
    with pytest.raises(InputError, match="echo delay: expected 0 samples or more, got -1"):
        add_echo(noise(10), -1, 20.0)
