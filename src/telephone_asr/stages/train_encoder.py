"""train_encoder: stage 1, the whole audio encoder, on simulated telephone speech."""

from __future__ import annotations

from telephone_asr.params import Params, load_params
from telephone_asr.stages import run
from telephone_asr.stages.adaptation import stage_plan, train_stage
from telephone_asr.stages.launch import on_processes


def main() -> None:
    params = load_params()
    on_processes("telephone_asr.stages.train_encoder", params, lambda: train(params))


def train(params: Params) -> None:
    options = params.train.encoder
    data = ("simulated",)
    plan = stage_plan("encoder", params, options, data, data, "features", options.ctc_weight)
    train_stage("encoder", params, plan)


if __name__ == "__main__":
    run(main)
