"""The clips without speech: as loud as they should be, the same each time, and none of the test's
like one that is trained on."""

from pathlib import Path

import numpy as np
import pytest

from telephone_asr.channel.babble import BabblePool
from telephone_asr.channel.options import Line
from telephone_asr.channel.portable import generator
from telephone_asr.no_speech import clips, held_out, kinds
from telephone_asr.no_speech.kinds import make_clip
from telephone_asr.shards import count_shards, read_cuts, read_shard

LINE = Line(codec={"alaw": 1, "mulaw": 1})
KINDS = [(kinds, name) for name in kinds.KINDS] + [(held_out, name) for name in held_out.KINDS]
SEVERAL = 5


@pytest.fixture(scope="module")
def pools(speech) -> dict:
    """Voices of the training, and other ones of the test."""
    return {
        module: BabblePool.build(
            [(f"s{i}", speech(3, seed=first + i) / 32768) for i in range(6)],
            n_tracks=3,
            track_s=5,
        )
        for module, first in ((kinds, 0), (held_out, 50))
    }


def make(module, name, pools, i=0, seconds=3.0):
    rng = generator(0, f"{module.__name__}-{name}-{i}")
    behind = pools[kinds] if module is kinds else None
    line = LINE if module is kinds else held_out.LINE
    return make_clip(module.KINDS[name], seconds, rng, line, pools[module], behind)


def level_db(samples: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(np.mean((samples / 32768) ** 2)) + 1e-9)


@pytest.mark.parametrize(("module", "name"), KINDS, ids=lambda x: getattr(x, "__name__", x))
def test_a_clip_is_as_long_and_about_as_loud_as_it_should_be(module, name, pools):
    for i in range(SEVERAL):
        clip = make(module, name, pools, i, 2.5)
        assert (clip.wideband.dtype, clip.telephone.dtype) == (np.int16, np.int16)
        assert (len(clip.wideband), len(clip.telephone)) == (40000, 20000)
        if (levels := module.KINDS[name].level_db) and clip.wideband.any():
            # Between clicks there are pauses, and a hum or a rumble is mostly below the band.
            assert levels[0] - 25 < level_db(clip.telephone) < levels[1] + 6
        assert clip.done["codec"]


def test_a_muted_line_is_digital_silence_and_what_a_law_makes_of_it(pools):
    muted = [make(kinds, "silence", pools, i) for i in range(12)]
    assert any(not clip.wideband.any() for clip in muted)
    assert all(np.median(np.abs(clip.telephone)) <= 160 for clip in muted)
    assert {clip.done["codec"] for clip in muted} == {"alaw", "mulaw"}


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The highest correlation of two sounds, at any shift of one against the other."""
    a, b = (x - x.mean() for x in (a.astype(float), b.astype(float)))
    size = 2 * max(len(a), len(b))
    products = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    return float(np.abs(products).max() / np.sqrt(np.sum(a**2) * np.sum(b**2)))


@pytest.mark.parametrize("name", ["noise", "hold_music", "clicks", "breath", "babble"])
def test_no_clip_of_the_test_is_like_one_that_is_trained_on(name, pools):
    tested = [make(held_out, name, pools, i).telephone for i in range(SEVERAL)]
    others = ("noise", "hum", "comfort_noise") if name == "noise" else (name,)
    for other in others:
        for i in range(SEVERAL):
            learnt = make(kinds, other, pools, i).telephone
            assert max(likeness(one, learnt) for one in tested) < 0.5
    assert likeness(tested[0], np.roll(tested[0], 700)) > 0.9  # it would be found


def test_all_kinds_come_by_turns_and_as_long_as_is_asked_for():
    planned = clips.training_clips(5, seed=3)
    assert sum(one.seconds for one in planned) == pytest.approx(300, abs=10)
    assert [one.kind for one in planned[:11]] == list(kinds.KINDS)
    assert planned == clips.training_clips(5, seed=3) != clips.training_clips(5, seed=4)
    tested = clips.test_clips(10)
    for kind in held_out.KINDS:
        own = [one.seconds for one in tested if one.kind == kind]
        assert (len(own), sum(own)) == (120, pytest.approx(600, abs=1))
    assert not {one.key for one in planned} & {one.key for one in tested}


def test_shards_are_the_same_in_any_order_and_hold_both_sides_of_the_line(tmp_path, pools):
    pools[kinds].save(tmp_path / "voices.npz")
    planned = clips.training_clips(0.8, seed=0)
    pieces = [planned[:6], planned[6:]]

    def write(directory: Path, order: list[int]) -> dict[str, bytes]:
        for i in order:
            places = directory / "train", directory / "wideband"
            clips.write_clips(pieces[i], i, *places, LINE, tmp_path / "voices.npz", 0)
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}

    assert write(tmp_path / "a", [0, 1]) == write(tmp_path / "b", [1, 0])
    before, after = (tmp_path / "a" / name for name in ("wideband", "train"))
    assert count_shards(before) == count_shards(after) == 2
    assert [cut["custom"]["kind"] for cut in read_cuts(after)] == [one.kind for one in planned]
    for wideband, telephone in zip(read_shard(before, 0), read_shard(after, 0), strict=True):
        assert (wideband.id, wideband.text, wideband.speaker) == (telephone.id, "", "")
        assert (wideband.sample_rate_hz, telephone.sample_rate_hz) == (16000, 8000)
        assert len(telephone.samples) == -(-len(wideband.samples) // 2)
