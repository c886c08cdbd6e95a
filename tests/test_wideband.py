"""AMR-WB and Opus: alignment, bit rate, band and damage, and other decoders of the same bits."""

import hashlib
import io
import os
import subprocess
import sys
from importlib.util import find_spec

import av
import numpy as np
import pytest
import soundfile

from telephone_asr.channel import libav
from telephone_asr.channel.codecs import split_wideband, through_codec
from telephone_asr.channel.music import hold_music
from telephone_asr.channel.wideband import (
    AMR_WB,
    AMR_WB_BIT_RATES,
    AMR_WB_BYTES,
    OPUS,
    OPUS_BIT_RATES,
    OPUS_OPTIONS,
    through_wideband,
)
from test_codecs import delay_samples, snr_db, square, voiced

HAS_AMR_WB = find_spec("imageio_ffmpeg") is not None
amr_wb = pytest.mark.skipif(not HAS_AMR_WB, reason="pip install -e '.[line]'")
NAMES = [*OPUS, *(pytest.param(name, marks=amr_wb) for name in AMR_WB)]


def white(n: int = 32000) -> np.ndarray:
    return (3000 * np.random.default_rng(2).standard_normal(n)).astype(np.int16)


def power_db(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Mean power of a bin within a band, of samples at 16 kHz."""
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / 16000)
    return 10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean() + 1)


def low_band(samples: np.ndarray) -> np.ndarray:
    """What lies between 0.5 and 3.5 kHz, where every codec keeps the phase."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / 16000)
    spectrum[(hz < 500) | (hz > 3500)] = 0
    return np.fft.irfft(spectrum, len(samples))


@pytest.mark.parametrize("name", NAMES)
def test_no_delay(name):
    pcm = voiced(16000)
    before, after = low_band(pcm), low_band(through_wideband(pcm, name))
    assert abs(delay_samples(before, after)) <= 1  # at 16 kHz
    assert np.corrcoef(before, after)[0, 1] > 0.6  # 0.73 at the lowest rates


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 224, 225, 226, 320, 12345])
def test_length_is_kept(name, n):
    out = through_wideband(voiced(20000)[:n], name)
    assert out.dtype == np.int16
    assert out.shape == (n,)


@pytest.mark.parametrize("name", NAMES)
def test_the_end_is_not_lost(name):
    pcm = voiced(16000)
    cut, whole = through_wideband(pcm[:8123], name), through_wideband(pcm, name)
    np.testing.assert_array_equal(cut[:7200], whole[:7200])
    assert np.abs(cut[-40:]).max() > 0.2 * np.abs(pcm[8083:8123]).max()


@pytest.mark.parametrize("name", NAMES)
def test_loudest_tones_do_not_wrap(name):
    tone = (32767 * np.sin(2 * np.pi * 440 * np.arange(6400) / 16000)).astype(np.int16)
    for pcm in (square(6400, 16) // 2, tone):  # AMR-WB's fixed point has no room above a square
        assert np.corrcoef(pcm[800:], through_wideband(pcm, name)[800:])[0, 1] > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silent(name):
    assert np.abs(through_wideband(np.zeros(3200, np.int16), name)).max() <= 32


@pytest.mark.parametrize("name", ["opus_12000", pytest.param("amr_wb_12650", marks=amr_wb)])
def test_at_8_khz_it_is_as_well_aligned(name):
    pcm = voiced(8000)
    out = through_codec(pcm, name)
    assert len(out) == len(pcm)
    assert delay_samples(pcm.astype(float), out.astype(float)) == 0


def test_the_wideband_codecs_at_the_start_are_split_off():
    assert split_wideband("opus_8000+amr_wb_6600+alaw") == (["opus_8000", "amr_wb_6600"], "alaw")
    assert split_wideband("g722+opus_8000") == ([], "g722+opus_8000")
    assert split_wideband("opus_8000") == (["opus_8000"], "")


# --- The band


@pytest.mark.parametrize("name", NAMES)
def test_band(name):
    """AMR-WB ends at 7 kHz (3GPP TS 26.190), and what it has above 6.4 kHz is made up. Opus codes
    as narrowband at 8 kbit/s, and all 8 kHz at more (RFC 6716: 4 and 8 kHz)."""
    out = through_wideband(white(), name)
    speech_db = power_db(out, 500, 3500)
    ends_hz = 4000 if name == "opus_8000" else 7200 if name in AMR_WB else 8000
    assert power_db(out, ends_hz - 1500, ends_hz - 800) > speech_db - 12
    if ends_hz < 8000:
        assert power_db(out, ends_hz + 300, 8000) < speech_db - 20


# --- The bits


@pytest.mark.parametrize("bit_rate", OPUS_BIT_RATES)
def test_opus_is_silk_of_20_ms_at_its_rate(bit_rate):
    """RFC 6716, table 2: configurations 1 and 9 are SILK of 20 ms, narrowband and wideband."""
    tune = hold_music(1, 4.0)
    for sound, most in (
        (voiced(64000), 1.1),
        (white(), 1.1),
        ((tune / np.abs(tune).max() * 20000).astype(np.int16), 1.1),
        (square(64000, 16), 2.0),
    ):
        packets = libav.encode("libopus", sound, 16000, bit_rate, OPUS_OPTIONS)
        assert {packet[0] >> 3 for packet in packets} == {1 if bit_rate == 8000 else 9}
        assert sum(map(len, packets)) * 8 / (0.02 * len(packets)) < most * bit_rate


@pytest.mark.parametrize("bit_rate", OPUS_BIT_RATES)
def test_opus_is_what_libsndfile_hears(bit_rate):
    """It takes the delay out by the pre-skip in the file's header, and decodes at 16 kHz itself."""
    pcm = voiced(32000)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as opened:
        stream = opened.add_stream("libopus", rate=16000, layout="mono", options=OPUS_OPTIONS)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    file.seek(0)
    heard, rate_hz = soundfile.read(file, dtype="int16")
    assert rate_hz == 16000
    out = through_wideband(pcm, f"opus_{bit_rate}")
    # Both decode by SILK, but each resamples in its own way.
    assert snr_db(low_band(heard[:31000]), low_band(out[:31000])) > (12 if bit_rate == 8000 else 25)


@amr_wb
@pytest.mark.parametrize("mode", range(9))
def test_amr_wb_is_what_another_decoder_hears(mode):
    """FFmpeg's own, in floating point. RFC 4867, 5.3: the frame type in the header of each."""
    import imageio_ffmpeg

    pcm = np.concatenate([voiced(16000), np.zeros(3200, np.int16), white(8000) // 100])
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "s16le", "-ar", "16000"]
    command += ["-ac", "1", "-i", "-", "-b:a", str(AMR_WB_BIT_RATES[mode]), "-f", "amr"]
    command += ["-c:a", "libvo_amrwbenc", "-"]
    ran = subprocess.run(command, input=pcm.tobytes(), stdout=subprocess.PIPE, check=True)
    content = ran.stdout
    frames = np.frombuffer(content[9:], np.uint8).reshape(-1, AMR_WB_BYTES[mode])
    assert set(frames[:, 0] >> 3 & 15) == {mode}  # a pause takes as many bits: there is no DTX
    # 4 bits of frame type and 4 beside it, then the bits of 20 ms, padded to octets.
    assert AMR_WB_BYTES[mode] == 1 + -(-AMR_WB_BIT_RATES[mode] // 50 // 8)
    with av.open(io.BytesIO(content), format="amr") as file:
        assert file.streams.audio[0].codec_context.name == "amrwb"
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    heard = heard * 32768 if heard.dtype == np.float32 else heard
    out = through_wideband(pcm, AMR_WB[mode])
    before, after = low_band(heard[95 : 95 + 15000]), low_band(out[:15000])
    assert snr_db(before, after) > 12


@pytest.mark.parametrize("names", [OPUS, pytest.param(AMR_WB, marks=amr_wb)])
def test_fewer_bits_do_more_damage(names):
    pcm = voiced(32000)
    noise_db = [-snr_db(low_band(pcm), low_band(through_wideband(pcm, name))) for name in names]
    assert noise_db[0] > noise_db[len(names) // 2] > noise_db[-1]


# --- The same everywhere


def digest_of_all() -> str:
    names = [*OPUS, *(AMR_WB if HAS_AMR_WB else ())]
    outs = [through_wideband(voiced(8001), name).tobytes() for name in names]
    return hashlib.sha256(b"".join(outs)).hexdigest()


def test_every_process_makes_the_same_bytes():
    path = f"import sys; sys.path[:0] = {sys.path!r}; "
    code = "import test_wideband; print(test_wideband.digest_of_all())"
    ran = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True)
    assert ran.stdout.strip() == digest_of_all(), ran.stderr


# --- Without what it needs


def complaint(code: str, **environment: str) -> str:
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{code}\nimport numpy as np\n"
    code += "from telephone_asr.channel.codecs import through_codec\n"
    code += "through_codec(np.ones(9, np.int16), 'amr_wb_6600+alaw')"
    whole = {**os.environ, **environment}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=whole)
    return ran.stderr.splitlines()[-1]


def test_amr_wb_without_its_package_is_refused_in_a_sentence():
    assert complaint("sys.modules['imageio_ffmpeg'] = None").endswith(
        "InputError: codec: amr_wb needs imageio-ffmpeg; install it with `pip install -c "
        "constraints.txt -e '.[line]'`, or leave amr_wb out."
    )


@amr_wb
def test_an_ffmpeg_that_has_no_amr_wb_is_refused_in_a_sentence():
    text = complaint("", IMAGEIO_FFMPEG_EXE="/bin/false")
    assert "amr_wb needs an FFmpeg with libvo_amrwbenc" in text
    assert text.endswith("install imageio-ffmpeg==0.6.0.")
