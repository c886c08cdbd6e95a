"""Slices against sums made by hand; what is absent has no slice."""

import doctest

import pytest

from telephone_asr.scoring import slices
from telephone_asr.scoring.compare import FEWEST_GROUPS, bootstrap_interval
from telephone_asr.scoring.slices import summary


def line(reference: str, text: str, errors=(0, 0, 0), **fields) -> dict:
    """A transcript line; errors are substitutions, deletions, insertions."""
    counts = dict(zip(("substitutions", "deletions", "insertions"), errors, strict=True))
    known = {"speaker": "a", "scene": "", "duration": 3.0, "snr_db": 18.0}
    known |= {"codec": None, "lost_packets": None, "characters": len(reference)}
    return {"reference": reference, "text": text, **known, **counts, **fields}


def leaves(tree: dict) -> list:
    return [leaf for v in tree.values() for leaf in (leaves(v) if isinstance(v, dict) else [v])]


def test_doctests():
    result = doctest.testmod(slices)
    assert result.attempted >= 4
    assert result.failed == 0


def test_errors_of_a_slice_are_added_not_averaged():
    lines = [
        line("好" * 98, "", (1, 1, 0), scene="sales"),
        line("好好", "", (1, 1, 2), scene="sales", speaker="b"),
        line("好" * 10, "", (0, 5, 0), scene="service", speaker="c"),
    ]
    found = summary(lines, seed=0)
    assert found["scene"] == {
        "sales": {"cer": 0.06, "characters": 100},
        "service": {"cer": 0.5, "characters": 10},
    }
    assert found["cer"] == 0.1
    counts = [found[key] for key in ("substitutions", "deletions", "insertions", "characters")]
    assert counts == [2, 7, 2, 110]
    assert found["utterances"] == 3
    assert found["cer_low"] <= found["cer"] <= found["cer_high"]


def test_bands_of_duration_noise_and_loss():
    lines = [
        line("好" * 10, "", (i, 0, 0), duration=duration, snr_db=snr_db, lost_packets=lost)
        for i, (duration, snr_db, lost) in enumerate(
            [(0.5, -3.0, 0.0), (1.0, 9.9, 0.001), (7.99, 10.0, 0.03), (8.0, 31.0, 0.3)]
        )
    ]
    found = summary(lines, seed=0)
    rates = {
        key: {name: one["cer"] for name, one in found[key].items()}
        for key in ("duration_s", "snr_db", "lost_packets")
    }
    assert rates["duration_s"] == {"below_1": 0.0, "1-2": 0.1, "4-8": 0.2, "8+": 0.3}
    assert rates["snr_db"] == {"below_10": 0.05, "10-15": 0.2, "30+": 0.3}
    assert rates["lost_packets"] == {"none": 0.0, "below_1%": 0.1, "3-5%": 0.2, "5%+": 0.3}
    assert all(list(rates[key]) == list(one) for key, one in rates.items())
    assert list(rates["snr_db"]) == ["below_10", "10-15", "30+"]


def test_codecs_of_all_rates_are_one_slice():
    lines = [
        line("好" * 10, "", (n, 0, 0), codec=codec)
        for n, codec in [(1, "amr_nb_4750+alaw"), (3, "amr_nb_12200+alaw"), (5, "g726+alaw")]
    ]
    found = summary(lines, seed=0)["codec"]
    assert {name: one["cer"] for name, one in found.items()} == {
        "amr_nb+alaw": 0.2,
        "g726+alaw": 0.5,
    }


def test_fields_that_nobody_knows_make_no_slice():
    found = summary([line("您好吗您好", "您好吗您好")], seed=0)
    assert found["scene"] == found["codec"] == found["lost_packets"] == found["short_turns"] == {}
    assert found["digits"] == found["amounts"] == found["dates"] == found["names"] == {}
    unknown = summary([line("您好", "您好", snr_db=None)], seed=0)
    assert unknown["snr_db"] == {}


def test_a_slice_has_an_interval_from_enough_speakers_on():
    lines = [
        line("好" * 10, "", (i % 4, 0, 0), scene="sales", speaker=f"s{i}")
        for i in range(FEWEST_GROUPS)
    ]
    found = summary(lines, seed=3)
    errors = [slices.errors_of(one) for one in lines]
    low, high = bootstrap_interval(errors, [one["speaker"] for one in lines], seed=3)
    assert found["scene"]["sales"]["cer_low"] == pytest.approx(low, abs=1e-6)
    assert found["scene"]["sales"]["cer_high"] == pytest.approx(high, abs=1e-6)
    fewer = summary(lines[1:], seed=3)
    assert set(fewer["scene"]["sales"]) == {"cer", "characters"}
    right = [dict(one, substitutions=0) for one in lines]
    assert set(summary(right, seed=3)["scene"]["sales"]) == {"cer", "characters"}


def test_the_interval_is_by_speaker_and_not_by_utterance():
    lines = [line("好" * 10, "", (5 * (i % 6 == 0), 0, 0), speaker=f"s{i % 6}") for i in range(60)]
    found = summary(lines, seed=0)
    alone = summary([dict(one, speaker=str(i)) for i, one in enumerate(lines)], seed=0)
    assert found["cer_high"] - found["cer_low"] > 1.5 * (alone["cer_high"] - alone["cer_low"])


def test_short_turns_have_at_most_three_characters_and_at_least_one():
    lines = [
        line("好", "", (0, 1, 0)),
        line("不需要", "不要", (0, 1, 0)),
        line("不需要了", "", (0, 4, 0)),
        line("", "嗯", (0, 0, 1)),
    ]
    assert summary(lines, seed=0)["short_turns"] == {"n": 2, "cer": 0.5, "characters": 4}


def test_speakers_are_told_by_median_and_ninth_decile():
    lines = [line("好" * 10, "", (i, 0, 0), speaker=f"s{i}") for i in range(11)]
    lines += [line("好" * 10, "", (10, 0, 0), speaker="s10")]
    assert summary(lines, seed=0)["speaker"] == {"n": 11, "median": 0.5, "p90": 0.9}


def test_exact_matches_are_found_in_normalised_texts():
    lines = [
        line("尾号四六二五，欠款三百二十元", "尾号4625欠款三百二元"),
        line("尾号四六二五", "尾号四六二"),
        line("王先生您在三月五号还", "黄先生您在3月5号还"),
    ]
    found = summary(lines, seed=0)
    assert found["digits"] == {"n": 2, "exact": 0.5}
    assert found["amounts"] == {"n": 1, "exact": 1.0}
    assert found["dates"] == {"n": 1, "exact": 1.0}
    assert found["names"] == {"n": 1, "exact": 0.0}


def test_a_loop_repeats_what_the_reference_does_not():
    pairs = [
        ("好的", "好的好的好的"),
        ("好的好的", "好的好的好的"),
        ("喂喂喂你好", "喂喂喂你好"),
        ("您的贷款", "您的贷款逾期您的贷款逾期"),
        ("谢谢", "谢谢谢谢"),
        ("尾号四四四四", "尾号4444"),
        ("再见", "再见"),
        ("您好", "吗吗吗吗"),
    ]
    found = summary([line(*pair) for pair in pairs], seed=0)
    assert found["loops"] == {"n": 3, "share": 0.375}


def test_fillers_are_no_loop_where_they_do_not_count():
    lines = [line("您好", "嗯嗯嗯您好")]
    assert summary(lines, seed=0)["loops"]["n"] == 1
    assert summary(lines, seed=0, fillers=["嗯"])["loops"]["n"] == 0


def test_all_leaves_are_numbers_and_the_order_of_lines_changes_none():
    lines = [
        line("好" * (3 + i), "", (i % 3, 0, 1), speaker=f"s{i % 7}", scene="abc"[i % 3])
        for i in range(50)
    ]
    found = summary(lines, seed=0)
    assert all(type(leaf) in (int, float) for leaf in leaves(found))
    assert summary(lines[::-1], seed=0) == found


def test_corpora_are_a_slice_where_there_are_several():
    lines = [
        line("好" * 10, "", (1, 0, 0), corpus="outbound"),
        line("好" * 10, "", (3, 0, 0), corpus="inbound"),
    ]
    rates = summary(lines, seed=0)["corpus"]
    assert {name: one["cer"] for name, one in rates.items()} == {"inbound": 0.3, "outbound": 0.1}
    assert "corpus" not in summary([line("好", "好")], seed=0)  # metrics stay as they were
