"""A step's gradient: that of one batch of all its utterances, however it is divided.

Run as a program by `torch.distributed.run`, this file takes the step that the test compares.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from model_fixtures import PLAN, options
from speech_fixtures import TEXTS
from telephone_asr.dataset.batching import collate
from telephone_asr.manifests.messages import PROMPT_VERBATIM
from telephone_asr.model import parts
from telephone_asr.model.pretrained import CTC_BRANCH, load
from telephone_asr.training.objective import Objective
from telephone_asr.training.steps import Stepper

N = len(TEXTS)  # a dozen
# Of the language model, whose tokens are words, and of the CTC branch, which cuts otherwise.
WORDS = ("您好", "再见", "请问您是谁", "好的好的", "我是张三", "明天还款", "<|im_end|>")
CTC_WORDS = ("三三", "请稍等一下", "谢谢")


def of_words(words: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """A tokenizer of these words, and of any other character as the unknown one."""
    vocabulary = {word: i for i, word in enumerate(("<unk>", *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    pattern = Regex("|".join((*map(escaped, words), r"[\s\S]")))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def escaped(word: str) -> str:
    return word.replace("|", r"\|")


def batch_of(indices: list[int]):
    rows = [
        torch.randn(20 + 3 * i, 560, generator=torch.Generator().manual_seed(i)) for i in indices
    ]
    texts = [TEXTS[i] for i in indices]
    return collate([f"u{i}" for i in indices], rows, [PROMPT_VERBATIM] * len(indices), texts)


def step(directory: Path, size: int) -> dict[str, torch.Tensor]:
    """The gradient and the loss of one step with all utterances, in batches of this size."""
    nano = load(directory)
    nano.tokenizer, nano.model.ctc_tokenizer = of_words(WORDS), of_words(CTC_WORDS)
    trained = parts.choose_trained(nano, ("audio_encoder.", "audio_adaptor.", "llm.", *CTC_BRANCH))
    before = {name: p.detach().clone() for name, p in trained.items()}
    objective = Objective(nano, "features", llm_weight=0.7, ctc_weight=0.3)
    accelerator = Accelerator(cpu=True)
    optimizer = torch.optim.SGD(trained.values(), lr=1.0)
    wrapped, optimizer = accelerator.prepare(objective, optimizer)
    own = options(clip=1e9, batches_per_step=N // size)
    stepper = Stepper(accelerator, wrapped, objective.tokens, trained, optimizer, PLAN, own)
    numbers = stepper.numbers([0])
    batches = (batch_of(list(range(size * n, size * (n + 1)))) for n in numbers)
    figures = stepper.take(0, batches)
    found = {name: before[name] - p.detach() for name, p in trained.items()}
    return found | {"loss": torch.tensor(figures.loss)}


def step_of_two_processes(directory: Path, size: int, path: Path) -> dict[str, torch.Tensor]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*command, __file__, str(directory), str(size), str(path)],
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        timeout=900,
    )
    return torch.load(path)


@pytest.fixture(scope="module")
def whole(tiny_directory) -> dict[str, torch.Tensor]:
    """Of one batch."""
    return step(tiny_directory, N)


def test_the_losses_are_those_of_the_batch(whole, tiny_directory):
    nano = load(tiny_directory)
    nano.tokenizer, nano.model.ctc_tokenizer = of_words(WORDS), of_words(CTC_WORDS)
    batch = batch_of(list(range(N)))
    with torch.inference_mode():
        llm, ctc = (Objective(nano, "features", *w)(batch).item() for w in ((1.0, 0.0), (0.0, 1.0)))
    assert whole["loss"].item() == pytest.approx(0.7 * llm + 0.3 * ctc, rel=1e-5)


def test_tokens_are_counted_and_not_characters(tiny_directory):
    nano = load(tiny_directory)
    nano.tokenizer, nano.model.ctc_tokenizer = of_words(WORDS), of_words(CTC_WORDS)
    batch = collate(["u"] * 2, [torch.zeros(9, 560)] * 2, ["p"] * 2, ["您好我是张三", "谢谢再见"])
    assert Objective(nano, "features", 0.7, 0.3).tokens(batch) == (2 + 1 + 3 + 1, 6 + 3)
    assert Objective(nano, "encoded", 0.7, 0.3).tokens(batch) == (7, 0)
    assert Objective(nano, "features", 0.0, 1.0).tokens(batch) == (0, 9)


@pytest.mark.parametrize("size", [6, 4, 1])
def test_several_batches_give_the_gradient_of_one(whole, tiny_directory, size):
    same(step(tiny_directory, size), whole)


def test_two_processes_give_the_gradient_of_one_batch(whole, tiny_directory, tmp_path):
    same(step_of_two_processes(tiny_directory, 3, tmp_path / "found.pt"), whole)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    largest = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5 * largest, rtol=1e-5, msg=name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    directory, size, path = sys.argv[1:]
    found = step(Path(directory), int(size))
    if os.environ["RANK"] == "0":
        torch.save(found, path)
