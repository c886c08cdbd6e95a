"""What is measured of an utterance, against what was put into it."""

import hashlib

import numpy as np
import pytest
import soxr

from telephone_asr.channel.level import active_level_db
from telephone_asr.measures import FLOOR_DB, measure, snr_db

RATE_HZ = 16000


def int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def voice(pitch_hz: float, seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A buzz with formant-like slopes, on and off."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = sum(np.sin(2 * np.pi * pitch_hz * k * t + k * k) / k for k in range(1, 20))
    return 4000 * sound * (np.sin(2 * np.pi * 2 * t) > 0)


def test_level_and_activity_are_those_of_p_56(speech):
    pcm = speech(3.0)
    found = measure(pcm, RATE_HZ)
    wave = pcm / np.float32(32768)
    level_db = active_level_db(wave, RATE_HZ)
    assert found["level_db"] == pytest.approx(level_db, abs=0.06)
    power_db = 10 * np.log10(np.mean((wave - wave.mean()) ** 2))
    assert found["activity"] == pytest.approx(10 ** ((power_db - level_db) / 10), abs=1e-3)
    assert 0 < found["activity"] < 1


def test_the_snr_alone_is_that_of_all_measures(speech):
    for pcm in (speech(1.0), speech(0.01), np.zeros(400, np.int16)):
        assert snr_db(pcm, RATE_HZ) == measure(pcm, RATE_HZ)["snr_db"]


@pytest.mark.parametrize("snr_db", [10, 20, 30])
def test_snr_of_speech_with_pauses(snr_db):
    sound = voice(150)
    noise = np.random.default_rng(0).standard_normal(len(sound))
    on = sound[np.abs(sound) > 0]
    noise *= np.sqrt(np.mean(on**2)) / 10 ** (snr_db / 20)
    # By P.56 speech is active for 0.2 s longer, which takes 2 dB off bursts as short as these.
    assert snr_db - 3.5 < measure(int16(sound + noise), RATE_HZ)["snr_db"] < snr_db + 1


@pytest.mark.parametrize("headroom", [1.5, 3.0])
@pytest.mark.parametrize("gain", [1.0, 0.2])
def test_flat_tops_are_counted_at_any_level(headroom, gain):
    sound = voice(150)
    limit = np.abs(sound).max() / headroom
    flat = int16(gain * np.clip(sound, -limit, limit))
    extreme = np.abs(flat.astype(int)) >= np.abs(flat.astype(int)).max() - 1
    share = measure(flat, RATE_HZ)["clipped"]
    assert 0.5 * extreme.mean() < share <= extreme.mean()
    assert measure(int16(gain * sound), RATE_HZ)["clipped"] < 0.002


def test_offset(speech):
    pcm = speech(1.0)
    before = measure(pcm, RATE_HZ)
    after = measure(int16(pcm.astype(float) + 3277), RATE_HZ)
    assert after["dc"] == pytest.approx(before["dc"] + 0.1, abs=1e-3)
    assert after["level_db"] == pytest.approx(before["level_db"], abs=0.1)


def test_what_was_sampled_at_8_khz_has_nothing_above(speech):
    wide = 4 * speech(2.0).astype(np.float32)
    wide += 40 * np.random.default_rng(0).standard_normal(len(wide), dtype=np.float32)
    narrow = soxr.resample(soxr.resample(wide, RATE_HZ, 8000), 8000, RATE_HZ)
    assert measure(int16(wide), RATE_HZ)["high_band_db"] > -45
    assert measure(int16(narrow), RATE_HZ)["high_band_db"] < -60
    assert measure(int16(wide), 8000)["high_band_db"] is None


@pytest.mark.parametrize("pitch_hz", [70, 110, 150, 220, 300, 450])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_pitch(pitch_hz, rate_hz):
    found = measure(int16(voice(pitch_hz, rate_hz=rate_hz)), rate_hz)["pitch_hz"]
    assert found == pytest.approx(pitch_hz, rel=0.05)


def test_noise_has_no_pitch():
    noise = 3000 * np.random.default_rng(0).standard_normal(RATE_HZ)
    assert measure(int16(noise), RATE_HZ)["pitch_hz"] is None


def test_equal_sound_and_nothing_else_has_an_equal_hash(speech):
    pcm = speech(1.0)
    sha = measure(pcm, RATE_HZ)["sha"]
    assert sha == hashlib.blake2b(pcm.astype("<i2").tobytes(), digest_size=8).hexdigest()
    assert measure(pcm.copy(), RATE_HZ)["sha"] == sha
    changed = pcm.copy()
    changed[500] += 1
    assert measure(changed, RATE_HZ)["sha"] != sha


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2, 3, 80, 500, 16000])
@pytest.mark.parametrize("value", [0, 1, -32768, 32767])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_anything_can_be_measured(n, value, rate_hz):
    found = measure(np.full(n, value, dtype=np.int16), rate_hz)
    assert found["level_db"] == FLOOR_DB  # a constant is no speech
    assert found["pitch_hz"] is None
    assert all(v is None or np.isfinite(v) for k, v in found.items() if k != "sha")
