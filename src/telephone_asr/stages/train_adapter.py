"""train_adapter: stage 2, the adaptor between encoder and language model, simulated and real."""

from __future__ import annotations

from telephone_asr.params import Params, load_params
from telephone_asr.stages import run
from telephone_asr.stages.adaptation import stage_plan, train_stage
from telephone_asr.stages.launch import on_processes


def main() -> None:
    params = load_params()
    on_processes("telephone_asr.stages.train_adapter", params, lambda: train(params))


def train(params: Params) -> None:
    data = ("simulated", "telecall")
    plan = stage_plan("adapter", params, params.train.adaptor, data, data, "encoded")
    train_stage("adapter", params, plan)


if __name__ == "__main__":
    run(main)
