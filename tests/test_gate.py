"""The gate: what stops a change, what does not, and how each is said."""

import json
import math
import random
from itertools import chain

import pytest

from telephone_asr.report.differences import Difference, Results, of_metrics, of_transcripts
from telephone_asr.report.gate import check, passed

LIMITS = {"max_wideband_loss": 0.02, "max_cer_increase": 0.0, "seed": 0}


def lines(source: str, wrong: float, seed: int = 0, count: int = 100, **fields) -> list[dict]:
    """Utterances of ten characters, of which about `wrong` are; the same are hard for all."""
    draw = random.Random(seed)
    found = []
    for i in range(count):
        errors = min(10, max(0, round(10 * wrong + draw.choice((-1, 0, 0, 1)))))
        counts = {"substitutions": errors, "deletions": 0, "insertions": 0, "characters": 10}
        line = {"key": f"{source}-{i}", "source": source, "speaker": f"s{i % 20}", "text": "?"}
        found.append({**line, "reference": "x", **counts, **fields})
    return found


def metrics_of(own: list[dict]) -> dict:
    errors, characters = (sum(x[key] for x in own) for key in ("substitutions", "characters"))
    cer = errors / characters
    sizes = {"characters": characters, "utterances": len(own)}
    return {"cer": cer, "cer_low": cer - 0.03, "cer_high": cer + 0.03, **sizes}


def results(transcripts: bool = True, **wrong: dict[str, float]) -> Results:
    """results(base={"wideband": 0.1}, ...): as if evaluated."""
    found = {name: {s: lines(s, w) for s, w in sets.items()} for name, sets in wrong.items()}
    return Results(
        {name: {s: metrics_of(own) for s, own in sets.items()} for name, sets in found.items()},
        {name: [*chain(*sets.values())] for name, sets in found.items()} if transcripts else {},
    )


def adapted(wideband: float, telecall: float = 0.2, simulated: float = 0.2, **kind) -> Results:
    last = {"wideband": wideband, "telecall": telecall, "simulated": simulated}
    return results(base={"wideband": 0.2}, final=last, **kind)


# --- the checks


@pytest.mark.parametrize("transcripts", [True, False])
def test_a_loss_of_wideband_speech_above_the_limit_stops_the_change(transcripts):
    checks = check(adapted(0.3, transcripts=transcripts), None, **LIMITS)
    assert [one.ok for one in checks] == [False]
    assert not passed(checks)
    sentence = checks[0].sentence
    assert "gate.max_wideband_loss" in sentence
    assert "more than noise" in sentence
    assert "19.6 → 29.6 %" in sentence
    assert sentence.count(". ") == 0


def test_a_loss_within_the_limit_passes():
    assert passed(check(adapted(0.3), None, **{**LIMITS, "max_wideband_loss": 0.11}))


def test_a_gain_of_wideband_speech_passes():
    assert passed(check(adapted(0.1), None, **LIMITS))


def test_more_errors_on_either_kind_of_telephone_speech_stop_the_change():
    before = adapted(0.2)
    for worse in ("telecall", "simulated"):
        checks = check(adapted(0.2, **{worse: 0.3}), before, **LIMITS)
        assert [one.ok for one in checks].count(False) == 1
        assert "gate.max_cer_increase" in next(one.sentence for one in checks if not one.ok)
    assert passed(check(adapted(0.2, telecall=0.3), before, **{**LIMITS, "max_cer_increase": 0.2}))


def test_a_difference_within_noise_stops_nothing_whatever_the_limit():
    before, after = adapted(0.2), adapted(0.2)
    noisy = [
        {**line, "substitutions": line["substitutions"] + random.Random(i).choice((-1, 1, 1))}
        for i, line in enumerate(lines("telecall", 0.2, count=20))
    ]
    calm = lines("telecall", 0.2, count=20)
    for side, own in ((before, calm), (after, noisy)):
        side.metrics["final"]["telecall"] = metrics_of(own)
        others = [x for x in side.transcripts["final"] if x["source"] != "telecall"]
        side.transcripts["final"] = [*others, *own]
    found = of_transcripts(calm, noisy, 0)
    assert found.difference > 0 > found.low
    checks = check(after, before, **LIMITS)
    assert passed(checks)
    assert "within noise" in checks[1].sentence


def test_without_another_revision_only_the_price_is_checked():
    assert len(check(adapted(0.2), None, **LIMITS)) == 1
    assert len(check(adapted(0.2), adapted(0.2), **LIMITS)) == 3


def test_other_test_speech_is_neither_passed_nor_failed():
    before, after = adapted(0.2, transcripts=False), adapted(0.2, 0.9, transcripts=False)
    after.metrics["final"]["telecall"]["characters"] += 10
    checks = check(after, before, **LIMITS)
    assert [one.ok for one in checks] == [True, None, True]
    assert "not compared" in checks[1].sentence
    assert passed(checks)


# --- differences


def test_the_interval_from_two_intervals_is_newcombes():
    # Newcombe 1998, table II: 56/70 less 48/80, method 10.
    def wilson(hits: int, n: int) -> dict:
        z = 1.959964
        p, half = hits / n, z * math.sqrt(hits / n * (1 - hits / n) / n + z * z / 4 / n / n)
        low, high = ((p + z * z / 2 / n + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        return {"cer": p, "cer_low": low, "cer_high": high}

    found = of_metrics(wilson(48, 80), wilson(56, 70))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_pairs_tell_more_than_two_intervals_do():
    before, after = lines("telecall", 0.2), lines("telecall", 0.22)
    after[0]["substitutions"] += 3
    after[1]["substitutions"] += 1
    paired = of_transcripts(before, after, 0)
    alone = of_metrics(metrics_of(before), metrics_of(after))
    assert paired.difference == pytest.approx(alone.difference) == pytest.approx(0.004)
    assert alone.low < paired.low < paired.difference < paired.high < alone.high
    assert paired.p is not None
    assert alone.p is None


def test_only_what_is_the_same_utterance_is_compared():
    before = lines("telecall", 0.1, snr_db=20.0)
    after = lines("telecall", 0.5, snr_db=20.0)
    for line in after[:60]:
        line["snr_db"] = 5.0  # the line was made noisier
    after[60]["reference"] = "y"
    after[61]["key"] = "new"
    found = of_transcripts(before, after, 0)
    assert found.utterances == 38
    whole = sum(x["substitutions"] for x in after[62:]) / 380
    assert found.after == pytest.approx(whole)
    for line in after:
        line["snr_db"] = 5.0
    assert of_transcripts(before, after, 0) is None


def test_a_field_that_only_newer_transcripts_have_makes_no_other_utterance():
    found = of_transcripts(lines("telecall", 0.1), lines("telecall", 0.1, snr_db=20.0), 0)
    assert found.utterances == 100


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.2, -0.01, "better"), (0.01, 0.2, "worse"), (-0.1, 0.2, "within noise")],
)
def test_the_interval_decides_what_is_said(low, high, verdict):
    assert Difference(0.3, 0.3 + (low + high) / 2, low, high).verdict == verdict
    assert Difference(0.3, 0.3, 0.0, 0.0).verdict == "unchanged"


# --- the command


def test_the_command_fails_with_a_sentence_for_each_broken_limit(two_commits, telephone_asr):
    shown = telephone_asr(two_commits, "gate", fails=True).out.splitlines()
    assert [line.split()[0] for line in shown] == ["BROKEN", "ok", "ok"]
    assert "gate.max_wideband_loss" in shown[0]


def test_the_command_passes_where_the_limit_allows_it(branch, telephone_asr):
    params = branch / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("max_wideband_loss: 0.02", "max_wideband_loss: 0.5"))
    assert "BROKEN" not in telephone_asr(branch, "gate").out


def test_without_main_the_command_says_so_and_checks_the_price_alone(without_data, telephone_asr):
    shown = telephone_asr(without_data, "gate", fails=True).out
    assert "there is no main to compare with" in shown
    assert "telephone calls" not in shown
    assert "not all transcripts are at hand" in shown
    compared = telephone_asr(without_data, "gate", "--base", "origin/main", fails=True).out
    assert "telephone calls" in compared


def test_the_model_that_ships_is_what_is_compared(branch, telephone_asr):
    """Without stage 3's metrics the gate says the same, with worse ones of final it does not."""
    shown = telephone_asr(branch, "gate", fails=True).out
    (branch / "metrics" / "lora.json").write_text("{}")
    assert telephone_asr(branch, "gate", fails=True).out == shown
    path = branch / "metrics" / "final.json"
    metrics = json.loads(path.read_text())
    for key in ("cer", "cer_low", "cer_high"):
        metrics["telecall"][key] += 0.5
    metrics["telecall"]["substitutions"] += 200  # so that the transcripts are not those of it
    path.write_text(json.dumps(metrics))
    worse = telephone_asr(branch, "gate", fails=True).out.splitlines()
    assert [line.split()[0] for line in worse[:3]] == ["BROKEN", "BROKEN", "ok"]


def test_stage_3_of_a_revision_without_a_final_stands_in_for_it(older, telephone_asr):
    shown = telephone_asr(older, "gate", "--base", "older", fails=True).out.splitlines()
    same = telephone_asr(older, "gate", "--base", "main", fails=True).out.splitlines()
    stand_in = "-      older has no metrics/final.json: its stage 3 before merging is compared "
    assert shown == [*same, f"{stand_in}with final."]


def test_a_checkout_whose_exported_model_was_not_scored_is_refused(branch, telephone_asr):
    (branch / "metrics" / "final.json").unlink()
    error = telephone_asr(branch, "gate", fails=True).error
    assert error.startswith("error: metrics/final.json does not exist: run `dvc repro`")


def test_an_unknown_revision_is_named(two_commits, telephone_asr):
    error = telephone_asr(two_commits, "gate", "--base", "nosuch", fails=True).error
    assert error.startswith("error: nosuch: git knows no such revision")
    assert "\n" not in error
