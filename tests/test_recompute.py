"""Gradient checkpointing changes what is kept, and no number."""

import pytest
import torch

from model_fixtures import LORA
from telephone_asr.model import parts
from telephone_asr.model.pretrained import load
from telephone_asr.model.recompute import recompute_layers
from telephone_asr.training.objective import Objective


@pytest.mark.parametrize("stage", ["encoder", "lora"])
def test_loss_and_gradients_stay_the_same(tiny_directory, make_inputs, stage):
    """With LoRA the layers run twice a batch over the prompt's keys and values, with dropout."""
    outcomes = []
    for recompute in (False, True):
        nano = load(tiny_directory)
        if stage == "lora":
            trained = parts.add_lora(nano, LORA, seed=0)
        else:
            trained = parts.choose_trained(nano, ("audio_encoder.",))
        if recompute:
            recompute_layers(nano)
        torch.manual_seed(7)
        batch = make_inputs(nano).batch([0, 3, 7])
        loss = Objective(nano, "features", llm_weight=1.0, ctc_weight=0.0)(batch)
        loss.backward()
        outcomes.append((loss.item(), {n: p.grad for n, p in trained.items()}))
    assert outcomes[1][0] == outcomes[0][0]
    for name, gradient in outcomes[0][1].items():
        torch.testing.assert_close(outcomes[1][1][name], gradient, atol=1e-7, rtol=1e-5)


def test_less_is_kept_for_the_backward_pass(tiny_directory, make_inputs):
    kept = []
    for recompute in (False, True):
        nano = load(tiny_directory)
        parts.choose_trained(nano, ("audio_encoder.",))
        if recompute:
            recompute_layers(nano)
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            Objective(nano, "features", 1.0, 0.0)(make_inputs(nano).batch(range(12)))
        kept.append(total)
    assert kept[1] < 0.5 * kept[0]
