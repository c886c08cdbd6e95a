"""Text alone: sentences beside speech, with faults, for the language model to write."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from telephone_asr.dataset.batching import collate
from telephone_asr.errors import InputError
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.manifests.reserved import Reserved, compared
from telephone_asr.model.fun_asr_nano import Script
from telephone_asr.training import scripts
from telephone_asr.training.objective import Objective
from telephone_asr.training.scripts import Scripts, beside_speech, read_scripts

SENTENCES = [f"今天还款{numeral}百元" for numeral in "一二三四五六七八九"]


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "scripts.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_sentences_are_read_once_each_as_they_are_trained_on(tmp_path):
    path = written(tmp_path, "\ufeff您好 请问\r\n\n您好请问\n用ＡＰＰ还款\n再 见\n")
    reserved = Reserved(sentences={compared("再见")})
    assert read_scripts(path, "lower", reserved) == (["您好请问", "用app还款"], 1)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("您好\n请问<|im_end|>\n", r"scripts\.txt:2 holds <\|im_end\|>, which the prompt"),
        ("<think>\n", r"scripts\.txt:1 holds <think>"),
        ("您好\n再见\n" + "好" * 201, r"scripts\.txt:3 has 201 characters"),
        ("您好\n<NOISE>\n", r"scripts\.txt:2 has 0 characters"),
        ("您好\n再见".encode("gb18030"), r"scripts\.txt:1 is not UTF-8"),
        ("\n \n", r"scripts\.txt holds no sentence"),
    ],
)
def test_what_is_no_sentence_is_named_with_its_line(tmp_path, content, named):
    with pytest.raises(InputError, match=named) as error:
        read_scripts(written(tmp_path, content), "keep", Reserved())
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"scripts\.txt cannot be read"):
        read_scripts(tmp_path / "scripts.txt", "keep", Reserved())


def characters(texts: list[str]) -> list[list[int]]:
    return [[ord(character) for character in text] for text in texts]


def made(share: float, batches: int = 40, seed: int = 0, **options) -> list[list[Script]]:
    """The sentences of so many batches of four."""
    sizes = [4] * batches
    own = Scripts(SENTENCES, characters, sizes, share, 2.0, seed, **options)
    batch = collate(["a"], [torch.zeros(3, 2)], [PROMPT], ["您好"])
    return [list(own.put_into(batch, number).scripts) for number in range(batches)]


def test_there_are_as_many_as_asked_for_and_all_come_before_one_comes_again():
    per_batch = made(0.3)
    assert sum(map(len, per_batch)) == round(0.3 * 160)
    assert {len(own) for own in per_batch} == {1, 2}
    texts = [script.text for own in per_batch for script in own]
    for turn in range(0, len(texts) - len(SENTENCES), len(SENTENCES)):
        assert sorted(texts[turn : turn + len(SENTENCES)]) == sorted(SENTENCES)
    assert made(0.3) == per_batch
    assert made(0.3, seed=1) != per_batch
    assert not any(made(0.0))


def test_faults_are_as_many_as_they_should_be_and_the_rest_is_in_order(monkeypatch):
    clean = Counter()
    for name in ("DROPPED", "REPLACED", "REPEATED"):
        monkeypatch.setattr(scripts, name, 0.0)
    for script in (script for own in made(2.0) for script in own):
        read = [token for row in script.rows for token in row]
        assert read == characters([script.text])[0]
        clean[len(script.rows)] += 1
    assert min(clean) >= 3  # eight or nine characters, about two to a row
    assert max(clean) <= 6
    monkeypatch.undo()
    pairs = [(sum(map(len, script.rows)), len(script.text)) for own in made(2.0) for script in own]
    read, said = map(sum, zip(*pairs, strict=True))
    assert read / said == pytest.approx(1.0, abs=0.05)  # as many dropped as repeated
    assert sum(a != b for a, b in pairs) > len(pairs) / 3


def test_the_prompt_asks_for_what_they_are_written_like():
    assert {script.prompt for own in made(1.0) for script in own} == {PROMPT_VERBATIM}
    with_marks = Scripts(["还款300元。"], characters, [4], 1.0, 2.0, 0)
    batch = collate(["a"], [torch.zeros(3, 2)], [PROMPT], ["您好"])
    assert with_marks.put_into(batch, 0).scripts[0].prompt == PROMPT


def test_batches_whose_memory_is_tried_have_the_longest():
    sentences = ["好", "今天还款三百元", "再见"]
    own = Scripts(sentences, characters, [2, 2], 1.0, 2.0, 0, always=[1])
    batch = collate(["a"], [torch.zeros(3, 2)], [PROMPT], ["您好"])
    assert [script.text for script in own.put_into(batch, 1).scripts] == ["今天还款三百元", "再见"]


def test_rows_of_sentences_stand_behind_those_of_speech_and_are_as_long(nano):
    width = nano.model.llm.get_input_embeddings().embedding_dim
    speech = 7.0 * torch.nn.functional.normalize(torch.randn(2, 4, width), dim=-1)
    tokens = nano.tokenizer.encode("您好请问")
    sentence = Script("您好请问", PROMPT, (tuple(tokens[:2]), tuple(tokens[2:])))
    rows, lengths = beside_speech(nano, (speech, torch.tensor([4, 2])), [sentence])
    assert lengths.tolist() == [4, 2, 2]
    assert torch.equal(rows[0], speech[0])
    assert torch.equal(rows[1, :2], speech[1, :2])
    torch.testing.assert_close(rows[2, :2].norm(dim=-1), torch.full((2,), 7.0))
    assert not rows[2, 2:].any()


def test_a_batch_with_sentences_has_the_mean_loss_of_both(nano):
    """And one without any is what it always was."""
    objective = Objective(nano, "adapted", llm_weight=1.0, ctc_weight=0.0)
    width = nano.model.llm.get_input_embeddings().embedding_dim
    speech = collate(["a"], [torch.randn(4, width)], [PROMPT], ["请问您是谁"])
    tokens = nano.tokenizer.encode("您好")
    sentence = Script("您好", PROMPT, (tuple(tokens),))
    alone = objective(speech)
    speech.scripts = [sentence]
    both = objective(speech)
    n_speech, n_both = 6, 6 + 3  # characters and ends of turn
    assert objective.tokens(speech) == (n_both, 0)
    rows, lengths = beside_speech(nano, (speech.inputs, speech.lengths), [sentence])
    text = collate(["s"], [rows[1, : lengths[1]]], [PROMPT], ["您好"])
    expected = (n_speech * alone + (n_both - n_speech) * objective(text)) / n_both
    torch.testing.assert_close(both, expected)
