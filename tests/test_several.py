"""Several corpora in the place of one: read, imported, accounted for, weighted by their names."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from repository_fixtures import run_stage, write_params
from speech_fixtures import TEXTS, write_wav
from telephone_asr.corpora import unwatched
from telephone_asr.corpora.several import Corpus, corpora
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.report.corpora import corpus_table
from telephone_asr.shards import read_cuts
from telephone_asr.training.inputs import training_examples

ONE = "- {name: one, kind: kaldi, path: one"


def read(directory: Path, text: str) -> list[Corpus]:
    (directory / "one").mkdir(exist_ok=True)
    path = directory / "list.yaml"
    path.write_text(text, encoding="utf-8")
    return corpora("several", str(path), None, "corpus.calls")


def test_paths_are_relative_to_the_list_and_the_rest_has_defaults(tmp_path):
    (tmp_path / "data").mkdir()
    two = tmp_path / "data" / "calls.jsonl"
    two.write_text("")
    one, other = read(tmp_path, f"{ONE}, weight: 2}}\n- {{name: 呼入, kind: calls, path: {two}}}")
    assert (one.path, one.weight, one.licence) == (str(tmp_path / "one"), 2, None)
    assert (other.name, other.path, other.weight) == ("呼入", str(two), 1)


def test_one_path_is_one_corpus_without_a_name():
    assert corpora("kaldi", "somewhere", "S", "corpus.calls") == [
        Corpus("", "kaldi", "somewhere", "S")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ONE}}}\n{ONE}}}", "list.yaml: one: two entries have this name"),
        (f"{ONE}}}\n{ONE.replace('one,', 'One,')}}}", "list.yaml: One: two entries have this name"),
        (f"{ONE}, weight: -1}}", "list.yaml: one: weight: expected 0 or more, got -1"),
        (f"{ONE}, weight: .nan}}", "list.yaml: one: weight: expected"),
        (f"{ONE}, wieght: 1}}", "list.yaml: one: wieght: unknown key; expected one of name, kind"),
        (f"{ONE}x}}", "onex does not exist; name a kaldi corpus"),
        ("- {kind: kaldi, path: one}", "list.yaml: entry 1: name: missing key"),
        ("- {name: a.b, kind: kaldi, path: one}", "list.yaml: a.b: name: expected up to 50"),
        ("- {name: '', kind: kaldi, path: one}", "list.yaml: entry 1: name: expected up to 50"),
        ("- {name: one, kind: several, path: one}", "list.yaml: one: kind: a list cannot name"),
        ("- one", "list.yaml: entry 1: expected keys with values"),
        ("[]", "list.yaml: expected a list of corpora with at least one entry"),
        ("", "list.yaml: expected a list of corpora with at least one entry"),
        ("name: one", "list.yaml: expected a list of corpora with at least one entry"),
        ("- {name: [", "list.yaml line 1 is no valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_entry(text, expected, tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"params\.yaml: corpus\.calls\.path: .*x\.yaml is no file"
    ):
        corpora("several", str(tmp_path / "x.yaml"), None, "corpus.calls")
    with pytest.raises(InputError, match=r"corpus\.calls\.part: each corpus of .* of its own"):
        corpora("several", str(tmp_path / "x.yaml"), "S", "corpus.calls")


@pytest.fixture(scope="module")
def listed(tmp_path_factory, data_repository, speech) -> Path:
    """A repository whose parts are a list of two corpora each, after its data stages."""
    path = tmp_path_factory.mktemp("several") / "repository"
    shutil.copytree(data_repository.path, path)
    more = path / "import" / "more"
    more.mkdir()
    tables = {"wav.scp": "", "text": "", "utt2spk": ""}
    for i in range(16):
        write_wav(more / f"m{i}.wav", speech(0.7 + 0.05 * i, seed=600 + i), 16000)
        tables["wav.scp"] += f"m{i} m{i}.wav\n"
        tables["text"] += f"m{i} {TEXTS[i % len(TEXTS)]}\n"
        tables["utt2spk"] += f"m{i} wide-{i % 8}\n"  # speakers of the other one
    for name, table in tables.items():
        (more / name).write_text(table, encoding="utf-8")
    (path / "import" / "wideband.yaml").write_text(
        "- {name: old, kind: kaldi, path: wideband, weight: 0.5, licence: MIT}\n"
        "- {name: new, kind: kaldi, path: more, weight: 2}\n"
    )
    (path / "import" / "calls.yaml").write_text(
        "- {name: inbound, kind: calls, path: calls/calls.jsonl}\n"
    )
    parts = {name: f"import/{name}.yaml" for name in ("wideband", "calls")}
    write_params(
        path,
        {f"corpus.{n}": {"kind": "several", "path": p, "part": None} for n, p in parts.items()},
    )
    for stage in ("corpus", "simulate", "telecall", "manifests"):
        run_stage(path, stage)
    return path


def test_every_utterance_has_the_name_of_its_corpus(listed):
    names = Counter(cut["custom"]["corpus"] for cut in read_cuts(listed / "data/raw/wideband"))
    assert names == {"old": 24, "new": 16}
    assert {cut["custom"]["corpus"] for cut in read_cuts(listed / "data/telecall")} == {"inbound"}
    simulated = read_manifest(listed / "data/manifests/simulated/train.jsonl")
    assert {e.corpus for e in simulated} == {"old", "new"}
    assert all((e.corpus == "new") == e.key.startswith("sim-m") for e in simulated)


def test_the_sound_is_what_it_is_alone(listed, data_repository):
    """But for the name, and for where the shards end."""

    def told(path: Path) -> dict:
        return {
            cut["id"]: {k: v for k, v in cut["custom"].items() if k not in ("corpus", "stored")}
            for cut in read_cuts(path / "data/raw/wideband")
        }

    assert told(data_repository.path).items() <= told(listed).items()


def test_the_accounts_of_the_corpora_add_up_to_their_types(listed):
    data = json.loads((listed / "metrics" / "data.json").read_text(encoding="utf-8"))
    for source, names in (
        ("wideband", "old new"),
        ("simulated", "old new"),
        ("telecall", "inbound"),
    ):
        whole, own = data[source], data[source]["corpora"]
        assert list(own) == names.split()
        for key in ("in", "kept", "train", "valid", "test"):
            assert sum(one[key] for one in own.values()) == whole[key], (source, key)
        reasons = sum((Counter(one["rejected"]) for one in own.values()), Counter())
        assert reasons == whole["rejected"]
        for one in own.values():
            assert one["in"] == one["kept"] + sum(one["rejected"].values())
    assert data["wideband"]["corpora"]["old"]["rejected"]["unreadable_audio"] == 2
    assert data["wideband"]["corpora"]["old"]["licence"] == "MIT"
    table = corpus_table(data)
    assert [row[1] for row in table.rows] == ["old", "new", "inbound", "old", "new"]
    assert [row[-1] for row in table.rows][:2] == ["MIT", "not stated"]


def test_one_speaker_of_two_corpora_is_in_one_set(listed):
    sets = {}
    for split in ("train", "valid", "test"):
        for example in read_manifest(listed / f"data/manifests/wideband/{split}.jsonl"):
            sets.setdefault(example.speaker, {}).setdefault(split, set()).add(example.corpus)
    assert all(len(own) == 1 for own in sets.values())
    assert any({"old", "new"} in own.values() for own in sets.values())


def test_an_epoch_has_a_corpus_as_often_as_its_weight_says(listed, monkeypatch):
    monkeypatch.chdir(listed)
    once = [e.key for e in read_manifest(Path("data/manifests/wideband/train.jsonl"))]
    old, new = ([key for key in once if key[0] == letter] for letter in "wm")
    times = Counter(e.key for e in training_examples(("wideband",)))
    assert times == Counter([*old[1::2], *new, *new])
    alone = training_examples(("telecall",))  # of weight 1
    assert alone == read_manifest(Path("data/manifests/telecall/train.jsonl"))


def test_without_weight_nothing_is_left_to_train_on(listed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(listed / "data" / "manifests", tmp_path / "data" / "manifests")
    account = Path("data/manifests/telecall/corpora.json")
    account.write_text(account.read_text().replace('"weight": 1.0', '"weight": 0.0'))
    with pytest.raises(InputError, match="nothing of telecall is trained on"):
        training_examples(("telecall",))


def test_files_that_a_list_names_are_seen_when_they_change(listed, monkeypatch):
    monkeypatch.chdir(listed)
    assert unwatched.changes("wideband", "import/wideband.yaml") == ""
    table = Path("import/more/text")
    before = table.read_text(encoding="utf-8")
    table.write_text(before + "\n", encoding="utf-8")
    said = unwatched.changes("wideband", "import/wideband.yaml")
    table.write_text(before, encoding="utf-8")
    assert f"such as {table}" in said


def test_a_corpus_of_a_list_that_cannot_be_used_stops_the_import_by_its_name(listed, monkeypatch):
    monkeypatch.chdir(listed)
    broken = listed / "import" / "broken.jsonl"
    broken.write_text('{"id": "x1", "audio": "nowhere.wav", "text": "您好"}\n', encoding="utf-8")
    path = listed / "import" / "calls.yaml"
    before = path.read_text()
    path.write_text(before + "- {name: lost, kind: calls, path: broken.jsonl}\n")
    with pytest.raises(InputError) as error:
        run_stage(listed, "corpus")
    path.write_text(before)
    assert str(error.value).startswith("import/calls.yaml: lost.path: 1 of 1 utterances cannot")
