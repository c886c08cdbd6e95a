"""The limit of doubt costs no more of what is right in validation calls than it may."""

import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repository_fixtures import ROOT
from telephone_asr.decoding import branch
from telephone_asr.decoding.branch import Limits
from telephone_asr.decoding.limits import find_limits, limit
from telephone_asr.decoding.recognise import transcribe
from telephone_asr.params import Branch, Params, Short, load_params
from telephone_asr.scoring.cer import ErrorRate, score

BELIEFS = st.lists(st.tuples(st.integers(0, 99).map(lambda n: n / 100), st.integers(0, 20)))


@given(BELIEFS, st.integers(0, 60))
def test_it_is_the_largest_below_which_no_more_is_lost(sure, may_be_lost):
    def lost(least: float) -> int:
        return sum(right for belief, right in sure if belief < least)

    candidates = sorted({belief for belief, _ in sure} | {1.0})
    assert limit(sure, may_be_lost) == max(c for c in candidates if lost(c) <= may_be_lost)


@pytest.fixture
def calls(corpus, tmp_path, monkeypatch):
    """A working directory whose validation calls, and simulated speech, are the utterances."""
    for name in ("telecall", "simulated"):
        shutil.copytree(corpus.shards, tmp_path / "data" / name)
        manifest = tmp_path / "data" / "manifests" / name / "valid.jsonl"
        manifest.parent.mkdir(parents=True)
        shutil.copy(corpus.shards.parent / "train.jsonl", manifest)
    monkeypatch.chdir(tmp_path)


def params_of(doubt: float | None, short: Short | None = None) -> Params:
    params = load_params(ROOT / "params.yaml")
    decode = replace(params.decode, batch_size=5, max_tokens=12, branch=Branch(doubt, short))
    return replace(params, decode=decode)


def right(examples, texts) -> int:
    total = sum(score([example.text for example in examples], texts), ErrorRate())
    return total.length - total.substitutions - total.deletions


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_what_is_right_is_kept_but_for_the_share(fitted, calls, make_inputs, corpus, share):
    inputs = make_inputs(fitted)
    before = transcribe(fitted, inputs, 5, 12)
    found = find_limits(fitted, params_of(share))
    after = transcribe(fitted, inputs, 5, 12, branch=found)
    assert right(corpus.examples, after) >= (1 - share) * right(corpus.examples, before) > 0
    assert 0 < found.doubt < 1
    # A little more would cost more than it may.
    stricter = replace(found, doubt=found.doubt + 1e-4)
    lost = transcribe(fitted, inputs, 5, 12, branch=stricter)
    assert right(corpus.examples, lost) < (1 - share) * right(corpus.examples, before)


def test_where_all_may_be_lost_nothing_is_believed(fitted, calls):
    assert find_limits(fitted, params_of(1.0)) == Limits(1.0, None)


def test_what_the_branch_writes_itself_counts_as_it_is_written(
    fitted, calls, make_inputs, corpus, monkeypatch
):
    short = Short(characters=3, ctc=0.7)
    heard = (corpus.examples[0].text[:2], [0.9, 0.8])
    monkeypatch.setattr(branch, "ctc_greedy", lambda *_: heard)
    found = find_limits(fitted, params_of(0.0, short))
    assert 0 < found.doubt < 1
    inputs = make_inputs(fitted)
    written = transcribe(fitted, inputs, 5, 12, branch=Limits(None, short))
    assert set(written) == {heard[0]}
    kept = transcribe(fitted, inputs, 5, 12, branch=found)
    assert right(corpus.examples, kept) == right(corpus.examples, written) > 0


def test_there_is_nothing_to_find_where_nothing_is_asked_for(fitted, calls):
    assert find_limits(fitted, params_of(None)) == Limits(None, None)
    params = params_of(None)
    params = replace(params, decode=replace(params.decode, branch=None))
    assert find_limits(fitted, params) is None
