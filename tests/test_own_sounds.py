"""A folder of the user's noise, and one of rooms: heard on the line, or told what is wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from repository_fixtures import run_stage, write_params
from speech_fixtures import write_wav
from telephone_asr.channel.babble import BabblePool
from telephone_asr.corpora.own_sounds import import_folder
from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.shards import read_cuts, read_shard, sound_index
from telephone_asr.simulation import FreshLine, babble_pool

OWN = {
    "corpus.noise": "import/noise",
    "corpus.rooms": "import/rooms",
    "channel.noise": {"share": 0.5, "snr_db": [3, 6]},
    "channel.room": 0.5,
    "train.fresh_line": True,
}


@pytest.fixture
def folder(tmp_path, speech) -> Path:
    """Two recordings, and a file that no folder view shows."""
    folder = tmp_path / "import" / "noise"
    folder.mkdir(parents=True)
    write_wav(folder / "street.wav", speech(1.0, seed=1), 16000)
    write_wav(folder / "fan.wav", speech(2.0, seed=2, rate_hz=44100), 44100)
    (folder / ".keep").write_text("")
    return folder


def test_a_folder_becomes_shards_in_the_order_of_names(folder, tmp_path):
    files = import_folder("corpus.noise", folder, tmp_path / "raw")
    assert [Path(file).name for file in files] == ["fan.wav", "street.wav"]
    sounds = list(read_shard(tmp_path / "raw", 0))
    assert [(u.id, u.sample_rate_hz) for u in sounds] == [("fan.wav", 44100), ("street.wav", 16000)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "is no folder"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "is empty"),
        (lambda folder: (folder / "notes.txt").write_text("to do"), "notes.txt"),
        (lambda folder: (folder / "more").mkdir(), "more"),
        (lambda folder: write_wav(folder / "off.wav", np.zeros(800, np.int16), 8000), "off.wav"),
    ],
)
def test_a_folder_that_is_wrong_is_named_in_a_sentence(folder, tmp_path, spoil, said):
    spoil(folder)
    with pytest.raises(InputError, match=said) as raised:
        import_folder("corpus.noise", folder, tmp_path / "raw")
    message = str(raised.value)
    assert message.startswith(f"params.yaml: corpus.noise: {folder}")
    assert "\n" not in message
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channel.room": 0.1}, "channel.room: expected 0 where corpus.rooms names no folder"),
        (
            {"corpus.synthetic.line.noise.share": 0.1},
            "corpus.synthetic.line.noise.share: expected 0 where corpus.noise names no folder",
        ),
        ({"channel.noise.snr_db": [-3, 5]}, r"channel.noise.snr_db\[0\]: expected 0 or more"),
        ({"channel.noise.share": 1.5}, "channel.noise.share: expected 1 or less"),
    ],
)
def test_params_that_make_no_sense_are_told(tmp_path, changes, said):
    write_params(tmp_path, changes)
    with pytest.raises(InputError, match=said):
        load_params(tmp_path / "params.yaml")


def test_a_pool_goes_through_a_file_with_them(folder, tmp_path, speech):
    from dataclasses import replace

    from telephone_asr.channel.noise import noise_of
    from telephone_asr.channel.room import room_response

    plain = BabblePool.build([("a", speech(1.0) / np.float32(32768))], n_tracks=2, track_s=1.0)
    sound = speech(0.5, seed=3)
    pool = replace(plain, noises=(noise_of(sound, 8000),), rooms=(room_response(sound, 8000),))
    pool.save(tmp_path / "pool.npz")
    again = BabblePool.load(tmp_path / "pool.npz")
    np.testing.assert_array_equal(again.noises[0].samples, pool.noises[0].samples)
    np.testing.assert_array_equal(again.rooms[0], pool.rooms[0])
    np.testing.assert_array_equal(again.tracks, plain.tracks)


def test_stages_hear_them_on_disk_and_in_the_training(repository, folder, speech, capsys):
    """Imported by corpus, heard by simulate and by a fresh line, and watched."""
    shutil.copytree(folder, repository / "import" / "noise")
    rooms = repository / "import" / "rooms"
    rooms.mkdir()
    response = np.zeros(800, np.int16)
    response[[10, 400]] = 20000, 9000
    write_wav(rooms / "hall.wav", response, 16000)
    write_params(repository, OWN)
    for name in ("corpus", "simulate", "manifests"):
        run_stage(repository, name)
    done = [cut["custom"] for cut in read_cuts(Path("data/simulated"))]
    assert {one["room"] for one in done if "room" in one} == {0}
    assert {one["noise"] for one in done if "noise" in one} <= {0, 1}
    assert all(3 <= one["noise_snr_db"] <= 6 for one in done if "noise" in one)
    params, wideband = load_params(), Path("data/raw/wideband")
    assert len(babble_pool(wideband, params.channel, params.seed).noises) == 2
    fresh = FreshLine(wideband, params.channel, params.seed)
    assert {path.name for path in fresh.recorded} == {"wideband", "noise", "rooms"}
    fresh.save_babble(Path("babble.npz"))
    heard, on_disk = fresh.sounds(Path("babble.npz")), sound_index(Path("data/simulated"))
    for cut in read_cuts(Path("data/simulated")):
        samples, _ = heard.read(cut["id"], cut["supervisions"][0]["speaker"], copy=0)
        np.testing.assert_array_equal(samples, on_disk.read(cut["id"])[0])
    capsys.readouterr()
    write_wav(repository / "import" / "noise" / "fan.wav", speech(1.5, seed=9), 16000)
    run_stage(repository, "simulate")
    assert "corpus.noise: 1 of 2 sound files" in capsys.readouterr().err
