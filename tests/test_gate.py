"""The gate: what stops a change, what does not, and how each is said."""

import json
import random
from itertools import chain
from pathlib import Path

import pytest

from repository_fixtures import write_params
from review_fixtures import commit
from telephone_asr.commands import revisions
from telephone_asr.names import CHECKPOINTS
from telephone_asr.scoring.difference import Results, of_transcripts
from telephone_asr.scoring.evidence import flat, lacks
from telephone_asr.scoring.gate import check, passed

LIMITS = {"max_wideband_loss": 0.02, "max_cer_increase": 0.0, "accept": (), "seed": 0}


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
    assert found.value > 0 > found.low
    checks = check(after, before, **LIMITS)
    assert passed(checks)
    assert "within noise" in checks[1].sentence


def test_without_another_revision_only_the_price_is_checked():
    assert len(check(adapted(0.2), None, **LIMITS)) == 1
    assert len(check(adapted(0.2), adapted(0.2), **LIMITS)) == 3


def test_other_test_speech_stops_the_change_until_it_is_accepted_by_name():
    before, after = adapted(0.2, transcripts=False), adapted(0.2, 0.9, transcripts=False)
    after.metrics["final"]["telecall"]["characters"] += 10
    checks = check(after, before, **LIMITS)
    assert [one.ok for one in checks] == [True, True, False]
    assert "add telecall to gate.accept in params.yaml" in checks[2].sentence
    accepted = check(after, before, **{**LIMITS, "accept": ("telecall", "wideband")})
    assert passed(accepted)
    assert [one.ok for one in accepted] == [True, True, None, None]
    assert "accepted by gate.accept (telecall)" in accepted[2].sentence
    assert "names wideband, which nothing needs" in accepted[3].sentence


def test_a_test_set_that_lost_its_hard_utterances_stops_the_change_too():
    before, after = adapted(0.2), adapted(0.2)
    kept = [x for x in after.transcripts["final"] if x["source"] != "telecall"]
    easy = lines("telecall", 0.2, count=60)
    after.transcripts["final"][:] = [*kept, *easy]
    after.metrics["final"]["telecall"] = metrics_of(easy)
    checks = check(after, before, **LIMITS)
    assert not passed(checks)
    assert "of 100 utterances before and 60 after, of which 60 are the same" in checks[3].sentence
    assert passed(check(after, before, **{**LIMITS, "accept": ("telecall",)}))


def test_no_rates_of_wideband_speech_are_no_price_paid():
    after = adapted(0.2)
    del after.metrics["base"]["wideband"]
    assert not passed(check(after, None, **LIMITS))
    assert not passed([])


@pytest.mark.parametrize("nested", [True, False])
def test_words_where_nobody_speaks_stop_the_change_above_the_limit(nested):
    """On the worst kind, with hotwords as without; metrics of git come with dotted keys."""
    after = adapted(0.2)
    rate = "insertions_per_minute"
    own = {"noise": {rate: 0.5, "hotwords": {rate: 3.0}}, "fax": {rate: 1.0, "cut_off": 7}}
    after.metrics["final"]["no_speech"] = own if nested else flat(own)
    assert len(check(after, None, **LIMITS)) == 1
    price, checked = check(after, None, **LIMITS, max_no_speech=2.9)
    assert (price.ok, checked.ok) == (True, False)
    assert "up to 3.0 characters a minute (noise with hotwords); 2.9 allowed" in checked.sentence
    assert "gate.max_no_speech" in checked.sentence
    assert passed(check(after, None, **LIMITS, max_no_speech=3))
    assert not passed(check(adapted(0.2), None, **LIMITS, max_no_speech=3))


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


def test_a_stage_that_was_renamed_and_stays_in_dvc_lock_is_not_asked_for(branch, telephone_asr):
    """DVC never takes a stage out of dvc.lock: neither one of a matrix, nor one by itself."""
    shown = telephone_asr(branch, "gate", fails=True).out
    lock = branch / "dvc.lock"
    stale = "".join(
        f"  {stage}:\n    cmd: python a.py\n    outs:\n    - path: metrics/{name}.json\n"
        for stage, name in (("evaluate@old", "old"), ("once", "once"))
    )
    lock.write_text(lock.read_text() + stale)
    assert telephone_asr(branch, "gate", fails=True).out == shown


def test_without_main_a_revision_has_to_be_named(without_data, telephone_asr):
    error = telephone_asr(without_data, "gate", fails=True).error
    assert error == "error: there is no main to compare with: name a revision with --base REV."
    compared = telephone_asr(without_data, "gate", "--base", "origin/main", fails=True).out
    assert "telephone calls" in compared
    assert "not all transcripts are at hand" in compared


def test_the_model_that_ships_is_what_is_compared(branch, telephone_asr):
    """Worse metrics of stage 3 change nothing that the gate says, worse ones of final do."""
    shown = telephone_asr(branch, "gate", fails=True).out
    for name, expected in (("lora", ["BROKEN", "ok", "ok"]), ("final", ["BROKEN", "BROKEN", "ok"])):
        path = branch / "metrics" / f"{name}.json"
        metrics = json.loads(path.read_text())
        for key in ("cer", "cer_low", "cer_high"):
            metrics["telecall"][key] += 0.5
        metrics["telecall"]["substitutions"] += 200  # so that the transcripts are not those of it
        path.write_text(json.dumps(metrics))
        found = telephone_asr(branch, "gate", fails=True).out.splitlines()
        assert [line.split()[0] for line in found[:3]] == expected
        assert (found[:3] == shown.splitlines()[:3]) == (name == "lora")


def test_stage_3_of_a_revision_without_a_final_stands_in_where_that_is_accepted(
    older, telephone_asr
):
    shown = telephone_asr(older, "gate", "--base", "older", fails=True).out.splitlines()
    same = telephone_asr(older, "gate", "--base", "main", fails=True).out.splitlines()
    assert shown[:3] == same
    files = ("metrics/final.json", "metrics/slices/final.json")
    for line, file in zip(shown[3:5], files, strict=True):
        assert line.startswith(f"BROKEN {file} is ")
        assert ", in older: " in line
        assert line.endswith(f"add {file} to gate.accept in params.yaml.")
    assert shown[5].startswith("-      older has no metrics/final.json: its stage 3 before merging")
    accept(older, *files)
    assert (
        "accepted by gate.accept (metrics/final.json)"
        in telephone_asr(older, "gate", "--base", "older").out
    )
    unused = telephone_asr(older, "gate", "--base", "main").out
    assert "gate.accept names metrics/final.json, which nothing needs: take it out." in unused


def accept(repository: Path, *names: str) -> None:
    """Accepts what a revision lacks, and the loss that the fixture has."""
    write_params(repository, {"gate.accept": list(names), "gate.max_wideband_loss": 0.5})


# --- What cannot be read, or is not there

MARKS = '<<<<<<< HEAD\n{"a": 1}\n=======\n{"a": 2}\n>>>>>>> branch\n'
FILES = [f"metrics/{name}.json" for name in ("base", "encoder", "adaptor", "lora", "final", "data")]
FILES += ["metrics/slices/lora.json", "dvc.lock", "params.yaml"]


def damaged(text: str) -> dict[str, str | None]:
    """What may have become of a file; None: it is gone."""
    return {
        "is missing": None,
        "is empty": "",
        "merge conflict": text[:40] + "\n" + MARKS + text[40:],
        "is no": text[: len(text) // 2] + "\n}}]",
    }


@pytest.mark.parametrize("file", FILES)
def test_whatever_cannot_be_read_fails_and_is_accepted_of_the_other_side_alone(
    file, branch, monkeypatch
):
    monkeypatch.chdir(branch)
    good = revisions.read(None)
    assert not good.unreadable
    for why, text in damaged((branch / file).read_text()).items():
        (branch / file).unlink(missing_ok=True)
        if text is not None:
            (branch / file).write_text(text)
        bad = revisions.read(None)
        assert why in bad.unreadable[file]
        commit(branch, why)
        assert revisions.read("HEAD").unreadable[file] == bad.unreadable[file]
        for there, here, acceptable in ((bad, good, True), (good, bad, False), (bad, bad, False)):
            found = {lack.name: lack for lack in lacks(there, here)}
            assert found[file].acceptable is acceptable
            for accepted in ((), (file,)):
                arguments = LIMITS | {"accept": accepted, "lacks": [found[file]]}
                checks = check(adapted(0.2), adapted(0.2), **arguments)
                assert passed(checks) is bool(acceptable and accepted)
                assert any(file in one.sentence for one in checks)


@pytest.mark.parametrize("kind", ["is missing", "is empty", "merge conflict", "is no"])
def test_gate_and_review_fail_and_say_why(kind, branch, telephone_asr):
    accept(branch, "metrics/lora.json")  # which helps nobody: it can be mended here
    path = branch / "metrics" / "lora.json"
    text = damaged(path.read_text())[kind]
    path.unlink() if text is None else path.write_text(text)
    shown = telephone_asr(branch, "gate", fails=True).out
    assert "BROKEN metrics/lora.json " in shown
    assert "in this checkout: mend it here" in shown
    done = telephone_asr(branch, "review", "main", fails=True)
    assert done.error.startswith("error: metrics/lora.json ")
    assert "gate **not passed**" in done.out.splitlines()[0]
    assert "✗ **not passed**: metrics/lora.json " in done.out


@pytest.mark.parametrize("file", ["metrics/lora.json", "dvc.lock", "params.yaml"])
def test_what_the_other_revision_cannot_have_is_accepted_by_a_line_that_names_it(
    file, branch, telephone_asr
):
    accept(branch)
    commit(branch, "limits")
    good = (branch / file).read_text()
    (branch / file).write_text(good[:40] + MARKS + good[40:])
    commit(branch, "damage")
    (branch / file).write_text(good)
    commit(branch, "mended")
    done = telephone_asr(branch, "review", "HEAD~1", fails=True)
    assert "gate **not passed**" in done.out.splitlines()[0]
    assert f"add {file} to gate.accept in params.yaml" in done.out
    # A lock that says nothing does not say which slices there were either.
    slices = [f"metrics/slices/{name}.json" for name in CHECKPOINTS if file == "dvc.lock"]
    accept(branch, file, *slices, "nothing")
    text = telephone_asr(branch, "review", "HEAD~1").out
    assert f"accepted by gate.accept ({file})" in text
    assert "gate.accept names nothing, which nothing needs" in text
    assert "gate passed" in text.splitlines()[0]
    assert "BROKEN" not in telephone_asr(branch, "gate", "--base", "HEAD~1").out


def test_a_metric_that_is_new_or_gone_is_accepted_by_name_or_not_at_all(branch, telephone_asr):
    path = branch / "metrics" / "final.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, "no_speech": {"noise": 3.0}}))
    accept(branch)
    commit(branch, "a metric more")
    new = "metrics/final.json: no_speech"
    shown = telephone_asr(branch, "gate", fails=True).out
    assert f"BROKEN {new} is not there, in main: where that is meant, add {new} to " in shown
    accept(branch, new)
    assert f"accepted by gate.accept ({new})" in telephone_asr(branch, "gate").out
    path.write_text(json.dumps(tree))
    accept(branch)
    shown = telephone_asr(branch, "gate", "--base", "HEAD", fails=True).out
    assert f"BROKEN {new} is not there, in this checkout" in shown


def test_transcripts_that_are_none_are_not_at_hand(branch, telephone_asr):
    accept(branch)
    path = branch / "data" / "transcripts" / "final.jsonl"
    for text in ("\0", "[1]\n", '{"key": 3}\n', path.read_text().replace('"s1"', "null")):
        path.unlink()
        path.write_text(text)
        assert "not all transcripts are at hand" in telephone_asr(branch, "gate").out
        telephone_asr(branch, "review", "main")


def test_an_unknown_revision_is_named(two_commits, telephone_asr):
    error = telephone_asr(two_commits, "gate", "--base", "nosuch", fails=True).error
    assert error.startswith("error: nosuch: git knows no such revision")
    assert "\n" not in error


# --- short turns


def with_short_turns(wrong: float, nested: bool = True, transcripts: bool = True) -> Results:
    """Adapted results whose calls have 60 turns of two characters, too, `wrong` of them lost."""
    found = adapted(0.2)
    turns = [
        {
            **line,
            **{"key": f"short-{i}", "characters": 2, "substitutions": 0, "speaker": f"s{i % 20}"},
            "deletions": 2 * (i % 10 < 10 * wrong),
        }
        for i, line in enumerate(lines("telecall", 0.0, count=60))
    ]
    errors = sum(line["deletions"] for line in turns)
    rates = {"n": 60, "characters": 120, "cer": errors / 120}
    rates |= {"cer_low": rates["cer"] - 0.05, "cer_high": rates["cer"] + 0.05}
    sections = {"telecall": rates, "simulated": {}}
    found.metrics["final"]["short_turns"] = sections if nested else flat(sections)
    found.transcripts["final"].extend(turns)
    return found if transcripts else Results(found.metrics, {})


@pytest.mark.parametrize("transcripts", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_short_turns_that_get_worse_stop_the_change_though_all_calls_do_not(nested, transcripts):
    before = with_short_turns(0.1, nested, transcripts)
    limits = {**LIMITS, "max_cer_increase": 1.0}
    checks = check(with_short_turns(0.5, True, transcripts), before, **limits)
    broken = [one.sentence for one in checks if one.ok is False]
    (sentence,) = [one for one in broken if "max_short_turns_increase" in one]
    assert "turns of up to 3 characters" in sentence
    assert "10.0 → 50.0 %" in sentence
    allowed = check(with_short_turns(0.5), before, **limits, max_short_turns_increase=0.5)
    assert not [x for x in allowed if x.ok is False and "short" in x.sentence]


def test_without_short_turns_in_common_there_is_no_check_of_them():
    for pair in ((adapted(0.2), with_short_turns(0.1)), (adapted(0.2), adapted(0.2))):
        checks = check(*pair, **LIMITS)
        assert not any("max_short_turns" in one.sentence for one in checks)
