"""The line as a whole: order, levels, provenance, determinism, odd input."""

import json
import math
import warnings

import numpy as np
import pytest

from telephone_asr.channel import line as line_module
from telephone_asr.channel.band import telephone_band
from telephone_asr.channel.line import Babble, Hum, Line, Loss, generator, simulate
from telephone_asr.channel.noise import BabblePool, active_level_db
from telephone_asr.errors import InputError

RATE_HZ = 16000
QUIET = (200.0, 200.0)  # an SNR at which nothing is heard
GENERATOR_DRAWS = [
    864597177,
    237130420,
    434755487,
]  # of generator(0, "utt1"); data is made anew if it changes


def speech(seconds: float = 2.0, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Bursts of noise in the telephone band, with pauses."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / rate_hz)
    spectrum[(hz < 500) | (hz > 3000)] = 0
    on = (np.arange(n) / rate_hz) % 0.5 < 0.35
    return (0.05 * np.fft.irfft(spectrum, n) * on).astype(np.float32)


@pytest.fixture(scope="module")
def pool() -> BabblePool:
    voices = [(f"spk{i}", speech(3.0, seed=i + 1)) for i in range(9)]
    return BabblePool.build(voices, n_tracks=6, track_s=5.0)


def quiet_line(**changes) -> Line:
    """Everything as good as off, but for `changes`."""
    values = {
        "level_db": (-25.0, -25.0),
        "white_noise_snr_db": QUIET,
        "hum": Hum(snr_db=QUIET),
        "babble": Babble(snr_db=QUIET),
    }
    return Line(**(values | changes))


def run(line: Line, pool=None, samples=None, rate_hz=RATE_HZ, utterance_id="u1"):
    samples = speech() if samples is None else samples
    return simulate(samples, rate_hz, line, pool, generator(0, utterance_id), "spk0")


def test_provenance(pool):
    pcm, done = run(Line(loss=Loss(rate=0.1)), pool)
    assert pcm.dtype == np.int16
    assert pcm.shape == (16000,)
    assert json.loads(json.dumps(done)) == done
    assert list(done) == [
        *["codec", "level_db", "babble_snr_db", "babble_talkers"],
        *["white_noise_snr_db", "hum_snr_db", "lost_packets"],
    ]
    assert done["codec"] == "mulaw"
    assert -32 <= done["level_db"] <= -18
    assert 10 <= done["babble_snr_db"] <= 25
    assert 4 <= done["babble_talkers"] <= 8
    assert 25 <= done["white_noise_snr_db"] <= 40
    assert 25 <= done["hum_snr_db"] <= 45
    assert 0 <= done["lost_packets"] < 0.5
    _, without = run(Line())
    assert without["babble_snr_db"] is None
    assert without["babble_talkers"] is None
    assert without["level_db"] == done["level_db"]


def test_draws_cover_their_range():
    drawn = [run(Line(), samples=speech(0.1), utterance_id=str(i))[1] for i in range(300)]
    for key, (low, high) in {"level_db": (-32, -18), "hum_snr_db": (25, 45)}.items():
        values = np.array([d[key] for d in drawn])
        assert values.min() < low + 0.5
        assert values.max() > high - 0.5
        error = (high - low) / math.sqrt(12 * len(values))
        assert values.mean() == pytest.approx((low + high) / 2, abs=4 * error)


@pytest.mark.parametrize("level_db", [-32.0, -25.0, -18.0])
def test_level_reached(level_db):
    pcm, _ = run(quiet_line(level_db=(level_db, level_db)))
    assert active_level_db(pcm / np.float32(32768), 8000) == pytest.approx(level_db, abs=0.2)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"white_noise_snr_db": (12.0, 30.0)}, "white_noise_snr_db"),
        ({"hum": Hum(snr_db=(12.0, 30.0))}, "hum_snr_db"),
        ({"babble": Babble(snr_db=(10.0, 25.0))}, "babble_snr_db"),
    ],
)
@pytest.mark.parametrize("utterance_id", ["a", "b", "c"])
def test_snr_before_the_band_pass_is_the_drawn_one(changes, key, utterance_id, pool, monkeypatch):
    mixed = []
    monkeypatch.setattr(
        line_module, "telephone_band", lambda x, *args: mixed.append(x) or telephone_band(x, *args)
    )
    _, done = run(quiet_line(**changes), pool, utterance_id=utterance_id)
    run(quiet_line(), pool, utterance_id=utterance_id)
    noisy, clean = (x.astype(np.float64) for x in mixed)
    noise_db = 10 * math.log10(np.mean((noisy - clean) ** 2))
    measured = active_level_db(clean.astype(np.float32), RATE_HZ) - noise_db
    assert measured == pytest.approx(done[key], abs=0.1)


def test_parts_come_in_the_order_of_a_call(pool, monkeypatch):
    calls = []
    for name in ("_at_level", "telephone_band", "through_codec", "lose_packets"):
        part = getattr(line_module, name)
        monkeypatch.setattr(
            line_module, name, lambda *a, _n=name, _p=part: calls.append(_n) or _p(*a)
        )
    add = line_module.noise.add_at_snr
    monkeypatch.setattr(
        line_module.noise, "add_at_snr", lambda *a: calls.append("noise") or add(*a)
    )
    run(Line(), pool)
    noises = ["noise"] * 3
    assert calls == ["_at_level", *noises, "telephone_band", "through_codec", "lose_packets"]


def test_noise_passes_the_band_and_the_codec():
    pcm, _ = run(quiet_line(white_noise_snr_db=(5.0, 5.0)), samples=np.zeros(160_000, np.float32))
    power = np.abs(np.fft.rfft(pcm.astype(float))) ** 2  # bins of 0.1 Hz
    in_band, below = power[5000:30000].mean(), power[:1000].mean()
    assert below < in_band / 1000  # what is left there is mu-law's own noise
    assert set(pcm.tolist()) <= set(line_module.through_codec(pcm, "mulaw").tolist())
    np.testing.assert_array_equal(pcm, line_module.through_codec(pcm, "mulaw"))


def test_lost_packets_are_silent_after_the_codec():
    pcm, done = run(quiet_line(codec="alaw", loss=Loss(rate=0.3)), samples=speech() + 0.1)
    gone = [bool(np.all(p == 0)) for p in pcm.reshape(-1, 160)]
    assert np.mean(gone) == pytest.approx(done["lost_packets"], abs=1e-4)
    assert 0 < np.mean(gone) < 1  # A-law itself has no code for 0


def test_same_seed_and_id_same_bytes_in_any_order(pool):
    line = Line(codec="gsm+alaw", loss=Loss(rate=0.1))
    ids = [f"utt{i}" for i in range(6)]
    forward = {u: run(line, pool, speech(0.5), utterance_id=u)[0].tobytes() for u in ids}
    backward = {u: run(line, pool, speech(0.5), utterance_id=u)[0].tobytes() for u in ids[::-1]}
    assert forward == backward
    assert len(set(forward.values())) == len(ids)


def test_generator_is_fixed_for_good():
    assert generator(7, "a").integers(1 << 30) == generator(7, "a").integers(1 << 30)
    draws = {int(generator(s, u).integers(1 << 60)) for s in (0, 1) for u in ("a", "b", "通话-1")}
    assert len(draws) == 6
    assert generator(0, "utt1").integers(1 << 30, size=3).tolist() == GENERATOR_DRAWS


def test_time_alignment(pool):
    samples = speech()
    pcm, _ = run(quiet_line(), pool, samples)
    expected = telephone_band(samples, RATE_HZ)
    correlation = np.correlate(pcm[200:-200].astype(float), expected, "valid")
    assert np.argmax(correlation) == 200


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 48000])
def test_any_rate(rate_hz, pool):
    pcm, _ = run(quiet_line(), pool, speech(1.0, rate_hz=rate_hz)[:-3], rate_hz)
    assert len(pcm) == -(-(rate_hz - 3) * 8000 // rate_hz)
    assert active_level_db(pcm / np.float32(32768), 8000) == pytest.approx(-25, abs=0.3)


ODD = {
    "empty": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
    "one zero": np.zeros(1, np.float32),
    "silence": np.zeros(16000, np.float32),
    "almost silence": np.full(16000, 1e-30, np.float32),
    "constant": np.full(16000, 0.7, np.float32),
    "square wave": np.where(np.arange(16000) // 40 % 2, 1.0, -1.0).astype(np.float32),
    "int16": np.where(np.arange(16000) // 40 % 2, 32767, -32768).astype(np.int16),
    "float64": 0.1 * np.sin(np.arange(16001.0)),
    "beyond full scale": 900 * np.sin(np.arange(16000.0)),
}


@pytest.mark.parametrize("codec", ["mulaw", "alaw", "gsm"])
@pytest.mark.parametrize("name", ODD)
def test_odd_input(name, codec, pool):
    line = Line(level_db=(-6.0, 0.0), codec=codec, loss=Loss(rate=0.2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pcm, done = run(line, pool, ODD[name])
    assert pcm.dtype == np.int16
    assert len(pcm) == -(-len(ODD[name]) // 2)
    assert all(v is None or isinstance(v, str) or math.isfinite(v) for v in done.values())


def test_silence_is_not_amplified():
    pcm, _ = run(quiet_line(), samples=ODD["almost silence"])
    assert np.abs(pcm).max() == 0
    pcm, _ = run(quiet_line(), samples=ODD["constant"])
    assert np.abs(pcm[1000:-1000]).max() == 0


def test_too_loud_saturates():
    t = np.arange(16000) / RATE_HZ
    peaks = (np.sin(2 * np.pi * 800 * t) ** 15).astype(np.float32)
    pcm, _ = run(quiet_line(level_db=(0.0, 0.0)), samples=peaks)
    expected = telephone_band(peaks, RATE_HZ)
    loud = np.abs(expected) > 0.3
    assert np.all(np.sign(pcm[loud]) == np.sign(expected[loud]))
    assert pcm.max() == 32124  # the largest value of mu-law


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6, 1e300])
def test_not_finite(bad):
    samples = np.zeros(100)
    samples[3] = bad
    with pytest.raises(InputError, match="NaN"):
        run(Line(), samples=samples)


def test_not_mono_and_not_audio():
    with pytest.raises(InputError, match=r"mono.*\(2, 100\)"):
        run(Line(), samples=np.zeros((2, 100)))
    with pytest.raises(InputError, match="int64"):
        run(Line(), samples=np.zeros(100, dtype=np.int64))


def test_the_input_is_left_alone(pool):
    samples = speech()
    before = samples.copy()
    run(Line(), pool, samples)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Line(babble=Babble(snr_db=(25, 10))),
            r"babble.snr_db: expected low <= high, got [25, 10]",
        ),
        (lambda: Line(level_db=(-20, 3)), "level_db: expected two numbers within -inf..0"),
        (lambda: Line(white_noise_snr_db=(math.nan, 3)), "white_noise_snr_db: "),
        (lambda: Line(hum=Hum(frequency_hz=0)), "hum.frequency_hz: expected above 0"),
        (lambda: Line(hum=Hum(harmonics=200)), "hum.frequency_hz: "),
        (lambda: Line(hum=Hum(harmonics=0)), "hum.harmonics: "),
        (lambda: Line(babble=Babble(talkers=(0, 4))), "babble.talkers: "),
        (lambda: Line(band_hz=(300, 4500)), "band_hz: expected two numbers within 0..4000"),
        (lambda: Line(band_hz=(300, 300)), "band_hz: expected low < high"),
        (lambda: Line(codec="opus"), "codec: unknown codec 'opus'"),
        (lambda: Line(loss=Loss(rate=1.0)), "loss.rate: "),
        (lambda: Line(loss=Loss(rate=-0.1)), "loss.rate: "),
        (lambda: Line(loss=Loss(rate=0.8)), "loss.rate: expected 0 <= rate <= 0.667"),
        (lambda: Line(loss=Loss(mean_burst_packets=0.5)), "loss.mean_burst_packets: "),
    ],
)
def test_a_wrong_value_names_its_key(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)
