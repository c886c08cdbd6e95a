"""train_encoder: stage 1, the whole audio encoder, on simulated telephone speech."""

from __future__ import annotations

from telephone_asr.params import load_params
from telephone_asr.stages import run
from telephone_asr.stages.training import stage_plan, train_stage


def main() -> None:
    params = load_params()
    options = params.train.encoder
    data = ("simulated",)
    plan = stage_plan("encoder", params, options, data, data, "features", options.ctc_weight)
    train_stage("encoder", params, plan)


if __name__ == "__main__":
    run(main)
