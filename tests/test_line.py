"""The line as a whole: order, levels, provenance, determinism, odd input."""

import json
import math
import warnings
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.band import telephone_band
from telephone_asr.channel.codecs import through_codec
from telephone_asr.channel.level import active_level_db
from telephone_asr.channel.line import draw, simulate
from telephone_asr.channel.noise import noise_of
from telephone_asr.channel.options import (
    Babble,
    Clipping,
    Echo,
    Hum,
    Line,
    Loss,
    Music,
    Noise,
    codec_weights,
)
from telephone_asr.channel.portable import generator
from telephone_asr.channel.room import room_response
from telephone_asr.errors import InputError

RATE_HZ = 16000
HAS_EXTRA = all(find_spec(name) for name in ("imageio_ffmpeg", "pywebrtc_audio"))
extra = pytest.mark.skipif(not HAS_EXTRA, reason="pip install -e '.[line]'")
QUIET = (200.0, 200.0)  # an SNR at which nothing is heard
# Of generator(0, "utt1"); data is made anew if it changes.
GENERATOR_DRAWS = [864597177, 237130420, 434755487]


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
        "pink_noise_snr_db": QUIET,
        "hum": Hum(snr_db=QUIET),
        "babble": Babble(snr_db=QUIET),
    }
    return Line(**(values | changes))


def run(line: Line, pool=None, samples=None, rate_hz=RATE_HZ, utterance_id="u1"):
    samples = speech() if samples is None else samples
    return simulate(samples, rate_hz, line, pool, generator(0, utterance_id), "spk0")


EVERYTHING = Line(
    music=Music(share=1.0),
    clipping=Clipping(share=1.0),
    handset=1.0,
    echo=Echo(share=1.0),
    codec={"amr_nb+alaw": 1.0, "gsm+alaw": 1.0, "mulaw": 2.0},
    loss=Loss(share=1.0, rate=(0.1, 0.2)),
)
ALWAYS = {
    "level_db": (-32, -18),
    "white_noise_snr_db": (25, 40),
    "pink_noise_snr_db": (25, 40),
    "hum_snr_db": (25, 45),
    "babble_snr_db": (10, 25),
    "babble_talkers": (4, 8),
}
SOMETIMES = {
    "music_snr_db": (10, 25),
    "clipping_headroom_db": (3, 12),
    "echo_delay_ms": (50, 300),
    "echo_loss_db": (20, 40),
    "loss_rate": (0.1, 0.2),
    "lost_packets": (0, 1),
}


@pytest.mark.parametrize("utterance_id", ["a", "b", "c"])
def test_provenance(pool, utterance_id):
    pcm, done = run(EVERYTHING, pool, utterance_id=utterance_id)
    assert pcm.dtype == np.int16
    assert pcm.shape == (16000,)
    assert json.loads(json.dumps(done)) == done
    for key, (low, high) in {**ALWAYS, **SOMETIMES}.items():
        assert low <= done[key] <= high
    assert done["clipping"] in ("soft", "hard")
    assert done["handset"] is True
    assert done["loss_concealed"] in (True, False)
    assert set(done) == {
        *ALWAYS,
        *SOMETIMES,
        *("clipping", "handset", "codec", "loss_concealed"),
    }


def test_what_does_not_happen_is_none_and_moves_nothing(pool):
    _, done = run(EVERYTHING, pool)
    _, plain = run(Line(codec=EVERYTHING.codec, loss=Loss(share=0.0)))
    for key in ("babble_snr_db", "babble_talkers", "music_snr_db", "clipping", "echo_delay_ms"):
        assert plain[key] is None
    assert plain["handset"] is False
    assert plain["loss_rate"] == plain["lost_packets"] == 0
    for key in ("level_db", "white_noise_snr_db", "pink_noise_snr_db", "hum_snr_db"):
        assert plain[key] == done[key]
    assert plain["codec"].split("_")[0] == done["codec"].split("_")[0]


def drawn(line: Line, n: int = 4000) -> list[dict]:
    return [draw(line, generator(0, str(i))) for i in range(n)]


def test_draws_cover_their_range():
    many = drawn(Line(), 300)
    for key in ("level_db", "white_noise_snr_db", "pink_noise_snr_db", "hum_snr_db"):
        low, high = ALWAYS[key]
        values = np.array([one[key] for one in many])
        assert values.min() < low + 0.5
        assert values.max() > high - 0.5
        error = (high - low) / math.sqrt(12 * len(values))
        assert values.mean() == pytest.approx((low + high) / 2, abs=4 * error)


def test_shares_and_weights():
    """Within four standard errors of what they should be."""
    line = Line(
        music=Music(share=0.1),
        clipping=Clipping(share=0.3, soft=0.2),
        handset=0.6,
        echo=Echo(share=0.05),
        codec={"alaw": 3, "mulaw": 1, "gsm": 0},
        loss=Loss(share=0.4, concealed=0.9),
    )
    many = drawn(line)

    def share(has, among=many) -> tuple[float, float]:
        found = np.mean([bool(has(one)) for one in among])
        return float(found), 4 * math.sqrt(0.25 / len(among))

    clipped = [one for one in many if one["clipping"]]
    lossy = [one for one in many if one["loss_rate"]]
    for (found, error), expected in (
        (share(lambda d: d["music_snr_db"]), 0.1),
        (share(lambda d: d["clipping"]), 0.3),
        (share(lambda d: d["clipping"] == "soft", clipped), 0.2),
        (share(lambda d: d["handset"]), 0.6),
        (share(lambda d: d["echo_loss_db"]), 0.05),
        (share(lambda d: d["codec"] == "alaw"), 0.75),
        (share(lambda d: d["codec"] == "gsm"), 0.0),
        (share(lambda d: d["loss_rate"]), 0.4),
        (share(lambda d: d["loss_concealed"], lossy), 0.9),
    ):
        assert found == pytest.approx(expected, abs=error)


def test_telephones_that_suppress_noise_and_control_gain():
    """Within four standard errors; what else is drawn stays, and nothing is noted of the others."""
    many = drawn(Line(noise_suppression=0.4, gain_control=0.25))
    for one, plain in zip(many, drawn(Line()), strict=True):
        own = {key: one.pop(key, None) for key in ("noise_suppression_db", "gain_control")}
        assert one == plain
        one.update(own)
    for key, share in (("noise_suppression_db", 0.4), ("gain_control", 0.25)):
        found = np.mean([one[key] is not None for one in many])
        assert found == pytest.approx(share, abs=4 * math.sqrt(0.25 / len(many)))
    levels_db = [one["noise_suppression_db"] for one in many if one["noise_suppression_db"]]
    for level_db in (6, 12, 18, 21):
        share = np.mean(np.array(levels_db) == level_db)
        assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 / len(levels_db)))


def test_rooms_and_noise_of_a_user_move_no_other_draw():
    """Within four standard errors; a place in the recordings is as likely as another."""
    many = drawn(Line(room=0.4, noise=Noise(share=0.25, snr_db=(5.0, 9.0))))
    places: dict[str, list[float]] = {"room": [], "noise": []}
    for one, plain in zip(many, drawn(Line()), strict=True):
        for key, own in places.items():
            own += [one.pop(key)] if key in one else []
        assert 5 <= one.pop("noise_snr_db", 5) <= 9
        assert one == plain
    for key, share in (("room", 0.4), ("noise", 0.25)):
        error = 4 * math.sqrt(0.25 / len(many))
        assert len(places[key]) / len(many) == pytest.approx(share, abs=error)
        assert 0 <= min(places[key]) < 0.01
        assert 0.99 < max(places[key]) < 1
        assert np.mean(places[key]) == pytest.approx(0.5, abs=4 * 0.29 / math.sqrt(len(many) / 4))


def test_a_users_noise_has_its_level_below_the_speech(pool):
    rng = np.random.default_rng(3)
    tone = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    loud = (20000 * tone + rng.standard_normal(44100)).astype(np.int16)
    own = replace(pool, noises=(noise_of(loud, 44100), noise_of(loud // 300, 44100)))
    line = quiet_line(noise=Noise(share=1.0, snr_db=(12.0, 12.0)), codec="alaw")
    numbers = set()
    for i in range(8):
        pcm, done = run(line, own, samples=speech(3.0, seed=i), utterance_id=str(i))
        plain, without = run(quiet_line(codec="alaw"), pool, speech(3.0, seed=i), RATE_HZ, str(i))
        numbers.add(done["noise"])
        noise = pcm.astype(float) - plain
        level_db = 20 * np.log10(np.sqrt(np.mean((noise[800:-800] / 32768) ** 2)))
        assert level_db == pytest.approx(-25 - 12, abs=0.7)
        assert {k: v for k, v in done.items() if not k.startswith("noise")} == without
    assert numbers == {0, 1}


def test_a_room_rings_on_and_delays_nothing_and_keeps_the_level(pool):
    """An echo 50 ms after the direct sound, which comes 10 ms after the response begins."""
    response = np.zeros(1600, dtype=np.int16)
    response[160], response[960] = 20000, -10000
    own = replace(pool, rooms=(room_response(response, RATE_HZ),))
    click = np.zeros(RATE_HZ, dtype=np.float32)
    click[4000] = 0.5
    heard, _ = run(quiet_line(room=1.0, level_db=(-60.0, -60.0)), own, click)
    strongest = np.argsort(np.abs(heard.astype(int)))[::-1]
    assert strongest[0] == 2000
    assert any(abs(place - 2400) <= 2 for place in strongest[:20])
    pcm, done = run(quiet_line(room=1.0), own)
    assert done["room"] == 0
    assert active_level_db(pcm / np.float32(32768), 8000) == pytest.approx(-25, abs=0.3)


def test_without_recordings_a_line_has_no_room_and_no_noise_of_a_user(pool):
    line = Line(room=1.0, noise=Noise(share=1.0))
    for own in (None, pool):
        pcm, done = run(line, own)
        expected, plain = run(Line(), own)
        assert done == plain
        np.testing.assert_array_equal(pcm, expected)


def test_codec_weights_are_shares_whatever_their_sum():
    assert codec_weights("gsm") == {"gsm": 1.0}
    assert codec_weights({"alaw": 6, "mulaw": 2}) == {"alaw": 0.75, "mulaw": 0.25}


@pytest.mark.parametrize("level_db", [-32.0, -25.0, -18.0])
def test_level_reached(level_db):
    pcm, _ = run(quiet_line(level_db=(level_db, level_db)))
    assert active_level_db(pcm / np.float32(32768), 8000) == pytest.approx(level_db, abs=0.2)


@pytest.mark.parametrize(
    ("changes", "key", "above_4_khz_db"),
    [
        ({"white_noise_snr_db": (8.0, 20.0)}, "white_noise_snr_db", 10 * math.log10(2)),
        # Flat to 50 Hz, then 1 / f: of what is below 8 kHz, that below 4 kHz.
        (
            {"pink_noise_snr_db": (8.0, 20.0)},
            "pink_noise_snr_db",
            10 * math.log10((1 + math.log(160)) / (1 + math.log(80))),
        ),
        ({"hum": Hum(snr_db=(8.0, 20.0))}, "hum_snr_db", 0.0),
        ({"music": Music(share=1.0, snr_db=(8.0, 20.0))}, "music_snr_db", 0.0),
        ({"babble": Babble(snr_db=(8.0, 20.0))}, "babble_snr_db", 0.0),
    ],
)
@pytest.mark.parametrize("utterance_id", ["a", "b", "c"])
def test_noise_is_as_loud_as_was_drawn(changes, key, above_4_khz_db, utterance_id, pool):
    """Over a line without a band, that of 8 kHz apart."""
    band_hz = (0.0, 3990.0)
    noisy, done = run(quiet_line(band_hz=band_hz, **changes), pool, utterance_id=utterance_id)
    clean, _ = run(quiet_line(band_hz=band_hz), pool, utterance_id=utterance_id)
    noise_db = 10 * math.log10(np.mean(((noisy.astype(float) - clean) / 32768) ** 2))
    measured = active_level_db(clean / np.float32(32768), 8000) - noise_db - above_4_khz_db
    assert measured == pytest.approx(done[key], abs=0.5)


# The parts come in the order of a call.


def test_noise_is_clipped_with_the_speech():
    clipping = Clipping(share=1.0, soft=0.0, headroom_db=(0.0, 0.0))
    pcm, _ = run(quiet_line(clipping=clipping, white_noise_snr_db=(-10.0, -10.0)))
    ceiling = 32768 * 10 ** (-25 / 20)
    assert np.abs(pcm).max() < 3 * ceiling  # the noise alone would reach eight times as high


def test_what_clipping_adds_beyond_the_band_is_not_heard():
    tone = 0.1 * np.sin(2 * np.pi * 1300 * np.arange(32000) / RATE_HZ)
    clipping = Clipping(share=1.0, soft=0.0, headroom_db=(0.0, 0.0))
    pcm, _ = run(quiet_line(clipping=clipping), samples=tone)
    amplitude = np.abs(np.fft.rfft(pcm.astype(float)))  # bins of 0.5 Hz
    assert amplitude[7800] < amplitude[2600] / 30  # the third harmonic, a fifth of the tone


def test_noise_passes_the_band_and_the_codec():
    pcm, _ = run(quiet_line(white_noise_snr_db=(5.0, 5.0)), samples=np.zeros(160_000, np.float32))
    power = np.abs(np.fft.rfft(pcm.astype(float))) ** 2  # bins of 0.1 Hz
    in_band, below = power[5000:30000].mean(), power[:1000].mean()
    assert below < in_band / 1000  # what is left there is mu-law's own noise
    np.testing.assert_array_equal(pcm, through_codec(pcm, "mulaw"))


def test_the_echo_is_coded_with_the_speech():
    pcm, _ = run(quiet_line(echo=Echo(1.0, (50.0, 50.0), (6.0, 6.0))))
    np.testing.assert_array_equal(pcm, through_codec(pcm, "mulaw"))


@pytest.mark.parametrize("codec", ["opus_12000", pytest.param("amr_wb_6600", marks=extra)])
def test_a_wideband_codec_at_the_start_hears_what_is_beyond_the_telephone_band(codec):
    """A hiss at 5 to 7 kHz, whose coding is heard below; after A-law there is nothing of it."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(32000))
    hz = np.fft.rfftfreq(32000, 1 / RATE_HZ)
    spectrum[(hz < 5000) | (hz > 7000)] = 0
    hiss = (0.05 * np.fft.irfft(spectrum)).astype(np.float32)
    before, after = (
        run(quiet_line(codec=name), samples=hiss)[0] for name in (f"{codec}+alaw", f"alaw+{codec}")
    )
    assert before.std() > 2.5 * after.std()


@extra
def test_noise_is_suppressed_before_it_is_coded():
    line = quiet_line(white_noise_snr_db=(10.0, 10.0), codec="alaw", noise_suppression=1.0)
    samples = np.pad(speech(), (16000, 0))
    plain, _ = run(replace(line, noise_suppression=0.0), samples=samples)
    pcm, done = run(line, samples=samples)
    assert done["noise_suppression_db"] in (6, 12, 18, 21)
    quieter_db = 20 * np.log10(plain[1000:7000].std() / pcm[1000:7000].std())
    assert quieter_db == pytest.approx(done["noise_suppression_db"], abs=3)
    np.testing.assert_array_equal(pcm, through_codec(pcm, "alaw"))


@extra
def test_the_gain_is_controlled_after_noise_was_suppressed(pool):
    line = quiet_line(noise_suppression=1.0, gain_control=1.0, codec="alaw")
    pcm, done = run(line, pool)
    assert done["gain_control"] is True
    for other in ({"noise_suppression": 0.0}, {"gain_control": 0.0}):
        assert not np.array_equal(run(replace(line, **other), pool)[0], pcm)


def test_lost_packets_are_silent_after_echo_and_codec():
    loss = Loss(share=1.0, rate=(0.3, 0.3), concealed=0.0)
    line = quiet_line(codec="alaw", loss=loss, echo=Echo(1.0, (50.0, 50.0), (6.0, 6.0)))
    pcm, done = run(line, samples=speech() + 0.1)
    gone = [bool(np.all(p == 0)) for p in pcm.reshape(-1, 160)]
    assert np.mean(gone) == pytest.approx(done["lost_packets"], abs=1e-4)
    assert 0 < np.mean(gone) < 1  # A-law itself has no code for 0


def test_same_seed_and_id_same_bytes_in_any_order(pool):
    line = EVERYTHING
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


@pytest.mark.parametrize(
    "codec",
    [
        *("mulaw", "alaw", "gsm", "amr_nb+alaw", "g726", "g722", "g723", "opus+alaw"),
        pytest.param("amr_wb+opus", marks=extra),
    ],
)
@pytest.mark.parametrize("name", ODD)
def test_odd_input(name, codec, pool):
    line = replace(EVERYTHING, level_db=(-6.0, 0.0), codec=codec)
    if HAS_EXTRA:
        line = replace(line, noise_suppression=1.0, gain_control=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pcm, done = run(line, pool, ODD[name])
    assert pcm.dtype == np.int16
    assert len(pcm) == -(-len(ODD[name]) // 2)
    assert all(v is None or isinstance(v, str) or math.isfinite(v) for v in done.values())


def test_clipping_is_heard_and_stays_under_its_ceiling():
    clipping = Clipping(share=1.0, soft=0.0, headroom_db=(0.0, 0.0))
    clean, _ = run(quiet_line())
    pcm, _ = run(quiet_line(clipping=clipping))
    assert np.abs(pcm).max() < np.abs(clean).max()
    assert np.corrcoef(pcm, clean)[0, 1] > 0.8
    assert not np.array_equal(pcm, clean)


def test_the_echo_is_late_and_weaker_by_what_is_noted():
    sound = np.zeros(32000, np.float32)
    sound[:8000] = speech(0.5)
    pcm, done = run(quiet_line(echo=Echo(1.0, (700.0, 900.0), (15.0, 20.0))), samples=sound)
    delay = round(done["echo_delay_ms"] * 8)
    direct, echo = (pcm[start : start + 4000].astype(float) for start in (0, delay))
    assert np.corrcoef(direct, echo)[0, 1] > 0.95
    gain_db = 20 * math.log10(np.dot(direct, echo) / np.dot(direct, direct))
    assert gain_db == pytest.approx(-done["echo_loss_db"], abs=0.5)


def test_a_handset_leans_towards_high_frequencies():
    """P.48 lies 6.4 dB higher at 2500 Hz than at 800 Hz, if all else is the same."""
    t = np.arange(32000) / RATE_HZ
    tones = 0.1 * (np.sin(2 * np.pi * 800 * t) + np.sin(2 * np.pi * 2500 * t))
    tilt = []
    for handset in (0.0, 1.0):
        pcm, _ = run(quiet_line(handset=handset), samples=tones)
        amplitude = np.abs(np.fft.rfft(pcm.astype(float)))  # bins of 0.5 Hz
        tilt.append(20 * math.log10(amplitude[5000] / amplitude[1600]))
    assert tilt[1] - tilt[0] == pytest.approx(1.8 + 4.9, abs=0.5)


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
        (lambda: Babble(snr_db=(25, 10)), "snr_db: expected low <= high, got [25, 10]."),
        (lambda: Line(level_db=(-20, 3)), "level_db[1]: expected 0 or less, got 3."),
        (lambda: Line(white_noise_snr_db=(math.nan, 3)), "white_noise_snr_db[0]: "),
        (lambda: Hum(frequency_hz=0), "frequency_hz: expected more than 0, got 0."),
        (lambda: Hum(harmonics=200), "frequency_hz: expected all 200 harmonics below 8000 Hz"),
        (lambda: Hum(harmonics=0), "harmonics: "),
        (lambda: Babble(talkers=(0, 4)), "talkers[0]: "),
        (lambda: Line(room=1.5), "room: expected 1 or less, got 1.5."),
        (lambda: Noise(share=2), "share: expected 1 or less, got 2."),
        (lambda: Noise(snr_db=(-1, 3)), "snr_db[0]: expected 0 or more, got -1."),
        (lambda: Line(band_hz=(300, 4500)), "band_hz[1]: expected 4000 or less, got 4500."),
        (lambda: Line(band_hz=(300, 300)), "band_hz: expected low < high, got [300, 300]."),
        (lambda: Line(codec="evs"), "codec: expected mulaw, alaw, gsm"),
        (lambda: Line(codec={"alaw": 1, "g729": 1}), "codec: expected mulaw, alaw, gsm"),
        (lambda: Line(noise_suppression=1.1), "noise_suppression: expected 1 or less, got 1.1."),
        (lambda: Line(gain_control=-0.1), "gain_control: expected 0 or more, got -0.1."),
        (lambda: Line(codec={"alaw": -1}), "codec.alaw: expected 0 or more, got -1."),
        (lambda: Line(codec={"alaw": math.nan}), "codec.alaw: "),
        (lambda: Line(codec={"alaw": 0}), "codec: expected a codec with a weight above 0"),
        (lambda: Line(codec={}), "codec: expected a codec with a weight above 0"),
        (lambda: Line(handset=1.1), "handset: expected 1 or less, got 1.1."),
        (lambda: Music(share=-0.1), "share: "),
        (lambda: Clipping(soft=2), "soft: "),
        (lambda: Echo(delay_ms=(-1, 5)), "delay_ms[0]: "),
        (lambda: Echo(2.0), "share: "),
        (lambda: Loss(rate=(0.1, 1.0)), "rate: "),
        (lambda: Loss(rate=(-0.1, 0.1)), "rate[0]: "),
        (lambda: Loss(rate=(0, 0.8)), "rate: expected at most 0.667 for bursts"),
        (lambda: Loss(burst_density=0), "burst_density: "),
        (lambda: Loss(mean_burst_packets=0.5), "mean_burst_packets: "),
    ],
)
def test_a_wrong_value_names_its_key(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)
