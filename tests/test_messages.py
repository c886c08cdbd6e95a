"""Manifest lines: read back by us, and by FunASR's own dataset."""

import json
from pathlib import Path

import numpy as np
import pytest

from telephone_asr.channel import g711
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import (
    PROMPT,
    PROMPT_VERBATIM,
    Example,
    is_written,
    manifest_line,
    prompt_for,
    read_manifest,
)
from telephone_asr.shards import Utterance, sound_index, write_shards


def example(**fields) -> Example:
    values = {
        "key": "sim-0001",
        "text": "您好，请问是张先生吗？",
        "prompt": PROMPT,
        "speech_length": 248,
        "text_length": 11,
        "duration_s": 2.5,
        "speaker": "说话人 1",
        "scene": "collections",
        "source": "simulated",
    }
    return Example(**(values | fields))


def write(directory: Path, *examples: Example) -> Path:
    path = directory / "train.jsonl"
    lines = [manifest_line(e, f"data/unpacked/{e.source}/{e.key}.wav") + "\n" for e in examples]
    path.write_text("".join(lines), encoding="utf-8")
    return path


EXAMPLES = [
    example(),
    example(key="通话-2", prompt=PROMPT_VERBATIM, text="您好请问", scene="", source="telecall"),
    example(key="a b", text='"引号" \\ 反斜杠\u2028行\u0085 <|x|> 😀 第二行\n\t', text_length=30),
    example(key="long", speech_length=7999, duration_s=80.0125, speaker="x"),
]


@pytest.mark.parametrize(
    ("share", "prompt"),
    [(0.0, PROMPT_VERBATIM), (0.02, PROMPT_VERBATIM), (0.3, PROMPT), (1.0, PROMPT)],
)
def test_few_slips_do_not_choose_the_prompt(share, prompt):
    assert prompt_for(share) == prompt


def test_what_is_written_is_read_back_in_order(tmp_path):
    assert read_manifest(write(tmp_path, *EXAMPLES)) == EXAMPLES
    assert read_manifest(write(tmp_path, *EXAMPLES[::-1])) == EXAMPLES[::-1]
    assert read_manifest(write(tmp_path)) == []


def test_a_line_has_the_fields_of_the_messages_format():
    line = manifest_line(example(duration_s=1 / 3), "data/unpacked/simulated/sim-0001.wav")
    assert "\n" not in line
    assert "您好" in line  # legible, not escaped
    user = "语音转写：<|startofspeech|>!data/unpacked/simulated/sim-0001.wav<|endofspeech|>"
    assert json.loads(line) == {
        "key": "sim-0001",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": user},
            {"role": "assistant", "content": "您好，请问是张先生吗？"},
        ],
        "speech_length": 248,
        "text_length": 11,
        "duration": 0.3333,
        "speaker": "说话人 1",
        "scene": "collections",
        "source": "simulated",
    }


@pytest.mark.parametrize("text", ["", "您好请问", "今天 天气", "OK 谢谢", "don't", "一百二十三元"])
def test_what_is_only_spoken(text):
    assert not is_written(text)


@pytest.mark.parametrize(
    "text",
    [
        *("欠款300元", "欠款３００元", "您好，请问", "您好。", "hello, world", "是吗?"),
        *("他说“好的”", "《合同》", "这个……", "您好（笑）"),
    ],
)
def test_what_is_written(text):
    assert is_written(text)


GOOD = manifest_line(example(), "a.wav")
BROKEN = {
    "no JSON": "{'key': 1}",
    "cut off": GOOD[:-20],
    "null": "null",
    "number": "5",
    "list": "[]",
    "no key": GOOD.replace('"key"', '"name"'),
    "no speech_length": GOOD.replace('"speech_length"', '"frames"'),
    "no messages": GOOD.replace('"messages"', '"turns"'),
    "messages a text": json.dumps(json.loads(GOOD) | {"messages": "您好"}),
    "messages an object": json.dumps(json.loads(GOOD) | {"messages": {}}),
    "two messages": json.dumps(json.loads(GOOD) | {"messages": json.loads(GOOD)["messages"][:2]}),
    "content a number": json.dumps(
        json.loads(GOOD) | {"messages": [{}, {"content": 5}, {"content": ""}]}
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named(name, tmp_path):
    path = tmp_path / "valid.jsonl"
    path.write_text("\n".join([GOOD, GOOD, BROKEN[name], GOOD]) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_manifest(path)
    assert f"{path}:3 is no manifest line" in str(error.value)
    assert "\n" not in str(error.value)
    assert "dvc repro" in str(error.value)


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "valid.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + GOOD.encode("gb18030") + b"\n")
    with pytest.raises(InputError) as error:
        read_manifest(path)
    assert str(path) in str(error.value)


def test_a_manifest_that_is_missing(tmp_path):
    with pytest.raises(InputError) as error:
        read_manifest(tmp_path / "test.jsonl")
    assert f"{tmp_path / 'test.jsonl'} does not exist" in str(error.value)


class Characters:
    """A tokenizer whose ids are legible: one a character, its code point."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


@pytest.fixture(scope="module")
def funasr_tables():
    import funasr.datasets.fun_asr_datasets.datasets
    from funasr.register import tables

    assert funasr.datasets.fun_asr_datasets.datasets
    return tables


def test_funasr_accepts_every_line(tmp_path, funasr_tables):
    path = write(tmp_path, *EXAMPLES)
    index = funasr_tables.index_ds_classes["FunASR"](str(path))
    assert len(index) == len(EXAMPLES)
    for item, expected in zip(index.contents, read_manifest(path), strict=True):
        assert item["key"] == expected.key
        assert item["system"] == ["You are a helpful assistant."]
        audio = f"data/unpacked/{expected.source}/{expected.key}.wav"
        user = f"{expected.prompt}<|startofspeech|>!{audio}<|endofspeech|>"
        assert item["user"] == [user]
        assert item["assistant"] == [expected.text]
        assert index.get_source_len(item) == expected.speech_length + expected.text_length


def test_funasr_hears_and_reads_what_we_do(tmp_path, speech, funasr_tables):
    """FunASR's dataset on a manifest and its unpacked sound: features, prompt and target."""
    from funasr.frontends.wav_frontend import WavFrontend

    from telephone_asr.model.frontend import Frontend, fbank_frames

    config = {"fs": 16000, "n_mels": 80, "lfr_m": 7, "lfr_n": 6, "window": "hamming", "dither": 0.0}
    pcm = {
        "mu": g711.through(speech(1.3, seed=1, rate_hz=8000), "mulaw"),
        "linear": speech(0.7, seed=2, rate_hz=8000),
    }
    utterances = [Utterance(key, samples, 8000, "您好", "甲") for key, samples in pcm.items()]
    write_shards(tmp_path, utterances, 2)
    sounds = sound_index(tmp_path)
    lines = []
    for key, samples in pcm.items():
        audio = tmp_path / f"{key}.{sounds.suffix(key)}"
        audio.write_bytes(sounds.read_file(key))
        frames = fbank_frames(len(samples), 8000, 16000)
        told = example(key=key, speech_length=frames, text=f"文本 {key}", prompt=PROMPT_VERBATIM)
        lines.append(manifest_line(told, audio.as_posix()))
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    dataset = funasr_tables.dataset_classes["FunASR"](
        str(path),
        index_ds="FunASR",
        frontend=WavFrontend(**config),
        tokenizer=Characters(),
        do_think=False,
        batch_type="example",
        batch_size=1,
        retry=1,
    )
    ours = Frontend(config)
    for index, expected in enumerate(read_manifest(path)):
        sample = dataset[index]
        features = ours(*sounds.read(expected.key))
        assert -(-expected.speech_length // 6) == len(features) == sample["speech_lengths"][0]
        np.testing.assert_array_equal(sample["speech"][0].numpy(), features.numpy())
        ids, n_frames = sample["input_ids"].tolist(), int(sample["fake_token_len"][0])
        begin = int(sample["fbank_beg"][0])
        assert ids[begin : begin + n_frames] == [0] * n_frames
        text = "".join(map(chr, ids[:begin] + ids[begin + n_frames :]))
        assert text == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{PROMPT_VERBATIM}<|im_end|>\n"
            f"<|im_start|>assistant\n<think>\n\n</think>\n\n{expected.text}<|im_end|>"
        )
        target = [i for i in sample["labels_ids"].tolist() if i != -100]
        assert "".join(map(chr, target)) == f"{expected.text}<|im_end|>"
