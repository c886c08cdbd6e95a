"""train_adapter: stage 2, the adaptor between encoder and language model, simulated and real."""

from __future__ import annotations

from telephone_asr.params import load_params
from telephone_asr.stages import run
from telephone_asr.stages.training import stage_plan, train_stage


def main() -> None:
    params = load_params()
    data = ("simulated", "telecall")
    plan = stage_plan("adapter", params, params.train.adapter, data, data, "encoded")
    train_stage("adapter", params, plan)


if __name__ == "__main__":
    run(main)
