"""Test sets of the user's own: imported, never learnt, scored and gated beside the three."""

import json
import shutil
from pathlib import Path

import pytest

from repository_fixtures import run_stage, write_params
from speech_fixtures import TEXTS, write_wav
from telephone_asr.commands.data import rejected
from telephone_asr.commands.why import why
from telephone_asr.corpora.several import test_sets as own_sets
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.names import CHECKPOINTS, OWN
from telephone_asr.report.corpora import test_set_table as table_of_sets
from telephone_asr.report.tables import cer_table
from telephone_asr.scoring.evidence import Side, lacks, own_tests, read_metrics
from telephone_asr.scoring.gate import check, passed
from test_gate import LIMITS, adapted, lines, metrics_of

ONE = "- {name: golden, kind: calls, path: calls.jsonl, telephone: true"
SPLITS = ("train", "valid", "test")
SECRET = "".join(TEXTS)[:24]  # a sentence that is in the golden set and in a corpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ONE}}}\n{ONE}}}", "tests.yaml: golden: two entries have this name"),
        (ONE.replace("golden", "telecall") + "}", "telecall: metrics have another of this name"),
        (ONE.replace("golden", "Hotwords") + "}", "Hotwords: metrics have another of this name"),
        (f"{ONE}, gate: 2}}", "golden: gate: expected 1 or less, got 2"),
        (f"{ONE}, weight: 1}}", "golden: weight: unknown key; expected one of name, kind"),
        (ONE.replace(", telephone: true", "}"), "golden: telephone: missing key"),
        (ONE.replace("kind: calls", "kind: synthetic") + "}", "golden: kind: embedded speech"),
        (ONE.replace("calls.jsonl", "no.jsonl") + "}", "no.jsonl does not exist"),
        ("[]", "tests.yaml: expected a list of corpora with at least one entry"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_entry(text, expected, tmp_path):
    (tmp_path / "calls.jsonl").write_text("")
    (tmp_path / "tests.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        own_sets(str(tmp_path / "tests.yaml"))
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def with_tests(path: Path, speech) -> None:
    """Gives a repository two test sets of its own, and runs its data stages.

    golden has some of the calls of the corpus under their ids, and new ones; in one of these a
    sentence is said that a call of the corpus says, too.
    """
    calls = path / "import" / "calls"
    lines_ = (calls / "calls.jsonl").read_bytes().split(b"\n")
    golden = [line for line in lines_ if any(b'"c%d"' % i in line for i in range(10, 20))]
    for i in range(4):
        write_wav(calls / f"g{i}.wav", speech(1.5, seed=900 + i, rate_hz=16000), 16000)
        text = SECRET if i == 0 else TEXTS[i]
        fields = {"id": f"g{i}", "audio": f"g{i}.wav", "text": text, "speaker": f"call-{i}"}
        golden.append(json.dumps(fields, ensure_ascii=False).encode())
    (calls / "golden.jsonl").write_bytes(b"\n".join(golden) + b"\n")
    reading = path / "import" / "reading.jsonl"
    for i in range(4):
        write_wav(path / "import" / f"r{i}.wav", speech(1.2, seed=950 + i), 16000)
    fields = ({"id": f"r{i}", "audio": f"r{i}.wav", "text": TEXTS[i]} for i in range(4))
    reading.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in fields))
    (path / "import" / "tests.yaml").write_text(
        "- {name: golden, kind: calls, path: calls/golden.jsonl, telephone: true, gate: 0.01,"
        " licence: our own}\n"
        "- {name: reading, kind: calls, path: reading.jsonl, telephone: false}\n"
    )
    write_params(path, {"corpus.test_sets": "import/tests.yaml"})
    for stage in ("corpus", "telecall", "manifests"):
        run_stage(path, stage)


@pytest.fixture(scope="module")
def tested(tmp_path_factory, data_repository, speech) -> Path:
    path = tmp_path_factory.mktemp("own") / "repository"
    shutil.copytree(data_repository.path, path)
    with_tests(path, speech)
    return path


def keys(path: Path, *splits: str) -> set[str]:
    return {e.key for split in splits for e in read_manifest(path / f"{split}.jsonl")}


def test_a_sound_of_a_test_set_is_not_learnt_and_may_be_tested_with_twice(tested, data_repository):
    manifests = tested / "data" / "manifests"
    before = data_repository.path / "data" / "manifests" / "telecall"
    golden = {key.removeprefix("golden-") for key in keys(manifests / "tests" / "golden", "test")}
    learnt = keys(before, "train", "valid") & golden
    assert learnt  # else this tests nothing
    assert not keys(manifests / "telecall", "train", "valid") & golden
    assert keys(manifests / "telecall", "train", "valid") == keys(before, "train", "valid") - golden
    assert keys(manifests / "telecall", "test") == keys(before, "test")
    left_out = {line.split("\t")[1] for line in rejected(manifests, "duplicate_audio")}
    assert left_out == learnt
    one = sorted(learnt)[0]
    assert f"golden-{one} of a test set has that sound" in "".join(why(one, tested))
    assert "is in test" in "".join(why(f"golden-{one}", tested))


def test_the_other_corpora_stay_as_they_are(tested, data_repository):
    for source in ("wideband", "simulated"):
        for split in SPLITS:
            path = Path("data/manifests") / source / f"{split}.jsonl"
            assert (tested / path).read_bytes() == (data_repository.path / path).read_bytes()


def test_a_sentence_of_a_test_set_is_not_learnt(tested, tmp_path_factory):
    path = tmp_path_factory.mktemp("sentence") / "repository"
    shutil.copytree(tested, path)
    said = read_manifest(path / "data/manifests/telecall/train.jsonl")[0].key
    table = path / "import/calls/calls.jsonl"
    changed = []
    for line in table.read_bytes().split(b"\n"):
        if f'"id": "{said}"'.encode() in line:
            line = json.dumps({**json.loads(line), "text": SECRET}, ensure_ascii=False).encode()
        changed.append(line)
    table.write_bytes(b"\n".join(changed))
    write_params(path, {"split.short": 20})
    for stage in ("corpus", "telecall", "manifests"):
        run_stage(path, stage)
    (left_out,) = rejected(path / "data/manifests", "sentence_in_test")
    assert left_out.split("\t")[:2] == ["telecall", said]


def test_telephone_speech_is_brought_to_8_khz_and_other_speech_is_not(tested):
    from telephone_asr.shards import read_cuts

    for name, rate_hz in (("golden", 8000), ("reading", 16000)):
        cuts = list(read_cuts(tested / "data/raw/tests" / name))
        assert {cut["recording"]["sampling_rate"] for cut in cuts} == {rate_hz}
        assert all(cut["id"].startswith(f"{name}-") for cut in cuts)


def test_the_account_of_a_test_set_adds_up(tested):
    text = (tested / "metrics" / "data.json").read_text(encoding="utf-8")
    data = read_metrics("metrics/data.json", text)
    golden, reading = data[OWN]["golden"], data[OWN]["reading"]
    assert golden["in"] == golden["test"] + sum(golden["rejected"].values())
    assert (golden["band"], golden["gate"], golden["licence"]) == ("telephone", 0.01, "our own")
    assert (reading["band"], reading["gate"]) == ("wideband", None)
    assert golden["speakers_in_corpora"] > 0 == reading["speakers_in_corpora"]
    assert [row[0] for row in table_of_sets(data).rows] == ["golden", "reading"]


def test_it_is_scored_beside_the_three_whose_numbers_stay(tmp_path, trained_repository, speech):
    path = tmp_path / "repository"
    shutil.copytree(trained_repository, path)
    with_tests(path, speech)
    run_stage(path, "evaluate", "final")
    after, before = (
        read_metrics("metrics/final.json", (one / "metrics/final.json").read_text())
        for one in (path, trained_repository)
    )
    assert after.keys() - before.keys() == {"golden", "reading"}
    for key in before.keys() - {"short_turns"}:
        assert after[key] == before[key], key
    assert after["golden"]["utterances"] == len(
        read_manifest(path / "data/manifests/tests/golden/test.jsonl")
    )
    lines_ = (path / "data/transcripts/final.jsonl").read_text(encoding="utf-8").splitlines()
    transcripts = {"final": [json.loads(line) for line in lines_]}
    metrics = dict.fromkeys(CHECKPOINTS, after)
    rows = cer_table(metrics, transcripts, ("telecall", "golden")).rows
    assert [row[0] for row in rows][::5] == ["telephone calls", "golden"]


# --- the gate


def side(metrics: dict, **tests: float | None) -> Side:
    rows = {OWN: {name: {"gate": limit} for name, limit in tests.items()}} if tests else {"x": 1}
    return Side("main", {"metrics/final.json": metrics, "metrics/data.json": rows}, {}, {})


def with_golden(wrong: float):
    whole, own = adapted(0.2), lines("golden", wrong)
    metrics = {**whole.metrics, "final": {**whole.metrics["final"], "golden": metrics_of(own)}}
    transcripts = {**whole.transcripts, "final": [*whole.transcripts["final"], *own]}
    return type(whole)(metrics, transcripts)


@pytest.mark.parametrize(("limit", "ok"), [(0.0, False), (0.2, True), (None, None)])
def test_more_errors_on_it_stop_the_change_beyond_its_limit(limit, ok):
    checks = check(with_golden(0.3), with_golden(0.2), **LIMITS, own={"golden": limit})
    (of_golden,) = [one for one in checks if "golden" in one.sentence] or [None]
    assert passed(checks) is (ok is not False)
    assert (of_golden and of_golden.ok) is ok
    assert of_golden is None or "gate of golden" in of_golden.sentence


def test_one_that_is_new_stops_nothing_and_one_that_is_gone_is_named():
    old, new = adapted(0.2).metrics["final"], with_golden(0.2).metrics["final"]
    assert own_tests(side(new, golden=0.0)) == {"golden": 0.0}
    assert lacks(side(old), side(new, golden=0.0)) == []
    (gone,) = lacks(side(new, golden=0.0), side(old))
    assert (gone.name, gone.acceptable) == ("golden", True)
    checks = check(with_golden(0.2), adapted(0.2), **LIMITS, own={"golden": 0.0})
    assert passed(checks)
    assert not passed(check(adapted(0.2), with_golden(0.2), **LIMITS, lacks=[gone]))
    accepting = {**LIMITS, "accept": ("golden",)}
    assert passed(check(adapted(0.2), with_golden(0.2), **accepting, lacks=[gone]))
