"""Features against FunASR's own classes and functions."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import soxr
import torch
from funasr.frontends.wav_frontend import WavFrontend

from telephone_asr.model.frontend import Frontend, _telephone_filters, fbank_frames

CONFIG = {
    **{"fs": 16000, "window": "hamming", "n_mels": 80, "frame_length": 25, "frame_shift": 10},
    **{"lfr_m": 7, "lfr_n": 6, "cmvn_file": None, "dither": 0.0},
}


def funasr_features(waveform: torch.Tensor, **changes) -> torch.Tensor:
    frontend = WavFrontend(**(CONFIG | changes))
    features, lengths = frontend(waveform[None], torch.tensor([len(waveform)]))
    assert lengths.tolist() == [features.shape[1]]
    return features[0]


def as_float(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(samples / np.float32(32768))


@pytest.mark.parametrize("fs", [16000, 8000])
def test_features_are_funasrs(fs, speech):
    samples = speech(1.7, rate_hz=fs)
    features = Frontend(CONFIG | {"fs": fs})(samples, fs)
    assert features.dtype == torch.float32
    assert features.shape == (math.ceil(168 / 6), 560)
    assert torch.equal(features, funasr_features(as_float(samples), fs=fs))


def test_features_move_with_the_sound(speech):
    """Not constant, not silence: one LFR step later in the sound is one row later."""
    samples = speech(1.7)
    features = Frontend(CONFIG)(samples, 16000)
    later = Frontend(CONFIG)(samples[960:], 16000)
    torch.testing.assert_close(later[1:20], features[2:21], rtol=0, atol=1e-3)
    assert features.std(dim=0).min() > 0.1


@pytest.mark.parametrize("n", [8000, 12345])
def test_telephone_speech_is_resampled_as_funasr_does_it(n, tmp_path, speech):
    from funasr.utils.load_utils import load_audio_text_image_video

    samples = speech(2.0, rate_hz=8000)[:n]
    features = Frontend(CONFIG)(samples, 8000)
    given = load_audio_text_image_video(as_float(samples).numpy(), fs=16000, audio_fs=8000)
    assert torch.equal(features, funasr_features(given))
    soundfile.write(tmp_path / "call.wav", samples, 8000)
    from_file = load_audio_text_image_video(str(tmp_path / "call.wav"), fs=16000)
    assert torch.equal(features, funasr_features(from_file))


def test_an_8_khz_front_end_takes_telephone_speech_as_it_is(speech):
    samples = speech(1.0, rate_hz=8000)
    features = Frontend(CONFIG | {"fs": 8000})(samples, 8000)
    assert torch.equal(features, funasr_features(as_float(samples), fs=8000))
    assert len(features) == math.ceil(98 / 6)


def test_an_8_khz_front_end_takes_wideband_speech(speech):
    from funasr.utils.load_utils import load_audio_text_image_video

    samples = speech(1.0)
    features = Frontend(CONFIG | {"fs": 8000})(samples, 16000)
    given = load_audio_text_image_video(as_float(samples).numpy(), fs=8000, audio_fs=16000)
    assert torch.equal(features, funasr_features(given, fs=8000))


@pytest.mark.parametrize("rate_hz", [16000, 8000])
def test_two_calls_give_equal_features(rate_hz, speech):
    """Whatever was drawn or computed in between."""
    frontend, samples = Frontend(CONFIG), speech(0.8, rate_hz=rate_hz)
    before = samples.copy()
    first = frontend(samples, rate_hz)
    torch.rand(100)
    frontend(speech(0.5, seed=1), 16000)
    assert torch.equal(frontend(samples, rate_hz), first)
    assert torch.equal(Frontend(CONFIG)(samples, rate_hz), first)
    np.testing.assert_array_equal(samples, before)


# Shorter than a window, around the window and the hop at 8 and 16 kHz, and any length.
LENGTHS = [
    *[2, 3, 50, 80, 81, 161, 199, 200, 201, 279, 280, 281, 399, 400, 401, 559, 560, 561],
    *np.random.default_rng(0).integers(600, 20000, 6).tolist(),
]


@pytest.mark.parametrize(("rate_hz", "fs"), [(16000, 16000), (8000, 16000), (8000, 8000)])
def test_fbank_frames_are_those_before_lfr(rate_hz, fs, speech):
    sound = speech(2.5, rate_hz=rate_hz)
    before_lfr = Frontend(CONFIG | {"fs": fs, "lfr_m": 1, "lfr_n": 1})
    for n in LENGTHS:
        features = before_lfr(sound[:n], rate_hz)
        assert features.shape == (fbank_frames(n, rate_hz, fs), 80), n
        assert torch.isfinite(features).all(), n


@pytest.mark.parametrize("n", [2, 200, 400, 1199, 1200, 1201, 1361, 5000])
def test_a_row_stands_for_six_frames(n, speech):
    features = Frontend(CONFIG)(speech(1.0)[:n], 16000)
    assert features.shape == (math.ceil(fbank_frames(n, 16000, 16000) / 6), 560)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("rate_hz", [44100, 48000, 16000, 11025])
@pytest.mark.parametrize("fs", [16000, 8000])
def test_fbank_frames_of_any_rate(rate_hz, fs, speech):
    before_lfr = Frontend(CONFIG | {"fs": fs, "lfr_m": 1, "lfr_n": 1})
    just_two_frames = (fs * 35 // 1000 - 1) * rate_hz // fs + 1
    assert fbank_frames(just_two_frames - 1, rate_hz, fs) == 1
    for n in (just_two_frames - 1, just_two_frames, 20001):
        samples = speech(2.0, rate_hz=rate_hz)[:n]
        assert len(before_lfr(samples, rate_hz)) == fbank_frames(n, rate_hz, fs), n


@pytest.mark.parametrize(("rate_hz", "fs"), [(16000, 16000), (8000, 8000), (48000, 16000)])
def test_a_clip_of_a_sample_has_no_frame_or_has_features(rate_hz, fs):
    assert fbank_frames(0, rate_hz, fs) == 0
    for n in (1, 2, 3):
        if fbank_frames(n, rate_hz, fs):
            assert len(Frontend(CONFIG | {"fs": fs})(np.ones(n, dtype=np.int16), rate_hz)) == 1


ALIGNED = CONFIG | {"fs": 8000, "filters": "aligned"}


def middle_frames(features: torch.Tensor) -> torch.Tensor:
    """Of each row of seven frames the fourth, which is never padding: (rows, 80)."""
    return features.reshape(len(features), 7, 80)[:, 3]


def test_the_aligned_filters_are_those_of_16_khz():
    """Kaldi's own filter bank at 16 kHz, cut off at 4 kHz, against the one asked for at 8 kHz."""
    from torchaudio.compliance.kaldi import get_mel_banks

    count, top_hz, _, above = _telephone_filters(80, 0.0)
    wide, centre_hz = get_mel_banks(80, 512, 16000.0, 20.0, 0.0, 100.0, -500.0, 1.0)
    narrow, narrow_hz = get_mel_banks(count, 256, 8000.0, 20.0, top_hz, 100.0, -500.0, 1.0)
    torch.testing.assert_close(narrow_hz, centre_hz[:count], rtol=1e-5, atol=0)
    torch.testing.assert_close(narrow, wide[:count, :128], rtol=0, atol=1e-4)
    assert wide[:count, 128:].abs().max() < 1e-4
    assert wide[count, 128:].max() > 0  # one more would reach beyond 4 kHz
    assert len(above) == 80 - count


@pytest.mark.parametrize("pitch_hz", [200, 440, 1000, 2500, 3500])
def test_a_tone_has_the_same_energy_at_either_rate(pitch_hz):
    tones = {
        fs: np.rint(8000 * np.sin(2 * np.pi * pitch_hz * np.arange(fs) / fs)).astype(np.int16)
        for fs in (8000, 16000)
    }
    wide = middle_frames(Frontend(CONFIG)(tones[16000], 16000)).mean(dim=0)
    narrow = middle_frames(Frontend(ALIGNED)(tones[8000], 8000)).mean(dim=0)
    loudest = int(wide.argmax())
    assert int(narrow.argmax()) == loudest
    assert float(narrow[loudest]) == pytest.approx(float(wide[loudest]), abs=0.1)


def test_telephone_speech_looks_as_it_does_at_16_khz(speech):
    wide = speech(3.0) + np.int16(0)
    narrow = soxr.resample(wide.astype(np.float32), 16000, 8000)
    narrow = np.rint(narrow).astype(np.int16)
    count = _telephone_filters(80, 0.0)[0]
    expected = middle_frames(Frontend(CONFIG)(wide, 16000))[:, :count]
    aligned = middle_frames(Frontend(ALIGNED)(narrow, 8000))[:, :count]
    native = middle_frames(Frontend(CONFIG | {"fs": 8000})(narrow, 8000))[:, :count]
    n = min(map(len, (expected, aligned, native)))
    likeness = {
        name: np.corrcoef(expected[:n].ravel(), found[:n].ravel())[0, 1]
        for name, found in (("aligned", aligned), ("native", native))
    }
    assert likeness["aligned"] > 0.98 > likeness["native"]


def test_above_4_khz_lies_what_rounding_puts_there():
    """White noise of one step of 16 bits, through the front end at 16 kHz."""
    rounding = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * 16000) / 32768
    features = funasr_features(torch.from_numpy(rounding.astype(np.float32)))
    measured = middle_frames(features).exp().mean(dim=0).log()
    count, _, _, above = _telephone_filters(80, 0.0)
    assert np.abs(measured[count:].numpy() - np.array(above)).max() < 0.25
    filled = middle_frames(Frontend(ALIGNED)(np.ones(8000, dtype=np.int16), 8000))[:, count:]
    assert torch.equal(filled, torch.tensor(above).expand(len(filled), -1))


@pytest.mark.parametrize("n", [2, 199, 200, 201, 5000])
def test_an_aligned_front_end_has_as_many_rows(n, speech):
    samples = speech(1.0, rate_hz=8000)[:n]
    features = Frontend(ALIGNED)(samples, 8000)
    assert features.shape == Frontend(CONFIG)(samples, 8000).shape
    assert torch.isfinite(features).all()


SILENCE = np.zeros(60 * 8000, dtype=np.int16)


def test_silence_is_what_funasrs_own_dither_makes_of_it():
    """WavFrontend at 16 kHz with FunASR's default, over a minute: level and spread by filter."""
    torch.manual_seed(0)
    expected = middle_frames(funasr_features(torch.zeros(60 * 16000), dither=1.0))
    assert float(expected.mean()) == pytest.approx(4.43, abs=0.02)
    for rate_hz in (8000, 16000):
        found = middle_frames(Frontend(CONFIG | {"dither": 1.0})(SILENCE, rate_hz))
        torch.testing.assert_close(found.mean(0), expected.mean(0), rtol=0, atol=0.15)
        torch.testing.assert_close(found.std(0), expected.std(0), rtol=0, atol=0.15)
    # Aligned to 16 kHz: what the noise would be there. Above 4 kHz it is its mean power.
    count = _telephone_filters(80, 1.0)[0]
    aligned = middle_frames(Frontend(ALIGNED | {"dither": 1.0})(SILENCE, 8000))
    torch.testing.assert_close(aligned.mean(0), expected.mean(0), rtol=0, atol=0.25)
    torch.testing.assert_close(
        aligned[:, :count].std(0), expected[:, :count].std(0), rtol=0, atol=0.15
    )


DITHERED = [config | {"dither": 1.0} for config in (CONFIG, CONFIG | {"fs": 8000}, ALIGNED)]


@pytest.mark.parametrize("config", DITHERED)
def test_dither_is_a_function_of_the_sound(config, speech):
    """In any order, whatever was drawn before, in any thread."""
    sounds = [speech(1.0, seed=seed, rate_hz=8000) for seed in range(4)]
    frontend = Frontend(config)
    first = [frontend(samples, 8000) for samples in sounds]
    torch.rand(100)
    assert torch.equal(frontend(sounds[2], 8000), first[2])
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda samples: frontend(samples, 8000), reversed(sounds)))
    assert all(map(torch.equal, again, reversed(first)))


def test_dither_is_the_same_in_another_process(speech):
    samples = speech(0.1, seed=0, rate_hz=8000)
    code = (
        "import numpy as np\n"
        "from telephone_asr.model.frontend import Frontend\n"
        "from telephone_asr.model.layout import import_funasr\n"
        "import_funasr()\n"
        f"samples = np.array({samples.tolist()}, dtype=np.int16)\n"
        f"for config in {DITHERED}:\n"
        "    print(Frontend(config)(samples, 8000).numpy().tobytes().hex())"
    )
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    here = [Frontend(config)(samples, 8000).numpy().tobytes().hex() for config in DITHERED]
    assert other.stdout.splitlines()[-3:] == here


def test_other_sound_has_other_noise():
    frontend = Frontend(CONFIG | {"dither": 1.0})
    one, other = frontend(SILENCE[:8000], 8000), frontend(SILENCE[:8160], 8000)
    assert (one - other[: len(one)])[:10].abs().mean() > 0.3
    quieter = Frontend(CONFIG | {"dither": 0.5})(SILENCE[:8000], 8000)
    torch.testing.assert_close(one - quieter, torch.full_like(one, math.log(4)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("config", [CONFIG, ALIGNED])
def test_speech_hardly_changes(config, speech):
    samples = speech(3.0, rate_hz=8000)
    without, dithered = (
        middle_frames(Frontend(config | {"dither": dither})(samples, 8000))[:, :50]
        for dither in (0.0, 1.0)
    )
    loud = without.mean(1) > without.mean(1).median()
    assert (dithered - without)[loud].abs().mean() < 0.02
    assert not torch.equal(dithered, without)


def test_a_config_that_names_no_dither_has_funasrs_own(speech):
    """As the published config.yaml."""
    published = {key: value for key, value in CONFIG.items() if key != "dither"}
    samples = speech(0.5)
    expected = Frontend(CONFIG | {"dither": WavFrontend().dither})(samples, 16000)
    assert torch.equal(Frontend(published)(samples, 16000), expected)
