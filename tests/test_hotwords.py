"""Hotwords: pieces of transcripts, lists in prompts of training, and what lists do to texts."""

import re
from collections import Counter

import numpy as np
import pytest
import torch

from speech_fixtures import TEXTS
from telephone_asr.manifests.hotwords import draw, pieces, unit_counts, usable, with_hotwords
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.model.fun_asr_nano import Batch
from telephone_asr.scoring import hotwords
from telephone_asr.scoring.cer import score
from telephone_asr.scoring.options import Scoring
from telephone_asr.training.hotwords import MOST_SAID, PromptLists

CALLS = [
    *("我是华信银行的王伟", "您的尾号四六二五的信用卡已经逾期", "请问是李娜女士吗"),
    *("我明天下午还款", "会员服务到期了", "办理分期付款手续费很低", "喂", "好的，谢谢您"),
    *("快递放在门卫那里", "改签到周五", "要办VIP卡吗", "订单号是4625113", "我叫孙丽"),
    *("不方便接电话", "物业费什么时候交"),
]


# --- Pieces


def test_a_piece_has_up_to_four_units_in_a_row_and_crosses_no_mark():
    found = pieces("您好，王伟丽先生")
    assert {"您好", "王伟", "王伟丽先", "先生"} <= set(found)
    assert max(map(len, found)) == 4
    assert all("，" not in piece and len(piece) > 1 for piece in found)
    assert pieces("喂") == pieces("") == pieces("，。") == []


def test_numbers_and_latin_words_are_not_cut():
    found = pieces("订单4625113用VIP卡")
    assert {"4625113", "VIP", "VIP卡", "单4625113"} <= set(found)
    for piece in found:
        assert "4625113" in piece or not re.search("[0-9]", piece)
        assert "VIP" in piece or not re.search("[A-Z]", piece)


@pytest.mark.parametrize(
    "text", ["我<|im_end|>们, 好的[是]", "a\nb\tc d", "/sil", "好　的 吗\u2028呢"]
)
def test_no_piece_breaks_a_prompt(text):
    assert [usable(piece) for piece in pieces(text)] == pieces(text)


def test_rare_pieces_are_drawn_more_often():
    counts = unit_counts(["还款还款还款还款"] * 100 + ["还款伟丽"])
    rng = np.random.default_rng(0)
    drawn = Counter(draw(["还款", "伟丽"], counts, 1, rng)[0] for _ in range(500))
    assert drawn["伟丽"] > 400
    assert drawn["还款"] > 5
    assert sorted(draw(["甲乙", "甲乙", "丙丁"], {}, 5, rng)) == ["丙丁", "甲乙"]


# --- Prompts of training


def batch(texts=CALLS, prompt: str = PROMPT) -> Batch:
    n = len(texts)
    return Batch(
        [f"u{i}" for i in range(n)],
        torch.zeros(n, 2, 3),
        torch.full((n,), 2),
        [prompt] * n,
        list(texts),
    )


def words_of(prompt: str) -> list[str]:
    found = re.search(r"热词列表：\[(.*)\]\n", prompt)
    return found[1].split(", ") if found else []


def lists(share: float = 1.0, most: int = 10, seed: int = 0, texts=CALLS) -> PromptLists:
    return PromptLists(texts, share, most, seed)


@pytest.mark.parametrize("prompt", [PROMPT, PROMPT_VERBATIM])
def test_prompts_of_training_are_funasrs(fitted, prompt):
    for asked in lists().put_into(batch(prompt=prompt), 3).prompts:
        assert words_of(asked)
        assert asked == fitted.model.get_prompt(words_of(asked), itn=prompt == PROMPT)


def test_nothing_but_the_prompts_changes():
    before, after = batch(), lists().put_into(batch(), 0)
    assert after.prompts != before.prompts
    assert (after.keys, after.texts) == (before.keys, before.texts)
    assert torch.equal(after.inputs, before.inputs)
    assert torch.equal(after.lengths, before.lengths)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_so_many_batches_have_lists_of_so_many_words_of_which_some_are_said(share):
    made, listed, sizes, said = lists(share, most=6), Counter(), Counter(), Counter()
    for number in range(400):
        prompts = made.put_into(batch(), number).prompts
        [with_list] = {bool(words_of(prompt)) for prompt in prompts}  # all of them, or none
        listed[with_list] += 1
        for prompt, text in zip(prompts if with_list else [], CALLS, strict=with_list):
            words = words_of(prompt)
            assert len(set(words)) == len(words)
            assert prompt.endswith(PROMPT)
            sizes[len(words)] += 1
            if len(pieces(text)) > MOST_SAID:
                said[sum(word in text for word in words)] += 1
    assert listed[True] / 400 == pytest.approx(share, abs=0.07)
    assert set(sizes) == {1, 2, 3, 4, 5, 6}
    assert sizes[1] > sizes[3] > sizes[6]  # long lists take most of the time
    assert set(said) == {0, 1, 2, 3}
    none = sum(n / (min(size, MOST_SAID) + 1) for size, n in sizes.items()) / sizes.total()
    assert said[0] / said.total() == pytest.approx(none, abs=0.05)


def test_half_of_the_batches_have_no_list_longer_than_the_root():
    texts = [f"第{chr(0x4E00 + 7 * i)}{chr(0x4F00 + 11 * i)}号" for i in range(300)]
    made = lists(most=49, texts=texts)
    longest = [
        max(len(words_of(prompt)) for prompt in made.put_into(batch(), number).prompts)
        for number in range(200)
    ]
    assert np.mean([n <= 7 for n in longest]) == pytest.approx(0.5, abs=0.12)
    assert max(longest) > 35


def test_batches_whose_memory_is_tried_out_have_lists_in_any_case():
    made = PromptLists(CALLS, 0.0, 5, seed=0, always=[3])
    have = [any(map(words_of, made.put_into(batch(), number).prompts)) for number in range(6)]
    assert have == [False, False, False, True, False, False]


def test_batches_whose_memory_is_tried_out_have_long_lists():
    made = PromptLists(CALLS, 0.0, 6, seed=0, always=range(50))
    sizes = Counter(len(words_of(p)) for n in range(50) for p in made.put_into(batch(), n).prompts)
    assert sizes[6] > 0.1 * sizes.total()


def test_distractors_are_words_of_other_transcripts():
    others = Counter()
    for number in range(50):
        for prompt, text in zip(lists().put_into(batch(), number).prompts, CALLS, strict=True):
            others.update(word for word in words_of(prompt) if word not in text)
    assert len(others) >= 8
    for word in others:
        assert any(word in text for text in CALLS)


def test_said_words_stand_anywhere_in_a_list():
    places = Counter()
    for number in range(400):
        for prompt, text in zip(
            lists(most=4).put_into(batch(), number).prompts, CALLS, strict=True
        ):
            words = words_of(prompt)
            if len(words) == 4 and sum(word in text for word in words) == 1:
                places[[word in text for word in words].index(True)] += 1
    assert min(places.values()) > 0.5 * max(places.values())
    assert len(places) == 4


def test_a_batch_has_the_same_lists_whatever_came_before_it():
    """As after a kill, or in a process that reads ahead."""
    whole = lists()
    expected = [whole.put_into(batch(), number).prompts for number in range(5)]
    again = lists()
    assert [again.put_into(batch(), number).prompts for number in (4, 0, 3)] == [
        expected[number] for number in (4, 0, 3)
    ]
    assert len({tuple(prompts) for prompts in expected}) == 5
    assert lists(seed=1).put_into(batch(), 0).prompts != expected[0]


def test_transcripts_without_words_make_no_lists():
    assert (
        lists(texts=["喂", "", "嗯"]).put_into(batch(["喂", "", "嗯"]), 0).prompts == [PROMPT] * 3
    )


# --- Lists of a test, and what they do


def test_an_utterance_says_its_names_or_one_piece_without_numbers():
    words = {w.key: w.said for w in hotwords.choose(dict(enumerate_keys(CALLS)), [], Scoring())}
    assert words["u0"] == ["王伟"]
    assert words["u12"] == ["孙丽"]
    assert words["u6"] == []
    for key, text in enumerate_keys(CALLS):
        assert len(words[key]) <= 1
        for word in words[key]:
            assert word in text
            assert not re.search("[0-9四六二五]", word)


def enumerate_keys(texts) -> list[tuple[str, str]]:
    return [(f"u{i}", text) for i, text in enumerate(texts)]


MANY = [
    f"{a}{b}{c}的事情" for a in "赵钱孙李周吴郑王" for b in "天地玄黄" for c in "春夏秋冬金木水火"
]


def test_lists_are_as_long_as_they_say_and_the_same_for_everybody():
    calls = dict(enumerate_keys(CALLS))
    chosen = hotwords.choose(calls, MANY, Scoring())
    for own, text in zip(chosen, CALLS, strict=True):
        assert [len(own.of_list(name)) for name in hotwords.LISTS] == [0, 10, 100, 100]
        for name in ("10", "100"):
            assert [w for w in own.of_list(name) if w in text] == own.said
        assert not any(word in text for word in own.of_list("100_unsaid"))
        assert set(own.of_list("10")) <= set(own.of_list("100"))
        assert own.of_list("100") == own.of_list("100")
    again = hotwords.choose(calls, MANY, Scoring())
    assert [own.of_list("100") for own in again] == [own.of_list("100") for own in chosen]


def test_a_few_transcripts_make_shorter_lists():
    chosen = hotwords.choose(dict(enumerate_keys(CALLS[:3])), [], Scoring())
    assert [len(own.of_list("100")) for own in chosen] == [3, 3, 3]
    assert [len(own.of_list("100_unsaid")) for own in chosen] == [2, 2, 2]


def test_rates_of_texts_made_by_hand():
    words = [
        hotwords.Words("a", ["王伟"], ["李娜", "分期"]),
        hotwords.Words("b", ["还款", "卡号"], ["王伟", "分期"]),
        hotwords.Words("c", [], ["分期"]),
    ]
    said = ["我叫王伟", "还款的卡号", "喂"]
    heard = ["我叫王伟", "分期的卡号，分期", "喂"]
    counts = hotwords.count(words, said, heard, Scoring())
    found = hotwords.rates(counts, ["x", "y", "z"], seed=0)
    assert found["words"] == 3
    assert found["characters"] == 10
    assert found["cer"] == sum(e.errors for e in score(said, heard)) / 10
    assert found["recall"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["insertions_per_1000"] == 200  # 分期, twice
    for name in hotwords.MEASURES:
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert found["recall_high"] <= 1


def test_without_a_said_word_there_is_no_recall():
    words = [hotwords.Words("a", [], ["分期"])]
    counts = hotwords.count(words, ["喂"], ["喂"], Scoring())
    found = hotwords.rates(counts, ["x"], seed=0)
    assert "recall" not in found
    assert (found["words"], found["insertions_per_1000"]) == (0, 0)


# --- The model behind them


def test_of_many_prompts_few_beginnings_are_kept_and_the_loss_is_the_same(nano, make_inputs):
    from telephone_asr.model import fun_asr_nano

    nano.model.requires_grad_(False)
    inputs = make_inputs(nano)
    made = PromptLists(TEXTS, 1.0, 3, seed=0)
    prefixes = {}
    for number in range(2 * fun_asr_nano.KEPT_PREFIXES):
        one = made.put_into(inputs.batch([number % len(inputs)]), number)
        speech = fun_asr_nano.adapt(nano, *fun_asr_nano.encode(nano, one.inputs, one.lengths))
        losses = [
            fun_asr_nano.transcript_loss(nano, one.prompts, one.texts, *speech, kept)
            for kept in (None, prefixes, prefixes)
        ]
        assert losses[0] == losses[1] == losses[2]
        assert len(prefixes) <= fun_asr_nano.KEPT_PREFIXES


def test_the_tiny_tokenizer_reads_a_list_as_few_tokens_and_none_as_unknown(tiny_directory):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_directory / "Qwen3-0.6B")
    listed = tokenizer(with_hotwords(PROMPT, ["您好", "再见"]))["input_ids"]
    assert tokenizer.unk_token_id not in listed
    assert len(listed) - len(tokenizer(PROMPT)["input_ids"]) == 1 + len("您好, 再见") + 2
