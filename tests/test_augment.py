"""Features changed anew: what the front end makes of changed sound is where they should come."""

import numpy as np
import pytest
import torch

from telephone_asr.channel.portable import generator
from telephone_asr.dataset.augment import STACKED, STEP, augmented
from telephone_asr.dataset.speech import SpeechDataset
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import PROMPT, Example
from telephone_asr.model.frontend import Frontend, fbank_frames
from telephone_asr.params import Augment

CONFIG = {
    **{"fs": 16000, "window": "hamming", "n_mels": 80, "frame_length": 25, "frame_shift": 10},
    **{"lfr_m": STACKED, "lfr_n": STEP, "dither": 0.0},
}
NOTHING = Augment(speed=0.0, tract=0.0, hidden_filters=0, hidden_frames=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def rows(speech) -> torch.Tensor:
    return Frontend(CONFIG)((speech(3.0, seed=5, rate_hz=16000)).astype(np.int16), 16000)


def frames(rows: torch.Tensor) -> np.ndarray:
    return rows.view(len(rows), STACKED, -1)[:, :STEP].reshape(len(rows) * STEP, -1).numpy()


def test_nothing_is_changed_where_nothing_is_to_be(rows):
    kept = augmented(rows, NOTHING, rng())
    assert kept.dtype == rows.dtype
    assert torch.equal(kept[:-1], rows[:-1])  # the front end pads the last row otherwise
    assert kept.shape == rows.shape


def test_what_was_given_stays_as_it_is(rows):
    before = rows.clone()
    augmented(rows, Augment(0.1, 0.1, 20, 20), rng())
    assert torch.equal(rows, before)


def test_speed_changes_the_length(rows):
    options = Augment(speed=0.1, tract=0.0, hidden_filters=0, hidden_frames=0)
    lengths = [len(augmented(rows, options, rng(i))) for i in range(50)]
    assert 0.9 * len(rows) - 1 <= min(lengths) < 0.95 * len(rows)
    assert 1.05 * len(rows) < max(lengths) <= len(rows) / 0.9 + 1


def test_a_tract_moves_a_tone_as_another_speaker_would():
    """A tone's peak moves along the mel scale by the factor drawn."""
    t = np.arange(16000) / 16000
    tone = Frontend(CONFIG)((8000 * np.sin(2 * np.pi * 1500 * t)).astype(np.int16), 16000)
    options = Augment(speed=0.0, tract=0.1, hidden_filters=0, hidden_frames=0)
    peak = frames(tone).mean(0).argmax()
    moved = []
    for i in range(30):
        draw = rng(i)
        _, factor = draw.uniform(1, 1), draw.uniform(0.9, 1.1)
        found = frames(augmented(tone, options, rng(i))).mean(0).argmax()
        assert abs(found - peak / factor) <= 1
        moved.append(found)
    assert min(moved) < peak < max(moved)


def test_bands_and_stretches_are_hidden_and_no_more_than_that(rows):
    options = Augment(speed=0.0, tract=0.0, hidden_filters=12, hidden_frames=9)
    whole = frames(rows)
    bands, stretches = [], []
    for i in range(60):
        changed = frames(augmented(rows, options, rng(i)))[: len(whole)] != whole
        bands.append(int(changed.all(axis=0).sum()))
        stretches.append(int(changed.all(axis=1).sum()))
    assert (max(bands), max(stretches)) == (12, 9)
    assert min(bands) == min(stretches) == 0


def test_an_utterance_of_one_row_stays_one():
    one = torch.ones(1, STACKED * 80)
    assert augmented(one, Augment(0.1, 0.1, 80, 1000), rng()).shape == (1, STACKED * 80)


def test_more_than_all_is_refused():
    with pytest.raises(InputError, match="speed"):
        Augment(speed=1.5, tract=0.0, hidden_filters=0, hidden_frames=0)


class Sound:
    """Gives one sound for every key."""

    def __init__(self, samples: np.ndarray):
        self._samples = samples

    def __contains__(self, key: str) -> bool:
        return True

    def read(self, key: str) -> tuple[np.ndarray, int]:
        return self._samples, 16000


def test_copies_of_an_utterance_differ_and_are_the_same_again(speech):
    sound = Sound(speech(1.5, seed=6, rate_hz=16000).astype(np.int16))
    frames_of = fbank_frames(24000, 16000, 16000)
    examples = [
        Example(key, "您好", PROMPT, frames_of, 2, 1.5, "f01", "sales", "wideband") for key in "ab"
    ]
    options = Augment(0.1, 0.08, 10, 10)

    def change(key: str, copy: int, rows: torch.Tensor) -> torch.Tensor:
        return augmented(rows, options, generator(7, key, copy))

    def dataset(some: list[Example] = examples) -> SpeechDataset:
        return SpeechDataset(some, {"wideband": sound}, Frontend(CONFIG), 10, 3, change)

    copies = dataset()
    assert [example.key for example in copies.examples] == list("ababab")
    assert len(copies) == len(copies.lengths) == 6
    assert len({copies[i].numpy().tobytes() for i in range(6)}) == 6
    again = dataset()
    assert all(torch.equal(copies[i], again[i]) for i in reversed(range(6)))
    assert all(torch.equal(copies[i], again[i]) for i in range(6))  # from memory, too
    alone = dataset(examples[1:])  # one utterance less moves no other's draws
    assert all(torch.equal(alone[i], copies[2 * i + 1]) for i in range(3))


def test_clips_come_after_the_copies_and_are_heard_as_they_are(speech):
    sound = Sound(speech(1.5, seed=6, rate_hz=16000).astype(np.int16))
    frames_of = fbank_frames(24000, 16000, 16000)
    said, clip = (
        Example(key, text, PROMPT, frames_of, len(text), 1.5, "", "", "wideband")
        for key, text in (("a", "您好"), ("quiet", ""))
    )
    frontend, sounds = Frontend(CONFIG), {"wideband": sound}
    dataset = SpeechDataset(
        [said], sounds, frontend, 10, 2, lambda _, i, rows: rows + 1 + i, [clip]
    )
    assert [example.key for example in dataset.examples] == ["a", "a", "quiet"]
    plain = frontend(*sound.read("a"))
    for place, more in enumerate((1, 2, 0)):
        assert torch.allclose(dataset[place], plain + more)


def test_a_plan_hears_a_copy_for_each_epoch_but_frozen_parts_a_few():
    from telephone_asr.training.plan import Plan

    def heard(input_stage: str, epochs: int, augment: Augment | None) -> tuple[int, int]:
        plan = Plan("test", (), (), input_stage, 0.1, 0, epochs, 1, 1.0, 0.0, augment=augment)
        return plan.copies, plan.rounds

    some = Augment(0.1, 0.0, 0, 0)
    assert heard("features", 16, some) == (16, 1)
    assert heard("encoded", 16, some) == (4, 4)
    assert heard("adapted", 6, some) == (3, 2)
    assert heard("adapted", 2, some) == (2, 1)
    assert heard("features", 0, some) == heard("adapted", 0, some) == (0, 0)
    assert heard("features", 16, NOTHING) == heard("encoded", 16, None) == (0, 16)
