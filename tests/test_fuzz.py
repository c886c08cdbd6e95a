"""Damaged files and lists of all kinds, through import to manifests.

Whatever the bytes: no traceback, no hang; every entry is kept or left out for a reason; and no
utterance is kept whose sound is shorter than what its container promised.

The same inputs each time, some 20 seconds of them. A long run by hand, with others:

    FUZZ=5000 python -m pytest -n 0 -s tests/test_fuzz.py
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telephone_asr.corpora.imported import gather_rejected, import_shard, list_items, with_good_ids
from telephone_asr.errors import InputError
from telephone_asr.manifests.quality import REASONS
from telephone_asr.manifests.sorting import Kept, decide, examples, same_sounds, survey
from telephone_asr.shards import read_cuts, sound_index
from test_sorting import RULES
from test_sound import KINDS

EXAMPLES = int(os.environ.get("FUZZ", "0"))
FUZZ = settings(
    max_examples=EXAMPLES or 120,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
SECONDS = 0.6
counted: Counter = Counter()
# No fixture: what a test is given, hypothesis writes out where it fails.
pcm, whole = np.zeros(0, dtype=np.int16), {}


@pytest.fixture(scope="module", autouse=True)
def made_and_counted(speech):
    global pcm
    pcm = speech(SECONDS, rate_hz=8000)
    whole.update({name: make(pcm) for name, make in KINDS.items()})
    yield
    print(*(f"{n} {what}" for what, n in sorted(counted.items())), sep="\n")


def account(directory: Path, kind: str, path: Path) -> dict[str, float]:
    """Imports and sorts a corpus; asserts that every entry is accounted for; returns the seconds of
    what could be read, by id."""
    items = with_good_ids(list_items(kind, path, "corpus.calls"), set())
    shards = directory / "shards"
    n, rejected = import_shard(items, shards, 0)
    assert gather_rejected(shards, 1) == rejected
    cuts = list(read_cuts(shards))
    assert n == len(items) == len(cuts) + len(rejected)
    assert all(entry.reason in REASONS and entry.detail for entry in rejected)

    def again():
        return iter(cuts)

    found = survey(again, RULES, None)
    verdicts = decide(
        again, RULES, found, True, Kept(same_sounds((found, sound_index(shards).read)))
    )
    assert len(cuts) == len(verdicts.sets)
    assert sum(set_ is None for set_ in verdicts.sets) == len(verdicts.rejected)
    assert len(list(examples(again, RULES, found, {"": ""}, "calls"))) == len(cuts)
    counted.update(entry.reason for entry in rejected)
    counted["read"] += len(cuts)
    return {cut["id"]: cut["duration"] for cut in cuts}


def imported(directory: Path, content: bytes, name: str) -> float | None:
    """The seconds that were read of a file, None where it was left out."""
    (directory / name).write_bytes(content)
    line = {"id": "a", "audio": name, "text": "您好"}
    (directory / "calls.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return account(directory, "calls", directory / "calls.jsonl").get("a")


@FUZZ
@given(data=st.data())
def test_a_cut_file_is_never_kept_as_a_whole(data, tmp_path_factory):
    """A container that says how long it is does so before the sound, or its last part is there."""
    name = data.draw(st.sampled_from(sorted(whole)))
    content = whole[name]
    size = data.draw(st.integers(0, len(content) - 1))
    directory = tmp_path_factory.mktemp("cut")
    lasts = imported(directory, content[:size], data.draw(st.sampled_from([name, "a.wav"])))
    counted["cut"] += 1
    if lasts is not None:
        assert lasts > SECONDS - 0.05 or not _says_its_length(name), (name, size, lasts)


def _says_its_length(name: str) -> bool:
    """All but those that are frames alone, of which a cut between two leaves no trace."""
    return not name.endswith((".amr", ".aac", "no_xing.mp3", ".ogg"))


@FUZZ
@given(data=st.data())
def test_changed_bytes(data, tmp_path_factory):
    """Mostly of headers; where it is a size that grows, nothing is kept for want of sound."""
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[name])
    end = data.draw(st.sampled_from([64, 256, len(content)]))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, min(end, len(content)) - 1))
        value = data.draw(
            st.sampled_from([b"\0", b"\x7f", b"\xff", b"\x80\0", b"\xff\xff\xff\xff"])
        )
        if data.draw(st.booleans()):
            value = bytes([content[place] ^ 1 << data.draw(st.integers(0, 7))])
        content[place : place + len(value)] = value
    imported(tmp_path_factory.mktemp("changed"), bytes(content), name)
    counted["changed"] += 1


@FUZZ
@given(
    promised=st.integers(0, 2**32 - 1) | st.integers(0, 20000),
    riff=st.integers(0, 2**32 - 1) | st.integers(0, 20000),
    there=st.integers(0, 9600),
    tail=st.binary(max_size=40),
)
def test_a_wav_of_any_sizes(promised, riff, there, tail, tmp_path_factory):
    """What is kept has all that the size of the sound promises, or that is not a size."""
    sound = pcm.tobytes()[: there // 2 * 2] + tail
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    content = struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + fmt
    content += struct.pack("<4sI", b"data", promised) + sound
    lasts = imported(tmp_path_factory.mktemp("sizes"), content, "a.wav")
    counted["sizes"] += 1
    if lasts is not None and 0 < promised < 0x7F000000:
        assert round(8000 * lasts) >= promised // 2


BYTES = [b"\xff", b"\0", b"\r", b"\n", b'"', b",", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\\", b"{"]
BYTES += [b" ", b"\t", b"\x0b", b"\xed\xb2\x80", b"1e305", b"null", b"-1", b"true", b"|", b"/"]


def mutated(content: bytes, seed: int) -> bytes:
    """Some bytes put in, taken out, or doubled."""
    rng, changed = random.Random(seed), bytearray(content)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(changed) + 1)
        what = rng.random()
        if what < 0.6:
            changed[place:place] = rng.choice(BYTES)
        elif what < 0.8:
            del changed[place : place + rng.randint(1, 5)]
        else:
            changed[place:place] = changed[place : place + rng.randint(1, 30)]
    return bytes(changed)


@FUZZ
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["jsonl", "csv", "kaldi"]))
def test_lists_with_odd_bytes(seed, kind, tmp_path_factory):
    directory = tmp_path_factory.mktemp("list")
    names = [f"客户 {i}.wav" if i == 2 else f"c{i}.wav" for i in range(4)]
    for i, name in enumerate(names):
        soundfile.write(directory / name, np.roll(pcm, 400 * i), 8000)
    if kind == "kaldi":
        tables = {
            "wav.scp": "".join(f"u{i} {name}\n" for i, name in enumerate(names)),
            "text": "".join(f"u{i} 您好 {i}\n" for i in range(4)),
            "utt2spk": "".join(f"u{i} s{i}\n" for i in range(4)),
        }
        if seed % 2:
            tables["segments"] = "".join(f"u{i} u{i} 0.0 0.1\n" for i in range(4))
        chosen = sorted(tables)[seed % len(tables)]
        for name, table in tables.items():
            content = table.encode()
            (directory / name).write_bytes(mutated(content, seed) if name == chosen else content)
        path = directory
    else:
        path = directory / f"calls.{kind}"
        rows = [{"id": f"u{i}", "audio": name, "text": "您好"} for i, name in enumerate(names)]
        if kind == "jsonl":
            text = "".join(json.dumps(row | {"speaker": 0, "start": 0.0}) + "\n" for row in rows)
        else:
            text = "id,audio,text\n" + "".join(",".join(row.values()) + "\n" for row in rows)
        path.write_bytes(mutated(text.encode(), seed))
    counted["lists"] += 1
    try:
        account(directory, "kaldi" if kind == "kaldi" else "calls", path)
    except InputError as error:  # of the corpus as a whole, in one sentence
        refused = str(error)
        counted["refused as a whole"] += 1
        assert "\n" not in refused


def test_bytes_of_chance_are_nothing(tmp_path):
    """Behind the beginnings of all containers too."""
    heads = [
        content[:n] for content in (b"RIFF\0\0\0\0WAVEfmt ", b"OggS", b"fLaC") for n in (4, 16)
    ]
    heads += [
        b"\xff\xfb\x90\0",
        b"\xff\xf1",
        b"#!AMR\n",
        b"\0\0\0\x20ftypM4A ",
        b"\x1a\x45\xdf\xa3",
    ]
    for seed in range(EXAMPLES or 40):
        rng = np.random.default_rng(seed)
        content = heads[seed % len(heads)] + rng.bytes(int(rng.integers(0, 5000)))
        assert not imported(tmp_path, content, "a.wav"), seed
        counted["chance"] += 1
