"""train_lora: stage 3, LoRA on the language model (or all of it), on real calls."""

from __future__ import annotations

from telephone_asr.params import Params, load_params
from telephone_asr.stages import run
from telephone_asr.stages.adaptation import stage_plan, train_stage
from telephone_asr.stages.launch import on_processes


def main() -> None:
    params = load_params()
    on_processes("telephone_asr.stages.train_lora", params, lambda: train(params))


def train(params: Params) -> None:
    data = ("telecall",)
    plan = stage_plan("lora", params, params.train.lora, data, data, "adapted")
    train_stage("lora", params, plan)


if __name__ == "__main__":
    run(main)
