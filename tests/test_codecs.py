"""Codecs: length, alignment, bit rate and damage."""

import hashlib
import io
import re
import subprocess
import sys
import warnings

import av
import numpy as np
import pytest
import soundfile

from telephone_asr.channel import codecs, g711
from telephone_asr.channel.codecs import (
    AMR_NB,
    ANY,
    CODECS,
    WIDEBAND,
    is_codec,
    resolve,
    through_codec,
)
from telephone_asr.errors import InputError
from test_sound import encoded, heard

TANDEMS = ("gsm+alaw", "mulaw+alaw", "amr_nb_12200+alaw+amr_nb_4750", "g722+g726", "opus_8000+g723")
AMR_WB = [name for name in WIDEBAND if name.startswith("amr_wb")]  # test_wideband.py has them
NAMES = (*(name for name in CODECS if name not in AMR_WB), *TANDEMS)
WAVEFORM_CODECS = ("mulaw", "alaw", "g726", "g722")  # these follow the samples, not just the sound


def voiced(n: int) -> np.ndarray:
    """Something like a vowel: pulses of a changing pitch through two resonances."""
    rng = np.random.default_rng(0)
    phase = np.cumsum(110 + 30 * np.sin(np.arange(n) / 2000)) / 8000
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(n)
    t = np.arange(200) / 8000
    ring = np.exp(-200 * t) * np.sin(2 * np.pi * 600 * t)
    ring += 0.7 * np.exp(-300 * t) * np.sin(2 * np.pi * 1500 * t)
    sound = np.convolve(pulses, ring)[:n]
    return (8000 * sound / np.abs(sound).max()).astype(np.int16)


def in_band(samples: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / 8000)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(samples))


def noise(n: int = 16000) -> np.ndarray:
    """Noise that is flat over the telephone band."""
    samples = in_band(np.random.default_rng(1).standard_normal(n), 300, 3400)
    return (3000 * samples / samples.std()).clip(-32768, 32767).astype(np.int16)


def square(n: int, half_period: int) -> np.ndarray:
    return np.where(np.arange(n) // half_period % 2 == 0, 32767, -32768).astype(np.int16)


def snr_db(pcm: np.ndarray, out: np.ndarray) -> float:
    error = out.astype(float) - pcm
    return 10 * np.log10(np.sum(pcm.astype(float) ** 2) / np.sum(error**2))


def spectral_distance_db(pcm: np.ndarray, out: np.ndarray) -> float:
    """RMS difference of the log power in 250 Hz bands of 32 ms frames, 250-3250 Hz."""
    powers = []
    for samples in (pcm, out):
        frames = samples[: len(samples) // 256 * 256].reshape(-1, 256) * np.hanning(256)
        power = np.abs(np.fft.rfft(frames)[:, 8:104]) ** 2
        powers.append(10 * np.log10(power.reshape(len(frames), -1, 8).sum(axis=2) + 1))
    return float(np.sqrt(np.mean((powers[0] - powers[1]) ** 2)))


def delay_samples(before: np.ndarray, after: np.ndarray) -> int:
    """By cross-correlation; at most 200 to either side."""
    inner = before[200:-200]
    shifts = range(-200, 201)
    correlation = [np.dot(inner, after[200 + d : 200 + d + len(inner)]) for d in shifts]
    return shifts[int(np.argmax(correlation))]


@pytest.mark.parametrize("name", NAMES)
def test_no_delay(name):
    # From 1 to 3 kHz: the high-pass filters of GSM and AMR turn the phase of the bass, which is no
    # delay but moves the peak of the correlation.
    pcm = voiced(8000)
    before, after = (in_band(x, 1000, 3000) for x in (pcm, through_codec(pcm, name)))
    assert delay_samples(before, after) == 0
    assert np.corrcoef(before, after)[0, 1] > 0.8


@pytest.mark.parametrize("name", AMR_NB)
def test_amr_delays_noise_as_little_at_every_rate(name):
    pcm = noise(8000)
    assert delay_samples(pcm.astype(float), through_codec(pcm, name).astype(float)) == 0


@pytest.mark.parametrize("name", WAVEFORM_CODECS)
@pytest.mark.parametrize("hz", [400, 1000, 2000, 3000])
def test_no_fraction_of_a_sample_is_lost(name, hz):
    carrier = np.exp(2j * np.pi * hz * np.arange(8000) / 8000)
    pcm = (8000 * carrier.real).astype(np.int16)
    out = through_codec(pcm, name).astype(float)
    phase = np.angle(np.dot(out[800:7200], carrier[800:7200].conj()))
    delay = -phase / (2 * np.pi * hz) * 8000
    assert delay == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1, 2, 119, 120, 121, 159, 160, 161, 12345])
def test_length_is_kept(name, n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = through_codec(voiced(20000)[:n], name)
    assert out.dtype == np.int16
    assert out.shape == (n,)


@pytest.mark.parametrize("name", NAMES)
def test_the_end_is_not_lost(name):
    pcm = voiced(8000)
    whole = through_codec(pcm, name)
    cut = through_codec(pcm[:4123], name)
    # Codecs that look ahead see the end coming; none sees it from afar.
    np.testing.assert_array_equal(cut[:3400], whole[:3400])
    assert np.abs(cut[-20:]).max() > 0.2 * np.abs(pcm[4103:4123]).max()


@pytest.mark.parametrize("name", [*WAVEFORM_CODECS, "gsm", "gsm+alaw", "mulaw+alaw"])
def test_loudest_square_wave_does_not_wrap(name):
    pcm = square(1600, 80)
    out = through_codec(pcm, name).astype(int)
    middle = np.arange(1600) % 80
    plateau = (middle > 5) & (middle < 20)  # GSM lets the rest of the plateau sag
    assert np.all(np.sign(out[plateau]) == np.sign(pcm[plateau]))


@pytest.mark.parametrize("name", [*(n for n in CODECS if n not in AMR_WB), "g722+g726"])
def test_loudest_tones_do_not_wrap(name):
    # AMR's high-pass filters turn a square wave of 50 Hz around, but not one of 500 Hz.
    tone = (32767 * np.sin(2 * np.pi * 440 * np.arange(3200) / 8000)).astype(np.int16)
    for pcm in (square(3200, 8), tone):
        out = through_codec(pcm, name)
        assert np.corrcoef(pcm[400:], out[400:])[0, 1] > 0.9


def test_silence_stays_silent():
    zeros = np.zeros(1600, dtype=np.int16)
    for name in NAMES:
        assert np.abs(through_codec(zeros, name)).max() <= 32


# RFC 4867, 5.3 and table 1: a header octet with the frame type, then the bits of 20 ms.
AMR_SPEECH_BITS = (95, 103, 118, 134, 148, 159, 204, 244)


@pytest.mark.parametrize("frame_type", range(8))
def test_amr_is_what_a_file_of_its_rate_sounds_like(frame_type, tmp_path):
    """A pause takes as many bits as speech: there is no DTX."""
    pcm = np.concatenate([voiced(8000), np.zeros(8000, np.int16), noise(8000) // 1000])
    bits = AMR_SPEECH_BITS[frame_type]
    content = encoded(pcm, 8000, "amr", "libopencore_amrnb", bit_rate=50 * bits)
    frames = np.frombuffer(content[6:], np.uint8).reshape(-1, 1 + -(-bits // 8))
    assert set(frames[:, 0] >> 3 & 15) == {frame_type}
    decoded = heard(tmp_path, content, "a.amr").samples
    delay = codecs.AMR_NB_DELAY
    out = through_codec(pcm, f"amr_nb_{50 * bits}")
    np.testing.assert_array_equal(out[:23800], decoded[delay : delay + 23800])


def test_g723_is_what_a_file_of_it_sounds_like(tmp_path):
    """ITU-T G.723.1: at 6.3 kbit/s 30 ms take 189 bits, in 24 octets."""
    pcm = np.concatenate([voiced(8000), np.zeros(8000, np.int16), noise(8000) // 1000])
    content = encoded(pcm, 8000, "g723_1", "g723_1", bit_rate=6300)
    assert len(content) == 100 * 24
    (tmp_path / "a.g723").write_bytes(content)
    with av.open(str(tmp_path / "a.g723"), format="g723_1") as file:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    delay = codecs.G723_DELAY
    out = through_codec(pcm, "g723")
    np.testing.assert_array_equal(out[:23700], decoded[delay : delay + 23700])


def test_g726_is_as_noisy_as_another_implementation_of_it():
    """libsndfile has the same code under its older name, G.721, as Sun wrote it down."""
    for pcm in (voiced(16000), noise(), voiced(16000) // 16):
        stream = io.BytesIO()
        soundfile.write(stream, pcm, 8000, format="AU", subtype="G721_32")
        stream.seek(0)
        other = soundfile.read(stream, dtype="int16")[0][: len(pcm)]
        out = through_codec(pcm, "g726")
        assert snr_db(pcm, out) == pytest.approx(snr_db(pcm, other), abs=0.7)


def test_adpcm_is_as_noisy_as_its_bits_allow():
    """Noise can hardly be predicted. The best 16 steps for Gaussian samples leave 20.2 dB (Max,
    1960). G.726 uses 15 steps; G.722 has two bits more, at 6 dB each, for what is below 4 kHz."""
    pcm = noise()
    g726_db = snr_db(pcm, through_codec(pcm, "g726"))
    g722_db = snr_db(pcm, through_codec(pcm, "g722"))
    assert 18 < g726_db < 20.5
    assert 9 < g722_db - g726_db < 13


def test_fewer_bits_do_more_damage():
    pcm = voiced(16000)
    distance_db = [spectral_distance_db(pcm, through_codec(pcm, name)) for name in AMR_NB]
    assert distance_db[0] > distance_db[4] > distance_db[7]
    assert np.corrcoef(np.arange(8), distance_db)[0, 1] < -0.9
    tandem = through_codec(pcm, "amr_nb_12200+alaw+amr_nb_12200")
    assert spectral_distance_db(pcm, tandem) > distance_db[7]


def test_tandem_goes_from_left_to_right():
    pcm = voiced(4000)
    np.testing.assert_array_equal(
        through_codec(pcm, "gsm+alaw"), g711.through(through_codec(pcm, "gsm"), "alaw")
    )
    ordered, swapped = through_codec(pcm, "gsm+alaw"), through_codec(pcm, "alaw+gsm")
    assert not np.array_equal(ordered, swapped)


def digest_of_all() -> str:
    digest = hashlib.sha256()
    for name in NAMES:
        digest.update(through_codec(voiced(4001), name).tobytes())
    return digest.hexdigest()


def test_a_codec_remembers_nothing():
    before = digest_of_all()
    for name in NAMES:
        through_codec(noise(3000), name)
    assert digest_of_all() == before


def test_every_process_makes_the_same_bytes():
    code = "import test_codecs; print(test_codecs.digest_of_all())"
    path = f"import sys; sys.path[:0] = {sys.path!r}; "
    ran = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True)
    assert ran.stdout.strip() == digest_of_all(), ran.stderr


def test_av_is_loaded_when_it_is_needed():
    code = f"import sys; sys.path[:0] = {sys.path!r}; import telephone_asr.channel.codecs; "
    code += "assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_libraries_print_nothing(capfd):
    for name in NAMES:
        through_codec(voiced(1001), name)
    assert capfd.readouterr() == ("", "")


def test_the_input_is_left_alone():
    pcm = voiced(1001)
    for name in NAMES:
        through_codec(pcm, name)
    np.testing.assert_array_equal(pcm, voiced(1001))


def test_resolve_draws_a_rate_for_each_amr():
    rng = np.random.default_rng(3)
    names = [resolve("amr_nb+alaw+amr_nb", rng) for _ in range(2000)]
    first, second = ([name.split("+")[i] for name in names] for i in (0, 2))
    assert {name.split("+")[1] for name in names} == {"alaw"}
    for drawn in (first, second):
        counts = [drawn.count(rate) for rate in AMR_NB]
        assert sum(counts) == 2000
        assert all(abs(count - 250) < 4 * np.sqrt(2000 / 8 * 7 / 8) for count in counts)
    assert 0.05 < np.mean([a == b for a, b in zip(first, second, strict=True)]) < 0.25
    assert is_codec(names[0])
    assert len(through_codec(voiced(500), names[0])) == 500


@pytest.mark.parametrize("name", ANY)
def test_resolve_draws_each_rate(name):
    rng = np.random.default_rng(4)
    assert {resolve(f"{name}+alaw", rng) for _ in range(200)} == {f"{n}+alaw" for n in ANY[name]}


def test_resolve_draws_nothing_else():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    for name in ("gsm+alaw", "amr_nb_4750", "mulaw"):
        assert resolve(name, rng) == name
    assert rng.random() == other.random()


def test_a_rate_not_drawn_is_refused():
    assert is_codec("amr_nb+alaw")
    for name in ("amr_nb", "alaw+amr_nb", "amr_wb", "alaw+opus"):
        with pytest.raises(
            InputError, match=rf"codec: expected a drawn rate.*got '{re.escape(name)}'"
        ):
            through_codec(np.zeros(10, dtype=np.int16), name)


@pytest.mark.parametrize(
    "name",
    [
        *("evs", "g729", "opus_9000", "amr_wb_12200", "amr_nb_4800", "amr_nb_"),
        *("", "gsm+", "gsm+ulaw", "GSM"),
    ],
)
def test_unknown_codec(name):
    assert not is_codec(name)
    with pytest.raises(InputError, match=r"codec: expected mulaw, alaw, gsm.*amr_nb.*, got"):
        through_codec(np.zeros(10, dtype=np.int16), name)
