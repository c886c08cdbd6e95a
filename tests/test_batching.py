"""Batches by length, and frozen parts computed once."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_fixtures import write_variant
from speech_fixtures import example_of
from telephone_asr.dataset.batching import (
    features_mb,
    in_order,
    largest,
    low_rate_frames,
    schedule,
)
from telephone_asr.dataset.speech import SpeechDataset, output_bytes
from telephone_asr.errors import InputError
from telephone_asr.model import fun_asr_nano
from telephone_asr.model.frontend import Frontend
from telephone_asr.model.pretrained import load
from telephone_asr.training.steps import prefetch

LENGTHS = np.random.default_rng(0).integers(5, 120, 203).tolist()
MAX_BATCH_ROWS = 400


def frames(batch: list[int], lengths: list[int]) -> int:
    """Rows of a padded batch."""
    return len(batch) * max(lengths[i] for i in batch)


@pytest.mark.parametrize("epochs", [1, 3])
def test_every_utterance_comes_once_an_epoch(epochs):
    batches = schedule(LENGTHS, MAX_BATCH_ROWS, epochs, seed=0)
    seen = []
    for batch in batches:
        seen += batch
        if len(seen) % len(LENGTHS) == 0:
            assert len(set(seen[-len(LENGTHS) :])) == len(LENGTHS)
    assert Counter(seen) == dict.fromkeys(range(len(LENGTHS)), epochs)


@pytest.mark.parametrize("max_batch_rows", [120, 400, 10_000])
def test_no_batch_is_larger_than_allowed_with_its_padding(max_batch_rows):
    batches = schedule(LENGTHS, max_batch_rows, 2, seed=1) + in_order(LENGTHS, max_batch_rows)
    assert all(frames(batch, LENGTHS) <= max_batch_rows for batch in batches)


def test_an_utterance_longer_than_a_batch_comes_by_itself():
    for batches in (schedule([5, 900, 6], 100, 1, seed=0), in_order([5, 900, 6], 100)):
        assert [1] in batches
        assert sorted(i for batch in batches for i in batch) == [0, 1, 2]


def test_little_of_a_batch_is_padding():
    batches = schedule(LENGTHS, MAX_BATCH_ROWS, 1, seed=0)
    padded = sum(frames(batch, LENGTHS) for batch in batches)
    assert sum(LENGTHS) > 0.85 * padded


def test_the_schedule_is_a_function_of_the_seed_and_epochs_differ():
    one = schedule(LENGTHS, MAX_BATCH_ROWS, 2, seed=5)
    assert schedule(LENGTHS, MAX_BATCH_ROWS, 2, seed=5) == one
    assert schedule(LENGTHS, MAX_BATCH_ROWS, 2, seed=6) != one
    first = schedule(LENGTHS, MAX_BATCH_ROWS, 1, seed=5)
    assert one[: len(first)] == first
    assert one[len(first) :] != first


def test_batches_for_decoding_go_from_short_to_long():
    order = [i for batch in in_order(LENGTHS, MAX_BATCH_ROWS) for i in batch]
    assert sorted(order) == list(range(len(LENGTHS)))
    assert [LENGTHS[i] for i in order] == sorted(LENGTHS)


def test_nothing_makes_no_batch():
    assert schedule([], MAX_BATCH_ROWS, 3, seed=0) == []
    assert in_order([], MAX_BATCH_ROWS) == []


def test_tried_first_is_what_has_most_rows_most_attention_most_text_or_most_utterances():
    lengths = [10] * 20 + [100, 95, 30, 30, 30, 5]
    tokens = [2] * 20 + [5, 5, 40, 40, 40, 1]
    batches = [[25], list(range(20)), [20, 21], [22, 23, 24]]
    # Twenty short ones have 200 rows, as has [20, 21], whose rows attend to more of each other.
    assert largest(batches, lengths, tokens) == [1, 2, 3]
    assert largest([[20, 21], [25]], lengths, tokens) == [0]
    assert largest([[20, 21], [25, 0, 1]], lengths, tokens) == [0, 1]  # prompts may differ
    assert largest([], lengths, tokens) == []


# --- SpeechDataset


def test_lengths_are_those_of_the_features(nano, make_inputs):
    inputs = make_inputs(nano)
    for i, example in enumerate(inputs.examples):
        assert inputs[i].shape == (inputs.lengths[i], 560)
        assert inputs.lengths[i] == low_rate_frames(example)


def test_a_batch_is_padded_and_names_what_it_holds(nano, make_inputs):
    inputs = make_inputs(nano)
    batch = inputs.batch([7, 0, 3])
    assert batch.keys == [inputs.examples[i].key for i in (7, 0, 3)]
    assert batch.texts == [inputs.examples[i].text for i in (7, 0, 3)]
    assert batch.prompts == [inputs.examples[i].prompt for i in (7, 0, 3)]
    assert batch.lengths.tolist() == [inputs.lengths[i] for i in (7, 0, 3)]
    for row, length, i in zip(batch.inputs, batch.lengths, (7, 0, 3), strict=True):
        assert torch.equal(row[:length], inputs[i])
        assert not row[length:].any()


def test_features_are_the_same_with_and_without_memory(nano, make_inputs):
    kept, read_again = make_inputs(nano), make_inputs(nano, cache_mb=0)
    for i in (0, 5, 0, 11):
        assert torch.equal(kept[i], read_again[i])


class Counted:
    """Sound that counts how often it is read."""

    def __init__(self, sounds):
        self.sounds, self.reads = sounds, 0

    def __contains__(self, key: str) -> bool:
        return key in self.sounds

    def read(self, key: str):
        self.reads += 1
        return self.sounds.read(key)


def counted(nano, corpus, cache_mb: float) -> tuple[SpeechDataset, Counted]:
    sounds, frontend = Counted(corpus.sounds), Frontend(nano.config["frontend_conf"])
    return SpeechDataset(corpus.examples, {"telecall": sounds}, frontend, cache_mb), sounds


def test_memory_is_bounded(nano, corpus):
    room_rows = 30
    inputs, sounds = counted(nano, corpus, room_rows * 560 * 4 / 2**20)
    for _ in range(2):
        for i in range(len(inputs)):
            inputs[i]
    kept = 2 * len(inputs) - sounds.reads  # what was not read a second time
    assert 0 < kept < len(inputs)
    assert kept * min(inputs.lengths) <= room_rows


def test_processes_that_read_ahead_keep_nothing(nano, corpus):
    inputs, sounds = counted(nano, corpus, cache_mb=100)

    def reads_after(index: int) -> int:
        inputs.batch([index])
        return sounds.reads

    assert list(prefetch(reads_after, [0, 0, 0], workers=1)) == [1, 2, 3]
    assert list(prefetch(reads_after, [0, 0, 0], workers=0)) == [1, 1, 1]


def test_features_take_as_much_as_is_said(nano, make_inputs):
    inputs = make_inputs(nano)
    taken = sum(inputs[i].numel() * 4 for i in range(len(inputs)))
    assert features_mb(inputs.examples) * 2**20 == pytest.approx(taken)


def test_an_utterance_without_sound_is_named(nano, make_inputs, corpus):
    lost = replace(corpus.examples[0], key="call-lost")
    with pytest.raises(InputError, match="call-lost"):
        make_inputs(nano, examples=[corpus.examples[1], lost]).batch([0, 1])


def by_itself(nano, features: torch.Tensor, level: str) -> torch.Tensor:
    with torch.inference_mode():
        hidden, lengths = fun_asr_nano.encode(nano, features[None], torch.tensor([len(features)]))
        if level == "adapted":
            hidden, lengths = fun_asr_nano.adapt(nano, hidden, lengths)
        return hidden[0, : int(lengths)]


@pytest.mark.parametrize("level", ["encoded", "adapted"])
def test_a_frozen_part_computed_beforehand_is_as_computed_one_by_one(
    nano, make_inputs, level, tmp_path
):
    features, inputs = make_inputs(nano), make_inputs(nano)
    inputs.precompute(nano, level, 120, tmp_path / "frozen")
    assert inputs.input_stage == level
    assert inputs.lengths == features.lengths
    for i in range(len(inputs)):
        expected = by_itself(nano, features[i], level)
        torch.testing.assert_close(inputs[i], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("rate", "low"), [(8, True), (1, True), (1, False), (3, False)])
@pytest.mark.parametrize("level", ["encoded", "adapted"])
def test_the_room_that_outputs_need_is_what_they_take(
    tiny_directory, make_inputs, tmp_path, level, rate, low
):
    def change(config):
        config["audio_adaptor_conf"] |= {"downsample_rate": rate, "use_low_frame_rate": low}

    nano = load(write_variant(tiny_directory, tmp_path / "variant", change))
    inputs = make_inputs(nano)
    inputs.precompute(nano, level, 120, tmp_path / "frozen")
    taken = sum(inputs[i].numel() * 4 for i in range(len(inputs)))
    assert output_bytes(nano, level, inputs.lengths) == taken
    files = sum(path.stat().st_size for path in (tmp_path / "frozen").iterdir())
    assert taken < files < taken + 1000


def test_the_loss_is_the_same_however_far_frozen_parts_were_computed(nano, make_inputs, tmp_path):
    from telephone_asr.training.objective import Objective

    losses = []
    for level in ("features", "encoded", "adapted"):
        inputs = make_inputs(nano)
        if level != "features":
            inputs.precompute(nano, level, 120, tmp_path / level)
        with torch.inference_mode():
            batch = inputs.batch([0, 4, 8, 11])
            losses.append(Objective(nano, level, llm_weight=1.0, ctc_weight=0.0)(batch).item())
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[2] == pytest.approx(losses[0], abs=1e-5)


def test_computing_beforehand_gives_the_same_bytes_each_time(nano, make_inputs, tmp_path):
    once, again = make_inputs(nano), make_inputs(nano)
    again[3]  # read before
    for name, inputs in (("once", once), ("again", again)):
        inputs.precompute(nano, "encoded", 120, tmp_path / name)
    assert all(torch.equal(once[i], again[i]) for i in range(len(once)))


def test_two_corpora_may_have_one_key(tmp_path, nano, speech):
    """A recording called sim-a, and what was simulated of a: each text has its own sound."""
    from telephone_asr.dataset.speech import SpeechDataset
    from telephone_asr.model.frontend import Frontend
    from telephone_asr.shards import Utterance, sound_index, write_shards

    examples, sounds = [], {}
    for seed, source in enumerate(("wideband", "simulated")):
        utterance = Utterance("sim-a", speech(0.5, seed=seed), 16000, "您好", "s")
        write_shards(tmp_path / source, [utterance], shard_size=1)
        sounds[source] = sound_index(tmp_path / source)
        examples.append(replace(example_of(utterance), source=source))
    frontend = Frontend(nano.config["frontend_conf"])
    inputs = SpeechDataset(examples, sounds, frontend, cache_mb=0)
    for i, example in enumerate(examples):
        expected = frontend(*sounds[example.source].read("sim-a"))
        assert torch.equal(inputs[i], expected)
    assert not torch.equal(inputs[0], inputs[1])


def test_of_the_last_so_many_are_drawn_anew_for_each_epoch():
    """123 come always; of 80 more a part, or each at least twice and none three times more."""
    for drawn, fewest, most in ((30, 0, 1), (200, 2, 3)):
        epochs = []
        for epoch in (1, 2):
            batches = schedule(LENGTHS, MAX_BATCH_ROWS, epoch, 0, drawn=drawn, of=80)
            seen = [i for batch in batches for i in batch][(epoch - 1) * (123 + drawn) :]
            counts = Counter(seen)
            assert all(counts[i] == 1 for i in range(123))
            assert {counts[i] for i in range(123, 203)} <= {fewest, most}
            assert sum(counts.values()) == 123 + drawn
            assert all(frames(batch, LENGTHS) <= MAX_BATCH_ROWS for batch in batches)
            epochs.append({i: counts[i] for i in range(123, 203)})
        assert epochs[0] != epochs[1]
    assert schedule(LENGTHS, 400, 2, 0) == schedule(LENGTHS, 400, 2, 0, drawn=0, of=0)
