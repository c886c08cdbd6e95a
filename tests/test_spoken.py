"""An archive of speech is decoded to the bytes it was made with, or refused."""

import base64
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from telephone_asr.corpora import spoken
from telephone_asr.corpora.speak import encode
from telephone_asr.errors import InputError

# 0.4 s of speech in SILK frames, and the SHA-256 of its samples on every machine.
OPUS = base64.b64decode(
    "T2dnUwACAAAAAAAAAAAdplOsAAAAAPsfRlQBE09wdXNIZWFkAQE4AYA+AAAAAABPZ2dTAAAAAAAAAAAAAB2mU6wBAAAA"
    "C5TG4gE2T3B1c1RhZ3MNAAAATGF2ZjYyLjEyLjEwMgEAAAAVAAAAZW5jb2Rlcj1MYXZmNjIuMTIuMTAyT2dnUwAEOEwA"
    "AAAAAAAdplOsAgAAAMHooV4Hdop2dXN0ZVhjHGPDv1caF8YK75OCGyVPiRbVVDXb575OxPVfHb1+EpQyhoO0V2xpbA0M"
    "ZeOTl0fYtMg/lTP957GOMIJr3NlyLo4qudEle0vgCiBMoD2pl79kHbofU1JspRhc7lKSlv7D4bErKXNRwX1NwLlnjDEg"
    "vGg4AYBY6hpQH9nK03DXfcWLkQFbaSoloJlNVJXRNPlLi0qBXM8N6JFQs4oULd5vnpMe1y3QPyI16pXX+8VzUtPo8nUZ"
    "84DdVitZQKXHocOUcNpO2QiK8e1X/ODLc9UPUNQ34eIC/v415Y3gdVl2yH1CsPhkXR9K8+m1CYwX9zDmpN1XMkCawKSi"
    "Vg3I7Z9Y7IS8pKZeLmKdpPchRGkRTD4VsR88QLJ179Q+vryxY7RhqvsDV2sRVv7iRbh9pM1qjij+ReyiobdcxKzFZPuz"
    "M1zWsitgY4OeIiqAYm9vF9oNSSGjFy4Z69szBLNyKxelzoavcEXiy7wpA5pMw5B3T3fpV6AoWOyEiAjfdV/EsuXdOpGc"
    "NPYqetG5AJw5zKFAWoomZ4dScRvF+T+Khv6wz1iZLFtfrwKlOvR11E5CbjSz6k9A4pffqVp2RFyGbEFRBeM1x57Dei1R"
    "IYqsEEjfVxCbSmbQ7LuyPO4aTMARs4JFJL6e9O7IV0WjWOjwX0sQqXqwWKVznI7purLLRCy2HmR13QGh5DBhM/ARowRm"
    "1IQNrNEun6C3qW6AGqKNXnzss9c2f1e2VcFnfQDqXo+4RgLCn+SpyKyjfQl78TATqeF9FlDdd3GGxrh4ro79ulSiI5Rx"
    "tbuft/aC2paJcljgy7lVgeBQ55oCTbM4kpi+s57xpMzZ1iL3pAT2Yald+tz6nNoKLf61zEEY1eT/1T4nTa7SUCSzCZgJ"
    "NZYdsWhVklP+MKq5rJnYwU9O2CAaUJ3eVqJSPM3WJcF77qzGWJE/pPxsru80m+Ovs2nf+k/5mscGWO1J3GH2GMqeIiIA"
    "GvGi6k45njmGipM8eHgYlzSsMY4JMokwhVU341XTx/rlbjNuVzli7xSdpOQ6vLgpunkRFVUF879VsB2kcGNxTDaht/jN"
    "QKmm8lwRuDlegRkALMboqn66rU4="
)
SHA256 = "d8fff3bae6a8ad00e4c93482e8d90bc9de91777c73c05b1c2a0cf1a19208693c"


def read_all(directory: Path) -> list:
    return list(spoken.read(directory, spoken.read_index(directory)))


def decoded_where(**environment: str) -> str:
    program = (
        "import sys; from telephone_asr.corpora import spoken;"
        "print(spoken.fingerprint(spoken.decode(sys.stdin.buffer.read())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=OPUS,
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def test_decodes_to_the_same_bytes_everywhere():
    assert hashlib.sha256(spoken.decode(OPUS).tobytes()).hexdigest() == SHA256


def test_decodes_to_the_same_bytes_as_on_an_older_processor():
    from test_dispatch import SETTINGS

    found = {name: decoded_where(**environment) for name, environment in SETTINGS.items()}
    assert set(found.values()) == {SHA256}


def test_speech_is_still_that_speech(speech):
    samples = (speech(2.0, rate_hz=16_000) * 0.5).astype(np.int16)
    found = spoken.decode(encode(samples))
    assert found.dtype == np.dtype("<i2")
    assert abs(len(found) - len(samples)) <= 1
    n = min(len(found), len(samples))
    assert np.corrcoef(found[:n], samples[:n])[0, 1] > 0.8


def opus(application: str, rate_hz: int = 16_000) -> bytes:
    import av

    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(-9000, 9000, (1, rate_hz)).astype(np.int16)
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate_hz, options={"application": application})
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for one in (frame, None):
            container.mux(stream.encode(one))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (opus("lowdelay"), "SILK"),  # CELT frames
        (opus("voip", 8000), "16000 Hz"),
        (b"OggS", "."),
        (b"", "."),
    ],
)
def test_what_is_not_the_same_everywhere_is_refused(content, how):
    with pytest.raises(ValueError, match=how):
        spoken.decode(content)


@pytest.fixture
def archives(tmp_path) -> Path:
    """Two speakers' archives."""
    for name, text in (("f01", "您好"), ("m01", "再见")):
        wrong = text != "您好"
        one = spoken.Spoken(f"syn-{name}", text, "您好", "sales", name, wrong, 6400, SHA256)
        index = spoken.Archive("MIT", {"av": "18"}, [one])
        spoken.write(tmp_path / f"{name}.zip", index, {one.id: OPUS})
    return tmp_path


def test_archives_are_read_as_they_were_written(archives):
    index = spoken.read_archive(archives / "f01.zip")
    assert (index.licence, index.made_with) == ("MIT", {"av": "18"})
    read = read_all(archives)
    assert [one.text for one, _ in read] == ["您好", "再见"]
    assert [one.annotation_error for one, _ in read] == [False, True]
    assert all(spoken.fingerprint(samples) == SHA256 for _, samples in read)


def test_an_archive_has_the_same_bytes_whenever_it_is_written(archives):
    path = archives / "f01.zip"
    before = path.read_bytes()
    index = spoken.read_archive(path)
    spoken.write(path, index, {one.id: OPUS for one in index.utterances})
    assert path.read_bytes() == before
    assert len(list(archives.iterdir())) == 2


def test_the_first_minutes_are_taken():
    own = [
        spoken.Spoken(f"syn-{i}", "", "", "", "", False, 30 * spoken.SAMPLE_RATE_HZ, "")
        for i in range(4)
    ]
    assert [one.id for one in spoken.first(own, 1.2)] == ["syn-0", "syn-1", "syn-2"]
    assert len(spoken.first(own, 60)) == 4


def test_other_sound_than_the_index_promises_is_refused(archives):
    index = spoken.read_archive(archives / "m01.zip")
    spoken.write(archives / "m01.zip", index, {"syn-m01": encode(np.zeros(800, np.int16))})
    with pytest.raises(InputError, match=r"m01.zip .*syn-m01 decodes to other samples"):
        read_all(archives)


@pytest.mark.parametrize("keep", [0, 10, -10, -4000])
def test_a_cut_archive_is_refused(archives, keep):
    path = archives / "f01.zip"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"f01.zip .*restore it by git"):
        read_all(archives)


def test_an_archive_under_another_name_is_refused(archives):
    (archives / "f01.zip").rename(archives / "f77.zip")
    with pytest.raises(InputError, match=r"f77.zip .*named as the one speaker"):
        spoken.read_index(archives)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("index.json", "[]")
    with pytest.raises(InputError, match="no archive of speech"):
        spoken.read_index(tmp_path)
    with pytest.raises(InputError, match="holds no archive"):
        spoken.read_index(tmp_path / "nowhere")


@pytest.mark.parametrize("hz", [220, 440, 1000])
def test_what_sounds_like_music_is_encoded_as_speech(hz):
    """libopus takes held notes for music, and then another mode."""
    t = np.arange(3 * spoken.SAMPLE_RATE_HZ) / spoken.SAMPLE_RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 1.25, 1.5, 2, 3, 4))
    assert len(spoken.decode(encode((6000 * chord).astype(np.int16)))) > 2 * len(t) // 3
