"""What dvc.lock tells of the stages."""

from pathlib import Path

from telephone_asr.report.lock import StageState, read_states

PIPELINE = """
stages:
  corpus: {desc: Speech, cmd: a}
  evaluate:
    matrix: {checkpoint: [base, lora]}
    cmd: b
  report: {cmd: c}
"""
LOCK = """
schema: '2.0'
stages:
  evaluate@base: {cmd: b, outs: [{path: metrics/base.json, md5: x, size: 12}]}
  corpus: {cmd: a, outs: [{path: data/raw, size: 34}, {path: data/more, size: 5}]}
  report: {cmd: c}
"""


def test_every_stage_before_the_report_ran_or_not(tmp_path):
    pipeline, lock = tmp_path / "dvc.yaml", tmp_path / "dvc.lock"
    pipeline.write_text(PIPELINE)
    assert read_states(pipeline, lock) == []
    lock.write_text(LOCK)
    assert read_states(pipeline, lock) == [
        StageState("corpus", "Speech", True, {"data/raw": 34, "data/more": 5}),
        StageState("evaluate@base", "", True, {"metrics/base.json": 12}),
        StageState("evaluate@lora", "", False, {}),
    ]


def test_every_stage_of_this_pipeline_is_known():
    root = Path(__file__).parent.parent
    states = read_states(root / "dvc.yaml", root / "dvc.lock")
    names = [one.name for one in states]
    assert {"corpus", "train_lora", "evaluate@lora", "export", "evaluate@final"} <= set(names)
    assert all(one.about for one in states)
