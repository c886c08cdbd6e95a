"""The forecast before a long run, against counting by hand and against what a run makes."""

import json

import pytest

from repository_fixtures import ROOT, smaller, write_params
from telephone_asr.commands import forecast
from telephone_asr.commands.forecast import Speech, corpus_speech, read_rates
from telephone_asr.dataset.batching import low_rate_frames, schedule
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import read_manifest
from telephone_asr.no_speech.clips import training_clips
from telephone_asr.params import load_params
from telephone_asr.training.plan import COPIES

RATES = {
    "encoder": {"rows_a_second": 1000.0, "weights_gb": 4.0, "gb_a_1000_rows": 2.0},
    "adaptor": {
        **{"rows_a_second": 2000.0, "weights_gb": 4.0, "gb_a_1000_rows": 1.0},
        "frozen_rows_a_second": 5000.0,
    },
    "lora": {"rows_a_second": 2000.0, "weights_gb": 4.0, "gb_a_1000_rows": 1.0},
    "decoding": {"seconds_a_second": 100.0, "tokens": 20},
}
SPEECH = {"wideband": Speech(10_000, 10.0), "calls": Speech(4_000, 2.0)}


@pytest.fixture
def params():
    return smaller(
        load_params(ROOT / "params.yaml"),
        split={"valid": 0.1, "test": 0.1},
        train={
            **{
                "mix": 0.0,
                "no_speech": 0.0,
                "max_batch_rows": 4000,
                "batches_per_step": 2,
                "evaluations": 4,
            },
            **{"valid_utterances": 100, "encoder": {"epochs": 2}, "cache_frozen_gb": 100.0},
            "augment": {"speed": 0.0, "tract": 0.0, "hidden_filters": 0, "hidden_frames": 0},
            "pad": {"share": 0.0, "most_s": 2.0},
        },
    )


def by_stage(params, rates=RATES) -> dict[str, forecast.Forecast]:
    return {found.stage: found for found in forecast.forecast(params, SPEECH, rates)}


def test_a_stage_takes_its_rows_times_its_epochs_at_the_rate_that_was_measured(params):
    found = by_stage(params)["train_encoder"]
    rows = 9.6 * 3600 / 0.06 * forecast.PADDING  # of twelve hours of both, 60 ms a row
    validations = 6 * 100 * (9.6 * 3600 / 11_200) / 100  # six of 100 utterances, 100 x real time
    assert found.hours == pytest.approx((2 * rows / 1000 + validations) / 3600)
    assert found.steps == pytest.approx(2 * rows / 4000 / 2, abs=2)
    assert found.memory_gb == 4.0 + 2.0 * 4
    assert (found.speech.utterances, found.speech.hours) == (11_200, pytest.approx(9.6))


def test_two_processes_take_half_the_time_and_each_the_same_memory(params):
    one = by_stage(params)["train_adaptor"]
    two = by_stage(smaller(params, train={"processes": 2}))["train_adaptor"]
    assert two.hours == pytest.approx(one.hours / 2)
    assert two.memory_gb == one.memory_gb


def test_frozen_outputs_take_disk_where_they_are_kept_and_an_eighth_of_the_rows_in_stage_3(params):
    kept = by_stage(params)
    none = by_stage(smaller(params, train={"cache_frozen_gb": 0.0}))
    rows = 0.8 * 12 * 3600 / 0.06 * forecast.PADDING
    saved = kept["train_adaptor"].disk_gb - none["train_adaptor"].disk_gb
    assert saved == pytest.approx(rows * 512 * 4 / 1e9)
    rows = 0.8 * 2 * 3600 / 0.06 * forecast.PADDING
    saved = kept["train_lora"].disk_gb - none["train_lora"].disk_gb
    assert saved == pytest.approx(rows / 8 * 1024 * 4 / 1e9)


def test_frozen_parts_hear_each_changed_copy(params):
    once, changed = by_stage(params), by_stage(smaller(params, train={"augment": {"speed": 0.1}}))
    rows = 0.8 * 12 * 3600 / 0.06 * forecast.PADDING
    copies = min(COPIES, params.train.adaptor.epochs)
    more = changed["train_adaptor"].disk_gb - once["train_adaptor"].disk_gb
    assert more == pytest.approx((copies - 1) * rows * 512 * 4 / 1e9)
    assert changed["train_encoder"].disk_gb == once["train_encoder"].disk_gb


def test_wideband_speech_that_is_mixed_in_counts(params):
    mixed = by_stage(smaller(params, train={"mix": 0.5}))["train_lora"]
    assert mixed.speech.utterances == 3200 + 1600
    assert mixed.speech.hours == pytest.approx(1.6 + 1.6)


def test_clips_in_which_nobody_speaks_count(params):
    spoken = by_stage(params)["train_lora"].speech
    found = by_stage(smaller(params, train={"no_speech": 0.2}))["train_lora"].speech
    assert found.utterances == spoken.utterances * 5 / 4
    clips = [clip.seconds for clip in training_clips(600, seed=0)]
    mean_h = sum(clips) / len(clips) / 3600
    assert found.hours - spoken.hours == pytest.approx(spoken.utterances / 4 * mean_h, rel=0.02)


def test_without_a_rate_there_are_still_steps_and_disk(params):
    found = by_stage(params, None)
    assert found["train_lora"].steps > 0
    assert found["train_lora"].hours is None
    assert "GB of disk" in str(found["train_lora"])
    assert "memory" not in str(found["train_lora"])


def test_the_steps_are_about_those_of_the_schedule_that_is_made(data_repository):
    params = load_params(data_repository.path / "params.yaml")
    manifest = data_repository.path / "data" / "manifests" / "simulated" / "train.jsonl"
    examples = read_manifest(manifest)
    lengths = [low_rate_frames(example) for example in examples]
    made = len(schedule(lengths, params.train.max_batch_rows, params.train.encoder.epochs, 0))
    train = Speech(len(examples), sum(e.duration_s for e in examples) / 3600)
    share = 1 - params.split.valid - params.split.test
    speech = {"wideband": train.share(1 / share), "calls": Speech(0, 0.0)}
    params = smaller(params, train={"mix": 0.0})
    found = {f.stage: f for f in forecast.forecast(params, speech, None)}["train_encoder"]
    assert made / 2 <= found.steps <= 2 * made


def test_how_much_speech_there_is_is_read_off_the_corpus(repository):
    params = load_params()
    found = corpus_speech("calls", params)
    assert found.utterances == pytest.approx(28, abs=4)  # some are broken
    assert found.hours * 3600 / found.utterances == pytest.approx(1.2, rel=0.2)
    write_params(repository, {"corpus.sample_size": 5})
    assert corpus_speech("calls", load_params()).utterances == 5
    write_params(repository, {"corpus.wideband.kind": "aishell"})
    with pytest.raises(InputError, match=r"corpus\.wideband: how much speech aishell holds"):
        corpus_speech("wideband", load_params())


def test_rates_are_those_of_the_machine_or_of_one_of_its_kind_and_it_is_said_whose(tmp_path):
    path = tmp_path / "rates.yaml"
    path.write_text(
        "- {machine: a laptop, device: cpu, precision: fp32}\n"
        "- {machine: a card, device: cuda, precision: bf16}\n"
        "- {machine: 'another card (80 GiB), 16 cores', device: cuda, precision: bf16}\n"
    )
    for machine, gpu, expected in (
        ("another card", True, "another card (80 GiB), 16 cores"),
        ("a third card", True, "a card"),
        ("a server", False, "a laptop"),
    ):
        found, said = read_rates(machine, gpu, path)
        assert found["machine"] == expected
        assert expected in said
    found, said = read_rates("a card", True, tmp_path / "none.yaml")
    assert found is None
    assert "bench/gpu.py" in said


def test_the_repositorys_own_rates_are_a_cpus_and_complete(params):
    rates, said = read_rates("another processor", gpu=False, path=ROOT / "bench" / "rates.yaml")
    assert "bench/training.py measured on" in said
    found = list(forecast.forecast(params, SPEECH, rates))
    for stage in found[1:]:
        assert stage.hours > 0


def test_what_each_process_does_before_and_beside_the_corpus_counts(params):
    from telephone_asr.scoring import hotwords
    from telephone_asr.stages import evaluate

    lists = [name for name, (words, _) in hotwords.LISTS.items() if words]
    assert (len(lists), evaluate.LISTED) == (forecast.HOTWORD_LISTS, forecast.LISTED)
    before, after = by_stage(params), by_stage(params, RATES | {"start_s": 36.0})
    assert after["train_lora"].hours - before["train_lora"].hours == pytest.approx(0.01)
    name = "evaluate (5 checkpoints)"
    # Nine kinds of ten minutes, without hotwords and with, at 100 times real time.
    longer = by_stage(smaller(params, corpus={"no_speech": {"test_minutes": 20.0}}))
    assert longer[name].hours - before[name].hours == pytest.approx(5 * 2 * 9 * 10 / 60 / 100)
    assert after[name].hours - before[name].hours == pytest.approx(0.1)


def test_a_fresh_line_needs_less_room_for_data_and_more_for_frozen_outputs(params):
    still = {"speed": 0.0, "tract": 0.0, "hidden_filters": 0, "hidden_frames": 0}
    train = {"augment": still, "adaptor": {"epochs": 3}, "cache_frozen_gb": 1e6}
    params = smaller(params, train=train)
    before = by_stage(params)
    after = by_stage(smaller(params, train={"fresh_line": True}))
    own_share = 1 - params.split.valid - params.split.test
    spared_gb = SPEECH["wideband"].hours * own_share * forecast.TELEPHONE_GB_PER_HOUR
    assert before["data"].disk_gb - after["data"].disk_gb == pytest.approx(spared_gb)
    frozen_gb = [own["train_adaptor"].disk_gb for own in (before, after)]
    weights_gb = by_stage(smaller(params, train={"cache_frozen_gb": 0.0}))["train_adaptor"].disk_gb
    assert frozen_gb[1] - weights_gb == pytest.approx(3 * (frozen_gb[0] - weights_gb))
    assert after["train_lora"] == before["train_lora"]


def test_rounds_take_each_training_again_with_the_share_of_turns(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = by_stage(params)
    assert not [stage for stage in before if "self_train" in stage]
    rounds = smaller(params, unlabelled={"rounds": 2, "share": 0.5})
    found = by_stage(rounds)
    assert not [stage for stage in found if "pseudo_label" in stage]  # nobody knows how many turns
    parts = [before[f"train_{stage}"] for stage in ("encoder", "adaptor", "lora")]
    again = found["self_train, 2 times"]
    assert again.speech.utterances == pytest.approx(1.5 * parts[0].speech.utterances, abs=2)
    assert again.steps == pytest.approx(2 * 1.5 * sum(part.steps for part in parts), rel=0.01)
    # What is validated stays as much.
    assert 2 * sum(part.hours for part in parts) < again.hours
    assert again.hours < 2 * 1.5 * sum(part.hours for part in parts)
    assert again.memory_gb == max(part.memory_gb for part in parts)
    assert by_stage(rounds, None)["self_train, 2 times"].hours is None
    metrics = {"rounds": 2, "turns": 3000, "channel_hours": {"speech": 5.0}}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "unlabelled.json").write_text(json.dumps(metrics))
    labels = by_stage(rounds)["pseudo_label, 2 times"]
    assert (labels.speech, labels.hours) == (Speech(3000, 5.0), pytest.approx(2 * 5.0 / 100))
    (tmp_path / "metrics" / "unlabelled.json").write_text("<<<<<<< HEAD\n{}")
    with pytest.raises(InputError, match=r"unlabelled\.json .*: `dvc repro` makes it anew"):
        by_stage(rounds)
