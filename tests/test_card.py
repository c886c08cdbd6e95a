"""The model card, read as Hugging Face reads it, and the directory that is handed over."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import report_fixtures
from repository_fixtures import ROOT, smaller
from telephone_asr.commands import package
from telephone_asr.errors import InputError
from telephone_asr.params import load_params
from telephone_asr.report.card import Facts, model_card

HUB = {"base": {"kind": "huggingface", "repo": "somebody/Fun-ASR-Nano", "revision": "v1"}}
OWN = {"corpus": {"calls": {"kind": "calls", "path": "/data/bank/calls.jsonl", "part": None}}}


def facts(**changes) -> Facts:
    run = report_fixtures.findings()
    return Facts(
        name="calls-small",
        params=smaller(load_params(ROOT / "params.yaml"), **changes),
        metrics=run.metrics,
        data=run.data,
        checkpoints=run.checkpoints,
        export=run.export,
        base_licence=None,
        licences={},
        commit="0123abc",
    )


def test_hugging_face_reads_its_fields_and_our_rates():
    card = ModelCard(model_card(facts()))
    assert (card.data.language, card.data.license, card.data.library_name) == (
        "zh",
        "mit",
        "funasr",
    )
    assert card.data.pipeline_tag == "automatic-speech-recognition"
    assert card.data.model_name == "calls-small"
    # Four of ten characters of calls are wrong in the fixtures' final model, three of wideband.
    rates = {one.dataset_type: one.metric_value for one in card.data.eval_results}
    assert rates == {"telecall": 40.0, "simulated": 40.0, "wideband": 30.0}
    assert {one.metric_type for one in card.data.eval_results} == {"cer"}


def test_a_hub_s_model_is_named_as_base_with_its_licence():
    card = ModelCard(model_card(replace(facts(**HUB), base_licence="apache-2.0")))
    assert (card.data.base_model, card.data.license) == ("somebody/Fun-ASR-Nano", "apache-2.0")
    assert ModelCard(model_card(facts(**HUB))).data.license == "other"  # nobody says which


def test_rates_have_intervals_by_scene_and_codec():
    text = model_card(facts())
    for row in ("| debt |", "| gsm+alaw |", "| amr\\_nb+alaw |", "| silence |"):
        assert row in text or row.replace("\\_", "_") in text
    assert "95 % interval" in text


def test_nothing_of_callers_and_machines_is_in_it():
    changes = {"decode": {"hotwords": ("张三丰",)}, **OWN}
    text = model_card(facts(**changes))
    for private in ("张三丰", "/data/bank", report_fixtures.SAID, "speaker-1", "telecall-01"):
        assert private not in text
    assert "synthesiser" not in text
    assert "license: other" in text


def test_what_the_ctc_branch_had_to_say_in_the_rates_is_said():
    own = facts()
    own.metrics["final"]["branch"] = {"doubt": 0.4756}
    said = "short turns are the CTC branch's and what it, the language model and a detector of "
    assert f"{said}speech are less sure of than 0.48 is left out" in model_card(own)
    assert "FunASR writes what the language model says" in model_card(own)
    del own.metrics["final"]["branch"]
    none = replace(own, params=smaller(own.params, decode={"branch": None}))
    assert "branch_conf" not in model_card(none)


def test_other_runtimes_are_told_of_where_one_was_asked_for():
    assert "## Other runtimes" not in model_card(facts())
    one = {"cer": 0.3, "utterances": 60, "share_different": 0.25, "real_time_factor": 0.02}
    text = model_card(
        replace(
            facts(), formats=dict.fromkeys(("funasr", "sherpa_onnx"), one | {"megabytes": 10.4})
        )
    )
    assert "| `sherpa_onnx` | 30.0 | 25.0 | 0.020 | 10 |" in text


def test_the_base_s_licence_is_read_and_copied(tmp_path):
    assert package.read_licence(tmp_path) is None
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [asr]\n---\n# A model\n")
    (tmp_path / "LICENSE").write_text("Apache License\nVersion 2.0")
    (tmp_path / "NOTICE.txt").symlink_to("/etc/hostname")  # a stranger's directory
    assert package.read_licence(tmp_path) == "apache-2.0"
    assert package.licence_files(tmp_path) == [tmp_path / "LICENSE"]
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: model-licence\n---\n")
    assert package.read_licence(tmp_path) == "model-licence"
    (tmp_path / "README.md").write_text("---\n- [no fields\n---\n")
    assert package.read_licence(tmp_path) is None


PIPELINE = """
stages:
  evaluate:
    matrix: {checkpoint: [final]}
    cmd: cp models/final/model.pt score.txt
    deps: [models/final]
    params: [seed]
    outs: [score.txt]
  export_formats:
    cmd: cp models/final/model.pt formats.txt
    deps: [models/final]
    outs: [formats.txt]
"""


@pytest.fixture
def evaluated(tmp_path, monkeypatch) -> Path:
    """A repository whose exported model was evaluated."""
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "models" / "final"
    model.mkdir(parents=True)
    (model / "model.pt").write_text("weights")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    return model


def test_another_model_or_other_params_than_were_scored_are_not_packaged(evaluated):
    package.check_one_run()
    (evaluated / "model.pt").write_text("other weights")
    with pytest.raises(InputError, match="not of one run"):
        package.check_one_run()
    (evaluated / "model.pt").write_text("weights")
    Path("params.yaml").write_text("seed: 2\n")
    with pytest.raises(InputError, match="not of one run"):
        package.check_one_run()


def test_what_is_there_is_not_overwritten(evaluated, tmp_path):
    with pytest.raises(InputError, match="is there already"):
        package.package(tmp_path)
    (evaluated / "model.pt").unlink()
    evaluated.rmdir()
    with pytest.raises(InputError, match="dvc pull export"):
        package.package(tmp_path / "new")
