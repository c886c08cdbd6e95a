"""params.yaml: numbers are numbers, and a mistake is one sentence that names its key."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from telephone_asr.channel.options import Line
from telephone_asr.errors import InputError
from telephone_asr.params import Params, load_params, stage_lr

COMMITTED = Path(__file__).parents[1] / "params.yaml"
REMOVED = object()


def changed(directory: Path, key: str, value: object) -> Path:
    """params.yaml with the value of a dotted key replaced by YAML text, or the key REMOVED."""
    tree = YAML(typ="safe").load(COMMITTED.read_text(encoding="utf-8"))
    *sections, name = key.split(".")
    section = tree
    for part in sections:
        section = section[part]
    if value is REMOVED:
        del section[name]
    else:
        section[name] = "THE VALUE"
    path = directory / "params.yaml"
    yaml = YAML()
    yaml.width = 10_000
    yaml.dump(tree, path)
    text = path.read_text(encoding="utf-8")
    assert value is REMOVED or text.count("THE VALUE") == 1
    path.write_text(text.replace("THE VALUE", str(value)), encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_params(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def leaves(section: object, prefix: str = "") -> dict[str, object]:
    if not dataclasses.is_dataclass(section):
        return {prefix: section}
    found = {}
    for field in dataclasses.fields(section):
        key = f"{prefix}.{field.name}" if prefix else field.name
        found |= leaves(getattr(section, field.name), key)
    return found


def test_the_committed_file():
    params = load_params(COMMITTED)
    assert isinstance(params, Params)
    assert isinstance(params.channel, Line)
    assert isinstance(params.corpus.synthetic.line, Line)
    assert (COMMITTED.parent / params.corpus.wideband.path).is_dir()
    values = leaves(params)
    assert len(values) > 60
    kinds = (int, float, str, bool, tuple, dict)
    assert all(v is None or type(v) in kinds for v in values.values()), values


def test_no_default_hides_a_missing_key():
    """Every leaf stands in the file: what `dvc exp run -S` can set is what there is."""
    tree = YAML(typ="safe").load(COMMITTED.read_text(encoding="utf-8"))
    for key in leaves(load_params(COMMITTED)):
        section = tree
        for part in key.split("."):
            section = section[part]


@pytest.mark.parametrize("text", ["1e-5", "1e-05", "1E-5", "1.0e-5", "0.00001", "1.e-5"])
@pytest.mark.parametrize("key", ["train.lr", "train.lora.lr", "base.tiny.ctc.lr"])
def test_a_small_number_however_it_is_written(key, text, tmp_path):
    value = leaves(load_params(changed(tmp_path, key, text)))[key]
    assert type(value) is float
    assert value == 0.00001


def test_a_number_as_dvc_writes_it(tmp_path):
    """`dvc exp run -S train.lr=1e-5` reads the value with PyYAML's rules and writes the file."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_bytes(COMMITTED.read_bytes())
    changes = ["train.lr=1e-5", "channel.babble.snr_db=[5,15]", "channel.codec=gsm+alaw"]
    apply_overrides(path, changes)
    params = load_params(path)
    assert (type(params.train.lr), params.train.lr) == (float, 0.00001)
    assert params.channel.babble.snr_db == (5.0, 15.0)
    assert params.channel.codec == "gsm+alaw"
    assert load_params(COMMITTED, changes) == params


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("channel.codecs=gsm", "expected KEY=VALUE with a key of params.yaml, channel.codecs is"),
        ("channel.codec.gsm.x=1", "expected KEY=VALUE with a key of params.yaml"),
        ("channel.codec", "expected KEY=VALUE with a key of params.yaml"),
        ("nothing=1", "expected KEY=VALUE with a key of params.yaml, nothing is none"),
        ("seed=[1", "the value is no valid YAML"),
        ("train.max_frames=9", "train.max_frames is now called train.max_batch_rows: rename it."),
        ("train.adapter.lr=0.1", "train.adapter is now called train.adaptor: rename it."),
        ("filter.pace=0.5", "params.yaml: filter.pace: expected more than 1, got 0.5."),
        ("seed=one", "params.yaml: seed: expected a whole number, got 'one'"),
    ],
)
def test_a_change_that_makes_no_sense(change, expected):
    with pytest.raises(InputError) as error:
        load_params(COMMITTED, [change])
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("train.max_frames", "train.max_batch_rows"),
        ("train.adapter", "train.adaptor"),
        ("base.tiny.ctc.max_frames", "base.tiny.ctc.max_batch_rows"),
        ("base.tiny.llm.max_frames", "base.tiny.llm.max_batch_rows"),
    ],
)
def test_an_old_name_says_the_new_one(old, new, tmp_path):
    """Whether the new one is there too, as after a merge, or not."""
    expected = f"params.yaml: {old} is now called {new}: rename it."
    path = changed(tmp_path, old, "1")
    assert message(path) == expected
    tree = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    *sections, name = new.split(".")
    section = tree
    for part in sections:
        section = section[part]
    del section[name]
    YAML().dump(tree, path)
    assert message(path) == expected


def test_of_several_mistakes_the_first_is_named_and_a_misspelt_key_before_the_missing_one(tmp_path):
    path = changed(tmp_path, "train", "{lr: fast, seed: 1}")
    assert message(path) == "params.yaml: train.lr: expected a number, got 'fast' (str)."
    path = changed(tmp_path, "text", "{englisch: keep}")
    assert message(path) == "params.yaml: text.englisch: unknown key; expected one of english."
    path = changed(tmp_path, "text", "{}")
    expected = "params.yaml: text.english: missing key; expected keep, lower or upper."
    assert message(path) == expected


def test_batches_of_a_step_are_shared_out_evenly():
    expected = r"train\.batches_per_step: expected a multiple of train\.processes \(2\), got 3\."
    with pytest.raises(InputError, match=expected):
        load_params(COMMITTED, ["train.processes=2", "train.batches_per_step=3"])


def test_a_whole_number_does_for_a_real_one(tmp_path):
    value = load_params(changed(tmp_path, "train.clip", "5")).train.clip
    assert (type(value), value) == (float, 5.0)
    params = load_params(changed(tmp_path, "channel.babble.snr_db", "[10, 25]"))
    assert params.channel.babble.snr_db == (10.0, 25.0)
    assert {type(v) for v in params.channel.babble.snr_db} == {float}


def test_a_stage_without_a_rate_takes_the_common_one(tmp_path):
    train = load_params(changed(tmp_path, "train.lora.lr", "null")).train
    assert stage_lr(train, train.lora) == train.lr
    train = load_params(changed(tmp_path, "train.lora.lr", "2e-4")).train
    assert stage_lr(train, train.lora) == 0.0002
    assert stage_lr(train, dataclasses.replace(train.lora, lr=3e-4)) == 0.0003


@pytest.mark.parametrize(
    "key",
    [
        *["surprise", "train.learning_rate", "channel.babble.snr", "corpus.calls.format"],
        *["corpus.synthetic.line.hum.volume", "base.tiny.blocks", "train.lora.rank"],
    ],
)
def test_unknown_key(key, tmp_path):
    text = message(changed(tmp_path, key, "1"))
    assert f"params.yaml: {key}: unknown key; expected one of " in text


@pytest.mark.parametrize(
    "key",
    [
        *["seed", "train", "train.lr", "channel.babble", "channel.babble.snr_db"],
        *["corpus.synthetic.line.loss.rate", "corpus.sample_size", "base.path", "train.lora.lr"],
    ],
)
def test_missing_key(key, tmp_path):
    assert f"params.yaml: {key}: missing key; expected " in message(changed(tmp_path, key, REMOVED))


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("seed", "true", "a whole number, got True (bool)"),
        ("seed", "0.0", "a whole number, got 0.0 (float)"),
        ("seed", "1e3", "a whole number, got 1000.0 (float)"),
        ("seed", '"0"', "a whole number, got '0' (str)"),
        ("seed", "null", "a whole number, got None (NoneType)"),
        ("corpus.shard_size", "many", "a whole number, got 'many' (str)"),
        ("corpus.sample_size", "no", "a whole number, got 'no' (str)"),
        ("train.lr", '"1e-5"', "a number, got '1e-5' (str)"),
        ("train.lr", "true", "a number, got True (bool)"),
        ("train.lr", "null", "a number, got None (NoneType)"),
        ("train.lr", "[1e-5]", "a number, got [1e-05] (list)"),
        ("train.lora.lr", "fast", "a number, got 'fast' (str)"),
        ("train.lora", "16", "a section with keys, got 16 (int)"),
        ("train.lora", "null", "a section with keys, got None (NoneType)"),
        ("channel", "[]", "a section with keys, got [] (list)"),
        ("channel.codec", "711", "a text, got 711 (int)"),
        ("channel.codec", "{711: 1}", "a text, got 711 (int)"),
        ("channel.codec.alaw", "often", "a number, got 'often' (str)"),
        ("base.path", "5", "a text, got 5 (int)"),
        ("corpus.calls.path", "null", "a text, got None (NoneType)"),
        ("channel.babble.snr_db", "10", "a list of 2 values, got 10"),
        ("channel.babble.snr_db", "[10]", "a list of 2 values, got [10]"),
        ("channel.babble.snr_db", "[1, 2, 3]", "a list of 2 values, got [1, 2, 3]"),
        ("scoring.fillers", "嗯", "a list, got '嗯' (str)"),
        ("scoring.unit", "word", "character or mixed, got 'word'"),
        ("filter.length", "null", "fixed or percentile, got None"),
        ("base.kind", "[tiny]", "tiny, modelscope or huggingface, got ['tiny']"),
    ],
)
def test_wrong_type(key, text, expected, tmp_path):
    expected = f"params.yaml: {key}: expected {expected}."
    assert message(changed(tmp_path, key, text)) == expected


def test_wrong_type_in_a_list_names_its_place(tmp_path):
    text = message(changed(tmp_path, "channel.babble.snr_db", "[10, loud]"))
    assert "params.yaml: channel.babble.snr_db[1]: expected a number, got 'loud'" in text
    text = message(changed(tmp_path, "channel.babble.talkers", "[4.5, 8]"))
    assert "params.yaml: channel.babble.talkers[0]: expected a whole number, got 4.5" in text
    text = message(changed(tmp_path, "scoring.fillers", "[嗯, 1]"))
    assert "params.yaml: scoring.fillers[1]: expected a text, got 1" in text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *[("train.lr", text) for text in ("0", "-1e-4", "1", "2", ".nan", ".inf")],
        *[("train.adaptor.lr", "0.0"), ("base.tiny.ctc.lr", "5")],
        *[("frontend.fs", "44100"), ("frontend.fs", "0"), ("frontend.dither", "-1")],
        *[("train.mix", "-0.1"), ("train.hotwords.share", "1.1"), ("train.hotwords.most", "0")],
        *[("train.no_speech", "1"), ("train.no_speech", "-0.1")],
        *[("corpus.no_speech.minutes", "-1"), ("corpus.no_speech.test_minutes", "0")],
        ("gate.max_no_speech", "-1"),
        *[("filter.min_frames", "-1"), ("filter.percentiles", "[99, 1]")],
        *[("split.valid", "0"), ("split.valid", "0.95")],
        *[("channel.level_db[1]", "[-10, 3]"), ("channel.band_hz", "[3400, 300]")],
        *[("channel.babble.snr_db", "[25, 10]"), ("channel.babble.talkers[0]", "[0, 8]")],
        *[("channel.hum.harmonics", "0"), ("channel.loss.rate[1]", "[0, 1.5]")],
        *[("channel.loss.rate", "[0, 0.9]"), ("channel.hum.frequency_hz", "4000")],
        *[("channel.handset", "2"), ("channel.codec", "{alaw: 1, mp3: 1}")],
        *[("channel.codec.gsm", "-1"), ("channel.echo.share", "1.5")],
        *[("channel.codec", "mp3"), ("channel.white_noise_snr_db[0]", "[.nan, 3]")],
        ("corpus.synthetic.line.babble.snr_db", "[25, 10]"),
    ],
)
def test_out_of_range(key, text, tmp_path):
    path = changed(tmp_path, key.partition("[")[0], text)
    assert f"params.yaml: {key}: " in message(path)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *[("seed", "-1"), ("corpus.shard_size", "0"), ("corpus.sample_size", "0")],
        *[("corpus.max_rejected_share", "7"), ("corpus.max_rejected_share", ".nan")],
        *[
            ("corpus.synthetic.wideband_minutes", "-60"),
            ("corpus.synthetic.wrong_transcripts", "6"),
        ],
        *[
            ("base.tiny.encoder_dim", "0"),
            ("train.warmup_share", "5"),
            ("train.max_batch_rows", "0"),
        ],
        *[("train.clip", "-1"), ("train.evaluations", "0"), ("train.valid_utterances", "0")],
        *[("train.encoder.epochs", "-1"), ("train.encoder.ctc_weight", "3"), ("train.lora.r", "0")],
        *[("train.lora.dropout", "1.5"), ("decode.batch_size", "0"), ("decode.max_tokens", "0")],
        ("decode.beams", "0"),
        *[("gate.max_wideband_loss", "2"), ("gate.max_cer_increase", "-0.01")],
        *[("export.max_different_share", "2"), ("export.max_cer_difference", "-0.01")],
    ],
)
def test_out_of_any_use(key, text, tmp_path):
    """Refused before any work starts, not by a traceback an hour later."""
    assert f"params.yaml: {key}: " in message(changed(tmp_path, key, text))


def test_hotwords_are_any_number_of_texts(tmp_path):
    for text, expected in (("[]", ()), ("[张三, 分期 付款]", ("张三", "分期 付款"))):
        assert load_params(changed(tmp_path, "decode.hotwords", text)).decode.hotwords == expected
    text = message(changed(tmp_path, "decode.hotwords", "张三"))
    assert "params.yaml: decode.hotwords: expected a list, got '张三'" in text
    text = message(changed(tmp_path, "decode.hotwords", "[张三, 12]"))
    assert "params.yaml: decode.hotwords[1]: expected a text, got 12" in text


BREAKING = [
    *("<|im_end|>", "<|im_start|>user", "<|startofspeech|>!a.wav<|endofspeech|>", "</think>"),
    *(
        "张三]",
        "[张三",
        "张三, 李四",
        "张三，李四",
        "张三、李四",
        "张三\n李四",
        "张三\t李四",
        "",
        " ",
    ),
]


@pytest.mark.parametrize("word", BREAKING)
def test_a_hotword_that_breaks_the_prompt_is_one_sentence(word, tmp_path):
    text = message(changed(tmp_path, "decode.hotwords", json.dumps(["张三", word])))
    expected = "decode.hotwords[1]: expected a word without < > [ ], commas and control characters"
    assert expected in text
    assert text.endswith(f", got {word!r}.")
    assert "\n" not in text


def test_one_key_takes_a_directory_instead_of_a_hub_or_the_tiny_model(tmp_path):
    assert load_params(changed(tmp_path, "base.kind", "tiny")).base.is_tiny
    assert not load_params(changed(tmp_path, "base.path", "a")).base.is_tiny
    text = message(changed(tmp_path, "base.kind", "directory"))
    assert "params.yaml: base.kind: expected tiny, modelscope or huggingface" in text
    path = changed(
        tmp_path,
        "base",
        "{kind: tiny, path: a, repo: b, revision: c, pins: null, tiny: {}}",
    )
    assert "params.yaml: base.tiny.encoder_blocks: missing key" in message(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("seed: [0\ntrain: 1\n", 2),
        ("seed: 0\n\ttrain: 1\n", 2),
        ("seed: 0\nseed: 1\n", 2),
        ("seed: 0\ntrain: {lr: 1e-4\n", 3),
        ("seed: !!python/object:os.system 0\n", 1),
        ("seed: *other\n", 1),
    ],
)
def test_no_yaml(content, line, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    assert f"{path} line {line} is no valid YAML: " in message(path)


@pytest.mark.parametrize(
    "content",
    [b"seed: 0 # \xff\n", "seed: 0\n".encode("utf-16"), b'seed: "\x01"\n'],
    ids=["not UTF-8", "UTF-16", "a control character"],
)
def test_no_text(content, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    text = message(path)
    assert str(path) in text
    assert not text.endswith(": ")  # says what is wrong


@pytest.mark.parametrize("content", ["", "- 1\n", "train\n"])
def test_no_sections(content, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    assert "params.yaml: (top level): expected a section with keys" in message(path)


def test_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path / 'params.yaml'} does not exist" in message(Path("params.yaml"))


def test_params_cannot_be_changed():
    params = load_params(COMMITTED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.train.lr = math.inf
