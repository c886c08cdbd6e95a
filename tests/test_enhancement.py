"""Noise suppression and automatic gain: how much, where, and the same bytes every time."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from telephone_asr.channel.enhancement import SUPPRESSION_DB, control_gain, suppress_noise
from telephone_asr.channel.level import active_level_db
from test_codecs import delay_samples
from test_line import speech

pytest.importorskip("pywebrtc_audio", reason="pip install -e '.[line]'")

RATE_HZ = 16000
WAYS = {
    "gain": control_gain,
    **{f"{db} dB": lambda x, db=db: suppress_noise(x, db) for db in SUPPRESSION_DB},
}


def syllables(level_db: float = -25.0, seconds: float = 4.0) -> np.ndarray:
    """Vowels of a changing pitch with pauses of 0.3 s, at an active level."""
    n = round(seconds * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    phase = np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    sound = sum(np.sin(2 * np.pi * k * phase) / (1 + (k / 6) ** 2) for k in range(1, 25))
    sound *= np.clip(np.sin(2 * np.pi * 1.2 * t), 0, 1)
    sound *= 10 ** ((level_db - active_level_db(sound, RATE_HZ)) / 20)
    return sound.astype(np.float32)


def noisy(snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(4 * RATE_HZ) * 10 ** ((-25 - snr_db) / 20)
    return syllables() + noise.astype(np.float32)


def level_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(samples.astype(float) ** 2) + 1e-12)


PAUSE = slice(round(2.2 * RATE_HZ), round(2.45 * RATE_HZ))  # of `syllables`


@pytest.mark.parametrize("db", SUPPRESSION_DB)
def test_noise_is_suppressed_by_so_much_and_speech_is_not(db):
    sound = noisy(15.0)
    out = suppress_noise(sound, db)
    assert level_db(sound[PAUSE]) - level_db(out[PAUSE]) == pytest.approx(db, abs=2.5)
    levels = [active_level_db(x, RATE_HZ) for x in (sound, out)]
    assert levels[1] - levels[0] == pytest.approx(0, abs=2)
    assert np.corrcoef(syllables(), out)[0, 1] > 0.95


def test_speech_is_nearer_to_what_was_said():
    sound, clean = noisy(10.0), syllables()
    error_db = [level_db(x - clean) for x in (sound, suppress_noise(sound, 18))]
    assert error_db[1] < error_db[0] - 3


@pytest.mark.parametrize("way", WAYS)
def test_no_delay_and_the_same_length(way):
    for n in (0, 1, 159, 160, 161, 20000):
        out = WAYS[way](noisy(20.0)[:n])
        assert out.dtype == np.float32
        assert out.shape == (n,)
    sound = speech(2.0)
    assert delay_samples(sound.astype(float), WAYS[way](sound).astype(float)) == 0


def test_gain_is_for_the_quiet():
    """By what the level rises at six levels: less and less, and hardly where it is loud."""
    rise_db = [
        active_level_db(control_gain(syllables(level)), RATE_HZ) - level
        for level in (-50.0, -40.0, -30.0, -20.0, -12.0)
    ]
    assert rise_db == sorted(rise_db, reverse=True)
    assert rise_db[0] > 10
    assert rise_db[-1] < 3


def test_gain_cuts_nothing_off():
    assert np.abs(control_gain(syllables(-8.0))).max() <= 1
    faint = np.random.default_rng(0).standard_normal(4 * RATE_HZ).astype(np.float32) * 1e-4
    assert level_db(control_gain(faint)) < -49  # noise alone is not brought up to speech


@pytest.mark.parametrize("way", WAYS)
def test_odd_input(way):
    square = np.where(np.arange(8000) // 40 % 2, 1.0, -1.0).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sound in (np.zeros(8000, np.float32), np.full(8000, 0.7, np.float32), square):
            assert np.isfinite(WAYS[way](sound)).all()
    assert np.abs(WAYS[way](np.zeros(8000, np.float32))).max() == 0


@pytest.mark.parametrize("way", WAYS)
def test_it_remembers_nothing_and_leaves_its_input_alone(way):
    sound = noisy(10.0)
    before = sound.copy()
    first = WAYS[way](sound)
    WAYS[way](speech(1.0))
    np.testing.assert_array_equal(WAYS[way](sound), first)
    np.testing.assert_array_equal(sound, before)


def test_without_its_package_it_is_refused_in_a_sentence():
    code = f"import sys; sys.path[:0] = {sys.path!r}; sys.modules['pywebrtc_audio'] = None\n"
    code += "import numpy as np\nfrom telephone_asr.channel import enhancement\n"
    code += "enhancement.control_gain(np.zeros(9))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stderr.splitlines()[-1].endswith(
        "InputError: noise_suppression and gain_control need pywebrtc-audio; install it with `pip "
        "install -c constraints.txt -e '.[line]'`, or set both to 0."
    )
